"""How far one gets at an address: its name, its port, TLS, and what is spoken there."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from mlobs.otel.address import address
from mlobs.otel.http import opener
from mlobs.otel.trust import Files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlobs.otel.endpoint import Endpoint

Stage = Literal[
    "name", "refused", "unanswered", "untrusted", "plain", "tls", "http", "grpc", "closed", "silent", "other"
]

_ASK: Final = b"GET / HTTP/1.1\r\nHost: mlobs-doctor\r\nConnection: close\r\n\r\n"
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # and empty settings
_SETTINGS: Final = 4
_ALERT: Final = b"\x15\x03"  # a TLS record that complains
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF")
_WORDS: Final = 200


class Reach(NamedTuple):
    """The stage at which it ended, and the system's own words."""

    stage: Stage
    detail: str = ""


def reach(endpoint: Endpoint, timeout: float, port: int = 4318) -> Reach:
    """Resolve, connect, shake hands, and find out whether HTTP/1 or gRPC answers. Never raises."""
    found = address(endpoint.url, grpc=True)
    if found.wrong or found.scheme not in ("", "http", "https"):
        return Reach("other", found.wrong)
    place = (found.host, found.port or (443 if found.scheme == "https" else port))
    try:
        socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Reach("name", str(error))
    try:
        return _spoken(place, endpoint if found.scheme == "https" else None, timeout)
    except OSError as error:
        return Reach(_stage(error), str(getattr(error, "verify_message", "") or error))


def _stage(error: OSError) -> Stage:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "untrusted"
    if isinstance(error, ssl.SSLError):
        return "plain" if any(sign in str(error) for sign in _NOT_TLS) else "tls"
    if isinstance(error, ConnectionError):
        return "refused" if isinstance(error, ConnectionRefusedError) else "closed"
    return "unanswered" if isinstance(error, TimeoutError) else "other"


def _spoken(place: tuple[str, int], secure: Endpoint | None, timeout: float) -> Reach:
    answer = _exchange(place, secure, timeout, _ASK, ())
    if answer is not None and answer.startswith(b"HTTP/"):
        return Reach("http")
    if answer is not None and answer.startswith(_ALERT):
        return Reach("tls", "it answers with a TLS alert")
    if _is_settings(answer):
        return Reach("grpc")
    second = _exchange(place, secure, timeout, _PREFACE, ("h2",))
    if _is_settings(second):
        return Reach("grpc")
    if answer is None:
        return Reach("silent", f"no answer within {timeout:g} s")
    return Reach("other", repr(answer[:20])) if answer else Reach("closed", "it closed the connection")


def _is_settings(answer: bytes | None) -> bool:
    return answer is not None and len(answer) >= 9 and answer[3] == _SETTINGS and answer[5:9] == struct.pack(">I", 0)


def _exchange(
    place: tuple[str, int], secure: Endpoint | None, timeout: float, question: bytes, protocols: tuple[str, ...]
) -> bytes | None:
    """What comes back first; None where nothing does in time, nothing where the connection ends."""
    with contextlib.ExitStack() as stack:
        connection: socket.socket = stack.enter_context(socket.create_connection(place, timeout))
        if secure is not None:
            context = Files(secure).context()
            if protocols:
                context.set_alpn_protocols(list(protocols))
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=place[0]))
        try:
            connection.sendall(question)
            return connection.recv(64)
        except TimeoutError:
            return None
        except ssl.SSLError:
            raise
        except OSError:
            return b""


def words(endpoint: Endpoint, body: bytes, headers: Mapping[str, str], timeout: float) -> str:
    """What a server that refuses a request says about it: its first words. Never raises."""
    try:
        request = urllib.request.Request(endpoint.url, data=body, headers=dict(headers), method="POST")  # noqa: S310 - the operator's own endpoint
        with opener(endpoint).open(request, timeout=timeout):
            return ""
    except urllib.error.HTTPError as error:
        with error, contextlib.suppress(OSError):
            return _readable(error.read(4096))
    except Exception:  # noqa: BLE001 - it is a second look; the first one has said what is wrong
        return ""
    return ""


def _readable(body: bytes) -> str:
    """Texts of a page, of JSON or of a protobuf message."""
    runs = re.findall(r"[ -~]{4,}", re.sub(r"<[^>]*>", " ", body.decode("utf-8", "replace")))
    return " ".join(" ".join(runs).split())[:_WORDS]
