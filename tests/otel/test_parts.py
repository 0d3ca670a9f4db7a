"""What is too large for one request goes in several, and nothing of it is counted twice."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource
from tests.otel.grpc_receiver import receiving
from tests.sink import Sink, running, taking_less_than

from mlobs.otel import names, wire
from mlobs.otel.deltas import Deltas
from mlobs.otel.exporter import OtlpExporter, exporter
from mlobs.otel.points import Attributes, Collected, Histogram, Numbers
from mlobs.otel.way import way

MODELS = 30_000


def collected(calls: int, models: int = MODELS, *, time: int = 2_000) -> Collected:
    """A counter, a gauge and a histogram of many models."""
    points: list[Any] = []
    for index in range(models):
        about = Attributes(("model.name", f"tenant {index}"))
        points += [
            Numbers(names.PREDICTION_ROWS, about, [calls]),
            Numbers(names.PREDICTION_ACTIVE, about, [1]),
            Histogram(names.PREDICTION_DURATION, about, [1.0], [calls, 0], 0.5 * calls, 0.1, 0.5),
        ]
    return Collected(1_000, time, points)


def told(requests: list[Any]) -> dict[tuple[str, str], list[Any]]:
    """The points of all requests, by metric and model."""
    found: dict[tuple[str, str], list[Any]] = {}
    for request in requests:
        for metric in request.resource_metrics[0].scope_metrics[0].metrics:
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                found.setdefault((metric.name, point.attributes[0].value.string_value), []).append(point)
    return found


def failing(sink: Sink, *, which: int, status: int) -> None:
    """One request of those that come is refused."""
    seen = 0

    def hook(request: BaseHTTPRequestHandler) -> bool:
        nonlocal seen
        seen += 1
        if seen != which:
            return False
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    sink.hook = hook


def test_parts_hold_all_points_once() -> None:
    """Together they are the one request, each of about the size asked for, and the last one says where it ends."""
    data = collected(1, 100)
    whole = ExportMetricsServiceRequest.FromString(wire.encode(data, {"a": "b"}))
    parts, first = [], 0
    while first < len(data.points):
        body, first = wire.part(data, {"a": "b"}, first, 2_000)
        assert len(body) < 4_000  # descriptions and the resource come on top
        parts.append(ExportMetricsServiceRequest.FromString(body))
    assert len(parts) > 5
    assert told(parts) == told([whole])
    assert {str(part.resource_metrics[0].resource) for part in parts} == {str(whole.resource_metrics[0].resource)}


def test_more_than_grpc_takes_arrives_over_grpc() -> None:
    """A server of default settings takes 4 MiB a message."""
    data = collected(3)
    assert len(wire.encode(data, {})) > 4 * 2**20
    with receiving() as received:
        environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        made = exporter(environ, Resource({}), lambda: data, Deltas())
        assert made is not None
        assert made.export(data, 60).delivered
    assert len(received.metrics) > 2
    assert max(request.ByteSize() for request in received.metrics) < 4 * 2**20
    points = told(received.metrics)
    assert len(points) == 3 * MODELS
    assert {len(found) for found in points.values()} == {1}


def test_a_part_that_failed_is_sent_again_and_the_others_are_not() -> None:
    """Deltas are accounted for part by part: each begins where the last one of its own points ended."""
    with running() as sink:
        made = OtlpExporter(way({}, "metrics", sink.url), Resource({}), Deltas())
        failing(sink, which=2, status=503)
        assert not made.export(collected(1, time=2_000), 60).delivered
        sink.hook = None
        first = len(told(sink.metrics))
        assert 0 < first < 3 * MODELS
        assert made.export(collected(5, time=3_000), 60).delivered
        assert made.export(collected(6, time=4_000), 60).delivered
    points = told(sink.metrics)
    assert len(points) == 3 * MODELS
    spans = set()
    for (name, _), found in points.items():
        if name == names.PREDICTION_ACTIVE.name:
            assert {point.start_time_unix_nano for point in found} == {1_000}
            continue
        assert sum(point.count if name == names.PREDICTION_DURATION.name else point.as_int for point in found) == 6
        times = [(point.start_time_unix_nano, point.time_unix_nano) for point in found]
        spans.add(tuple(times))
    assert spans == {((1_000, 2_000), (2_000, 3_000), (3_000, 4_000)), ((1_000, 3_000), (3_000, 4_000))}


def test_a_receiver_that_takes_less_gets_less() -> None:
    """413 makes requests smaller from then on; nothing is lost and nothing sent twice."""
    with running() as sink:
        sink.hook = taking_less_than(300_000)
        made = OtlpExporter(way({}, "metrics", sink.url), Resource({}), Deltas())
        data = collected(1, 10_000)
        assert made.export(data, 60).delivered
        refused = sink.arrived - sink.requests
        assert refused < 6
        assert made.export(data, 60).delivered
        assert sink.arrived - sink.requests == refused
    assert len(told(sink.metrics)) == 30_000


@pytest.mark.parametrize("models", [1, 10_000])
def test_a_receiver_that_takes_nothing_is_told_soon(models: int) -> None:
    """Where even small requests are too large the export ends, and says so."""
    with running() as sink:
        sink.status = 413
        made = OtlpExporter(way({}, "metrics", sink.url), Resource({}), None)
        answer = made.export(collected(1, models), 60)
    assert not answer.delivered
    assert "too large" in answer.problem
    assert sink.requests < 10
