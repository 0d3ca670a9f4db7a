"""The end of a chain of Collectors, or a witness in its middle: keeps what arrives of every signal."""

from __future__ import annotations

import gzip
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS: Final[dict[str, Any]] = {
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
}


class Receiver:
    """What arrived. ``onward`` is where to hand it on to: then what is not taken there is neither taken nor kept here."""

    def __init__(self, onward: str | None) -> None:
        self.onward = onward
        self.status = 200
        self.url = ""
        self.changed = threading.Condition()
        self.requests: dict[str, list[Any]] = defaultdict(list)

    def wait(self, condition: Callable[[], bool], timeout: float = 60) -> bool:
        """Until the condition holds; it is asked again whenever something has arrived."""
        with self.changed:
            return self.changed.wait_for(condition, timeout)

    def take(self, path: str, body: bytes, kind: str) -> int:
        """Keep it, and the status to answer with."""
        status = self._hand_on(path, body, kind) if self.onward else self.status
        if status == 200:
            signal = path.rpartition("/")[2]
            with self.changed:
                self.requests[signal].append(REQUESTS[signal].FromString(body))
                self.changed.notify_all()
        return status

    def _hand_on(self, path: str, body: bytes, kind: str) -> int:
        request = urllib.request.Request(f"{self.onward}{path}", data=body, headers={"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 503

    @property
    def spans(self) -> list[Any]:
        """All spans."""
        return [
            span
            for request in self.requests["traces"]
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def records(self) -> list[Any]:
        """All log records."""
        return [
            record
            for request in self.requests["logs"]
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


@contextmanager
def receiving(onward: str | None = None) -> Iterator[Receiver]:
    """A receiver that listens on loopback."""
    receiver = Receiver(onward)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status = receiver.take(self.path, body, self.headers["Content-Type"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
