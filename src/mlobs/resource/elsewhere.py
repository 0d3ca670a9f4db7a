"""Which metrics OpenTelemetry's own instrumentation of the process emits already."""

from __future__ import annotations

import sys
from typing import Final

from mlobs.otel.machine import INSTRUMENTS

_MODULE: Final = "opentelemetry.instrumentation.system_metrics"
_SHARED: Final = frozenset(one.name for one in INSTRUMENTS if one.name.startswith(("process.", "cpython.")))
_NOTHING: Final[frozenset[str]] = frozenset()


def emitted_elsewhere() -> frozenset[str]:
    """Names that ``SystemMetricsInstrumentor`` emits: none until it is instrumented, then those its configuration has.

    Loading the package, as OpenTelemetry's agent does for all it finds, emits nothing. Where its insides are not what
    they were in 0.54 to 0.66, all names that it could share with us are taken as its own: one metric less is better
    than one twice.
    """
    module = sys.modules.get(_MODULE)
    if module is None:
        return _NOTHING
    try:
        instrumentor = module.SystemMetricsInstrumentor._instance  # noqa: SLF001 - to make one would configure it anew
        if instrumentor is None or not instrumentor.is_instrumented_by_opentelemetry:
            return _NOTHING
        return frozenset(instrumentor._config)  # noqa: SLF001 - it has no other door
    except Exception:  # noqa: BLE001 - whatever is in the place of the module
        return _SHARED
