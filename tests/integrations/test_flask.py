"""Flask under `mlobs.instrument()`: the same answers, and predictions under the caller's span."""

from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response
from opentelemetry import context as otel_context
from opentelemetry import trace
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import mlobs
from mlobs.testing import Telemetry, capture

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
ORIGINAL = Flask.__call__
ROW = [[1.0, 2.0]]


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hooked, in a process in which OpenTelemetry's instrumentation of WSGI is not loaded."""
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.wsgi", raising=False)
    mlobs.instrument("flask")
    yield
    mlobs.uninstrument("flask")
    assert otel_context.get_current() == {}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without spans of our own choice: what has no parent has no span."""
    with capture(span_ratio=0.0) as captured:
        yield captured


def service(*, mounts: bool = True) -> Flask:
    """Predicts at once, and three times while it streams, also where one like it is mounted."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        return 0.5

    def fail() -> str:
        raise LookupError("theirs")

    app = Flask("service")
    app.testing = True
    app.get("/once", endpoint="once")(lambda: str(predict(ROW)))
    app.get("/stream", endpoint="stream")(lambda: Response(f"{predict(ROW)} " for _ in range(3)))
    app.get("/fail")(fail)
    if mounts:
        inner = service(mounts=False)
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    return app


def parents(telemetry: Telemetry) -> list[str | None]:
    return [span.parent and trace.format_span_id(span.parent.span_id) for span in telemetry.spans]


@pytest.mark.parametrize(("path", "made"), [("/once", 1), ("/stream", 3), ("/inner/once", 1), ("/inner/stream", 3)])
def test_predictions_hang_under_the_caller_and_the_answer_is_the_same(
    path: str, made: int, telemetry: Telemetry
) -> None:
    """Applications and those mounted in them, at once and piece by piece."""
    answer = service().test_client().get(path, headers=HEADERS)
    assert answer.text.split() == ["0.5"] * made
    assert parents(telemetry) == [CALLER] * made
    mlobs.uninstrument("flask")
    bare = service().test_client().get(path, headers=HEADERS)
    assert (answer.status_code, answer.text, answer.headers) == (bare.status_code, bare.text, bare.headers)
    assert len(telemetry.spans) == made
    assert telemetry.total("mlobs.prediction.duration") == 2 * made


def test_a_request_without_headers_is_nobodys_child(telemetry: Telemetry) -> None:
    """Nothing to hang under, nothing changed."""
    client = service().test_client()
    assert client.get("/once").text == client.get("/once", headers={"traceparent": "?"}).text == "0.5"
    assert telemetry.spans == []


def test_an_error_passes_through(telemetry: Telemetry) -> None:
    """The view's exception reaches the server as it is."""
    with pytest.raises(LookupError, match="theirs"):
        service().test_client().get("/fail", headers=HEADERS)


def test_the_method_looks_as_it_did() -> None:
    """Name, signature and documentation."""
    hooked = Flask.__call__
    assert hooked is not ORIGINAL
    assert inspect.signature(hooked) == inspect.signature(ORIGINAL)
    assert (hooked.__qualname__, hooked.__module__, hooked.__doc__) == (
        ORIGINAL.__qualname__,
        ORIGINAL.__module__,
        ORIGINAL.__doc__,
    )
    assert pickle.loads(pickle.dumps(hooked)) is hooked


def test_uninstrumenting_restores_the_original() -> None:
    """The very function, also after it was turned on twice."""
    mlobs.instrument("flask")
    mlobs.uninstrument("flask")
    assert Flask.__call__ is ORIGINAL
