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


def chosen(environ: Mapping[str, str], signal: Signal) -> str:
    """One of ``EXPORTERS``: the first that is named, ``otlp`` where none is; told once where that is not what was meant."""
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    text = environ.get(variable, "")
    names = [name for name in (part.strip().lower() for part in text.split(",")) if name] or ["otlp"]
    found = names[0]
    if found not in EXPORTERS[signal]:
        tell("%s=%r is none of %s: using otlp", variable, found, ", ".join(EXPORTERS[signal]))
        return "otlp"
    if len(names) > 1:
        tell(
            "%s=%r names several, and one is used; a Collector sends to several places: using %s", variable, text, found
        )
    return found
