"""FastAPI and Starlette: the model span hangs under the request's span, or under the caller's where nothing traces."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.concurrency import run_in_threadpool

import mlobs
from mlobs.api import runtime
from mlobs.testing import Telemetry, capture

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
ROW = [[1.0, 2.0]]
PATHS = ["/sync", "/async", "/threadpool", "/stream/sync", "/stream/async"]


def service() -> FastAPI:
    """A service that predicts in every way it can; three rows where it streams."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        return 0.5

    @mlobs.observe(model="m")
    async def predict_soon(x: Any) -> float:
        await asyncio.sleep(0)
        return 0.5

    app = FastAPI()
    pool = ThreadPoolExecutor(1)

    @app.get("/sync")
    def sync() -> float:
        return predict(ROW)

    @app.get("/async")
    async def soon() -> float:
        return await predict_soon(ROW)

    @app.get("/threadpool")
    async def threadpool() -> float:
        return await run_in_threadpool(predict, ROW)

    @app.get("/stream/sync")
    def stream() -> StreamingResponse:
        def pieces() -> Iterator[str]:
            for _ in range(3):
                yield f"{predict(ROW)} "

        return StreamingResponse(pieces())

    @app.get("/stream/async")
    async def stream_soon() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for _ in range(3):
                yield f"{await predict_soon(ROW)} "

        return StreamingResponse(pieces())

    @app.get("/own-pool")
    async def own_pool() -> float:
        return await asyncio.get_running_loop().run_in_executor(pool, predict, ROW)

    @app.get("/fails")
    def fails() -> float:
        predict(ROW)
        raise LookupError("theirs")

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(3):
            await websocket.send_json(await predict_soon(await websocket.receive_json()))
        await websocket.close()

    return app


def get(app: Any, path: str, headers: dict[str, str] | None = HEADERS) -> httpx.Response:
    """The answer to a request, in an event loop of its own; the context that it was sent in is as it was."""

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            answer = await client.get(path, headers=headers)
        assert otel_context.get_current() == {}
        return answer

    return asyncio.run(main())


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without spans of our own choice: what has no parent has no span."""
    with capture(span_ratio=0.0) as captured:
        yield captured


def parents(telemetry: Telemetry) -> list[str | None]:
    return [span.parent and trace.format_span_id(span.parent.span_id) for span in telemetry.spans]


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which OpenTelemetry's instrumentation of ASGI is not loaded, whatever other tests have loaded."""
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.asgi", raising=False)


Traced = tuple[Callable[[FastAPI], None], Callable[[], list[ReadableSpan]]]


@pytest.fixture
def traced() -> Iterator[Traced]:
    """Turns OpenTelemetry's own instrumentation on for an application, and tells the request spans it has made."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.fastapi").FastAPIInstrumentor
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    apps = []

    def turn_on(app: FastAPI) -> None:
        apps.append(app)
        instrumentation.instrument_app(app, tracer_provider=provider)

    def requests() -> list[ReadableSpan]:
        found = exporter.get_finished_spans()
        return [span for span in found if not (span.attributes or {}).get("asgi.event.type")]

    yield turn_on, requests
    for app in apps:
        instrumentation.uninstrument_app(app)


# ── with OpenTelemetry's instrumentation: nothing to do ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", PATHS)
def test_under_opentelemetrys_instrumentation_there_is_nothing_to_do(
    path: str, telemetry: Telemetry, traced: Traced
) -> None:
    """Each prediction is a child of the request's span, in the pool's threads and while the answer streams too."""
    turn_on, requests = traced
    app = service()
    turn_on(app)
    assert get(app, path).status_code == 200
    [request] = requests()
    assert request.context is not None
    made = 3 if "stream" in path else 1
    assert parents(telemetry) == [trace.format_span_id(request.context.span_id)] * made


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("outermost", [False, True])
def test_the_helper_leaves_opentelemetrys_spans_as_they_are(
    path: str, outermost: bool, telemetry: Telemetry, traced: Traced
) -> None:
    """With the helper inside or around it, the request's span is a server's, under the caller, over the predictions."""
    turn_on, requests = traced
    app = service()
    if not outermost:
        app.add_middleware(mlobs.asgi)
    turn_on(app)
    served: Any = mlobs.asgi(app) if outermost else app
    assert get(served, path).status_code == 200
    [request] = requests()
    assert request.kind is trace.SpanKind.SERVER
    assert request.parent is not None
    assert trace.format_span_id(request.parent.span_id) == CALLER
    assert request.context is not None
    assert set(parents(telemetry)) == {trace.format_span_id(request.context.span_id)}


def test_an_own_pool_needs_the_threading_instrumentation(telemetry: Telemetry, traced: Traced) -> None:
    """run_in_executor carries no context; OpenTelemetry's ThreadingInstrumentor is the cure."""
    threading = pytest.importorskip("opentelemetry.instrumentation.threading").ThreadingInstrumentor()
    turn_on, requests = traced
    app = service()
    turn_on(app)
    get(app, "/own-pool")
    assert parents(telemetry) == []
    assert runtime.pipeline.settle(30)  # it starts threads, and 0.54 fails on those that start while it is turned on
    threading.instrument()
    try:
        get(app, "/own-pool")
    finally:
        threading.uninstrument()
    _, request = requests()
    assert request.context is not None
    assert parents(telemetry) == [trace.format_span_id(request.context.span_id)]
    assert telemetry.total("mlobs.prediction.duration") == 2


# ── without it: the caller's span ───────────────────────────────────────────────────────────────────────────────────


def wrapped(app: FastAPI) -> Any:
    return mlobs.asgi(app)


def added(app: FastAPI) -> Any:
    app.add_middleware(mlobs.asgi)
    return app


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", [wrapped, added])
def test_without_it_predictions_hang_under_the_caller(
    path: str, way: Callable[[FastAPI], Any], telemetry: Telemetry
) -> None:
    """Wrapped or added as a middleware: each prediction is a child of the span that the headers name."""
    bare = get(service(), path)
    assert telemetry.spans == []
    answer = get(way(service()), path)
    assert (answer.status_code, answer.text) == (bare.status_code, bare.text)
    assert answer.headers == bare.headers
    assert parents(telemetry) == [CALLER] * (3 if "stream" in path else 1)


@pytest.mark.usefixtures("untraced")
def test_a_websockets_predictions_hang_under_the_caller(telemetry: Telemetry) -> None:
    """For as long as the connection lasts."""
    received = iter([{"type": "websocket.connect"}, *[{"type": "websocket.receive", "text": json.dumps(ROW)}] * 3])
    sent = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message.get("text"))

    scope = {
        "type": "websocket",
        "path": "/socket",
        "query_string": b"",
        "headers": [(b"traceparent", HEADERS["traceparent"].encode())],
    }
    asyncio.run(added(service())(scope, receive, send))
    assert sent == [None, "0.5", "0.5", "0.5", None]
    assert parents(telemetry) == [CALLER] * 3


@pytest.mark.usefixtures("untraced")
def test_a_mounted_application_is_served_under_the_same_caller(telemetry: Telemetry) -> None:
    """Both wrapped, one context."""
    outer = FastAPI()
    outer.mount("/inner", wrapped(service()))
    assert get(wrapped(outer), "/inner/sync").json() == 0.5
    assert parents(telemetry) == [CALLER]


@pytest.mark.usefixtures("untraced")
def test_an_error_passes_through(telemetry: Telemetry) -> None:
    """What the endpoint raises reaches the server as it is."""
    with pytest.raises(LookupError, match="theirs"):
        get(added(service()), "/fails")
    assert parents(telemetry) == [CALLER]


@pytest.mark.usefixtures("untraced")
def test_a_request_without_headers_is_nobodys_child(telemetry: Telemetry) -> None:
    """Then the policy of calls without a parent holds."""
    app = added(service())
    for _ in range(3):
        assert get(app, "/sync", None).json() == 0.5
        assert get(app, "/sync", {"traceparent": "nonsense"}).json() == 0.5
    assert telemetry.spans == []
    assert telemetry.total("mlobs.prediction.duration") == 6
