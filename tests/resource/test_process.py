"""The process' own use of the machine."""

from __future__ import annotations

import sys
import time
import types

import psutil
import pytest

from mlobs.otel.points import Numbers
from mlobs.resource import Process


def readings(process: Process) -> dict[str, list[float]]:
    return {points.instrument.name: list(points.values) for points in process.collect() if isinstance(points, Numbers)}


def test_readings_are_the_operating_systems() -> None:
    """CPU time, memory and threads are those psutil sees; utilisation needs two readings."""
    process = Process()
    assert readings(process) == {}
    process.prepare()
    first = readings(process)
    assert set(first) == {"process.cpu.time", "process.memory.usage", "process.thread.count"}
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    second = readings(process)
    times = psutil.Process().cpu_times()
    assert sum(second["process.cpu.time"]) == pytest.approx(times.user + times.system, abs=0.5)
    assert second["process.memory.usage"][0] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert second["process.thread.count"][0] >= 1
    assert 0 < sum(second["process.cpu.utilization"]) <= 1.05


def test_silent_where_another_instrumentation_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own system metrics have the same names: one of the two is enough."""
    process = Process()
    process.prepare()
    name = "opentelemetry.instrumentation.system_metrics"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert readings(process) == {}
