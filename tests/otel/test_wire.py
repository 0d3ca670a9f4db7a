"""What is sent is what OpenTelemetry's own encoder would have sent."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.resources import Resource

from mlobs.otel import histogram as measured
from mlobs.otel import names, partial, wire
from mlobs.otel.deltas import Deltas
from mlobs.otel.metricsdata import metrics_data
from mlobs.otel.points import Attributes, Collected, Exemplar, Exponential, Histogram, Numbers

MODEL = Attributes(("model.name", "m"), ("model.version", "1"))
BINS = [Attributes(("bin", key)) for key in ("00", "01", "missing")]
RESOURCE = Resource({"service.name": "s", "n": 3, "ok": True, "share": 0.5, "list": ["a", "b"]})


def collected(factor: int = 1, *, time: int = 2_000) -> Collected:
    series = MODEL.extended(("feature", "age €"))
    return Collected(
        1_000,
        time,
        [
            Numbers(names.FEATURE_OBSERVATIONS, series, [5 * factor, 0, 2**40 * factor], BINS),
            Numbers(names.FEATURE_REFERENCE_RATIO, series, [0.25, 0.5, 0.25], BINS),
            Numbers(names.PREDICTION_ACTIVE, MODEL, [-1]),
            Numbers(names.PREDICTION_CPU_TIME, MODEL, [1.5 * factor]),
            Histogram(
                names.PREDICTION_DURATION, MODEL, [0.1, 1.0], [3 * factor, 0, 1 * factor], 5.5 * factor, 0.01, 5.0,
                [Exemplar(5.0, 1_500, 2**127 + 1, 2**63 + 1)],
            ),
            Exponential(names.FEATURE_VALUE, series, 3, 2 * factor, -4, [1 * factor, 0, 2 * factor], 7, [4 * factor]),
        ],
    )  # fmt: skip


def by_name(request: ExportMetricsServiceRequest) -> dict[str, Any]:
    [resource] = request.resource_metrics
    [scope] = resource.scope_metrics
    assert scope.scope.name == "mlobs"
    return {metric.name: metric for metric in scope.metrics}


@pytest.mark.parametrize("delta", [False, True])
def test_bytes_equal_the_sdk_encoders(delta: bool) -> None:
    """Decoded, our bytes and the SDK encoder's are the same messages, point by point."""
    data = collected()
    ours = ExportMetricsServiceRequest.FromString(wire.encode(data, dict(RESOURCE.attributes), delta=delta))
    theirs = encode_metrics(metrics_data(data, RESOURCE, delta=delta))
    assert sorted(ours.resource_metrics[0].resource.attributes, key=str) == sorted(
        theirs.resource_metrics[0].resource.attributes, key=str
    )
    mine, other = by_name(ours), by_name(theirs)
    assert mine.keys() == other.keys()
    for name, metric in mine.items():
        kind = metric.WhichOneof("data")
        assert kind == other[name].WhichOneof("data")
        for point, peer in zip(getattr(metric, kind).data_points, getattr(other[name], kind).data_points, strict=True):
            if kind == "gauge":
                point.start_time_unix_nano = 0  # a gauge has no beginning; the SDK encoder leaves it out
            assert point == peer, name
        del getattr(metric, kind).data_points[:], getattr(other[name], kind).data_points[:]
        assert metric == other[name]


def test_half_of_a_surrogate_pair_stops_nothing() -> None:
    """Neither in the keys nor in the values of the resource."""
    request = ExportMetricsServiceRequest.FromString(wire.encode(collected(), {"a\ud800": "b\ud800", "c": ["\ud800"]}))
    [one, other] = request.resource_metrics[0].resource.attributes
    assert (one.key, one.value.string_value) == (r"a\ud800", r"b\ud800")
    assert other.value.array_value.values[0].string_value == r"\ud800"


def test_values_have_no_sum_and_no_extremes() -> None:
    """They are optional, and would tell the values of single rows."""
    data = collected()
    ours = by_name(ExportMetricsServiceRequest.FromString(wire.encode(data, {})))
    theirs = by_name(encode_metrics(metrics_data(data, RESOURCE)))
    for request in (ours, theirs):
        [point] = request["mlobs.feature.value"].exponential_histogram.data_points
        assert point.count == 9
        assert not any(point.HasField(field) for field in ("sum", "min", "max"))


def test_a_name_that_is_no_text_for_utf8_keeps_nothing_from_being_sent() -> None:
    """Half a surrogate pair is written out, a long name is cut, and two of them stay two."""
    for name, sent in (("a\ud800b", r"a\ud800b"), ("\x00", "\x00"), ("é", "é")):
        data = Collected(0, 1, [Numbers(names.MODEL_INFO, MODEL.extended(("feature", name)), [1])])
        [metric] = by_name(ExportMetricsServiceRequest.FromString(wire.encode(data, {"a": name}))).values()
        assert metric.gauge.data_points[0].attributes[-1].value.string_value == sent
    cut = {dict(Attributes(("feature", "x" * 10_000 + end)).items())["feature"] for end in "ab"}
    assert [len(name) for name in cut] == [500, 500]
    latin = ("gr\udcf6n", "gr\udcfcn")  # two columns of a file that was no UTF-8, as `surrogateescape` reads them
    assert len({Attributes(("feature", name)).items() for name in latin}) == 2


def test_deltas_add_up_to_the_cumulative_counts() -> None:
    """Each delivered delta is what is new since the last delivered one; a failed one is merged into the next."""
    deltas = Deltas()
    first = deltas.since(collected(1))
    deltas.arrived(collected(1))
    lost = deltas.since(collected(3, time=3_000))
    second = deltas.since(collected(4, time=4_000))
    assert (first.start_unix_nano, second.start_unix_nano, second.time_unix_nano) == (1_000, 2_000, 4_000)
    missed: list[Any] = list(lost.points)
    fresh: list[Any] = list(second.points)
    assert missed[0].values == [10, 0, 2**41]
    assert fresh[0].values == [15, 0, 3 * 2**40]
    assert fresh[1].values == [0.25, 0.5, 0.25]  # a gauge is no delta
    assert fresh[2].values == [-1]
    assert fresh[4].counts == [9, 0, 3]
    assert fresh[4].total == pytest.approx(16.5)
    assert fresh[5].positive == [3, 0, 6]
    assert fresh[5].zero_count == 6


def test_extremes_are_those_of_the_interval_or_none() -> None:
    """A minimum and a maximum are told where they are the point's own: of the first delta, of no later one, of nothing at all."""
    deltas = Deltas()
    empty = Collected(1_000, 1_500, [measured.Histogram([0.1, 1.0]).collect(names.PREDICTION_DURATION, MODEL)])
    for before, told in ((None, False), (empty, True), (collected(1), False)):
        if before is not None:
            deltas.arrived(before)
        data = deltas.since(empty if before is None else collected(2, time=3_000))
        for request in (
            wire.encode(data, {}, delta=True),
            encode_metrics(metrics_data(data, RESOURCE)).SerializeToString(),
        ):
            metric = by_name(ExportMetricsServiceRequest.FromString(request))["mlobs.prediction.duration"]
            [point] = metric.histogram.data_points
            assert (point.HasField("min"), point.HasField("max")) == (told, told)


def test_what_is_no_delta_keeps_its_start() -> None:
    """A sum that goes down too, and a gauge, began with the process: a start that moves reads as a reset."""
    deltas = Deltas()
    deltas.arrived(collected(1))
    fresh = deltas.since(collected(2, time=3_000))
    starts = {points.instrument.name: start for points, start in fresh.started()}
    assert starts[names.PREDICTION_ACTIVE.name] == starts[names.FEATURE_REFERENCE_RATIO.name] == 1_000
    assert starts[names.PREDICTION_CPU_TIME.name] == starts[names.PREDICTION_DURATION.name] == 2_000
    ours = by_name(ExportMetricsServiceRequest.FromString(wire.encode(fresh, {}, delta=True)))
    theirs = by_name(encode_metrics(metrics_data(fresh, RESOURCE, delta=True)))
    for request in (ours, theirs):
        assert request["mlobs.prediction.active"].sum.data_points[0].start_time_unix_nano == 1_000
        assert request["mlobs.prediction.duration"].histogram.data_points[0].start_time_unix_nano == 2_000


def test_every_delta_is_later_than_the_last() -> None:
    """Where the clock was set back, too, by a nanosecond until it has caught up: the Collector adds up no other."""
    deltas = Deltas()
    deltas.arrived(collected(1, time=9_000))
    fresh = deltas.since(collected(2, time=5_000))
    assert (fresh.start_unix_nano, fresh.time_unix_nano) == (9_000, 9_001)
    again = deltas.since(collected(2, time=5_000))  # the first did not arrive
    assert (again.start_unix_nano, again.time_unix_nano) == (9_000, 9_001)
    for part in range(6):
        deltas.arrived(collected(2, time=5_000), part, part + 1)
    fresh = deltas.since(collected(3, time=5_500))
    assert (fresh.start_unix_nano, fresh.time_unix_nano) == (9_001, 9_002)
    deltas.arrived(collected(3, time=5_500))
    later = deltas.since(collected(4, time=10_000))
    assert (later.start_unix_nano, later.time_unix_nano) == (9_002, 10_000)


def test_deltas_of_an_exponential_histogram_that_was_rescaled() -> None:
    """Counts sent at a finer scale are subtracted at the coarser one."""
    deltas = Deltas()
    fine = Exponential(names.FEATURE_VALUE, MODEL, 3, 0, -4, [1, 1, 1, 1], 0, [])
    coarse = fine._replace(scale=2, positive_offset=-2, positive=[2, 2, 5])
    deltas.arrived(Collected(0, 1, [fine]))
    [fresh] = deltas.since(Collected(0, 2, [coarse])).points
    assert isinstance(fresh, Exponential)
    assert fresh.positive == [0, 0, 5]


def test_rejected_points_are_read_from_the_answer() -> None:
    """A partial success names how many points were refused and why."""
    response = ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = 3
    response.partial_success.error_message = "out of order"
    assert partial.rejected(response.SerializeToString()) == (3, "out of order")
    assert partial.rejected(ExportMetricsServiceResponse().SerializeToString()) == (0, "")
    assert partial.rejected(b"<html>\xff") == (0, "")


def test_attributes_are_encoded_once_and_compress_well() -> None:
    """A series keeps its encoded attributes between exports."""
    data = collected()
    body = wire.encode(data, {})
    series = data.points[0].attributes
    first = series.encoded
    assert first is not None
    assert wire.encode(data, {}) == body
    assert series.encoded is first
    assert len(gzip.compress(body)) < len(body)
