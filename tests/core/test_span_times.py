"""When a span ends, which is said by another clock than when it began, and later; and under whom it is made so late."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import mlobs
from mlobs.testing import capture


def predict(seconds: float) -> float:
    time.sleep(seconds)
    return 0.5


def refuse(seconds: float) -> float:
    time.sleep(seconds)
    raise ValueError


@pytest.mark.parametrize("function", [predict, refuse])
def test_no_span_ends_before_it_began(function: Callable[[float], float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock was set back before the call was folded it lasts as long as the call, and what it tells is within."""
    real = time.time_ns
    with capture(spans="always") as telemetry:
        observed = mlobs.observe(model="m")(function)
        with suppress(ValueError):
            observed(0.002)
        monkeypatch.setattr(time, "time_ns", lambda: real() - 3_600 * 10**9)
        [span] = telemetry.spans
    assert span.start_time is not None
    assert span.end_time is not None
    assert 2_000_000 <= span.end_time - span.start_time < 10**9
    assert all(span.start_time <= event.timestamp <= span.end_time for event in span.events)


def test_a_thread_that_waits_between_two_clocks_reads_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans made after the fact, which have nothing else to go by, are where their call was."""
    real = time.time_ns
    waits = [0.5, 0.0]

    def interrupted() -> int:
        now = real()
        time.sleep(waits.pop(0) if waits else 0)
        return now

    with capture(slow=0.001, span_ratio=0.0) as telemetry:
        observed = mlobs.observe(model="m")(predict)
        before = real()
        observed(0.002)
        after = real()
        monkeypatch.setattr(time, "time_ns", interrupted)
        [span] = telemetry.spans
    assert not waits
    assert span.start_time is not None
    assert span.end_time is not None
    assert before - 50_000_000 <= span.start_time <= span.end_time <= after + 50_000_000


def test_a_span_after_the_fact_is_nobodys_child() -> None:
    """Whoever folds, in the middle of a request say, has nothing to do with the calls that are folded."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("request")
    with capture(slow=0.001, span_ratio=0.0) as telemetry:
        mlobs.observe(model="m")(predict)(0.002)
        with tracer.start_as_current_span("another request") as request:
            mlobs.drift()
            assert trace.get_current_span() is request
        [span] = telemetry.spans
    assert span.parent is None
