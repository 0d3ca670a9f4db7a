"""Flask: the model span hangs under the request's span, or under the caller's where nothing traces."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from flask import Flask, Response, send_file, stream_with_context
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import mlobs
from mlobs.testing import Telemetry, capture

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
ROW = [[1.0, 2.0]]


def service() -> Flask:
    """A service that predicts in a view, and three times while its answer streams."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        return 0.5

    def pieces() -> Iterator[str]:
        for _ in range(3):
            yield f"{predict(ROW)} "

    app = Flask("service")
    app.testing = True

    @app.get("/sync")
    def sync() -> str:
        return str(predict(ROW))

    @app.get("/stream")
    def stream() -> Response:
        return Response(pieces())

    @app.get("/stream/context")
    def stream_in_context() -> Response:
        return Response(stream_with_context(pieces()))

    @app.get("/file")
    def file() -> Response:
        predict(ROW)
        return send_file(BytesIO(b"0.5"), mimetype="text/plain")

    @app.get("/fails")
    def fails() -> str:
        predict(ROW)
        raise LookupError("theirs")

    return app


def added(app: Flask) -> Flask:
    app.wsgi_app = mlobs.wsgi(app.wsgi_app)  # type: ignore[assignment,method-assign]
    return app


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without spans of our own choice: what has no parent has no span."""
    with capture(span_ratio=0.0) as captured:
        yield captured


def parents(telemetry: Telemetry) -> list[str | None]:
    return [span.parent and trace.format_span_id(span.parent.span_id) for span in telemetry.spans]


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """Flask's instrumentation attaches to the test's own thread, and does not detach everything."""
    before = otel_context.get_current()
    yield
    otel_context.attach(before)


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which OpenTelemetry's instrumentation of WSGI is not loaded, whatever other tests have loaded."""
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.wsgi", raising=False)


Traced = tuple[Callable[[Flask], None], Callable[[], list[ReadableSpan]]]


@pytest.fixture
def traced() -> Iterator[Traced]:
    """Turns OpenTelemetry's own instrumentation on for an application, and tells the request spans it has made."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.flask").FlaskInstrumentor()
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    apps = []

    def turn_on(app: Flask) -> None:
        apps.append(app)
        instrumentation.instrument_app(app, tracer_provider=provider)

    yield turn_on, lambda: list(exporter.get_finished_spans())
    for app in apps:
        instrumentation.uninstrument_app(app)


@pytest.mark.parametrize("path", ["/sync", "/file"])
@pytest.mark.parametrize("way", ["bare", "inside", "around"])
def test_under_opentelemetrys_instrumentation_there_is_nothing_to_do(
    path: str, way: str, telemetry: Telemetry, traced: Traced
) -> None:
    """Each prediction is a child of the request's span, a server's under the caller; the helper changes nothing of it."""
    turn_on, requests = traced
    app = service()
    if way == "inside":
        added(app)
    turn_on(app)
    if way == "around":
        added(app)
    assert app.test_client().get(path, headers=HEADERS).status_code == 200
    [request] = requests()
    assert request.kind is trace.SpanKind.SERVER
    assert request.parent is not None
    assert trace.format_span_id(request.parent.span_id) == CALLER
    assert request.context is not None
    assert parents(telemetry) == [trace.format_span_id(request.context.span_id)]


def test_flasks_request_is_over_before_its_answer_is_made(telemetry: Telemetry, traced: Traced) -> None:
    """OpenTelemetry ends the request's span when the view returns: what is predicted while streaming is nobody's child."""
    turn_on, requests = traced
    app = service()
    turn_on(app)
    assert app.test_client().get("/stream", headers=HEADERS).text == "0.5 0.5 0.5 "
    assert len(requests()) == 1
    assert telemetry.spans == []
    assert telemetry.total("mlobs.prediction.duration") == 3


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("path", ["/sync", "/stream", "/stream/context", "/file"])
def test_without_it_predictions_hang_under_the_caller(path: str, telemetry: Telemetry) -> None:
    """In a view and while the answer streams, with and without the request's context; the answer is the same."""
    bare = service().test_client().get(path, headers=HEADERS)
    assert telemetry.spans == []
    answer = added(service()).test_client().get(path, headers=HEADERS)
    assert (answer.status_code, answer.data) == (bare.status_code, bare.data)
    assert set(answer.headers.keys()) == set(bare.headers.keys())
    assert parents(telemetry) == [CALLER] * (3 if "stream" in path else 1)
    assert otel_context.get_current() == {}


@pytest.mark.usefixtures("untraced")
def test_a_mounted_application_is_served_under_the_same_caller(telemetry: Telemetry) -> None:
    """Both wrapped, one context."""
    outer = Flask("outer")
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": added(service())})  # type: ignore[method-assign]
    assert added(outer).test_client().get("/inner/stream", headers=HEADERS).text == "0.5 0.5 0.5 "
    assert parents(telemetry) == [CALLER] * 3
    assert otel_context.get_current() == {}


@pytest.mark.usefixtures("untraced")
def test_an_error_passes_through(telemetry: Telemetry) -> None:
    """What the view raises reaches the server as it is."""
    with pytest.raises(LookupError, match="theirs"):
        added(service()).test_client().get("/fails", headers=HEADERS)
    assert parents(telemetry) == [CALLER]
    assert otel_context.get_current() == {}


@pytest.mark.usefixtures("untraced")
def test_a_request_without_headers_is_nobodys_child(telemetry: Telemetry) -> None:
    """Then the policy of calls without a parent holds."""
    client = added(service()).test_client()
    for headers in ({}, {"traceparent": "nonsense"}):
        assert client.get("/stream", headers=headers).text == "0.5 0.5 0.5 "
    assert telemetry.spans == []
    assert telemetry.total("mlobs.prediction.duration") == 6
