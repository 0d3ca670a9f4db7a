"""The same telemetry written by hand on the OpenTelemetry SDK, as well as it can be done there.

A span (1 in 100 sampled), two histograms, a counter, and one record a feature. It is given every
advantage a careful author could take: instruments and attribute dicts are made once, strings get
one ready dict per value seen, rows are read the quickest way their container allows, and
exporting costs nothing. The reader collects as often as mlobs does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

Predict = Callable[[Any], Any]
SAMPLED = 0.01


class NoMetrics(MetricExporter):
    """A metric exporter at no cost: it drops what it is given."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        """Report success."""
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Report success."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Hold nothing, close nothing."""


class NoSpans(SpanExporter):
    """A span exporter at no cost: it drops what it is given."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Report success."""
        return SpanExportResult.SUCCESS


class ByHand:
    """Providers of the run, and a way to wrap a predict function with them."""

    def __init__(self, *, interval: float) -> None:
        """Start the SDK: metrics collected every `interval` seconds, spans in batches."""
        reader = PeriodicExportingMetricReader(NoMetrics(), export_interval_millis=interval * 1000)
        self.metrics = MeterProvider([reader])
        self.traces = TracerProvider(sampler=ParentBased(TraceIdRatioBased(SAMPLED)))
        self.traces.add_span_processor(BatchSpanProcessor(NoSpans()))

    def wrap(self, predict: Predict, *, model: str, row: Any, edges: Mapping[str, Sequence[float]]) -> Predict:
        """Return `predict` with telemetry; `edges` are the buckets of each numeric feature."""
        meter, tracer = self.metrics.get_meter("by-hand"), self.traces.get_tracer("by-hand")
        duration = meter.create_histogram("prediction.duration", unit="s")
        batch = meter.create_histogram("prediction.batch_size", unit="{row}")
        rows = meter.create_counter("prediction.rows", unit="{row}")
        serving = {"model.name": model, "model.version": "1", "model.operation": "predict"}
        width = len(reader(row)(row))
        names = list(row) if not isinstance(row, list) and hasattr(row, "keys") else None
        record = [
            self._feature(model, name, edges.get(name)) for name in (names or [f"f{index}" for index in range(width)])
        ]
        read = reader(row)

        def wrapped(data: Any) -> Any:
            started = perf_counter()
            with tracer.start_as_current_span("predict"):
                result = predict(data)
            duration.record(perf_counter() - started, serving)
            batch.record(1, serving)
            rows.add(1, serving)
            for observe, value in zip(record, read(data), strict=True):
                observe(value)
            return result

        return wrapped

    def _feature(self, model: str, name: str, edges: Sequence[float] | None) -> Callable[[Any], None]:
        meter = self.metrics.get_meter("by-hand")
        attributes = {"model.name": model, "model.version": "1", "feature": name}
        if edges is not None:
            histogram = meter.create_histogram(f"{model}.{name}", explicit_bucket_boundaries_advisory=list(edges))

            def number(value: float) -> None:
                histogram.record(value, attributes)

            return number
        counter = meter.create_counter(f"{model}.{name}")
        by_value: dict[str, dict[str, str]] = {}

        def category(value: str) -> None:
            known = by_value.get(value)
            if known is None:
                known = by_value[value] = {**attributes, "bin": value}
            counter.add(1, known)

        return category

    def settle(self) -> None:
        """Send what is pending, so that the next contestant does not pay for it."""
        self.metrics.force_flush()
        self.traces.force_flush()

    def close(self) -> None:
        """Stop the SDK's threads."""
        self.metrics.shutdown()
        self.traces.shutdown()


def reader(row: Any) -> Callable[[Any], Sequence[Any]]:
    """Return the quickest way to get plain Python values out of a row like this one."""
    if isinstance(row, list):
        return lambda data: data[0]
    if isinstance(row, dict):
        return lambda data: list(data.values())
    if hasattr(row, "to_numpy"):
        return lambda data: data.to_numpy()[0].tolist()
    return lambda data: data[0].tolist()
