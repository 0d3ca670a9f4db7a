"""The ledger adds up what OpenTelemetry's own SDK sends over HTTP, and what a wire may do to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from mlobs.demo.ledger import INSTANCE, Ledger
from mlobs.demo.receiver import Receiver
from mlobs.otel import machine, names
from mlobs.otel.instrument import Instrument


class Process:
    """Stands for one worker: an SDK of its own, whose exports are taken when asked for."""

    def __init__(self, instance: str) -> None:
        self.reader = InMemoryMetricReader()
        resource = Resource({INSTANCE: instance})
        self._provider = MeterProvider([self.reader], resource=resource, shutdown_on_exit=False)
        self._meter = meter = self._provider.get_meter("mlobs")
        self.duration = meter.create_histogram(names.PREDICTION_DURATION.name, "s")
        self.observations = meter.create_counter(names.FEATURE_OBSERVATIONS.name)
        self.memory = meter.create_up_down_counter(machine.PROCESS_MEMORY_USAGE.name)
        self.cpu = meter.create_gauge(machine.PROCESS_CPU_UTILIZATION.name)

    def add(self, instrument: Instrument, amount: float, **attributes: str) -> None:
        self._meter.create_counter(instrument.name).add(amount, attributes)

    def export(self) -> ExportMetricsServiceRequest:
        data = self.reader.get_metrics_data()
        assert data is not None
        request: ExportMetricsServiceRequest = encode_metrics(data)
        return request

    def end(self) -> None:
        self._provider.shutdown()


@pytest.fixture
def processes() -> Iterator[tuple[Process, Process]]:
    two = Process("one"), Process("two")
    yield two
    for process in two:
        process.end()


def test_workers_are_added_up(processes: tuple[Process, Process]) -> None:
    """Calls, errors and bins are the sums over both processes, however often each reports."""
    ledger = Ledger()
    for number, process in enumerate(processes, start=1):
        for _ in range(number):
            process.duration.record(0.002)
            process.duration.record(0.002, {names.ERROR_TYPE: "ValueError"})
            process.observations.add(5, {names.ROLE: "input", names.FEATURE: "temp", names.BIN: "03"})
            ledger.metrics(process.export())
    totals = ledger.totals()
    assert (totals.predictions, totals.errors) == (6, 3)
    assert totals.observations == {("input", "temp"): {"03": 15}}
    assert sorted((worker.instance, worker.predictions) for worker in totals.workers) == [("one", 2), ("two", 4)]


def test_readings_are_the_newest(processes: tuple[Process, Process]) -> None:
    """Memory and CPU are what a worker uses now; the CPU's modes are added."""
    ledger = Ledger()
    process = processes[0]
    process.duration.record(0.002)
    for amount in (100, 50):
        process.memory.add(amount)
        process.cpu.set(amount / 1000, {machine.CPU_MODE: "user"})
        process.cpu.set(0.2, {machine.CPU_MODE: "system"})
        ledger.metrics(process.export())
    (worker,) = ledger.totals().workers
    assert worker.memory == 150
    assert worker.cpu == pytest.approx(0.25)


def test_a_late_or_repeated_export_changes_nothing(processes: tuple[Process, Process]) -> None:
    """A retry, and an export that was overtaken, leave the newest point as it is."""
    ledger = Ledger()
    exports = []
    for _ in range(3):
        processes[0].duration.record(0.002)
        exports.append(processes[0].export())
    for request in (*exports, exports[2], exports[0]):
        ledger.metrics(request)
    assert ledger.totals().predictions == 3


def test_a_series_that_starts_anew_is_added(processes: tuple[Process, Process]) -> None:
    """A process that begins its counts again under the same identity loses nothing."""
    ledger = Ledger()
    again = Process("one")
    for process in (processes[0], again):
        process.duration.record(0.002)
        ledger.metrics(process.export())
    again.end()
    assert ledger.totals().predictions == 2


def test_a_difference_is_what_came_between(processes: tuple[Process, Process]) -> None:
    """The totals since an earlier reading hold only what was added."""
    ledger = Ledger()
    process = processes[0]
    for season in ("00", "01"):
        earlier = ledger.totals()
        process.duration.record(0.002)
        process.observations.add(1, {names.ROLE: "input", names.FEATURE: "temp", names.BIN: season})
        ledger.metrics(process.export())
    added = ledger.totals().since(earlier)
    assert (added.predictions, added.durations.total) == (1, 1)
    assert added.observations == {("input", "temp"): {"00": 0, "01": 1}}


def test_worth_is_added_up(processes: tuple[Process, Process]) -> None:
    """Truths, money and cost are sums over processes; what a bin stands for is said once."""
    ledger = Ledger()
    serving, arriving = processes
    earlier = ledger.totals()
    serving.add(names.OUTCOME_EXPECTED, 4)
    serving.add(names.PREDICTION_SCORE, 4, **{names.BIN: "07"})
    serving.add(names.PREDICTION_CPU_TIME, 0.5)
    serving.add(names.PREDICTION_COST, 0.002)
    serving.add(names.PREDICTION_ROWS, 4)
    arriving.add(names.OUTCOME_JOINED, 3)
    for bin_, actual, count in (("07", "0", 2), ("39", "1", 1)):
        arriving.add(names.OUTCOME_SCORE, count, **{names.BIN: bin_, names.ACTUAL: actual})
    for process, reason in ((serving, "damaged"), (arriving, "damaged"), (arriving, "forged")):
        process.add(names.OUTCOME_UNJOINED, 1, **{names.REASON: reason})
    for direction, amount in (("gain", 100.0), ("loss", 25.5)):
        arriving.add(names.BUSINESS_VALUE, amount, **{names.DIRECTION: direction})
    for process in processes:
        ledger.metrics(process.export())
    worth = ledger.totals().worth
    assert (worth.given, worth.joined, worth.refused, worth.rejected) == (4, 3, {"damaged": 2, "forged": 1}, 3)
    assert (worth.coverage, worth.value, worth.cpu, worth.cost_per_1000) == (0.75, 74.5, 0.5, 0.5)
    assert (worth.promised[7], worth.negatives[7], worth.positives[39]) == (4, 2, 1)
    assert worth.auc is not None
    assert worth.auc.value == 1
    assert worth.expected_auc is None  # nobody has said what a bin stands for
    assert worth.since(earlier.worth) == worth
    assert worth.since(worth).rejected == 0


def test_an_empty_export_is_taken() -> None:
    """Requests with nothing in them, or from nobody in particular, leave nothing."""
    ledger = Ledger()
    ledger.metrics(ExportMetricsServiceRequest())
    anonymous = Process("")
    anonymous.duration.record(0.002)
    request = anonymous.export()
    request.resource_metrics[0].resource.ClearField("attributes")
    ledger.metrics(request)
    anonymous.end()
    assert ledger.totals().predictions == 0
    assert ledger.totals().workers == ()


@pytest.mark.parametrize("compression", list(Compression))
def test_the_real_exporters_are_understood(compression: Compression) -> None:
    """Metrics and spans arrive whole from the SDK's OTLP exporters, packed or not."""
    ledger = Ledger()
    with Receiver(ledger) as receiver:
        resource = Resource({INSTANCE: "one"})
        exporter = OTLPMetricExporter(f"{receiver.endpoint}/v1/metrics", compression=compression)
        metrics = MeterProvider([PeriodicExportingMetricReader(exporter)], resource=resource, shutdown_on_exit=False)
        spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(f"{receiver.endpoint}/v1/traces", compression=compression))
        )
        duration = metrics.get_meter("mlobs").create_histogram(names.PREDICTION_DURATION.name, "s")
        for _ in range(7):
            duration.record(0.002)
            spans.get_tracer("mlobs").start_span("predict").end()
        metrics.shutdown()
        spans.shutdown()
    totals = ledger.totals()
    assert (totals.predictions, totals.spans) == (7, 7)
