"""A receiver that took a request may have left out some of it, or only have something to say."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.otel.grpc_receiver import receiving
from tests.sink import running

from mlobs.otel import told
from mlobs.otel.endpoint import Endpoint
from mlobs.otel.grpc import Grpc
from mlobs.otel.http import Http
from mlobs.otel.partial import judged, rejected

SCRIPT = """
import mlobs
from mlobs.api import runtime
mlobs.configure(spans="always", export_interval=60)
predict = mlobs.observe(model="m")(lambda x: 0.5)
for _ in range(7):
    predict([1.0])
print(mlobs.flush(timeout=20), dict(runtime.guard.dropped))
"""


def saying(kind: Any, count: int, message: str) -> bytes:
    """An answer's bytes."""
    response = kind()
    field = "rejected_spans" if kind is ExportTraceServiceResponse else "rejected_data_points"
    setattr(response.partial_success, field, count)
    response.partial_success.error_message = message
    return bytes(response.SerializeToString())


def replying(path: str, body: bytes, kind: str = "application/x-protobuf") -> Callable[[BaseHTTPRequestHandler], bool]:
    """What answers requests to a path with a body."""

    def hook(request: BaseHTTPRequestHandler) -> bool:
        if not request.path.endswith(path):
            return False
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return True

    return hook


@pytest.mark.parametrize(
    ("path", "body", "printed", "line"),
    [
        ("/v1/metrics", saying(ExportMetricsServiceResponse, 3, "too old"), "True {'rejected': 3}", "(rejected)"),
        ("/v1/metrics", saying(ExportMetricsServiceResponse, 0, "deprecated"), "True {}", "took the metrics and says: deprecated"),
        ("/v1/traces", saying(ExportTraceServiceResponse, 7, "quota"), "True {'span_refused': 7}", "(span_refused)"),
        ("/v1/traces", saying(ExportTraceServiceResponse, 0, "deprecated"), "True {}", "took the spans and says: deprecated"),
    ],
    ids=["points", "a warning of points", "spans", "a warning of spans"],
)  # fmt: skip
def test_what_was_left_out_is_counted_and_told_once(path: str, body: bytes, printed: str, line: str) -> None:
    """A rejection is counted, a warning is not; neither is told as a failure to send."""
    with running() as sink:
        sink.hook = replying(path, body)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout.strip() == printed
    [told_] = done.stderr.splitlines()
    assert line in told_
    assert "cannot send" not in told_


def test_over_grpc_too(caplog: pytest.LogCaptureFixture) -> None:
    """GRPC's answers are read as those of HTTP are."""
    response = ExportMetricsServiceResponse.FromString(saying(ExportMetricsServiceResponse, 2, "too old"))
    with receiving(lambda _: response) as received:
        endpoint = Endpoint.of({}, "metrics", base=received.url, grpc=True)
        answer = judged(Grpc(endpoint, "metrics").post(b"", 10), endpoint)
    assert (answer.delivered, answer.rejected, answer.problem) == (True, 2, f"{received.url} says: too old")
    assert caplog.records == []


def test_json_is_read() -> None:
    """Some receivers answer in JSON whatever they are sent."""
    assert rejected(b'{"partialSuccess": {"rejectedDataPoints": "5", "errorMessage": "no"}}') == (5, "no")
    assert rejected(b'{"partialSuccess": {"rejectedSpans": 4}}', spans=True) == (4, "")
    assert rejected(b'{"ok": true}') == (0, "")
    assert rejected(b"{") == rejected(b'{"a":' * 20_000) == (0, "")
    assert rejected(b'{"partialSuccess": {"rejectedDataPoints": -5}}') == (0, "")


@pytest.mark.parametrize(
    ("kind", "body", "delivered"),
    [
        ("text/html; charset=utf-8", b"<html>Please log in</html>", False),
        ("text/plain", b"hello", False),
        ("text/html", b"", True),
        ("application/json; charset=utf-8", b"{}", True),
        ("application/x-protobuf", b"", True),
        ("", b"", True),
    ],
)
def test_a_page_is_no_delivery(kind: str, body: bytes, delivered: bool) -> None:
    """A network that wants one to log in answers everything with 200, and has taken nothing."""
    with running() as sink:
        sink.hook = replying("/v1/metrics", body, kind)
        answer = Http(Endpoint.of({}, "metrics", base=sink.url)).post(b"", 10)
    assert answer.delivered == delivered
    assert delivered or kind.partition(";")[0] in answer.problem


def test_a_warning_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many exports it comes with, and whatever else it names in each."""
    told.again()
    with running() as sink, caplog.at_level(logging.WARNING, "mlobs"):
        http = Http(Endpoint.of({}, "metrics", base=sink.url))
        for number in range(3):
            sink.hook = replying("/v1/metrics", saying(ExportMetricsServiceResponse, 0, f"request {number} was slow"))
            judged(http.post(b"", 10), http.endpoint)
    assert [record.getMessage().rpartition(" says: ")[2] for record in caplog.records] == ["request 0 was slow"]
