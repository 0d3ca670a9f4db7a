"""Requests that nothing traces here: what they serve runs under the span that their headers name, the caller's.

OpenTelemetry's HTTP instrumentation makes a span for each request and takes one that is current already for its
parent, not for the caller's. So where it is loaded the request's span is its business, whichever of us is outside.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagators.textmap import Getter

from mlobs.hooks import handed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from contextvars import Token
    from types import ModuleType, TracebackType

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator

    from mlobs.core.runtime import Runtime

_ASGI: Final = "opentelemetry.instrumentation.asgi"
_WSGI: Final = "opentelemetry.instrumentation.wsgi"
_SERVED: Final = ("http", "websocket")


class Requests:
    """Wraps applications. A request with a current span, or whose headers name none, is served as it is."""

    def __init__(self, state: Runtime) -> None:
        self._state = state
        self.off = False  # what was wrapped is served as it is
        self._propagate: ModuleType | None = None
        self._looked_for: tuple[TextMapPropagator | None, frozenset[Any], frozenset[str]] = (
            None,
            frozenset(),
            frozenset(),
        )

    def asgi(self, application: Callable[..., Awaitable[Any]], *, position: int = 0) -> Callable[..., Awaitable[Any]]:
        """An ASGI application, or a method that is one: then its scope is the argument at ``position`` 1."""
        self._prepare()

        async def traced(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
            found = self._of_scope(args[position] if len(args) > position else kwargs.get("scope"))
            if found is None:
                return await application(*args, **kwargs)
            outer = otel_context.get_current()
            if len(args) == position + 3 and callable(args[-1]):
                args = (*args[:-1], _outside(outer, args[-1]))
            token = otel_context.attach(found)
            try:
                return await application(*args, **kwargs)
            finally:
                if otel_context.get_current() is found:  # one thrown away half served ends in somebody else's context
                    otel_context.detach(token)

        return handed.asgi(traced, self._tickets, position)

    def wsgi(self, application: Callable[..., Iterable[bytes]], *, position: int = 0) -> Callable[..., Iterable[bytes]]:
        """A WSGI application, or a method that is one: then its environ is the argument at ``position`` 1."""
        self._prepare()

        def traced(*args: Any, **kwargs: Any) -> Iterable[bytes]:  # noqa: ANN401 - passed on
            environ = args[position] if len(args) > position else kwargs.get("environ")
            found = self._of_environ(environ)
            if found is None:
                return application(*args, **kwargs)
            token = otel_context.attach(found)
            try:
                chunks = application(*args, **kwargs)
            finally:
                otel_context.detach(token)
            if _plain(chunks, environ):
                return chunks
            return (_Sized if hasattr(type(chunks), "__len__") else _Chunks)(chunks, found)

        return handed.wsgi(traced, self._tickets, position)

    def under(self, headers: Mapping[str, Any]) -> Under:
        """A block that serves a request with these headers, under the span that they name where there is none."""
        return Under(self._of_headers(headers))

    def answering(self) -> handed.Answering:
        """A block that serves one request of a server which writes headers by itself."""
        return handed.Answering(self._tickets)

    def _tickets(self) -> handed.Seal | None:
        """What makes the tickets of a request's calls; None where nobody wants them."""
        settings = self._state.settings
        return None if self.off or not settings.tickets or not settings.enabled else self._state.outcomes.tickets.header

    # ── whose span ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        """Load what reads headers, so that no request waits for it."""
        try:
            from opentelemetry import propagate
        except Exception as error:  # noqa: BLE001 - OTEL_PROPAGATORS names one that is not installed
            self._state.guard.tell("propagators", "mlobs cannot read the headers of requests: %s", error)
        else:
            self._propagate = propagate

    def _of_scope(self, scope: Any) -> Context | None:  # noqa: ANN401 - a server's
        """The context to serve an ASGI request in; None: the one that is current. Never raises."""
        try:
            if (
                trace.get_current_span() is not trace.INVALID_SPAN
                or scope["type"] not in _SERVED
                or _ASGI in sys.modules
            ):
                return None
            propagator, names, _ = self._wanted()
            headers = scope.get("headers") or ()
            if propagator is None or names.isdisjoint([name for name, _ in headers]):
                return None
            return _extract(propagator, headers, _IN_SCOPE)
        except Exception as error:  # noqa: BLE001 - ours, or headers that are none
            self._state.guard.error("request", error)
            return None

    def _of_headers(self, headers: Mapping[str, Any]) -> Context | None:
        """The context to serve a request with these headers in; None: the one that is current. Never raises."""
        try:
            if trace.get_current_span() is not trace.INVALID_SPAN:
                return None
            if self._propagate is None:
                self._prepare()
            propagator, names, _ = self._wanted()
            pairs = [(_latin(name).lower(), _latin(value)) for name, value in headers.items()]
            if propagator is None or names.isdisjoint([name for name, _ in pairs]):
                return None
            return _extract(propagator, pairs, _IN_SCOPE)
        except Exception as error:  # noqa: BLE001 - ours, or headers that are none
            self._state.guard.error("request", error)
            return None

    def _of_environ(self, environ: Any) -> Context | None:  # noqa: ANN401 - a server's
        """The context to serve a WSGI request in; None: the one that is current. Never raises."""
        try:
            if trace.get_current_span() is not trace.INVALID_SPAN or _WSGI in sys.modules:
                return None
            propagator, _, names = self._wanted()
            if propagator is None or names.isdisjoint(environ):
                return None
            return _extract(propagator, environ, _IN_ENVIRON)
        except Exception as error:  # noqa: BLE001 - ours, or headers that are none
            self._state.guard.error("request", error)
            return None

    def _wanted(self) -> tuple[TextMapPropagator | None, frozenset[Any], frozenset[str]]:
        """The propagator in force, and the headers it looks for, as ASGI and as WSGI spell them."""
        if self.off or self._propagate is None or not self._state.settings.enabled:
            return None, frozenset(), frozenset()
        propagator: TextMapPropagator = self._propagate.get_global_textmap()
        if propagator is not self._looked_for[0]:
            asked = _Asked()
            propagator.extract({}, otel_context.Context(), asked)
            names = asked.names.union(propagator.fields)
            self._looked_for = (
                propagator,
                frozenset(name.lower().encode("latin-1") for name in names),
                frozenset(_variable(name) for name in names),
            )
        return self._looked_for


class Under:
    """A block in a context of its own, or, without one, in the one that is current."""

    def __init__(self, found: Context | None) -> None:
        self._found = found
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        if self._found is not None:
            self._token = otel_context.attach(self._found)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # one thrown away half served ends in somebody else's context
        if self._token is not None and otel_context.get_current() is self._found:
            otel_context.detach(self._token)


def _outside(outer: Context, send: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """Sends the end of an answer in the context around it: a server may begin the connection's next request from there."""

    async def sent(message: Any) -> Any:  # noqa: ANN401 - passed on
        if not handed.is_last(message):
            return await send(message)
        token = otel_context.attach(outer)
        try:
            return await send(message)
        finally:
            if otel_context.get_current() is outer:  # likewise
                otel_context.detach(token)

    return sent


def _extract(propagator: TextMapPropagator, carrier: Any, getter: Getter[Any]) -> Context | None:  # noqa: ANN401 - a server's
    found = propagator.extract(carrier, otel_context.get_current(), getter)
    return found if trace.get_current_span(found).get_span_context().is_valid else None


# ── headers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _variable(name: str) -> str:
    """A header's name in a WSGI environ."""
    return "HTTP_" + name.upper().replace("-", "_")


def _latin(text: object) -> bytes:
    """A header's name or value as ASGI has it."""
    return str(text).encode("latin-1", "replace")


class _Asked(Getter[Any]):
    """Remembers what a propagator looks for: more than the ``fields`` that it writes, where it reads two spellings."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def get(self, carrier: object, key: str) -> list[str] | None:
        del carrier
        self.names.add(key)
        return None

    def keys(self, carrier: object) -> list[str]:
        del carrier
        return []


class _InScope(Getter[Any]):
    """Headers as ASGI has them: pairs of bytes, names in small letters."""

    def get(self, carrier: Sequence[tuple[bytes, bytes]], key: str) -> list[str] | None:
        name = key.lower().encode("latin-1")
        return [value.decode("latin-1") for header, value in carrier if header == name] or None

    def keys(self, carrier: Sequence[tuple[bytes, bytes]]) -> list[str]:
        return [header.decode("latin-1") for header, _ in carrier]


class _InEnviron(Getter[Any]):
    """Headers as WSGI has them: variables that begin with HTTP."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        value = carrier.get(_variable(key))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [name[5:].lower().replace("_", "-") for name in carrier if name.startswith("HTTP_")]


_IN_SCOPE: Final = _InScope()
_IN_ENVIRON: Final = _InEnviron()


# ── answers of WSGI applications, which run on after they were returned ─────────────────────────────────────────────


def _plain(chunks: object, environ: Any) -> bool:  # noqa: ANN401 - a server's
    """Whether nothing of the application runs while its answer is sent; servers know their own file wrapper again."""
    kind = type(chunks)
    wrapper = environ.get("wsgi.file_wrapper")
    return (
        kind in (list, tuple)
        or issubclass(kind, io.IOBase)
        or (isinstance(wrapper, type) and issubclass(kind, wrapper))
    )


class _Chunks:
    """An answer whose pieces are made under the caller's span, each by itself."""

    __slots__ = ("_chunks", "_found", "_iterator")

    def __init__(self, chunks: Iterable[bytes], found: Context) -> None:
        self._chunks: Any = chunks
        self._found = found
        self._iterator: Any = None

    def __iter__(self) -> Iterator[bytes]:
        self._iterator = self._within(iter, self._chunks)
        return self

    def __next__(self) -> bytes:
        chunk: bytes = self._within(next, self._chunks if self._iterator is None else self._iterator)
        return chunk

    def close(self) -> None:
        """Close the answer, where it can be closed."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            self._within(close)

    def _within(self, function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - passed on
        token = otel_context.attach(self._found)
        try:
            return function(*args)
        finally:
            otel_context.detach(token)


class _Sized(_Chunks):
    """One that knows how many pieces it has."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._chunks)
