"""Who is speaking: the OpenTelemetry resource of this process."""

from __future__ import annotations

import os
import sys
import uuid
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk import resources
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from mlobs.otel.points import sendable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import TracerProvider

INSTANCE: Final = "service.instance.id"


def resource(
    extra: Mapping[str, str],
    *,
    forked: bool,
    lives: int = 0,
    instance: str | None = None,
    provider: TracerProvider | None = None,
) -> Resource:
    """The resource of ``provider``, or of the one the user set, else the environment's, with ``extra`` on top.

    ``service.instance.id`` is unique to this process, for interleaved counters of two processes read as resets. An id that
    somebody gave may be that of all processes of a container: each adds its process id, which containers and restarts share,
    too, and something random. ``instance`` is the id this process has already reported under, if it has: its counts go on, so
    it stays the same.
    """
    given = getattr(trace.get_tracer_provider() if provider is None else provider, "resource", None)
    base = given if isinstance(given, Resource) else _from_environment()
    base = base.merge(Resource(dict(extra)))
    if instance is None:
        found = base.attributes.get(INSTANCE)
        instance = str(found or uuid.uuid4())
        if found and (forked or lives or not _made_here(instance)):
            instance = f"{found}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return _sendable(base.merge(Resource({INSTANCE: instance})))


def _sendable(made: Resource) -> Resource:
    """One that every encoder takes.

    Half of a surrogate pair in a key or a value, or a whole number of more than 64 bits, would stop all that is sent with it.
    """
    cleaned = {_plain(key): _plain(value) for key, value in made.attributes.items()}
    return made if cleaned == dict(made.attributes) else Resource(cleaned, made.schema_url)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a text, a number, or several
    if _is_long(value):
        return str(value)
    if isinstance(value, str):
        return sendable(value, sys.maxsize)
    if isinstance(value, (list, tuple)):
        several = map(str, value) if any(map(_is_long, value)) else value  # they are of one type
        return tuple(map(_plain, several))
    return value


def _is_long(value: object) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _made_here(instance: str) -> bool:
    """Whether the SDK made this id, for this process only. Older ones make none."""
    detector: Any = getattr(resources, "ServiceInstanceIdResourceDetector", None)
    return detector is not None and detector().detect().attributes.get(INSTANCE) == instance


def _from_environment() -> Resource:
    try:
        return Resource.create()
    except RuntimeError:  # the interpreter is shutting down, and detectors run on threads of an executor
        found = OTELResourceDetector().detect()
        return Resource({"service.name": "unknown_service"}).merge(found)
