"""What is current is found in OpenTelemetry's own variable, and asked for where there is none."""

import contextvars
import pickle
import threading

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider

from mlobs.otel import current


def test_it_is_empty_where_nothing_was_attached() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(current.CURRENT.get()))
    thread.start()
    thread.join()
    assert len(found) == 1
    assert not found[0]


def test_it_is_the_very_variable_and_no_function() -> None:
    assert type(current.CURRENT.get).__name__ == "builtin_function_or_method"


def test_a_span_that_is_current_is_seen() -> None:
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        assert current.CURRENT.get() is context.get_current()
        assert trace.get_current_span(context.get_current()) is span
    assert not contextvars.Context().run(current.CURRENT.get)


def test_another_implementation_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[context.Context] = [context.Context()]

    def attach(new: context.Context) -> object:
        held.append(new)
        return object()

    monkeypatch.setattr(context, "attach", attach)
    monkeypatch.setattr(context, "detach", lambda _: held.pop())
    monkeypatch.setattr(context, "get_current", lambda: held[-1])
    found = current.Current()
    assert not found.get()
    attach(context.set_value("key", 1, context.Context()))
    assert found.get()


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(current.CURRENT)) is current.CURRENT
