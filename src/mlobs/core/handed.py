"""The tickets of a request's predictions, as a header of its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from mlobs.core.inside import LAST, REQUEST, Handed

HEADER: Final = "mlobs-ticket"

Sealing = Callable[[], Callable[[list[Handed]], str | None] | None]


def asgi(application: Callable[..., Awaitable[Any]], sealing: Sealing, position: int) -> Callable[..., Awaitable[Any]]:
    """An ASGI application whose answers carry the tickets of what was predicted until they began.

    ``sealing`` gives what seals, or None where nobody wants tickets; the scope is the argument at ``position``.
    """

    async def served(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        seal = sealing()
        if seal is None or REQUEST.get() is not None or len(args) != position + 3 or not _is_http(args[position]):
            return await application(*args, **kwargs)
        *before, send = args
        calls: list[Handed] = []

        async def sent(message: Any) -> Any:  # noqa: ANN401 - passed on
            if calls and type(message) is dict and message.get("type") == "http.response.start":
                header = seal(calls)
                if header is not None:
                    pair = (HEADER.encode(), header.encode())
                    message = {**message, "headers": [*message.get("headers", ()), pair]}
            return await send(message)

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


def _is_http(scope: Any) -> bool:  # noqa: ANN401 - a server's
    return type(scope) is dict and scope.get("type") == "http"


def wsgi(
    application: Callable[..., Iterable[bytes]], sealing: Sealing, position: int
) -> Callable[..., Iterable[bytes]]:
    """A WSGI application, likewise; the environ is the argument at ``position``."""

    def served(*args: Any, **kwargs: Any) -> Iterable[bytes]:  # noqa: ANN401 - passed on
        seal = sealing()
        if seal is None or REQUEST.get() is not None or len(args) != position + 2:
            return application(*args, **kwargs)
        *before, start_response = args
        calls: list[Handed] = []

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:  # noqa: ANN401 - passed on
            header = seal(calls) if calls else None
            return start_response(status, headers if header is None else [*headers, (HEADER, header)], *rest)

        request, last = REQUEST.set(calls), LAST.set(None)
        try:
            return application(*before, started, **kwargs)
        finally:
            LAST.reset(last)
            REQUEST.reset(request)

    return served
