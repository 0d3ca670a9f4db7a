"""Which calls get a span, what it says, and what it never says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import mlobs
from mlobs.api import runtime
from mlobs.testing import Telemetry, capture

ROW = np.ones((1, 3))


@pytest.fixture
def tracer() -> trace.Tracer:
    """A tracer of the test's own, for spans around observed calls."""
    return TracerProvider(shutdown_on_exit=False).get_tracer("request")


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("answer", [np.zeros((2, 2, 2)), object(), None], ids=["cube", "object", "nothing"])
@pytest.mark.parametrize("data", [{"a": [1.0, 2.0]}, np.ones((2, 3, 4, 4))], ids=["table", "images"])
def test_what_is_no_table_hides_nothing_else(data: Any, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A call with images, or with an answer of three dimensions, says how many rows it had, and its other side."""
    with capture(spans="always") as telemetry:
        mlobs.observe(model="m", capture=["a"])(lambda x: answer)(data)
        [span] = telemetry.spans
    told = attributes(span)
    assert told["mlobs.prediction.batch_rows"] == 2
    assert ("mlobs.captured.a" in told) is (type(data) is dict)
    assert "data of a span" not in caplog.text


def test_the_confidence_of_what_is_no_table() -> None:
    """An image's probabilities."""
    with capture(spans="always") as telemetry:
        mlobs.observe(model="m")(lambda x: np.array([[0.2, 0.8]]))(np.ones((1, 3, 4, 4)))
        assert attributes(telemetry.spans[0])["mlobs.prediction.confidence"] == 0.8


def test_a_call_under_a_recording_span_is_its_child(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    """Request, model, and what the model traces itself hang together, and the model span has the call's times."""
    inner = []

    @mlobs.observe(model="price", version="2")
    def predict(x: Any) -> float:
        inner.append(trace.get_current_span().get_span_context())
        return 0.5

    with tracer.start_as_current_span("request") as request:
        before = time.time_ns()
        predict(ROW)
        after = time.time_ns()
        assert trace.get_current_span() is request
    [span] = telemetry.spans
    assert span.name == "predict price"
    assert span.kind is trace.SpanKind.INTERNAL
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert span.context is not None
    assert inner == [span.context]
    assert span.start_time is not None
    assert span.end_time is not None
    assert before - 1_000_000 <= span.start_time <= span.end_time <= after + 1_000_000
    assert attributes(span) == {
        "model.name": "price",
        "model.version": "2",
        "model.variant": "champion",
        "model.operation": "predict",
        "mlobs.prediction.batch_rows": 1,
        "mlobs.input.features": 3,
        "mlobs.input.violations": 0,
        "mlobs.drift.detected": False,
    }


def test_calls_of_nobody_are_sampled_by_our_own_countdown() -> None:
    """One in a hundred by default, the first among them; all or none where asked."""
    for settings, expected in (
        ({}, 3),
        ({"span_ratio": 0.1}, 21),
        ({"spans": "always"}, 201),
        ({"spans": "never"}, 0),
        ({"span_ratio": 0.0}, 0),
    ):
        with capture(slow=60.0, **settings) as telemetry:
            predict = mlobs.observe(model="m")(lambda x: 0.5)
            for _ in range(201):
                predict(ROW)
            assert len(telemetry.spans) == expected, settings


def test_an_unsampled_request_has_no_spans_below_it(telemetry: Telemetry) -> None:
    """The request's sampling decision stands: no live span, none after the fact."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        raise ValueError

    with provider.get_tracer("t").start_as_current_span("request"), pytest.raises(ValueError):
        predict(ROW)
    assert telemetry.spans == []
    assert telemetry.total("mlobs.prediction.duration", error_type="ValueError") == 1


def test_slow_calls_of_an_unsampled_request_have_no_spans() -> None:
    """Whichever path a call takes, also the one that asks for nothing rare: it alone would have had one after the fact."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with capture(slow=0.0002, span_ratio=0.0) as telemetry:
        predict = mlobs.observe(model="m")(lambda x: time.sleep(0.0005))
        for _ in range(2):  # then it is known how long calls are, and few are asked for their CPU time
            telemetry.clock.advance(10)
            predict(ROW)
            telemetry.collect()
        before = len(telemetry.spans)
        with provider.get_tracer("t").start_as_current_span("request"):
            for _ in range(8):
                predict(ROW)
        assert len(telemetry.spans) == before
        for _ in range(8):
            predict(ROW)
        assert len(telemetry.spans) == before + 8
        assert telemetry.total("mlobs.prediction.duration") == 18


def test_a_remote_sampled_parent_is_followed(telemetry: Telemetry) -> None:
    """A trace that began in another process goes on."""
    remote = trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(1))
    from opentelemetry import context

    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(remote)))
    try:
        mlobs.observe(model="m")(lambda x: 0.5)(ROW)
    finally:
        context.detach(token)
    [span] = telemetry.spans
    assert span.parent is not None
    assert span.parent.span_id == 8


def test_errors_get_a_span_after_the_fact_without_any_value(telemetry: Telemetry) -> None:
    """The error's type and frames are on the span; its message and arguments are not."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        secret = "4000-1234"
        raise ValueError(f"bad card {secret} {x}")

    mlobs.observe(model="m")(lambda x: x)  # another monitor of the model
    for _ in range(3):
        with pytest.raises(ValueError):
            predict([41.5, 1.0])
    spans = telemetry.spans
    assert len(spans) == 3
    for span in spans:
        assert span.status.status_code is trace.StatusCode.ERROR
        assert span.status.description == "ValueError"
        assert attributes(span)["error.type"] == "ValueError"
        [event] = span.events
        about = dict(event.attributes or {})
        assert event.name == "exception"
        assert about["exception.type"] == "ValueError"
        assert "in predict" in str(about["exception.stacktrace"])
        assert "exception.message" not in about
        assert "4000-1234" not in span.to_json()
        assert "41.5" not in span.to_json()


def test_capture_names_what_may_be_said(telemetry: Telemetry) -> None:
    """Only features named in capture, and the exception's message if named, are on a span."""

    @mlobs.observe(model="m", capture=["age", "exception.message"])
    def predict(x: Any) -> float:
        raise ValueError("told")

    with pytest.raises(ValueError):
        predict({"age": 33, "name": "Ann"})
    [span] = telemetry.spans
    assert attributes(span)["mlobs.captured.age"] == 33
    assert "Ann" not in span.to_json()
    assert dict(span.events[0].attributes or {})["exception.message"] == "told"


def test_slow_calls_get_a_span_after_the_fact() -> None:
    """A call longer than the threshold is on record, with its own times."""
    with capture(slow=0.02, span_ratio=0.0) as telemetry:

        @mlobs.observe(model="m")
        def predict(x: float) -> float:
            time.sleep(x)
            return x

        predict(0.0)
        predict(0.03)
        [span] = telemetry.spans
        assert attributes(span)["mlobs.prediction.slow"] is True
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.end_time - span.start_time >= 30_000_000


def test_exemplars_lead_from_the_histogram_to_the_span(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    """A recorded call's duration carries the ids of its span, once."""
    predict = mlobs.observe(model="m")(lambda x: 0.5)
    with tracer.start_as_current_span("request"):
        predict(ROW)
    [span] = telemetry.spans
    assert span.context is not None
    [histogram] = telemetry.histograms("mlobs.prediction.duration")
    [exemplar] = histogram.exemplars  # type: ignore[union-attr]
    assert (exemplar.trace_id, exemplar.span_id) == (span.context.trace_id, span.context.span_id)
    assert exemplar.value == pytest.approx((span.end_time or 0) * 1e-9 - (span.start_time or 0) * 1e-9, abs=1e-3)
    [histogram] = telemetry.histograms("mlobs.prediction.duration")
    assert histogram.exemplars == []  # type: ignore[union-attr]


def test_what_the_data_was_like_is_on_the_span(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    """Violations of the call, the model's confidence, and whether its inputs are drifting."""
    training = np.random.default_rng(0).normal(size=(2000, 3))
    profile = mlobs.Profile.build(training)
    predict = mlobs.observe(model="m", reference=profile)(lambda x: np.array([[0.1, 0.9]]))
    for _ in range(2):
        with tracer.start_as_current_span("request"):
            predict([[float("nan"), 99.0, 0.0]])
        predict(training + 3)
        mlobs.drift()
        telemetry.collect()
    first, second = (attributes(span) for span in telemetry.spans if span.parent)
    assert first["mlobs.input.violations"] == 2
    assert first["mlobs.prediction.confidence"] == pytest.approx(0.9)
    assert (first["mlobs.drift.detected"], second["mlobs.drift.detected"]) == (False, True)


def test_violations_are_of_each_call_and_counted_once(
    telemetry: Telemetry, tracer: trace.Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    """However many spans are folded together; what could not be used is told once, too."""
    predict = mlobs.observe(model="m", reference=mlobs.Profile.build(np.zeros((100, 3))))(lambda x: 0.5)
    given: list[tuple[Any, int]] = [
        ([[0.0, 0.0, 0.0]], 0),
        ([[float("nan"), 9.0, float("inf")], [0.0, 0.0, 9.0]], 4),
        ([[0.0, 0.0]], 1),
        (object(), 0),
        ([[0.0, 0.0, "text"], [0.0, 0.0, 0.0]], 1),
    ]
    for rows, _ in given:
        with tracer.start_as_current_span("request"):
            predict(rows)
    told = [attributes(span)["mlobs.input.violations"] for span in telemetry.spans if span.parent]
    assert told == [violations for _, violations in given]
    assert telemetry.total("mlobs.feature.violations") == 5
    assert telemetry.total("mlobs.schema.violations") == 1
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 1
    assert telemetry.total("mlobs.sdk.dropped", reason="width") == 1
    assert [record.message.split(" (")[1].split(")")[0] for record in caplog.records] == ["unreadable", "width"]


def test_coroutines_and_generators_hold_their_span(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    """A coroutine's span is current inside it; a generator's only while the generator runs."""
    seen = []

    @mlobs.observe(model="co")
    async def predict(x: Any) -> None:
        await asyncio.sleep(0)
        seen.append(trace.get_current_span().get_span_context().span_id)

    @mlobs.observe(model="gen")
    def stream(n: int) -> Iterator[int]:
        for i in range(n):
            seen.append(trace.get_current_span().get_span_context().span_id)
            yield i

    async def main() -> None:
        await asyncio.gather(predict(1.0), predict(2.0))

    with tracer.start_as_current_span("request") as request:
        asyncio.run(main())
        for _ in stream(2):
            assert trace.get_current_span() is request
    spans = telemetry.spans
    assert len(spans) == 3
    assert {span.context.span_id for span in spans if span.context} == set(seen)


def test_a_storm_of_errors_makes_a_bounded_number_of_spans(telemetry: Telemetry) -> None:
    """Every error is counted; spans after the fact are limited a fold, and the rest is counted too."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        raise ValueError

    for _ in range(300):
        with pytest.raises(ValueError):
            predict(ROW)
    assert telemetry.total("mlobs.prediction.duration", error_type="ValueError") == 300
    made = len(telemetry.spans)
    assert made + telemetry.total("mlobs.sdk.dropped", reason="span_limit") == 300
    assert made < 300


def test_a_failing_span_processor_does_not_reach_the_host() -> None:
    """Errors of the user's own tracing pipeline are counted as ours would be."""
    from opentelemetry.sdk.trace import SpanProcessor

    from mlobs.api import runtime

    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise RuntimeError("processor")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Broken())
    with capture(tracer_provider=provider) as telemetry:
        runtime.guard.strict = False
        predict = mlobs.observe(model="m")(lambda x: 0.5)
        assert predict(ROW) == 0.5
        assert telemetry.total("mlobs.prediction.duration") == 1
        assert telemetry.total("mlobs.sdk.errors") == 1


def test_the_users_provider_is_used_and_a_later_one_too() -> None:
    """Spans go to the provider that is set, given by hand or global, whenever it is set."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with capture(tracer_provider=provider, spans="always") as telemetry:
        mlobs.observe(model="m")(lambda x: 0.5)(ROW)
        telemetry.collect()
    assert [span.name for span in exporter.get_finished_spans()] == ["<lambda> m"]


def test_threads_keep_their_spans_apart(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    """Concurrent requests' model spans hang under their own request."""
    predict = mlobs.observe(model="m")(lambda x: 0.5)
    requests = []

    def work() -> None:
        for _ in range(20):
            with tracer.start_as_current_span("request") as request:
                predict(ROW)
                requests.append(request.get_span_context().span_id)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parents = [span.parent.span_id for span in telemetry.spans if span.parent]
    assert sorted(parents) == sorted(requests)


def test_own_spans_are_bounded_a_second(telemetry: Telemetry) -> None:
    """However many calls a second there are, our own countdown begins about five spans, so that the tail stays short."""
    predict = mlobs.observe(model="m")(lambda x: 0.5)
    predict(ROW)
    telemetry.collect()
    for _ in range(4):
        telemetry.clock.advance(0.1)
        before = len(telemetry.spans)
        telemetry.clock.advance(0.4)
        for _ in range(5000):
            predict(ROW)
        telemetry.collect()
    assert len(telemetry.spans) - before <= 6
    [monitor] = runtime.monitors.values()
    every = monitor.span_every
    for _ in range(3):  # folds that follow each other, of an export say, tell nothing of the rate
        telemetry.clock.advance(0.01)
        predict(ROW)
        telemetry.collect()
    assert monitor.span_every == every
    telemetry.clock.advance(1000)
    predict(ROW)
    telemetry.collect()
    before = len(telemetry.spans)
    for _ in range(200):
        predict(ROW)
    assert len(telemetry.spans) - before == 2


@pytest.mark.parametrize(
    "settings", [{"spans": "always"}, {"slow": 1e-9, "span_ratio": 0.0}, {}], ids=["live", "after the fact", "under"]
)
def test_a_block_that_suppresses_instrumentation_has_no_spans(settings: dict[str, Any], tracer: trace.Tracer) -> None:
    """Its calls count; what follows it is traced again."""

    def calls() -> None:
        with mlobs.stage("preprocess"):
            predict(ROW)
        with pytest.raises(TypeError):
            predict()

    with capture(**settings) as telemetry:
        predict: Any = mlobs.observe(model="m")(lambda x: 0.5)
        under: Any = nullcontext if settings else lambda: tracer.start_as_current_span("request")
        with under():
            token = context.attach(context.set_value("suppress_instrumentation", value=True))
            calls()
            context.detach(token)
        assert telemetry.spans == []
        assert telemetry.total("mlobs.prediction.duration") == 2
        with under():
            calls()
        assert len(telemetry.spans) == (2 if settings else 3)
