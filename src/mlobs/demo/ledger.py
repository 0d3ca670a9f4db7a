"""What arrived, kept: the newest cumulative point of every series of every process, added up on demand."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from mlobs.demo.durations import Durations
from mlobs.demo.totals import Totals, Worker
from mlobs.demo.worth import Worth
from mlobs.otel import machine, names
from mlobs.sketch.scores import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint

    from mlobs.demo.totals import Bins
    from mlobs.otel.instrument import Instrument

    Value = float | Durations

INSTANCE: Final = "service.instance.id"
_CUMULATIVE: Final = 2  # AGGREGATION_TEMPORALITY_CUMULATIVE

Attributes = frozenset[tuple[str, str]]


class Ledger:
    """Takes exports from any thread, gives the sums over all processes.

    A point replaces the older one of its series; a retried or late export changes nothing. A series that starts anew
    is added to what it was before. Delta points are passed over: what was lost of them could not be told.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: dict[str, _Process] = {}
        self._spans = 0

    def metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Take one export of metrics; those without a service.instance.id are passed over."""
        for resource in request.resource_metrics:
            instance = _attributes(resource.resource.attributes).get(INSTANCE)
            if instance is None:
                continue
            points = [
                (metric.name, point, value)
                for scope in resource.scope_metrics
                for metric in scope.metrics
                for point, value in _points(metric)
            ]
            with self._lock:
                process = self._processes.setdefault(instance, _Process(instance))
                for name, point, value in points:
                    process.take(name, point, value)

    def traces(self, request: ExportTraceServiceRequest) -> None:
        """Take one export of spans."""
        count = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
        with self._lock:
            self._spans += count

    def totals(self) -> Totals:
        """The sums over all processes, now. ValueError where two processes' histograms have other bounds."""
        with self._lock:
            processes = list(self._processes.values())
            durations = Durations.sum(part for process in processes for part in process.durations())
            observations: dict[tuple[str, str], Bins] = {}
            for process in processes:
                process.observe(observations)
            return Totals(
                predictions=durations.total,
                errors=sum(process.calls(failed=True) for process in processes),
                spans=self._spans,
                dropped=int(sum(process.sum(names.SDK_DROPPED.name) for process in processes)),
                durations=durations,
                observations=observations,
                workers=tuple(process.worker() for process in processes if process.calls()),
                worth=_worth(processes),
            )


class _Process:
    """One process' series; the ledger's lock is held around every call."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._heard = 0
        self._series: dict[str, dict[tuple[Attributes, int], tuple[int, Value]]] = {}

    def take(self, name: str, point: NumberDataPoint | HistogramDataPoint, value: Value) -> None:
        key = (frozenset(_attributes(point.attributes).items()), point.start_time_unix_nano)
        series = self._series.setdefault(name, {})
        at = point.time_unix_nano
        if key not in series or series[key][0] <= at:
            series[key] = at, value
        self._heard = max(self._heard, at)

    def _values(self, name: str) -> Iterator[tuple[dict[str, str], int, Value]]:
        for (attributes, _), (at, value) in self._series.get(name, {}).items():
            yield dict(attributes), at, value

    def sum(self, name: str) -> float:
        return sum(value for _, _, value in self._values(name) if not isinstance(value, Durations))

    def by(self, instrument: Instrument, *keys: str) -> Counter[tuple[str, ...]]:
        """The numbers of a metric, added up by the values of some of its attributes."""
        found: Counter[tuple[str, ...]] = Counter()
        for attributes, _, value in self._values(instrument.name):
            if not isinstance(value, Durations):
                found[tuple(attributes.get(key, "") for key in keys)] += value  # type: ignore[assignment]  # floats too
        return found

    def delays(self) -> Iterator[Durations]:
        for _, _, value in self._values(names.OUTCOME_DELAY.name):
            if isinstance(value, Durations):
                yield value

    def durations(self, *, failed: bool = False) -> Iterator[Durations]:
        for attributes, _, value in self._values(names.PREDICTION_DURATION.name):
            if isinstance(value, Durations) and (not failed or names.ERROR_TYPE in attributes):
                yield value

    def calls(self, *, failed: bool = False) -> int:
        return sum(part.total for part in self.durations(failed=failed))

    def observe(self, into: dict[tuple[str, str], Bins]) -> None:
        for attributes, _, value in self._values(names.FEATURE_OBSERVATIONS.name):
            if isinstance(value, Durations):
                continue
            bins = into.setdefault((attributes[names.ROLE], attributes[names.FEATURE]), {})
            bins[attributes[names.BIN]] = bins.get(attributes[names.BIN], 0) + int(value)

    def worker(self) -> Worker:
        return Worker(
            self._instance,
            self.calls(),
            self.calls(failed=True),
            self.sum(machine.PROCESS_CPU_UTILIZATION.name),
            int(self.sum(machine.PROCESS_MEMORY_USAGE.name)),
            int(self.sum(machine.PROCESS_THREAD_COUNT.name)),
            self._heard,
        )


def _worth(processes: list[_Process]) -> Worth:
    def by(instrument: Instrument, *keys: str) -> Counter[tuple[str, ...]]:
        return sum((process.by(instrument, *keys) for process in processes), Counter())

    def total(*instruments: Instrument) -> float:
        return sum(process.sum(instrument.name) for process in processes for instrument in instruments)

    promised, truths = by(names.PREDICTION_SCORE, names.BIN), by(names.OUTCOME_SCORE, names.ACTUAL, names.BIN)
    each = (process.by(names.QUALITY_CALIBRATION, names.BIN) for process in processes)
    rates = next((found for found in each if found), None)
    money = by(names.BUSINESS_VALUE, names.DIRECTION)
    return Worth(
        given=int(total(names.OUTCOME_EXPECTED)),
        joined=int(total(names.OUTCOME_JOINED)),
        refused={reason: int(count) for (reason,), count in by(names.OUTCOME_UNJOINED, names.REASON).items()},
        promised=tuple(int(promised[key,]) for key in KEYS),
        negatives=tuple(int(truths["0", key]) for key in KEYS),
        positives=tuple(int(truths["1", key]) for key in KEYS),
        rates=() if rates is None else tuple(rates[key,] for key in KEYS),
        value=money["gain",] - money["loss",],
        delays=Durations.sum(part for process in processes for part in process.delays()),
        cpu=total(names.PREDICTION_CPU_TIME, names.PREDICTION_POOL_TIME),
        cost=total(names.PREDICTION_COST),
        rows=int(total(names.PREDICTION_ROWS)),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs if pair.value.HasField("string_value")}


def _points(metric: Metric) -> Iterator[tuple[NumberDataPoint | HistogramDataPoint, Value]]:
    """Each point of a metric with its number or histogram; kinds the demo has no use for give none."""
    kind = metric.WhichOneof("data")
    if kind == "gauge":
        for point in metric.gauge.data_points:
            yield point, _number(point)
    elif kind == "sum" and metric.sum.aggregation_temporality == _CUMULATIVE:
        for point in metric.sum.data_points:
            yield point, _number(point)
    elif kind == "histogram" and metric.histogram.aggregation_temporality == _CUMULATIVE:
        for filled in metric.histogram.data_points:
            yield filled, Durations(tuple(filled.explicit_bounds), tuple(filled.bucket_counts), filled.sum)


def _number(point: NumberDataPoint) -> float:
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
