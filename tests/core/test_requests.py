"""Requests that nothing traces: a prediction hangs under the caller's span, and nobody else notices."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider

import mlobs
from mlobs.api import runtime
from mlobs.core.ended import REQUEST
from mlobs.testing import Telemetry, capture

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
ROW = [[1.0, 2.0]]


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which OpenTelemetry's HTTP instrumentation is not loaded, whatever other tests have loaded."""
    for name in ("asgi", "wsgi"):
        monkeypatch.delitem(sys.modules, f"opentelemetry.instrumentation.{name}", raising=False)


@pytest.fixture
def predict(telemetry: Telemetry) -> Callable[[Any], float]:
    """An observed function."""
    observed: Callable[[Any], float] = mlobs.observe(model="m")(lambda x: 0.5)
    return observed


@pytest.fixture
def propagator() -> Iterator[Callable[[TextMapPropagator], None]]:
    """Sets OpenTelemetry's global propagator for the length of a test."""
    before = propagate.get_global_textmap()
    yield propagate.set_global_textmap
    propagate.set_global_textmap(before)


def scope(kind: str = "http", **headers: str) -> dict[str, Any]:
    found = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": kind, "headers": [(b"host", b"here"), *found]}


def environ(**headers: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", **{f"HTTP_{name.upper()}": value for name, value in headers.items()}}


def serve(app: Any, *args: Any, **kwargs: Any) -> Any:
    return asyncio.run(app(*args, **kwargs))


def current() -> str:
    return trace.format_span_id(trace.get_current_span().get_span_context().span_id)


def parents(telemetry: Telemetry) -> list[str | None]:
    return [span.parent and trace.format_span_id(span.parent.span_id) for span in telemetry.spans]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_an_asgi_prediction_hangs_under_the_callers_span(
    kind: str, telemetry: Telemetry, predict: Callable[[Any], float]
) -> None:
    """The model span continues the trace that the headers name, in a thread of the pool too; afterwards nothing is current."""

    @mlobs.asgi
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        predict(ROW)
        await asyncio.to_thread(predict, ROW)
        return f"{receive} {send}"

    async def main() -> None:
        assert await app(scope(kind, traceparent=SAMPLED), "receive", "send") == "receive send"  # type: ignore[func-returns-value]
        assert otel_context.get_current() == {}

    asyncio.run(main())
    assert parents(telemetry) == [CALLER, CALLER]
    assert {trace.format_trace_id(span.context.trace_id) for span in telemetry.spans if span.context} == {TRACE}
    assert telemetry.total("mlobs.prediction.duration") == 2


def test_a_wsgi_prediction_hangs_under_the_callers_span(telemetry: Telemetry, predict: Callable[[Any], float]) -> None:
    """The same for WSGI; what the server hands over arrives as it is."""
    given = environ(traceparent=SAMPLED)

    @mlobs.wsgi
    def app(environ: Any, start_response: Any) -> list[bytes]:
        assert environ is given
        predict(ROW)
        return [start_response]

    assert app(given, b"start") == [b"start"]
    assert otel_context.get_current() == {}
    assert parents(telemetry) == [CALLER]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": ""},
        {"traceparent": "nonsense"},
        {"traceparent": "\xff\x00" * 50},
        {"traceparent": SAMPLED[:-1]},
        {"traceparent": f"ff-{TRACE}-{CALLER}-01"},
        {"traceparent": f"00-{'0' * 32}-{CALLER}-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"tracestate": "a=b"},
        {"baggage": "tenant=7"},
    ],
    ids=str,
)
def test_headers_that_name_no_span_change_nothing(headers: dict[str, str], telemetry: Telemetry) -> None:
    """Absent or malformed: the request is served in the context it came in."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(otel_context.get_current())

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(otel_context.get_current())
        return []

    serve(mlobs.asgi(app), scope(**headers), None, None)
    mlobs.wsgi(application)(environ(**headers), None)
    assert seen == [{}, {}]
    assert telemetry.total("mlobs.sdk.errors") == 0


@pytest.mark.parametrize("broken", [{}, {"type": "http", "headers": 7}, {"type": "http", "headers": [b"one"]}, None])
def test_a_scope_that_is_none_reaches_the_application(broken: Any, telemetry: Telemetry) -> None:
    """Whatever the server hands over is the application's to judge; that we could not read it is counted."""
    runtime.guard.strict = False

    async def app(scope: Any, receive: Any, send: Any) -> Any:
        return scope

    def application(environ: Any, start_response: Any) -> Any:
        return environ

    assert serve(mlobs.asgi(app), broken, None, None) is broken
    assert mlobs.wsgi(application)(None, None) is None
    assert telemetry.total("mlobs.sdk.errors") == 2


def test_a_lifespan_passes_through(telemetry: Telemetry) -> None:
    """Start and end of a server belong to no request."""

    async def app(scope: Any, receive: Any, send: Any) -> Any:
        return current()

    assert serve(mlobs.asgi(app), scope("lifespan", traceparent=SAMPLED), None, None) == "0" * 16


def test_a_current_span_stays(telemetry: Telemetry, predict: Callable[[Any], float]) -> None:
    """Where somebody traces the request already, the headers were theirs to read."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        predict(ROW)

    def application(environ: Any, start_response: Any) -> Any:
        predict(ROW)
        return iter(())

    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    with tracer.start_as_current_span("request") as request:
        serve(mlobs.asgi(app), scope(traceparent=SAMPLED), None, None)
        assert type(mlobs.wsgi(application)(environ(traceparent=SAMPLED), None)) is type(iter(()))
    assert parents(telemetry) == [trace.format_span_id(request.get_span_context().span_id)] * 2


def test_applications_inside_applications_attach_once(telemetry: Telemetry) -> None:
    """A mounted application that is wrapped too runs in the context it finds, and leaves it."""
    seen = []

    @mlobs.asgi
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(otel_context.get_current())

    @mlobs.asgi
    async def outer(scope: Any, receive: Any, send: Any) -> None:
        seen.append(otel_context.get_current())
        await inner(scope, receive, send)
        seen.append(otel_context.get_current())

    serve(outer, scope(traceparent=SAMPLED), None, None)
    assert seen[0] is seen[1] is seen[2]
    assert trace.get_current_span(seen[0]).get_span_context().is_remote


def test_an_unsampled_caller_gets_no_spans(telemetry: Telemetry, predict: Callable[[Any], float]) -> None:
    """The caller's sampling decision stands; the calls count all the same."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(300):
            predict(ROW)

    serve(mlobs.asgi(app), scope(traceparent=SAMPLED[:-1] + "0"), None, None)
    assert telemetry.spans == []
    assert telemetry.total("mlobs.prediction.duration") == 300


def test_what_an_application_raises_passes_through(telemetry: Telemetry) -> None:
    """The very exception, and the context is left behind."""
    error = LookupError("theirs")

    @mlobs.asgi
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    @mlobs.wsgi
    def application(environ: Any, start_response: Any) -> list[bytes]:
        raise error

    async def main() -> None:
        with pytest.raises(LookupError) as caught:
            await app(scope(traceparent=SAMPLED), None, None)
        assert caught.value is error
        assert otel_context.get_current() == {}

    asyncio.run(main())
    with pytest.raises(LookupError) as caught:
        application(environ(traceparent=SAMPLED), None)
    assert caught.value is error
    assert otel_context.get_current() == {}


def test_a_request_thrown_away_half_served_says_nothing(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """A coroutine that is collected elsewhere ends without a word in the log and without changing who collects it."""

    @mlobs.asgi
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    class Never:
        def __await__(self) -> Iterator[None]:
            yield

    coroutine: Any = app(scope(traceparent=SAMPLED), Never, None)
    copy_context().run(coroutine.send, None)
    with caplog.at_level(logging.DEBUG):
        del coroutine
        gc.collect()
    assert caplog.records == []
    assert otel_context.get_current() == {}


def test_requests_at_once_keep_their_callers_apart(telemetry: Telemetry) -> None:
    """Tasks and threads see their own caller's span and no other's."""

    @mlobs.asgi
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await asyncio.sleep(0)
        return current()

    @mlobs.wsgi
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        for _ in range(3):
            yield current().encode()

    callers = [f"{number:016x}" for number in range(1, 40)]

    async def main() -> list[Any]:
        return await asyncio.gather(
            *(app(scope(traceparent=f"00-{TRACE}-{caller}-01"), None, None) for caller in callers)
        )

    assert asyncio.run(main()) == callers
    found: dict[str, set[bytes]] = {}

    def work(caller: str) -> None:
        found[caller] = set(application(environ(traceparent=f"00-{TRACE}-{caller}-01"), None))

    threads = [threading.Thread(target=work, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {caller: {caller.encode()} for caller in callers}


def test_an_asgi_answer_streams_under_the_callers_span(telemetry: Telemetry) -> None:
    """What is sent piece by piece is made inside the request."""

    async def pieces() -> AsyncIterator[str]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield current()

    @mlobs.asgi
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async for piece in pieces():
            await send(piece)

    sent = []

    async def send(piece: str) -> None:
        sent.append(piece)

    serve(app, scope(traceparent=SAMPLED), None, send)
    assert sent == [CALLER] * 3


class Answer:
    """An answer that tells where its parts ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        self.ran.append("iter " + current())
        return iter([b"a", b"b"])

    def close(self) -> None:
        self.ran.append("close " + current())


class Sized(Answer):
    def __len__(self) -> int:
        return 2


def test_a_wsgi_answer_streams_under_the_callers_span(telemetry: Telemetry, predict: Callable[[Any], float]) -> None:
    """Each piece is made under it, the server's own work between two pieces is not, and closing is once more."""
    closed = []

    @mlobs.wsgi
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            for _ in range(3):
                predict(ROW)
                yield current().encode()
        finally:
            closed.append(current())

    chunks: Any = app(environ(traceparent=SAMPLED), None)
    for chunk in chunks:
        assert chunk == CALLER.encode()
        assert otel_context.get_current() == {}
    assert closed == [CALLER]
    chunks.close()
    assert parents(telemetry) == [CALLER] * 3
    chunks = app(environ(traceparent=SAMPLED), None)
    assert next(chunks) == CALLER.encode()
    chunks.close()
    assert closed == [CALLER] * 2
    assert list(chunks) == []
    assert otel_context.get_current() == {}


@pytest.mark.parametrize("kind", [Answer, Sized])
def test_a_wsgi_answer_looks_to_the_server_as_it_did(kind: type[Answer], telemetry: Telemetry) -> None:
    """It has a length if it had one and else none, can be gone through again, and is closed as often as the server closes it."""
    answer = kind()
    chunks: Any = mlobs.wsgi(lambda environ, start_response: answer)(environ(traceparent=SAMPLED), None)
    assert hasattr(chunks, "__len__") == hasattr(answer, "__len__")
    assert list(chunks) == list(chunks) == [b"a", b"b"]
    if kind is Sized:
        assert len(chunks) == 2
    chunks.close()
    assert answer.ran == [f"iter {CALLER}"] * 2 + [f"close {CALLER}"]


def test_a_wsgi_answer_that_cannot_be_closed_may_be_closed(telemetry: Telemetry) -> None:
    """A server that calls close does no harm, and an error while answering is the application's own."""

    def app(environ: Any, start_response: Any) -> Any:
        return map(int, ["one"])

    chunks: Any = mlobs.wsgi(app)(environ(traceparent=SAMPLED), None)
    with pytest.raises(ValueError):
        next(chunks)
    chunks.close()
    assert otel_context.get_current() == {}


class FileWrapper:
    """What a server hands out as wsgi.file_wrapper and knows again."""

    def __init__(self, file: Any) -> None:
        self.file = file


@pytest.mark.parametrize("answer", [[b"a"], (b"a",), [], io.BytesIO(b"a"), FileWrapper(io.BytesIO(b"a"))])
def test_a_ready_wsgi_answer_is_handed_on(answer: Any, telemetry: Telemetry) -> None:
    """Lists, files and the server's own file wrapper arrive as the objects they are: servers treat them specially."""
    given = {**environ(traceparent=SAMPLED), "wsgi.file_wrapper": FileWrapper}
    assert mlobs.wsgi(lambda environ, start_response: answer)(given, None) is answer


class TwoSpellings(TextMapPropagator):
    """Reads `x-one`, or else the newer `x-two`; writes only the newer."""

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        found = getter.get(carrier, "X-One") or getter.get(carrier, "X-Two")
        if not found:
            return context
        assert set(getter.keys(carrier)) >= {"x-two"} or set(getter.keys(carrier)) >= {"x-one"}
        remote = trace.SpanContext(1, int(found[0]), is_remote=True, trace_flags=trace.TraceFlags(1))
        return trace.set_span_in_context(trace.NonRecordingSpan(remote), context)

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        raise NotImplementedError

    @property
    def fields(self) -> set[str]:
        return {"X-Two"}


def test_the_users_propagator_reads_the_headers(
    telemetry: Telemetry, propagator: Callable[[TextMapPropagator], None]
) -> None:
    """Whichever is set, whenever it is set, with every spelling it takes."""

    @mlobs.asgi
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        return current()

    @mlobs.wsgi
    def application(environ: Any, start_response: Any) -> Any:
        return [current().encode()]

    assert serve(app, scope(traceparent=SAMPLED), None, None) == CALLER
    propagator(TwoSpellings())
    for header in ("x_one", "x_two"):
        assert serve(app, scope(**{header: "7"}), None, None) == f"{7:016x}"
        assert list(application(environ(**{header: "7"}), None)) == [f"{7:016x}".encode()]
    assert serve(app, scope(traceparent=SAMPLED), None, None) == "0" * 16


def test_a_propagator_that_raises_does_not_reach_the_host(
    telemetry: Telemetry, propagator: Callable[[TextMapPropagator], None]
) -> None:
    """The request is served, the error counted."""
    runtime.guard.strict = False
    propagator(TwoSpellings())

    @mlobs.asgi
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        return current()

    assert serve(app, scope(x_one="seven"), None, None) == "0" * 16
    assert telemetry.total("mlobs.sdk.errors") == 1


def test_the_connections_next_request_begins_outside() -> None:
    """A server that begins one as the answer before it ends, of pipelined requests say: under no span, and with no tickets of that one's."""
    with capture(ticket_keys=["0123456789abcdef" * 4]):
        predict = mlobs.observe(model="m")(lambda x: 0.5)
        seen: list[tuple[str, object]] = []

        async def send(message: Any) -> None:
            seen.append((current(), REQUEST.get()))

        async def application(scope: Any, receive: Any, send: Any) -> None:
            predict(ROW)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"1", "more_body": True})
            await send({"type": "http.response.body", "body": b"2"})
            seen.append((current(), REQUEST.get()))

        serve(mlobs.asgi(application), scope(traceparent=SAMPLED), None, send)
        spans = [span for span, _ in seen]
        assert spans == [CALLER, CALLER, "0" * 16, CALLER]
        assert [bool(calls) for _, calls in seen] == [True, True, False, True]


def test_a_requests_last_call_is_its_own(telemetry: Telemetry, predict: Callable[[Any], float]) -> None:
    """Without keys too: who is answered from a cache, in a thread that has predicted for others, remembers nobody's."""

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        if "HTTP_CACHED" not in environ:
            predict(ROW)
        return [str(mlobs.remember(environ["HTTP_ID"])).encode()]

    served = mlobs.wsgi(application)
    answers = [served(environ(id=name, **more), None) for name, more in (("a", {}), ("b", {"cached": "1"}), ("c", {}))]
    assert answers == [[b"True"], [b"False"], [b"True"]]


def test_what_is_in_the_context_stays_there(telemetry: Telemetry) -> None:
    """Baggage that came in with the headers, and what was current before, are seen beside the span."""
    seen = []

    @mlobs.wsgi
    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append((baggage.get_baggage("tenant"), otel_context.get_value("theirs")))
        return []

    token = otel_context.attach(otel_context.set_value("theirs", 1))
    try:
        app(environ(traceparent=SAMPLED, baggage="tenant=7"), None)
    finally:
        otel_context.detach(token)
    assert seen == [("7", 1)]


def test_switched_off_nothing_is_attached() -> None:
    """With enabled=False requests are served as they come."""

    async def app(scope: Any, receive: Any, send: Any) -> Any:
        return current()

    with capture(enabled=False):
        assert serve(mlobs.asgi(app), scope(traceparent=SAMPLED), None, None) == "0" * 16
    with capture():
        assert serve(mlobs.asgi(app), scope(traceparent=SAMPLED), None, None) == CALLER


def test_arguments_may_be_named(telemetry: Telemetry) -> None:
    """A server, or a test, that calls by keyword is served alike."""

    async def app(scope: Any, receive: Any, send: Any) -> Any:
        return current()

    def application(environ: Any, start_response: Any) -> Any:
        return [current()]

    served: Any = mlobs.asgi(app)
    assert serve(served, scope=scope(traceparent=SAMPLED), receive=None, send=None) == CALLER
    answered: Any = mlobs.wsgi(application)
    assert answered(environ=environ(traceparent=SAMPLED), start_response=None) == [CALLER]


@pytest.mark.parametrize("verb", [mlobs.asgi, mlobs.wsgi])
def test_what_is_no_application_is_refused(verb: Any) -> None:
    """A person's mistake is told at once."""
    with pytest.raises(mlobs.ConfigurationError, match="expected an application"):
        verb("app:app")


def test_a_propagator_that_is_not_there_is_told_once() -> None:
    """A wrong OTEL_PROPAGATORS is said in the log, and requests are served all the same."""
    script = (
        "import logging, mlobs; logging.basicConfig(level='WARNING');"
        "app = mlobs.wsgi(lambda environ, start: [b'x']); app = mlobs.wsgi(app);"
        f"assert app({{'HTTP_TRACEPARENT': {SAMPLED!r}}}, None) == [b'x']"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OTEL_PROPAGATORS": "carrier-pigeon"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("mlobs cannot read the headers of requests: Propagator carrier-pigeon not found") == 1
