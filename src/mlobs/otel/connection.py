"""Connections whose answers are whole and in time, which http.client does not see to.

It takes the end of a connection amid the headers for the end of the headers, and its timeout is one socket operation's: who
drips a byte a second is never late.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_ENDS: Final = (b"\r\n", b"\n")


class _Timed(io.RawIOBase):
    """What a socket receives until a deadline."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        timeout = sock.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._raw = sock.makefile("rb", buffering=0)  # the socket stays open for as long as this does

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as io has it
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer takes too long")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines:
    """Remembers the last line that was read."""

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - whatever an answer reads from
        self._file = file
        self.last = b""

    def readline(self, *limit: int) -> bytes:
        self.last = self._file.readline(*limit)
        return self.last

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the file's own
        return getattr(self._file, name)


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock))

    def begin(self) -> None:
        file = self.fp
        lines: Any = _Lines(file)
        self.fp = lines
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = file
        if lines.last not in _ENDS:
            self.close()
            raise http.client.RemoteDisconnected("the answer ended amid its headers")


class _Plain(http.client.HTTPConnection):
    response_class = _Answer


class _Secure(http.client.HTTPSConnection):
    response_class = _Answer


class _PlainHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Plain, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._trust = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Secure, req, context=self._trust)


def handlers(trust: Callable[[], ssl.SSLContext] | None) -> list[urllib.request.BaseHandler]:
    """What opens connections: in the clear, and encrypted where ``trust`` says whom to believe."""
    return [_PlainHandler(), *([] if trust is None else [_SecureHandler(trust())])]


def whole(response: http.client.HTTPResponse, most: int) -> bytes:
    """The answer's body, its first ``most`` bytes. Raises IncompleteRead where it was cut off before."""
    said = response.read(most)
    if response.length and len(said) < most:
        raise http.client.IncompleteRead(said, response.length)
    return said
