"""OTEL_EXPORTER_OTLP_PROTOCOL=grpc reaches a gRPC receiver."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

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
    metrics: list[Any] = []
    traces: list[Any] = []

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            metrics.append(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            traces.append(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "flush"],
            env={
                **os.environ,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.stop(0).wait()
    assert (done.returncode, done.stderr) == (0, "")
    [scope] = metrics[-1].resource_metrics[0].scope_metrics
    [duration] = [metric for metric in scope.metrics if metric.name == "mlobs.prediction.duration"]
    assert duration.histogram.data_points[0].count == 30
    assert [span.name for span in traces[-1].resource_spans[0].scope_spans[0].spans] == ["<lambda> m"]


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
