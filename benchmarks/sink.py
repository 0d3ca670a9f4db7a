"""A stand-in for a collector: takes OTLP over HTTP on loopback and tells how much came.

`python sink.py` prints its port and serves until its standard input closes. `GET /` answers with
`{"requests", "bytes", "points"}`, where `points` counts the data points of the last metrics sent;
they are only decoded when asked for, so that receiving stays cheap.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any
from urllib.request import urlopen


class Sink:
    """A sink in its own process, for as long as the `with` block lasts."""

    def __enter__(self) -> Sink:
        """Start the process and wait for its port."""
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            message = f"The sink did not start: it ended with status {self.process.wait()}."
            raise RuntimeError(message)
        self.endpoint = f"http://127.0.0.1:{int(line)}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process by closing its input."""
        self.process.communicate(timeout=10)

    def received(self) -> dict[str, int]:
        """Return requests and bytes so far, and the data points of the last metrics request."""
        with urlopen(self.endpoint) as answer:
            found: dict[str, int] = json.load(answer)
            return found


class Receiver(BaseHTTPRequestHandler):
    """Answers every POST with 200 and an empty body, and keeps the last metrics."""

    protocol_version = "HTTP/1.1"
    requests = 0
    received = 0
    last = b""

    def do_POST(self) -> None:
        """Take one export."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        Receiver.requests += 1
        Receiver.received += len(body)
        if self.path.endswith("/metrics"):
            packed = self.headers.get("Content-Encoding") == "gzip"
            Receiver.last = gzip.decompress(body) if packed else body
        self._answer(b"")

    def do_GET(self) -> None:
        """Tell what came so far."""
        found = {
            "requests": Receiver.requests,
            "bytes": Receiver.received,
            "points": points(Receiver.last),
        }
        self._answer(json.dumps(found).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


def points(body: bytes) -> int:
    """Count the data points of one encoded metrics request."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    request = ExportMetricsServiceRequest.FromString(body)
    return sum(
        len(getattr(metric, metric.WhichOneof("data") or "gauge").data_points)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def main() -> None:
    """Serve until standard input closes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
