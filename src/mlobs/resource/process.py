"""CPU, memory and threads of this process, as OpenTelemetry's process conventions name them."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from mlobs.otel import names
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from mlobs.otel.points import Points

_MODES: Final = (Attributes((names.CPU_MODE, "user")), Attributes((names.CPU_MODE, "system")))
# OpenTelemetry's own instrumentation of the same metrics
_OTHER: Final = "opentelemetry.instrumentation.system_metrics"


class Process:
    """Read once a collection, never by a caller. Silent where OpenTelemetry's own instrumentation is loaded."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._last: tuple[float, float, float] | None = None

    def prepare(self) -> None:
        """Load psutil."""
        import psutil

        self._process = psutil.Process()

    def collect(self) -> Iterator[Points]:
        """The readings of now; utilisation needs an earlier one and comes from the second collection on."""
        process = self._process
        if process is None or _OTHER in sys.modules:
            return
        with process.oneshot():
            times = process.cpu_times()
            memory = process.memory_info().rss
            threads = process.num_threads()
        now = (time.monotonic(), times.user, times.system)
        yield Numbers(names.PROCESS_CPU_TIME, NO_ATTRIBUTES, now[1:], _MODES)
        if self._last is not None and now[0] > self._last[0]:
            available = (now[0] - self._last[0]) * _cpus()
            shares = [
                max(0.0, (after - before) / available) for after, before in zip(now[1:], self._last[1:], strict=True)
            ]
            yield Numbers(names.PROCESS_CPU_UTILIZATION, NO_ATTRIBUTES, shares, _MODES)
        self._last = now
        yield Numbers(names.PROCESS_MEMORY_USAGE, NO_ATTRIBUTES, (int(memory),))
        yield Numbers(names.PROCESS_THREAD_COUNT, NO_ATTRIBUTES, (int(threads),))


def _cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
