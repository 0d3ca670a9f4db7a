"""OTEL_EXPORTER_OTLP_PROTOCOL=grpc reaches a gRPC receiver."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from tests.otel.certificates import Secure
from tests.otel.grpc_receiver import receiving

from mlobs.otel.answer import Answer
from mlobs.otel.endpoint import Endpoint
from mlobs.otel.grpc import Grpc

SCRIPT = """
import mlobs
predict = mlobs.observe(model="m")(lambda x: 0.5)
for _ in range(30):
    predict([1.0, 2.0])
if "flush" in __import__("sys").argv:
    assert mlobs.flush(timeout=20)
"""


def test_metrics_and_spans_by_grpc() -> None:
    """Counts and spans of a short program arrive whole."""
    with receiving() as received:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "flush"],
            env={
                **os.environ,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    [scope] = received.metrics[-1].resource_metrics[0].scope_metrics
    [duration] = [metric for metric in scope.metrics if metric.name == "mlobs.prediction.duration"]
    assert duration.histogram.data_points[0].count == 30
    assert [span.name for span in received.traces[-1].resource_spans[0].scope_spans[0].spans] == ["<lambda> m"]


def test_a_program_too_short_for_grpc_says_so() -> None:
    """Where gRPC is still being loaded when the program ends, one line says so and what helps, or it was quick enough."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "mlobs" in done.stderr


def posted(timeout: float = 10, **environ: str) -> Answer:
    """What comes of an empty request."""
    named = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}
    return Grpc(Endpoint.of(named, "metrics", grpc=True), "metrics").post(b"", timeout)


def test_headers_and_the_urls_user_are_metadata() -> None:
    """Names in small letters, as gRPC wants them; the user and the password of the URL are not part of the address."""
    with receiving() as received:
        assert posted(ENDPOINT=received.url, HEADERS="API-Key=a%20b").delivered
        assert posted(ENDPOINT=received.url.replace("//", "//me:p%40ss@")).delivered
    assert received.metadata[0]["api-key"] == "a b"
    assert received.metadata[1]["authorization"] == "Basic bWU6cEBzcw=="


def test_a_header_that_cannot_be_sent_is_left_out_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """Neither mlobs nor gRPC quotes its value, and the others are sent."""
    with receiving() as received, caplog.at_level(logging.WARNING):
        answer = posted(ENDPOINT=received.url, HEADERS="Authorization=Basic U0VD\nUkVU,x-other=1")
    assert answer.delivered
    assert received.metadata[0]["x-other"] == "1"
    assert "authorization" in caplog.text
    assert "U0VD" not in caplog.text


@pytest.mark.parametrize(
    ("details", "large"),
    [("grpc: received message larger than max (5 vs. 4)", True), ("quota of the tenant", False)],
)
def test_too_large_is_told_as_such(details: str, large: bool) -> None:
    """One code says that a request is too large and that there were too many: the words beside it tell which."""
    with receiving(lambda context: context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, details)) as received:
        answer = posted(ENDPOINT=received.url)
    assert (answer.delivered, answer.large, answer.retryable) == (False, large, not large)
    assert "RESOURCE_EXHAUSTED" in answer.problem
    assert "too large" in answer.problem


def test_an_answer_that_does_not_come_ends_in_time() -> None:
    """The time of a flush holds for gRPC too, however long the endpoint's own is."""

    def slow(context: grpc.ServicerContext) -> Any:
        time.sleep(1)
        return metrics_service_pb2.ExportMetricsServiceResponse()

    with receiving(slow) as received:
        began = time.monotonic()
        answer = posted(0.2, ENDPOINT=received.url)
        assert time.monotonic() - began < 0.9
    assert (answer.delivered, answer.retryable) == (False, True)
    assert "DEADLINE_EXCEEDED" in answer.problem


def test_a_receiver_that_comes_back_is_found_at_once() -> None:
    """A call that failed keeps the next one from nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for _ in range(3):
        assert posted(ENDPOINT=f"http://127.0.0.1:{port}").retryable
    with receiving() as received:
        assert posted(ENDPOINT=received.url).delivered


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    """It is named, with its variable, and may come later."""
    answer = posted(ENDPOINT="https://127.0.0.1:1", CERTIFICATE=str(tmp_path / "ca.pem"))
    assert answer.retryable
    assert f"OTEL_EXPORTER_OTLP_CERTIFICATE: {tmp_path / 'ca.pem'} cannot be read" in answer.problem


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_encrypted_and_compressed(tmp_path: Path, compression: str) -> None:
    """With the authority's certificate, also one that comes after the first export."""
    secure = Secure(tmp_path)
    late = tmp_path / "late.pem"
    with receiving(secure=secure) as received:
        named = {
            "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": str(late),
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        }
        way = Grpc(Endpoint.of(named, "metrics", base=received.url, grpc=True), "metrics")
        assert not way.post(b"", 10).delivered
        late.write_bytes(secure.certificate.read_bytes())
        assert way.post(b"\x0a\x00" * 1_000, 10).delivered
    [request] = received.metrics
    assert len(request.resource_metrics) == 1_000


def test_over_a_socket_of_this_machine(tmp_path: Path) -> None:
    """GRPC's own names of places are taken; without http:// they are encrypted unless told otherwise."""
    with receiving(at=f"unix:{tmp_path / 'otel.sock'}") as received:
        assert posted(ENDPOINT=received.url, INSECURE="true").delivered
        assert posted(ENDPOINT=received.url.replace("unix:", "unix://"), INSECURE="true").delivered
        assert not posted(ENDPOINT=received.url).delivered


def test_asked_for_a_pause_it_says_so() -> None:
    """The delay in the details of a status is what Retry-After is over HTTP."""
    delay = RetryInfo()
    delay.retry_delay.seconds = 7
    status = Status(code=14)
    status.details.add().Pack(delay)

    def busy(context: grpc.ServicerContext) -> Any:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "busy")

    with receiving(busy) as received:
        answer = posted(ENDPOINT=received.url)
    assert (answer.retryable, answer.pause) == (True, 7.0)


def test_credentials_of_a_package_that_is_not_there() -> None:
    """A provider of credentials that nobody has installed is one line."""
    named = {"OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER": "nobody"}
    answer = Grpc(Endpoint.of(named, "metrics", base="https://127.0.0.1:1", grpc=True), "metrics").post(b"", 1)
    assert "nobody" in answer.problem
