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
from mlobs.otel.proxy import CURE, proxy
from mlobs.otel.trust import Files

if TYPE_CHECKING:
    from mlobs.otel.endpoint import Endpoint
    from mlobs.otel.trust import Stamp

_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})  # 408 beside the specification's four: a slow proxy
_MOST: Final = 65536  # bytes of an answer
_UNAUTHORISED: Final = frozenset({401, 403})
_NOT_FOUND: Final = 404
_TOO_LARGE: Final = 413
_MOVED: Final = range(300, 400)
_OTLP: Final = ("application/x-protobuf", "application/protobuf", "application/json")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would go there with a GET, without the data, and take the answer for a success."""

    def redirect_request(self, *_: object) -> None:
        """Never: the redirect is the answer."""


def opener(endpoint: Endpoint) -> urllib.request.OpenerDirector:
    """What requests to an endpoint are sent with. Raises OSError where a certificate cannot be used."""
    secure = endpoint.url.startswith("https:")
    return urllib.request.build_opener(_Stay(), *handlers(Files(endpoint).context if secure else None))


class Http:
    """Posts to one endpoint. No connection is kept: an export is rare, and a kept one does not survive a fork."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._secrets = endpoint.secrets
        self._files = Files(endpoint)
        self._opener: urllib.request.OpenerDirector | None = None
        self._stamp: Stamp = ()
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
        wrong = self.endpoint.wrong()
        if wrong:
            return Answer(delivered=False, retryable=True, problem=wrong)
        if self.endpoint.compression == "gzip":
            body = gzip.compress(body, compresslevel=6)
        elif self.endpoint.compression == "deflate":
            body = zlib.compress(body)
        answer = self._post(body, min(timeout, self.endpoint.timeout))
        return answer._replace(problem=self._secrets.hide(answer.problem))

    def _post(self, body: bytes, timeout: float) -> Answer:
        url = self.endpoint.shown
        try:
            send = self._current()
        except OSError as error:
            return Answer(
                delivered=False, retryable=True, problem=f"{error}. Put the file there, or correct the variable."
            )
        try:
            request = urllib.request.Request(self.endpoint.url, data=body, headers=self._headers, method="POST")  # noqa: S310 - the operator's own endpoint
            with send.open(request, timeout=timeout) as response:
                said = whole(response, _MOST)
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if said and kind and kind not in _OTLP:
                problem = (
                    f"{url} answered {response.status} with {kind}, as a page to log in does. Check what listens there."
                )
                return Answer(delivered=False, retryable=True, problem=problem)
            return Answer(delivered=True, body=said)
        except urllib.error.HTTPError as error:
            error.close()
            return self._refused(error)
        except Exception as error:  # noqa: BLE001 - sockets, TLS, proxies and malformed answers: none may reach the host
            return Answer(delivered=False, retryable=True, problem=self._unreached(error))

    def _current(self) -> urllib.request.OpenerDirector:
        """The opener; a new one where its files have been replaced."""
        stamp = self._files.stamp()
        if self._opener is None or stamp != self._stamp:
            self._opener, self._stamp = opener(self.endpoint), stamp
        return self._opener

    def _unreached(self, error: Exception) -> str:
        """Why, in a line. A frame of its own: were the reason one of `_post`'s, it would keep that and all that was collected."""
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            self._opener = None  # files that are being replaced may be read anew while their times stay the same
        through = proxy(self.endpoint.url)
        if through:
            return f"{self.endpoint.shown} cannot be reached through the proxy {through} ({reason}). {CURE}."
        return (
            f"{self.endpoint.shown} cannot be reached ({reason}). Start an OTLP/HTTP receiver there, or set "
            f"{self.endpoint.variable('ENDPOINT')}, or turn the export off with OTEL_METRICS_EXPORTER=none and "
            "OTEL_TRACES_EXPORTER=none."
        )

    def _refused(self, error: urllib.error.HTTPError) -> Answer:
        said, cure = self.endpoint.variable, "Check what listens there."
        if error.code in _UNAUTHORISED:
            cure = f"Set {said('HEADERS')}."
        elif error.code == _NOT_FOUND:
            cure = f"Point {said('ENDPOINT')} at an OTLP/HTTP receiver, port 4318 by custom."
        elif error.code in _MOVED:
            cure = f"Point {said('ENDPOINT')} at where it redirects to."
        elif error.code == _TOO_LARGE:
            cure = f"The request is too large for it: raise its limit, or set {said('COMPRESSION')}=gzip."
        return Answer(
            delivered=False,
            retryable=error.code in _RETRYABLE,
            problem=f"{self.endpoint.shown} answered {error.code} {error.reason}. {cure}",
            pause=_pause(error.headers.get("Retry-After")),
            large=error.code == _TOO_LARGE,
        )


def _pause(text: str | None) -> float:
    """Seconds; a date, which the header may also hold, is not worth reading: the next interval is soon enough."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
