"""The process' own use of the machine."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

import psutil
import pytest

from mlobs.otel.points import Numbers
from mlobs.resource.garbage import Garbage
from mlobs.resource.process import Process

EVERYWHERE = {
    "process.cpu.time",
    "process.memory.usage",
    "process.memory.virtual",
    "process.thread.count",
    "process.uptime",
}
UNIX = {"process.context_switches", "process.paging.faults", "process.unix.file_descriptor.count"}
LINUX = {"process.disk.io"}


def made(cpus: float = 1.0) -> Process:
    process = Process(lambda: cpus)
    process.prepare()
    return process


def readings(source: Process | Garbage) -> dict[str, list[float]]:
    return {points.instrument.name: list(points.values) for points in source.collect() if isinstance(points, Numbers)}


def test_readings_are_the_operating_systems() -> None:
    """CPU time, memory, threads and files are those psutil sees, from the first reading on."""
    process = Process(lambda: 1.0)
    assert readings(process) == {}
    process.prepare()
    found = readings(process)
    expected = EVERYWHERE | (UNIX if os.name == "posix" else set()) | (LINUX if sys.platform == "linux" else set())
    assert set(found) == expected
    seen = psutil.Process()
    times = seen.cpu_times()
    assert sum(found["process.cpu.time"]) == pytest.approx(times.user + times.system, abs=0.5)
    assert found["process.memory.usage"][0] == pytest.approx(seen.memory_info().rss, rel=0.2)
    assert found["process.memory.virtual"][0] == pytest.approx(seen.memory_info().vms, rel=0.2)
    assert found["process.thread.count"] == [seen.num_threads()]
    assert found["process.uptime"][0] == pytest.approx(time.time() - seen.create_time(), abs=1)


def test_utilisation_is_of_the_cpus_that_may_be_used() -> None:
    """A busy thread uses one CPU of those there are, and utilisation comes with the second reading."""
    half, four = made(0.5), made(4)
    assert "process.cpu.utilization" not in readings(half)
    assert "process.cpu.utilization" not in readings(four)
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    high = sum(readings(half)["process.cpu.utilization"])
    low = sum(readings(four)["process.cpu.utilization"])
    assert 0 < low <= 0.3
    assert high == pytest.approx(8 * low, rel=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="counts them as Linux does")
def test_open_files_and_waits_are_counted() -> None:
    """An opened file is one descriptor more, and a thread that waited has been switched, whichever thread it was."""
    process = made()
    before = readings(process)
    gate = threading.Event()
    waiting = threading.Thread(target=gate.wait)
    waiting.start()
    with open(os.devnull, "rb"):  # noqa: PTH123 - any file
        during = readings(process)
    gate.set()
    waiting.join()
    after = readings(process)
    count = "process.unix.file_descriptor.count"
    assert during[count][0] - before[count][0] == 1
    assert after[count] == before[count]
    assert after["process.context_switches"][0] > before["process.context_switches"][0]
    assert during["process.thread.count"][0] - before["process.thread.count"][0] == 1


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="CPython's collector")
def test_collections_are_counted_by_generation() -> None:
    """Each run of the collector counts in its generation, with what it freed, from 0 on."""
    garbage = Garbage()
    before = readings(garbage)
    assert before["cpython.gc.collections"][2] == 0
    ring: list[object] = []
    ring.append(ring)
    del ring
    gc.collect()
    after = readings(garbage)
    assert after["cpython.gc.collections"][2] == 1
    assert after["cpython.gc.collected_objects"][2] >= 1
    assert after["cpython.gc.uncollectable_objects"] == [0, 0, 0]
    names = [dict(each.items()) for one in garbage.collect() if isinstance(one, Numbers) for each in one.each]
    assert {name["cpython.gc.generation"] for name in names} == {"0", "1", "2"}


def test_what_the_system_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that is denied costs its own metric: the others come as before."""
    process = made()
    whole = set(readings(process)) | {"process.cpu.utilization"}

    def denied(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "io_counters", denied, raising=False)
    monkeypatch.setattr(psutil.Process, "num_threads", denied)
    assert set(readings(process)) == whole - {"process.disk.io", "process.thread.count"}
