"""Observability for models in production, on OpenTelemetry."""

from mlobs.api import asgi, configure, drift, flush, instrument, observe, register, shutdown, uninstrument, wsgi
from mlobs.errors import ConfigurationError, MissingDependencyError, MlobsError, ProfileError, UnreadableError
from mlobs.profile import Profile
from mlobs.sketch import Drift

__all__ = [
    "ConfigurationError",
    "Drift",
    "MissingDependencyError",
    "MlobsError",
    "Profile",
    "ProfileError",
    "UnreadableError",
    "asgi",
    "configure",
    "drift",
    "flush",
    "instrument",
    "observe",
    "register",
    "shutdown",
    "uninstrument",
    "wsgi",
]
