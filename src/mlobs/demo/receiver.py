"""A small OTLP/HTTP receiver on loopback: protobuf, metrics and traces, gzip; whatever else comes gets its 4xx."""

from __future__ import annotations

import threading
import zlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

LARGEST: Final = 32 * 1024 * 1024  # bytes of one request, packed or unpacked
_IDLE: Final = 30.0  # seconds a silent connection is kept


class Sink(Protocol):
    """Who takes what arrives; called from many threads."""

    def metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Take the metrics of one export."""

    def traces(self, request: ExportTraceServiceRequest) -> None:
        """Take the spans of one export."""


class Receiver:
    """Listens on a free port of 127.0.0.1 while its `with` block runs; every sink gets all that arrives."""

    def __init__(self, *sinks: Sink) -> None:
        routes: dict[str, _Route] = {
            "/v1/metrics": _Route(
                ExportMetricsServiceRequest, [sink.metrics for sink in sinks], ExportMetricsServiceResponse()
            ),
            "/v1/traces": _Route(
                ExportTraceServiceRequest, [sink.traces for sink in sinks], ExportTraceServiceResponse()
            ),
        }
        self._server = _Server(("127.0.0.1", 0), type("_BoundHandler", (_Handler,), {"routes": routes}))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="otlp-receiver", daemon=True
        )

    @property
    def endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Route(NamedTuple):
    request: type[Any]  # a protobuf message
    sinks: list[Callable[[Any], None]]
    response: Any  # likewise


class _Refused(Exception):  # noqa: N818  # an answer, not an error of ours
    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an exporter's idle connection must not hold the end of the run

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the other side went away in the middle of a sentence."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    disable_nagle_algorithm = True
    routes: dict[str, _Route]

    def do_POST(self) -> None:  # the name is http.server's
        try:
            answer = self._take()
        except _Refused as refused:
            self.close_connection = True  # its body may still be on the wire
            self._answer(refused.status, b"")
        else:
            self._answer(HTTPStatus.OK, answer)

    def _take(self) -> bytes:
        route = self.routes.get(self.path)
        if route is None:
            raise _Refused(HTTPStatus.NOT_FOUND)
        if self.headers.get_content_type() != "application/x-protobuf":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        body = self._body()
        message = route.request()
        try:
            message.ParseFromString(body)
        except DecodeError:
            raise _Refused(HTTPStatus.BAD_REQUEST) from None
        for take in route.sinks:
            take(message)
        response: bytes = route.response.SerializeToString()
        return response

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED)
        if len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _Refused(HTTPStatus.BAD_REQUEST)
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding == "identity":
            return body
        if encoding not in {"gzip", "deflate"}:
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        return _unpacked(body)

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Keep quiet: the screen is the demo's."""


def _unpacked(body: bytes) -> bytes:
    """The body without its gzip or zlib wrapping; a small packet that unpacks into a huge one is refused."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # either wrapping, by its header
    try:
        plain = unpacker.decompress(body, LARGEST)
    except zlib.error:
        raise _Refused(HTTPStatus.BAD_REQUEST) from None
    if unpacker.unconsumed_tail:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if not unpacker.eof:
        raise _Refused(HTTPStatus.BAD_REQUEST)
    return plain
