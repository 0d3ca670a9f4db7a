"""Which exporter a signal has: OTEL_METRICS_EXPORTER and OTEL_TRACES_EXPORTER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlobs.otel.told import tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlobs.otel.endpoint import Signal

EXPORTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "metrics": ("otlp", "console", "prometheus", "none"),
    "traces": ("otlp", "console", "none"),
}


# otlp by the name of an exporter of OpenTelemetry Python, which says how, too
_OTLP: Final[Mapping[str, str]] = {"otlp_proto_grpc": "grpc", "otlp_proto_http": "http/protobuf"}


def named(environ: Mapping[str, str], signal: Signal) -> list[str]:
    """The exporters that a signal is to have, ``otlp`` where none is named."""
    text = environ.get(_variable(signal), "")
    return [name for name in (part.strip().lower() for part in text.split(",")) if name] or ["otlp"]


def protocol_of(environ: Mapping[str, str], signal: Signal) -> str | None:
    """The protocol that the first exporter's name says, as OpenTelemetry Python's do; it wins over what is set beside it."""
    return _OTLP.get(named(environ, signal)[0])


def chosen(environ: Mapping[str, str], signal: Signal) -> str:
    """One of ``EXPORTERS``: the first that is named, ``otlp`` where none is; told once where that is not what was meant."""
    variable = _variable(signal)
    names = named(environ, signal)
    found = "otlp" if names[0] in _OTLP else names[0]
    if found not in EXPORTERS[signal]:
        tell("%s=%r is none of %s: using otlp", variable, found, ", ".join(EXPORTERS[signal]))
        return "otlp"
    if len(names) > 1:
        tell(
            "%s=%r names several, and one is used; a Collector sends to several places: using %s",
            variable,
            environ[variable],
            names[0],
        )
    return found


def _variable(signal: Signal) -> str:
    return f"OTEL_{signal.upper()}_EXPORTER"
