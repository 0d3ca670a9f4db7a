"""What arrived, kept point by point, and written as OpenMetrics 1.0, which promtool makes a Prometheus database of.

Names and labels are those that a Collector or Prometheus' own OTLP receiver makes of the same points.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.demo import openmetrics
from mlobs.replacement import replacement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint

    from mlobs.demo.openmetrics import Labels, Samples, Value

MOST: Final = 1_000_000  # points; a minute of the demo has a tenth of them
_CUMULATIVE: Final = 2  # AGGREGATION_TEMPORALITY_CUMULATIVE
_UNRECORDED: Final = 1  # DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_IDENTITY: Final = {"service.name": "job", "service.instance.id": "instance"}


class Recording:
    """Takes exports from any thread.

    At ``most`` points of all series are kept: beyond, every other one goes, of old and of new ones alike, but never
    the newest. Deltas and exponential histograms, which the format has no word for, are passed over.
    """

    def __init__(self, most: int = MOST) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._step = 0  # milliseconds between two points of a series, at least
        self._held = 0
        self._families: dict[str, _Family] = {}

    def metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Take one export of metrics."""
        with self._lock:
            for resource in request.resource_metrics:
                of_process = _labels(resource.resource.attributes)
                whose = {label: of_process.pop(key) for key, label in _IDENTITY.items() if key in of_process}
                newest = 0
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        newest = max(newest, self._take(metric, whose))
                if newest:
                    about = _Metric("target", "info", "The attributes of a process.", "")
                    self._add(about, _key(of_process | whose), newest, 1)

    def traces(self, request: ExportTraceServiceRequest) -> None:
        """Spans are no series."""

    def write(self, file: Path) -> None:
        """Write all of it; the file appears whole or not at all. Raises OSError where it cannot be written."""
        with self._lock, replacement(file) as out:
            for name in sorted(self._families):
                about, series = self._families[name]
                out.writelines(openmetrics.family(name, about.kind, about.unit, about.description, series))
            out.write("# EOF\n")

    @property
    def points(self) -> int:
        """How many there are."""
        with self._lock:
            return self._held

    def _take(self, metric: Metric, whose: dict[str, str]) -> int:
        """Keep the points of a metric; return when the newest was taken, in milliseconds."""
        newest = 0
        kind, points = _points(metric)
        about = _Metric(metric.name, kind, metric.description, metric.unit)
        for point in points:
            if point.flags & _UNRECORDED:
                continue
            key = _key(_labels(point.attributes) | whose)
            at, began = point.time_unix_nano // 1_000_000, point.start_time_unix_nano // 1_000_000
            newest = max(newest, at)
            if kind in openmetrics.GROWING and began:
                self._begin(about, key, min(began, at - 1), openmetrics.nothing(point))
            self._add(about, key, at, openmetrics.value(point))
        return newest

    def _begin(self, about: _Metric, key: Labels, at: int, zero: Value) -> None:
        """A sum was 0 when it began, which OTLP tells by a time and Prometheus by a sample."""
        samples = self._samples(about, key)
        if not samples or samples[-1][0] < at:
            samples.append((at, zero))
            self._held += 1

    def _add(self, about: _Metric, key: Labels, at: int, value: Value) -> None:
        samples = self._samples(about, key)
        if samples and at <= samples[-1][0]:
            return  # a retry, or late
        if len(samples) > 1 and at - samples[-2][0] < self._step:
            samples[-1] = at, value
            return
        samples.append((at, value))
        self._held += 1
        if self._held > self._most:
            self._thin()

    def _samples(self, about: _Metric, key: Labels) -> Samples:
        name = openmetrics.name(about.name, about.kind, about.unit)
        family = self._families.setdefault(name, _Family(about, {}))
        return family.series.setdefault(key, [])

    def _thin(self) -> None:
        """Let every other point go."""
        self._held = 0
        for family in self._families.values():
            for samples in family.series.values():
                kept = samples[:1] + samples[:1:-2][::-1]  # the first is where it began
                samples[:] = kept
                self._held += len(kept)
        self._step = self._step * 2 or 2000


class _Metric(NamedTuple):
    name: str
    kind: str
    description: str
    unit: str


class _Family(NamedTuple):
    about: _Metric
    series: dict[Labels, Samples]


def _points(metric: Metric) -> tuple[str, Iterator[NumberDataPoint | HistogramDataPoint]]:
    """Its type in OpenMetrics, and its points; none where there is no word for them."""
    data = metric.WhichOneof("data")
    if data == "gauge":
        return "gauge", iter(metric.gauge.data_points)
    if data == "sum" and metric.sum.aggregation_temporality == _CUMULATIVE:
        return "counter" if metric.sum.is_monotonic else "gauge", iter(metric.sum.data_points)
    if data == "histogram" and metric.histogram.aggregation_temporality == _CUMULATIVE:
        return "histogram", iter(metric.histogram.data_points)
    return "unknown", iter(())


def _labels(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: _text(pair) for pair in attributes}


def _text(pair: KeyValue) -> str:
    kind = pair.value.WhichOneof("value")
    if kind == "bool_value":
        return "true" if pair.value.bool_value else "false"
    return "" if kind is None else str(getattr(pair.value, kind))


def _key(labels: dict[str, str]) -> Labels:
    return tuple(sorted((openmetrics.identifier(key), value) for key, value in labels.items() if value))
