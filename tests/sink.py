"""A small OTLP/HTTP receiver for tests: it keeps what arrives and answers as it is told."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Sink:
    """What arrived, and what is to be answered."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        self.hook: Callable[[BaseHTTPRequestHandler], bool] | None = None  # true: it has seen to the request itself
        self.headers: list[dict[str, str]] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.traces: list[ExportTraceServiceRequest] = []
        self.arrived = 0  # requests, also those that are still being answered
        self.requests = 0
        self.changed = threading.Condition()
        self.url = ""

    def wait(self, condition: Callable[[Sink], bool], timeout: float = 20) -> bool:
        """Until the condition holds of what has arrived."""
        with self.changed:
            return self.changed.wait_for(lambda: condition(self), timeout)

    def latest(self) -> dict[str, dict[str, Any]]:
        """By process: the newest metrics, by name."""
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        for request in self.metrics:
            for resource in request.resource_metrics:
                about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        found[about.get("service.instance.id", "")][metric.name] = (
                            metric  # old SDKs give their own none
                        )
        return found

    def calls(self, *, delta: bool = False) -> int:
        """Observed calls, summed over processes."""
        if delta:
            return sum(
                point.count
                for request in self.metrics
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name == "mlobs.prediction.duration"
                for point in metric.histogram.data_points
            )
        return sum(
            point.count
            for metrics in self.latest().values()
            if "mlobs.prediction.duration" in metrics
            for point in metrics["mlobs.prediction.duration"].histogram.data_points
        )

    @property
    def spans(self) -> list[Any]:
        """All spans."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def taking_less_than(size: int) -> Callable[[BaseHTTPRequestHandler], bool]:
    """A hook: what has so many bytes is too large."""

    def refuses(request: BaseHTTPRequestHandler) -> bool:
        if int(request.headers["Content-Length"]) < size:
            return False
        request.send_response(413)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    return refuses


@contextmanager
def running(port: int = 0) -> Iterator[Sink]:
    """A sink that listens on loopback, by default on a port that is free."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            encoding = self.headers.get("Content-Encoding")
            if encoding:
                body = gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body)
            with sink.changed:
                sink.arrived += 1
                sink.changed.notify_all()
            if sink.hook is not None and sink.hook(self):
                return
            time.sleep(sink.delay)
            status = sink.status
            with sink.changed:
                sink.requests += 1
                sink.headers.append(dict(self.headers))
                if status == 200:
                    if self.path.endswith("/v1/metrics"):
                        sink.metrics.append(ExportMetricsServiceRequest.FromString(body))
                    else:
                        sink.traces.append(ExportTraceServiceRequest.FromString(body))
                sink.changed.notify_all()
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:  # the client had no patience
                pass

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    sink.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
