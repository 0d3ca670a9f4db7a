"""Points as the public dataclasses of the OpenTelemetry SDK, for any MetricExporter.

Python's SDK has no MetricProducer (opentelemetry-python#4768), so mlobs builds the data a reader would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mlobs.otel import names
from mlobs.otel.points import Histogram, Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.resources import Resource

    from mlobs.otel.instrument import Instrument
    from mlobs.otel.points import Collected, Exponential, Points


def metrics_data(collected: Collected, resource: Resource, *, delta: bool = False) -> sdk.MetricsData:
    """Everything collected, as a reader of the SDK would hand it to an exporter."""
    grouped: dict[Instrument, list[Any]] = {}
    for points, start in collected.started():
        grouped.setdefault(points.instrument, []).extend(_data_points(points, start, collected.time_unix_nano))
    temporality = sdk.AggregationTemporality.DELTA if delta else sdk.AggregationTemporality.CUMULATIVE
    metrics = [
        sdk.Metric(
            name=instrument.name,
            description=instrument.description,
            unit=instrument.unit,
            data=_data(instrument, points, temporality),
        )
        for instrument, points in grouped.items()
    ]
    scope = sdk.ScopeMetrics(scope=InstrumentationScope(names.SCOPE), metrics=metrics, schema_url="")
    return sdk.MetricsData([sdk.ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _data(instrument: Instrument, points: list[Any], temporality: sdk.AggregationTemporality) -> Any:  # noqa: ANN401 - the SDK's union
    if instrument.kind == "gauge":
        return sdk.Gauge(points)
    if instrument.kind == "histogram":
        return sdk.Histogram(points, temporality)
    if instrument.kind == "exponential":
        return sdk.ExponentialHistogram(points, temporality)
    if instrument.kind == "updowncounter":
        return sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, is_monotonic=False)
    return sdk.Sum(points, temporality, is_monotonic=True)


def _data_points(points: Points, start: int, time: int) -> Iterator[Any]:
    base = dict(points.attributes.items())
    if isinstance(points, Numbers):
        for each, value in zip(points.each, points.values, strict=True):
            yield sdk.NumberDataPoint(base | dict(each.items()), start, time, value)
    elif isinstance(points, Histogram):
        exemplars = [SdkExemplar({}, e.value, e.time_unix_nano, e.span_id, e.trace_id) for e in points.exemplars]
        yield sdk.HistogramDataPoint(
            attributes=base,
            start_time_unix_nano=start,
            time_unix_nano=time,
            count=sum(points.counts),
            sum=points.total,
            bucket_counts=points.counts,
            explicit_bounds=points.bounds,
            min=points.low,  # type: ignore[arg-type]  # None leaves a field out
            max=points.high,  # type: ignore[arg-type]
            exemplars=exemplars,
        )
    else:
        yield _exponential(points, base, start, time)


def _exponential(
    points: Exponential, attributes: dict[str, str], start: int, time: int
) -> sdk.ExponentialHistogramDataPoint:
    return sdk.ExponentialHistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=start,
        time_unix_nano=time,
        count=points.observed,
        sum=None,  # type: ignore[arg-type]  # None leaves a field out
        scale=points.scale,
        zero_count=points.zero_count,
        positive=sdk.Buckets(points.positive_offset, points.positive),
        negative=sdk.Buckets(points.negative_offset, points.negative),
        flags=0,
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
    )
