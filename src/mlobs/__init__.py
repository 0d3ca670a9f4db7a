"""Observability for models in production, on OpenTelemetry."""

from mlobs.api import (
    asgi,
    configure,
    drift,
    flush,
    instrument,
    integrations,
    observe,
    register,
    shutdown,
    uninstrument,
    wsgi,
)
from mlobs.errors import ConfigurationError, MissingDependencyError, MlobsError, ProfileError, UnreadableError
from mlobs.feedback import business, gpu_time, objective, outcome, quality, remember, ticket, tickets, variant
from mlobs.profile import Profile
from mlobs.release import Quality
from mlobs.sketch import Drift
from mlobs.stages import stage

__all__ = [
    "ConfigurationError",
    "Drift",
    "MissingDependencyError",
    "MlobsError",
    "Profile",
    "ProfileError",
    "Quality",
    "UnreadableError",
    "asgi",
    "business",
    "configure",
    "drift",
    "flush",
    "gpu_time",
    "instrument",
    "integrations",
    "objective",
    "observe",
    "outcome",
    "quality",
    "register",
    "remember",
    "shutdown",
    "stage",
    "ticket",
    "tickets",
    "uninstrument",
    "variant",
    "wsgi",
]
