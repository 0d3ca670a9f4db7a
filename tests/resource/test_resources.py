"""All resources together: what another instrumentation says, forks, errors, and the peak."""

from __future__ import annotations

import gc
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from mlobs.otel.machine import INSTRUMENTS
from mlobs.otel.points import Numbers
from mlobs.resource import Resources, peak_memory
from mlobs.resource.elsewhere import emitted_elsewhere
from mlobs.resource.growth import Growth

OURS = {one.name for one in INSTRUMENTS if one.name.startswith(("process.", "cpython."))}


def made() -> Resources:
    resources = Resources()
    resources.prepare()
    return resources


def told(resources: Resources) -> set[str]:
    return {one.instrument.name for one in resources.collect()}


class Theirs:
    """OpenTelemetry's own instrumentation of a process."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self.reader])

    def instrument(self, config: dict[str, list[str] | None] | None) -> SystemMetricsInstrumentor:
        instrumentor = SystemMetricsInstrumentor(config=config)
        instrumentor.instrument(meter_provider=self.provider)
        return instrumentor

    def emitted(self) -> set[str]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return {m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    """It is made, and not at work: not before, and not any more after."""
    instrumentor = SystemMetricsInstrumentor()
    assert not instrumentor.is_instrumented_by_opentelemetry
    theirs = Theirs()
    yield theirs
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    theirs.provider.shutdown()


PARTLY: dict[str, list[str] | None] = {
    "process.cpu.time": ["user"],
    "process.memory.usage": None,
    "system.cpu.time": ["idle"],
}


@pytest.mark.parametrize("config", [None, PARTLY], ids=["by default", "of its configuration"])
def test_each_metric_is_told_by_one_of_two(theirs: Theirs, config: dict[str, list[str] | None] | None) -> None:
    """OpenTelemetry's system metrics and ours never tell the same name, and together tell all of them."""
    resources = made()
    resources.collect()
    before = told(resources)
    theirs.instrument(config)
    said = theirs.emitted()
    ours = told(resources)
    assert said & before
    assert ours & said == set()
    assert before <= ours | said


def test_loading_the_package_silences_nothing(theirs: Theirs) -> None:
    """Only an instrumentor that is at work speaks: loaded, made, or taken off again it leaves everything to us."""
    assert emitted_elsewhere() == frozenset()
    instrumentor = theirs.instrument(None)
    assert emitted_elsewhere() & OURS
    instrumentor.uninstrument()
    assert emitted_elsewhere() == frozenset()


def test_an_unknown_version_is_taken_at_its_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package's insides are others, whatever it could tell is left to it, and the rest goes on."""
    name = "opentelemetry.instrumentation.system_metrics"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert emitted_elsewhere() == OURS
    assert "mlobs.capacity.cpu.limit" in told(made())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are Unix's")
@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning"
)  # other tests may have left threads; the child needs none
def test_a_forked_child_says_nothing_of_its_parents() -> None:
    """What was prepared before a fork is silent in the child until it is prepared there."""
    resources = made()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            silent = resources.collect() == []
            fresh = Resources()
            fresh.prepare()
            seconds = {one.instrument.name: list(one.values) for one in fresh.collect() if isinstance(one, Numbers)}
            own = sum(seconds["process.cpu.time"]) <= sum(os.times()[:2]) + 0.1
            os.write(writer, f"{silent} {own}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == "True True"
    assert os.waitpid(child, 0)[1] == 0


def test_an_error_of_ours_is_reported_and_costs_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever one source raises, the others are told, and whoever made the resources hears of it."""
    heard: list[tuple[str, str]] = []
    resources = Resources(lambda place, error: heard.append((place, str(error))))
    resources.prepare()

    def broken() -> None:
        raise RuntimeError("lost")

    monkeypatch.setattr(gc, "get_stats", broken)
    found = told(resources)
    assert {"mlobs.capacity.cpu.limit", "process.cpu.time"} <= found
    assert "cpython.gc.collections" not in found
    assert heard == [("resources", "lost")]


def test_growth_begins_at_nothing_and_survives_a_reset() -> None:
    """A counter of somebody else's counts from its first reading; one that falls has begun anew, and adds what it has."""
    growth = Growth()
    assert [growth.of("a", value) for value in (1000, 1003, 1003, 2, 5)] == [0, 3, 3, 5, 8]
    assert growth.of("b", 7.5) == 0.0
    assert growth.of("b", 8.0) == 0.5


def test_the_peak_is_what_was_once_in_use() -> None:
    """Memory that is given back stays in the peak."""
    block = bytearray(64 * 1024 * 1024)
    block[::4096] = b"x" * len(block[::4096])
    during = psutil.Process().memory_info().rss
    del block
    peak = peak_memory()
    assert peak is not None
    assert peak >= 0.99 * during


@pytest.mark.parametrize("text", [None, "", "VmHWM:\n", "VmHWM: much kB\n"])
def test_a_peak_without_proc_is_the_systems(tmp_path: Path, text: str | None) -> None:
    """Where /proc does not tell, the peak is that of getrusage."""
    status = tmp_path / "status"
    if text is not None:
        status.write_text(text)
    peak = peak_memory(status)
    assert peak is None or peak > 1024 * 1024
    status.write_text("Name:\tpython\nVmHWM:\t   20480 kB\n")
    assert peak_memory(status) == 20480 * 1024
