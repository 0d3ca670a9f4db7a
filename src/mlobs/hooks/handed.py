"""The tickets of a request's predictions, as a header of its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mlobs.core.ended import LAST, REQUEST, Handed

if TYPE_CHECKING:
    from types import TracebackType

HEADER: Final = "mlobs-ticket"

Calls = list[Handed | str]
Seal = Callable[..., str | None]  # of calls, and of how many characters a header may have
Sealing = Callable[[], Seal | None]


class Answering:
    """A block that serves one request of a server which writes headers by itself; a part of an outer one is none."""

    def __init__(self, sealing: Sealing) -> None:
        self._sealing = sealing
        self._seal: Seal | None = None
        self._calls: Calls = []
        self._tokens: tuple[Any, Any] | None = None

    def __enter__(self) -> Answering:
        self._seal = self._sealing()
        if REQUEST.get() is None:
            self._tokens = REQUEST.set(None if self._seal is None else self._calls), LAST.set(None)
        return self

    def header(self, longest: int) -> tuple[str, str] | None:
        """See `mlobs.integration.Answering`."""
        found = self._seal(self._calls, longest) if self._seal is not None and self._calls else None
        return None if found is None else (HEADER, found)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._tokens is not None:
            request, last = self._tokens
            with suppress(ValueError):  # one thrown away half served ends in somebody else's context
                LAST.reset(last)
                REQUEST.reset(request)


def asgi(application: Callable[..., Awaitable[Any]], sealing: Sealing, position: int) -> Callable[..., Awaitable[Any]]:
    """An ASGI application whose answers carry the tickets of what was predicted until they began.

    ``sealing`` gives what seals, or None where nobody wants tickets; the scope is the argument at ``position``.
    """

    async def served(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        seal = sealing()
        if seal is None or REQUEST.get() is not None or len(args) != position + 3 or not _is_http(args[position]):
            return await application(*args, **kwargs)
        *before, send = args
        calls: Calls = []

        async def sent(message: Any) -> Any:  # noqa: ANN401 - passed on
            if calls and type(message) is dict and message.get("type") == "http.response.start":
                header = seal(calls)
                if header is not None:
                    pair = (HEADER.encode(), header.encode())
                    message = {**message, "headers": [*message.get("headers", ()), pair]}
            if not is_last(message):
                return await send(message)
            within = REQUEST.set(None)  # a server may begin the connection's next request from here
            try:
                return await send(message)
            finally:
                with suppress(ValueError):  # likewise
                    REQUEST.reset(within)

        request, last = REQUEST.set(calls), LAST.set(None)
        try:
            return await application(*before, sent, **kwargs)
        finally:
            with suppress(ValueError):  # one thrown away half served ends in somebody else's context
                LAST.reset(last)
                REQUEST.reset(request)

    # with an application's own arguments: servers call one without any, to see whether it is a factory of applications
    async def plain(scope: Any, receive: Any, send: Any) -> Any:  # noqa: ANN401 - passed on
        return await served(scope, receive, send)

    async def method(self: Any, scope: Any, receive: Any, send: Any) -> Any:  # noqa: ANN401 - passed on
        return await served(self, scope, receive, send)

    return (plain, method)[position] if position < 2 else served


def is_last(message: Any) -> bool:  # noqa: ANN401 - an application's
    """Whether an ASGI application says with this that its answer has ended."""
    return type(message) is dict and message.get("type") == "http.response.body" and not message.get("more_body")


def _is_http(scope: Any) -> bool:  # noqa: ANN401 - a server's
    return type(scope) is dict and scope.get("type") == "http"


def wsgi(
    application: Callable[..., Iterable[bytes]], sealing: Sealing, position: int
) -> Callable[..., Iterable[bytes]]:
    """A WSGI application, likewise; the environ is the argument at ``position``."""

    def served(*args: Any, **kwargs: Any) -> Iterable[bytes]:  # noqa: ANN401 - passed on
        seal = sealing()
        if REQUEST.get() is not None or len(args) != position + 2:
            return application(*args, **kwargs)
        if seal is None:
            last = LAST.set(None)  # of this thread's request before
            try:
                return application(*args, **kwargs)
            finally:
                LAST.reset(last)
        *before, start_response = args
        calls: Calls = []

        def started(status: str, headers: list[tuple[str, str]], *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on
            header = seal(calls) if calls else None
            return start_response(status, headers if header is None else [*headers, (HEADER, header)], *rest, **named)

        request, last = REQUEST.set(calls), LAST.set(None)
        try:
            return application(*before, started, **kwargs)
        finally:
            LAST.reset(last)
            REQUEST.reset(request)

    return served
