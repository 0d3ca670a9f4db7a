"""A receiver of OTLP over gRPC for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from tests.otel.certificates import Secure

Answer = Callable[[grpc.ServicerContext], Any]


class Received:
    """What came, and under which metadata."""

    def __init__(self) -> None:
        self.metrics: list[Any] = []
        self.traces: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def receiving(metrics: Answer | None = None, *, at: str = "", secure: Secure | None = None) -> Iterator[Received]:
    """A server on loopback, or ``at`` a socket; ``metrics`` answers requests for metrics, with an empty answer by default.

    ``secure``: with this certificate.
    """
    received = Received()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            received.metadata.append(dict(context.invocation_metadata()))
            answer = metrics_service_pb2.ExportMetricsServiceResponse() if metrics is None else metrics(context)
            received.metrics.append(request)
            return answer

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            received.traces.append(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    if secure is not None:
        pair = (secure.key.read_bytes(), secure.certificate.read_bytes())
        received.url = f"https://127.0.0.1:{server.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials([pair]))}"
    else:
        port = server.add_insecure_port(at or "127.0.0.1:0")
        received.url = at or f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield received
    finally:
        server.stop(0).wait()
