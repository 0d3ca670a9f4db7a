"""OTLP over HTTP: one POST of protobuf bytes, and what came of it."""

from __future__ import annotations

import gzip
import ssl
import urllib.error
import urllib.request
import zlib
from typing import TYPE_CHECKING, Final

from mlobs.otel.answer import Answer
from mlobs.otel.connection import handlers, whole

if TYPE_CHECKING:
    from mlobs.otel.endpoint import Endpoint

_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})  # 408 beside the specification's four: a slow proxy
_MOST: Final = 65536  # bytes of an answer
_UNAUTHORISED: Final = frozenset({401, 403})
_NOT_FOUND: Final = 404
_MOVED: Final = range(300, 400)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would go there with a GET, without the data, and take the answer for a success."""

    def redirect_request(self, *_: object) -> None:
        """Never: the redirect is the answer."""


def trust(endpoint: Endpoint) -> ssl.SSLContext:
    """Whom an endpoint's certificate may be signed by, and our own. Raises OSError where one cannot be read."""
    context = ssl.create_default_context(cafile=endpoint.certificate)
    if endpoint.client_certificate:
        context.load_cert_chain(endpoint.client_certificate, endpoint.client_key)
    return context


def opener(endpoint: Endpoint) -> urllib.request.OpenerDirector:
    """What requests to an endpoint are sent with. Raises OSError where a certificate cannot be read."""
    secure = endpoint.url.startswith("https:")
    return urllib.request.build_opener(_Stay(), *handlers((lambda: trust(endpoint)) if secure else None))


class Http:
    """Posts to one endpoint. No connection is kept: an export is rare, and a kept one does not survive a fork."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises OSError where a certificate cannot be read."""
        self.endpoint = endpoint
        self._opener = opener(endpoint)
        self._headers = {
            "Content-Type": "application/x-protobuf",
            "User-Agent": "mlobs",
            **dict(endpoint.headers),
        }
        if endpoint.compression != "none":
            self._headers["Content-Encoding"] = endpoint.compression

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send once; ``timeout`` seconds each for connecting, sending and the answer, never longer than the endpoint's own.

        Never raises.
        """
        if self.endpoint.compression == "gzip":
            body = gzip.compress(body, compresslevel=6)
        elif self.endpoint.compression == "deflate":
            body = zlib.compress(body)
        return self._post(body, min(timeout, self.endpoint.timeout))

    def _post(self, body: bytes, timeout: float) -> Answer:
        url = self.endpoint.url
        try:
            request = urllib.request.Request(url, data=body, headers=self._headers, method="POST")  # noqa: S310 - the operator's own endpoint
            with self._opener.open(request, timeout=timeout) as response:
                return Answer(delivered=True, body=whole(response, _MOST))
        except urllib.error.HTTPError as error:
            error.close()
            cure = "Check what listens there."
            if error.code in _UNAUTHORISED:
                cure = "Set OTEL_EXPORTER_OTLP_HEADERS."
            elif error.code == _NOT_FOUND:
                cure = "Point OTEL_EXPORTER_OTLP_ENDPOINT at an OTLP/HTTP receiver, port 4318 by custom."
            elif error.code in _MOVED:
                cure = "Point OTEL_EXPORTER_OTLP_ENDPOINT at where it redirects to."
            return Answer(
                delivered=False,
                retryable=error.code in _RETRYABLE,
                problem=f"{url} answered {error.code} {error.reason}. {cure}",
                pause=_pause(error.headers.get("Retry-After")),
            )
        except Exception as error:  # noqa: BLE001 - sockets, TLS, proxies and malformed answers: none may reach the host
            reason = getattr(error, "reason", error)
            return Answer(
                delivered=False,
                retryable=True,
                problem=f"{url} cannot be reached ({reason}). Start an OTLP/HTTP receiver there, or set "
                "OTEL_EXPORTER_OTLP_ENDPOINT, or turn the export off with OTEL_METRICS_EXPORTER=none and "
                "OTEL_TRACES_EXPORTER=none.",
            )


def _pause(text: str | None) -> float:
    """Seconds; a date, which the header may also hold, is not worth reading: the next interval is soon enough."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
