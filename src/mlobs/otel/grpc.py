"""OTLP over gRPC: one call with protobuf bytes, and what came of it.

OpenTelemetry's own exporter tells neither why a call failed nor what a receiver left out, keeps no deadline that it is given,
and logs headers that it cannot read.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from mlobs.otel.answer import Answer
from mlobs.otel.trust import Files

if TYPE_CHECKING:
    from mlobs.otel.endpoint import Endpoint, Signal

_METHODS: Final = {
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
}
_RETRYABLE: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS", "RESOURCE_EXHAUSTED"}
)
_CREDENTIALS: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_FULL: Final = frozenset({"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"})  # the second one is Rust's
_LARGE: Final = ("larger than max", "too large", "exceeds")
_OPTIONS: Final = (
    ("grpc.primary_user_agent", "mlobs"),
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel waits as long as the last one's failures say
)


class Grpc:
    """Calls one endpoint's service. No channel is kept: an export is rare, and a kept one does not survive a fork."""

    def __init__(self, endpoint: Endpoint, signal: Signal) -> None:
        """Raises ImportError, and RuntimeError amid the interpreter's end, where gRPC cannot be loaded."""
        import grpc

        self.endpoint = endpoint
        self._grpc: Any = grpc
        self._method = _METHODS[signal]
        self._secrets = endpoint.secrets
        self._files = Files(endpoint)
        self._compression = {
            "gzip": grpc.Compression.Gzip,
            "deflate": grpc.Compression.Deflate,
        }.get(endpoint.compression, grpc.Compression.NoCompression)

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send once, within ``timeout`` seconds and never longer than the endpoint's own. Never raises."""
        wrong = self.endpoint.wrong(grpc=True)
        if wrong:
            return Answer(delivered=False, retryable=True, problem=wrong)
        answer = self._post(body, min(timeout, self.endpoint.timeout))
        return answer._replace(problem=self._secrets.hide(answer.problem))

    def _post(self, body: bytes, timeout: float) -> Answer:
        try:
            channel = self._channel()
        except OSError as error:
            return Answer(
                delivered=False, retryable=True, problem=f"{error}. Put the file there, or correct the variable."
            )
        except Exception as error:  # noqa: BLE001 - a provider of credentials is somebody else's
            said = f"{self.endpoint.shown} cannot be called ({type(error).__name__}: {error}). Check its credentials."
            return Answer(delivered=False, retryable=True, problem=said)
        try:
            with channel:
                call = channel.unary_unary(self._method)  # bytes go out and come back
                said = call(body, timeout=timeout, metadata=self.endpoint.headers, compression=self._compression)
                return Answer(delivered=True, body=said)
        except self._grpc.RpcError as error:
            return self._refused(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may not reach the host
            cure = f"Check {self.endpoint.variable('HEADERS')}."
            said = f"{self.endpoint.shown} cannot be called ({type(error).__name__}). {cure}"
            return Answer(delivered=False, retryable=True, problem=said)

    def _channel(self) -> Any:  # noqa: ANN401 - grpc has no types
        """As OpenTelemetry's exporters read an endpoint: without http:// in front it is encrypted, unless told otherwise."""
        parts = urlsplit(self.endpoint.url)
        target = parts.netloc or self.endpoint.url
        if parts.scheme == "http" or (parts.scheme != "https" and self.endpoint.insecure):
            return self._grpc.insecure_channel(target, options=_OPTIONS)
        return self._grpc.secure_channel(target, self._credentials(), options=_OPTIONS)

    def _credentials(self) -> Any:  # noqa: ANN401 - as above
        if self.endpoint.provider:
            return _provided(self.endpoint.provider)
        authority, ours, key = map(self._files.read, ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"))
        return self._grpc.ssl_channel_credentials(authority, key, ours)

    def _refused(self, error: Any) -> Answer:  # noqa: ANN401 - as above
        code = error.code().name
        details = " ".join(str(error.details() or "").split())
        large = code in _FULL and any(sign in details for sign in _LARGE)
        cure = "Check what listens there."
        if large:
            cure = "The request is too large for it: raise its limit."
        elif code == "RESOURCE_EXHAUSTED":
            cure = "It has had too much, or the request is too large for it: raise its limits."
        elif code in _CREDENTIALS:
            cure = f"Set {self.endpoint.variable('HEADERS')}."
        elif code == "UNAVAILABLE":
            cure = (
                f"Start an OTLP/gRPC receiver there, port 4317 by custom, or set {self.endpoint.variable('ENDPOINT')}."
            )
        return Answer(
            delivered=False,
            retryable=code in _RETRYABLE and not large,
            problem=f"{self.endpoint.shown} answered {code} ({details}). {cure}",
            pause=_pause(error.trailing_metadata() or ()),
            large=large,
        )


def _pause(metadata: Any) -> float:  # noqa: ANN401 - as above
    """Seconds that the server asks to be left alone, in the details of its status."""
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    found = RetryInfo()
    try:
        for key, value in metadata:
            if key == "grpc-status-details-bin":
                for detail in Status.FromString(value).details:
                    detail.Unpack(found)  # where it is one
    except DecodeError:
        return 0.0
    return max(0.0, float(found.retry_delay.seconds + found.retry_delay.nanos / 1e9))


def _provided(name: str) -> Any:  # noqa: ANN401 - as above
    """The credentials of a package that OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER names."""
    for found in entry_points(group="opentelemetry_otlp_credential_provider", name=name):
        return found.load()()
    raise LookupError(f"no package provides the credentials {name}")
