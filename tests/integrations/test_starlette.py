"""Starlette and FastAPI under `mlobs.instrument()`: the same answers, and predictions under the caller's span."""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import context as otel_context
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from tests.sink import Sink
from uvicorn import Config

import mlobs
from mlobs.testing import Telemetry, capture

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
ORIGINAL = Starlette.__call__
ROW = [[1.0, 2.0]]


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hooked, in a process in which OpenTelemetry's instrumentation of ASGI is not loaded."""
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.asgi", raising=False)
    mlobs.instrument("starlette")
    yield
    mlobs.uninstrument("starlette")


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without spans of our own choice: what has no parent has no span."""
    with capture(span_ratio=0.0) as captured:
        yield captured


def service() -> Starlette:
    """Predicts at once, and three times while it streams, also where it is mounted into itself."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        return 0.5

    def once(request: Any) -> Any:
        return PlainTextResponse(str(predict(ROW)))

    def stream(request: Any) -> Any:
        return StreamingResponse(f"{predict(ROW)} " for _ in range(3))

    def fail(request: Any) -> Any:
        raise LookupError("theirs")

    routes = [Route("/once", once), Route("/stream", stream), Route("/fail", fail)]
    return Starlette(routes=[*routes, Mount("/inner", Starlette(routes=routes))])


def get(app: Any, path: str, headers: dict[str, str] | None = HEADERS) -> httpx.Response:
    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            answer = await client.get(path, headers=headers)
        assert otel_context.get_current() == {}
        return answer

    return asyncio.run(main())


def parents(telemetry: Telemetry) -> list[str | None]:
    return [span.parent and trace.format_span_id(span.parent.span_id) for span in telemetry.spans]


@pytest.mark.parametrize(("path", "made"), [("/once", 1), ("/stream", 3), ("/inner/once", 1), ("/inner/stream", 3)])
def test_predictions_hang_under_the_caller_and_the_answer_is_the_same(
    path: str, made: int, telemetry: Telemetry
) -> None:
    """Applications and those mounted in them, at once and piece by piece."""
    answer = get(service(), path)
    assert parents(telemetry) == [CALLER] * made
    mlobs.uninstrument("starlette")
    bare = get(service(), path)
    assert (answer.status_code, answer.text, answer.headers) == (bare.status_code, bare.text, bare.headers)
    assert len(telemetry.spans) == made
    assert telemetry.total("mlobs.prediction.duration") == 2 * made


def test_fastapi_is_a_starlette(telemetry: Telemetry) -> None:
    """FastAPI's applications are covered by the same hook."""
    app = FastAPI()
    app.get("/once")(lambda: mlobs.observe(model="m")(lambda x: 0.5)(ROW))
    assert get(app, "/once").json() == 0.5
    assert parents(telemetry) == [CALLER]


def test_a_request_without_headers_is_nobodys_child(telemetry: Telemetry) -> None:
    """Nothing to hang under, nothing changed."""
    app = service()
    assert get(app, "/once", None).text == get(app, "/once", {"traceparent": "?"}).text == "0.5"
    assert telemetry.spans == []


def test_an_error_passes_through(telemetry: Telemetry) -> None:
    """The endpoint's exception reaches the server as it is."""
    with pytest.raises(LookupError, match="theirs"):
        get(service(), "/fail")


def test_the_method_looks_as_it_did() -> None:
    """Name, signature, documentation and kind, by which servers tell ASGI's versions apart."""
    hooked = Starlette.__call__
    assert hooked is not ORIGINAL
    assert inspect.iscoroutinefunction(hooked)
    assert inspect.signature(hooked) == inspect.signature(ORIGINAL)
    assert (hooked.__qualname__, hooked.__module__, hooked.__doc__) == (
        ORIGINAL.__qualname__,
        ORIGINAL.__module__,
        ORIGINAL.__doc__,
    )
    assert pickle.loads(pickle.dumps(hooked)) is hooked


def test_uninstrumenting_restores_the_original() -> None:
    """The very function, also after it was turned on twice."""
    mlobs.instrument("starlette")
    mlobs.uninstrument("starlette")
    assert Starlette.__call__ is ORIGINAL


PROGRAM = """
    import sys
    import mlobs, uvicorn
    from fastapi import FastAPI
    if "by-hand" in sys.argv:
        mlobs.instrument("starlette")
    app = FastAPI()
    predict = mlobs.observe(model="m")(lambda x: 0.5)

    @app.get("/")
    def once():
        return predict([[1.0, 2.0]])

    uvicorn.run(app, port=0, log_level="info", access_log=False)
"""


@contextmanager
def uvicorn(folder: Path, sink: Sink, *words: str, **environ: str) -> Iterator[str]:
    """The program served in a process of its own; its address."""
    file, log = folder / "program.py", folder / "log.txt"
    file.write_text(textwrap.dedent(PROGRAM))
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_BSP_SCHEDULE_DELAY": "200", **environ}
    with log.open("wb") as output:
        process = subprocess.Popen([*words], cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 60
            while "running on http" not in (said := log.read_text()):
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.05)
            yield said.partition("running on ")[2].split()[0]
        finally:
            process.terminate()
            process.wait(30)


def test_by_hand_a_served_prediction_hangs_under_the_caller(tmp_path: Path, sink: Sink) -> None:
    """A real server, one line of code, and no tracing of requests."""
    with uvicorn(tmp_path, sink, sys.executable, "program.py", "by-hand", PYTHONWARNINGS="error") as address:
        assert httpx.get(address, headers=HEADERS).json() == 0.5
    assert [(span.name, span.parent_span_id.hex()) for span in sink.spans] == [("<lambda> m", CALLER)]


def test_under_the_agent_request_and_prediction_hang_together(tmp_path: Path, sink: Sink) -> None:
    """With `opentelemetry-instrument` the request's span is a server's under the caller, and the prediction's parent."""
    agent = Path(sys.executable).with_name("opentelemetry-instrument")
    pytest.importorskip("opentelemetry.instrumentation.fastapi")
    settings = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    protocol = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_EXPORTER": "otlp"}
    words = (str(agent), sys.executable, "program.py")
    with uvicorn(tmp_path, sink, *words, **settings, **protocol) as address:
        assert httpx.get(address, headers=HEADERS).json() == 0.5
        assert sink.wait(lambda sink: any(span.name == "<lambda> m" for span in sink.spans))
        assert sink.wait(lambda sink: any(span.name == "GET /" for span in sink.spans))
    (prediction,) = (span for span in sink.spans if span.name == "<lambda> m")
    (request,) = (span for span in sink.spans if span.name == "GET /")
    assert request.parent_span_id.hex() == CALLER
    assert request.kind == 2  # a server's
    assert prediction.parent_span_id == request.span_id


@pytest.mark.parametrize("application", [Starlette(), FastAPI(), mlobs.asgi(Starlette()), mlobs.asgi(FastAPI())])
def test_uvicorn_takes_it_for_an_application(application: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Uvicorn calls an application without arguments: one that does not mind is a factory of applications to it."""
    config = Config(application, log_config=None)
    config.load()
    assert config.interface == "asgi3"
    assert "factory" not in caplog.text
