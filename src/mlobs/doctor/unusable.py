"""Variables whose values nobody can use, and that no log tells of before somebody tries."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Final

from mlobs.doctor.finding import ENVIRONMENT, Finding, fail, ok, warn
from mlobs.errors import MissingDependencyError, MlobsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlobs.core.settings import Settings

_SAMPLERS: Final = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
)


def unusable(environ: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """What is said of the keys of tickets, the join store, the propagators, the sampler and the file that takes their place."""
    yield from _keys(settings)
    yield from _store(settings)
    yield from _propagators(environ)
    yield from _sampler(environ)
    if environ.get("OTEL_CONFIG_FILE", "").strip():
        said = "OTEL_CONFIG_FILE is not read by mlobs: its metrics go where the other variables say"
        yield warn(
            ENVIRONMENT, said, "Set OTEL_EXPORTER_OTLP_ENDPOINT and its like beside it, or call mlobs.configure."
        )


def _keys(settings: Settings) -> Iterator[Finding]:
    if not settings.ticket_keys:
        return
    from mlobs.release.keyring import Keyring

    try:
        keyring = Keyring(settings.ticket_keys)
    except MlobsError as error:
        said, _, cure = str(error).rpartition(". ")
        yield fail(ENVIRONMENT, f"MLOBS_TICKET_KEYS: {said}", cure)
    else:
        yield ok(ENVIRONMENT, f"tickets can be given: {len(keyring.ciphers)} keys")


def _store(settings: Settings) -> Iterator[Finding]:
    from mlobs.release.store import open_store

    try:  # this connects nowhere
        open_store(settings.join_store, ttl=settings.join_ttl, entries=settings.join_entries)
    except MissingDependencyError as error:
        said, _, cure = str(error).rpartition(". ")
        yield fail(ENVIRONMENT, f"MLOBS_JOIN_STORE: {said}", cure)
    except MlobsError as error:
        yield fail(ENVIRONMENT, f"MLOBS_JOIN_STORE: {str(error).rstrip('.')}", "Correct it, or unset it.")


def _propagators(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Those that are named and not installed: then OpenTelemetry reads no headers at all."""
    for name in filter(None, (part.strip() for part in environ.get("OTEL_PROPAGATORS", "").split(","))):
        if name.lower() == "none":
            return
        if not metadata.entry_points(group="opentelemetry_propagator", name=name):
            said = f"OTEL_PROPAGATORS: there is no propagator {name} here, and no request's headers are read"
            yield fail(ENVIRONMENT, said, "Correct it, or install the package that brings it.")


def _sampler(environ: Mapping[str, str]) -> Iterator[Finding]:
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if not name or name.lower() in _SAMPLERS or metadata.entry_points(group="opentelemetry_traces_sampler", name=name):
        return
    said = f"OTEL_TRACES_SAMPLER={name} is no sampler: OpenTelemetry takes parentbased_always_on"
    yield warn(ENVIRONMENT, said, f"Correct it, or unset it; there are {', '.join(_SAMPLERS)}.")
