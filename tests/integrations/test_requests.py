"""What an integration asks of `Hooks` where a server has no door of its own: headers, positions, its own errors, a last export."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tests import told
from tests.sink import Sink

import mlobs
from mlobs.api import registry, runtime
from mlobs.hooks.patching import Patches
from mlobs.integration import Hooks
from mlobs.testing import Telemetry, capture

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without spans of our own choice: what has no parent has no span."""
    with capture(span_ratio=0.0) as captured:
        yield captured


@pytest.fixture
def predict(telemetry: Telemetry) -> Callable[[Any], float]:
    observed: Callable[[Any], float] = mlobs.observe(model="m")(lambda x: 0.5)
    return observed


@pytest.fixture
def patches() -> Iterator[Patches]:
    """The hooks of some integration."""
    made = Patches(runtime, registry)
    yield made
    made.restore()


def parents(telemetry: Telemetry) -> list[str | None]:
    return [span.parent and trace.format_span_id(span.parent.span_id) for span in telemetry.spans]


@pytest.mark.parametrize("headers", [HEADERS, {"Host": "here", "TraceParent": HEADERS["traceparent"]}])
def test_a_block_under_headers(
    headers: dict[str, str], telemetry: Telemetry, predict: Callable[[Any], float], patches: Patches
) -> None:
    """In the block predictions hang under the span that the headers name, however these are spelled; after it they do not."""
    hooks: Hooks = patches
    with hooks.under(headers):
        predict([1.0])
    predict([1.0])
    assert parents(telemetry) == [CALLER]


@pytest.mark.parametrize(
    "headers", [{}, {"host": "here"}, {"traceparent": "nonsense"}, {"traceparent": None}, {"ключ": "☃"}]
)
def test_headers_that_name_no_span(
    headers: dict[str, Any], telemetry: Telemetry, predict: Callable[[Any], float], patches: Patches
) -> None:
    """The block is as if it were not there."""
    with patches.under(headers):
        predict([1.0])
    assert telemetry.spans == []
    assert sum(told.calls(telemetry).values()) == 1


def test_a_span_that_is_current_stays(telemetry: Telemetry, predict: Callable[[Any], float], patches: Patches) -> None:
    """Where something traces the request, its span is over the prediction; and after uninstrumenting nothing is read."""
    with TracerProvider().get_tracer("theirs").start_as_current_span("request") as request, patches.under(HEADERS):
        predict([1.0])
    assert parents(telemetry) == [trace.format_span_id(request.get_span_context().span_id)]
    patches.restore()
    with patches.under(HEADERS):
        predict([1.0])
    assert len(telemetry.spans) == 1


def test_an_application_with_its_scope_elsewhere(
    telemetry: Telemetry,
    predict: Callable[[Any], float],
    patches: Patches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A method that takes something before the scope is served under the caller's span, and restored."""
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.asgi", raising=False)

    class Server:
        async def serve(self, told: str, scope: Any, receive: Any, send: Any) -> str:
            predict([1.0])
            return told

    before = Server.__dict__["serve"]
    patches.asgi(Server, "serve", position=2)
    scope = {"type": "http", "headers": [(b"traceparent", HEADERS["traceparent"].encode())]}
    assert asyncio.run(Server().serve("as it is", scope, None, None)) == "as it is"
    assert parents(telemetry) == [CALLER]
    patches.restore()
    assert Server.__dict__["serve"] is before


def test_an_integrations_own_error_is_counted(
    telemetry: Telemetry, patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes no further; in mlobs' own tests it is raised."""
    with pytest.raises(KeyError), patches.guarded():
        raise KeyError("mine")
    monkeypatch.setattr(runtime.guard, "strict", False)
    with patches.guarded():
        raise KeyError("mine")
    assert runtime.guard.errors["hook"] == 1
    runtime.guard.errors.clear()


KILLED = """
import os, sys, mlobs
from mlobs.api import registry, runtime
from mlobs.hooks.patching import Patches
mlobs.observe(model="last")(lambda x: 0.5)([1.0])
Patches(runtime, registry).flush()
os._exit(0)
"""


def test_a_last_export(sink: Sink) -> None:
    """What was counted has arrived when it returns, whatever becomes of the process."""
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_METRIC_EXPORT_INTERVAL": "3600000"}
    subprocess.run([sys.executable, "-c", KILLED], env=environ, check=True)
    assert sink.calls() == 1
