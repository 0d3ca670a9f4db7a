"""Observability for models in production, on OpenTelemetry."""

from mlobs.api import configure, drift, flush, observe, register, shutdown
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
    "configure",
    "drift",
    "flush",
    "observe",
    "register",
    "shutdown",
]
