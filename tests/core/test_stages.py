"""`mlobs.stage`: what a part of a prediction took, whose it is, and its span."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import logging
import os
import pickle
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from tests.told import stages

import mlobs
from mlobs.api import runtime
from mlobs.core.reports import CallReport
from mlobs.integration import Reading
from mlobs.testing import Telemetry, capture

SAMPLED = NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1)))


@pytest.fixture(autouse=True)
def _context_is_left_as_it_was() -> Iterator[None]:
    before = otel_context.get_current()
    yield
    assert otel_context.get_current() == before


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without spans of our own choice: what has no parent has no span."""
    with capture(span_ratio=0.0) as captured:
        yield captured


def by_model(telemetry: Telemetry) -> dict[tuple[str, str, str], int]:
    """How many of each stage, by model and version; those of none have neither."""
    found: Counter[tuple[str, str, str]] = Counter()
    for points in telemetry.histograms("mlobs.stage.duration"):
        of = dict(points.attributes.items())
        found[of.get("model.name", ""), of.get("model.version", ""), of["stage"]] += int(sum(points.counts))  # type: ignore[union-attr]
    return {key: value for key, value in found.items() if value}


def seconds(telemetry: Telemetry, stage: str) -> float:
    found: float = sum(points.total for points in telemetry.histograms("mlobs.stage.duration", stage=stage))  # type: ignore[union-attr,misc]
    return found


# ── whose it is ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inside_a_call_it_is_its_models_and_elsewhere_whose_it_says(telemetry: Telemetry) -> None:
    """The observed call's model has the word; outside a name and version decide; else it is nobody's."""

    @mlobs.observe(model="churn", version="7")
    def predict(x: Any) -> float:
        with mlobs.stage("preprocess"), mlobs.stage("scale", model="other"):
            pass
        return 0.5

    @mlobs.observe(model="churn", version="8")
    def newer(x: Any) -> float:
        return predict(x)

    predict([1.0])
    newer([1.0])
    for about in ({"model": "churn", "version": "8"}, {"model": "nobody"}, {"model": "churn", "version": "9"}, {}):
        with mlobs.stage("postprocess", **about):
            pass
    assert by_model(telemetry) == {
        ("churn", "7", "preprocess"): 1,
        ("churn", "7", "scale"): 1,
        ("churn", "8", "preprocess"): 1,
        ("churn", "8", "scale"): 1,
        ("churn", "8", "postprocess"): 1,
        ("", "", "postprocess"): 3,
    }


def test_a_model_that_is_observed_meanwhile_is_found(telemetry: Telemetry) -> None:
    """A handler's stage around the first prediction is of the model that it names."""
    with mlobs.stage("handler", model="late"):
        mlobs.observe(model="late")(lambda x: 0.5)([1.0])
    assert by_model(telemetry) == {("late", "unversioned", "handler"): 1}


def test_it_tells_how_long_it_took(telemetry: Telemetry) -> None:
    """Seconds by the clock, the inner stage's being a part of the outer's."""
    tick = threading.Event()
    with mlobs.stage("outer"):
        tick.wait(0.02)
        with mlobs.stage("inner"):
            tick.wait(0.03)
    assert 0.03 <= seconds(telemetry, "inner") <= seconds(telemetry, "outer") - 0.02
    assert seconds(telemetry, "outer") < 5


def test_nothing_counts_in_training(telemetry: Telemetry) -> None:
    """In a region that an integration keeps quiet a stage has neither time nor span, also where one object is both."""
    shared = mlobs.stage("shared")

    class Model:
        def fit(self) -> str:
            with mlobs.stage("preprocess"), shared:
                return "fitted"

    from mlobs.hooks.patching import Patches

    patches = Patches(runtime, mlobs.api.registry)
    patches.suppress(Model, "fit")
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("request"), shared:
        assert Model().fit() == "fitted"
    patches.restore()
    assert stages(telemetry) == {"shared": 1}
    assert [span.name for span in telemetry.spans] == ["shared"]


def test_turned_off_it_does_nothing() -> None:
    """No time, no span, and whatever it encloses runs."""
    with capture(enabled=False) as telemetry, trace.use_span(SAMPLED):
        with mlobs.stage("a"):
            assert mlobs.stage("b")(lambda: 3)() == 3
        assert stages(telemetry) == {}
        assert telemetry.spans == []
        assert not runtime.started


# ── spans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_is_a_span_under_the_call_and_its_children_are_under_it(telemetry: Telemetry) -> None:
    """Stages within stages within a call within a request of another process: one trace, each under the one around it."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        with mlobs.stage("inference"), mlobs.stage("inner"):
            return 0.5

    with trace.use_span(SAMPLED), mlobs.stage("handler"):
        predict([1.0])
    spans = {span.name: span for span in telemetry.spans}
    above = {name: span.parent.span_id if span.parent else None for name, span in spans.items()}
    ids = {name: span.context.span_id for name, span in spans.items() if span.context}
    assert above == {
        "handler": 8,
        "predict m": ids["handler"],
        "inference": ids["predict m"],
        "inner": ids["inference"],
    }
    assert {span.context.trace_id for span in spans.values() if span.context} == {7}
    assert dict(spans["inner"].attributes or {}) == {"stage": "inner"}


def test_where_no_trace_is_recorded_there_is_no_span(telemetry: Telemetry) -> None:
    """Under nothing, and under a caller that is not sampled; the time counts all the same."""
    with mlobs.stage("a"), trace.use_span(NonRecordingSpan(SpanContext(7, 8, is_remote=True))), mlobs.stage("b"):
        pass
    assert telemetry.spans == []
    assert stages(telemetry) == {"a": 1, "b": 1}


def test_where_spans_are_off_there_is_none() -> None:
    """With `spans="never"` stages are counted and have no spans, whatever is being recorded."""
    with capture(spans="never") as telemetry, trace.use_span(SAMPLED):
        observed = mlobs.observe(model="m")(mlobs.stage("inference")(lambda x: x))
        with mlobs.stage("preprocess"):
            observed([1.0])
        assert stages(telemetry) == {"preprocess": 1, "inference": 1}
        assert telemetry.spans == []


def test_an_error_passes_through_and_its_span_says_so(telemetry: Telemetry) -> None:
    """The very object, from a block and from every kind of function; the time counts."""
    error = KeyError("theirs")

    def fail() -> None:
        raise error

    async def later() -> None:
        fail()

    def items() -> Iterator[int]:
        yield 1
        fail()

    async def more() -> AsyncIterator[int]:
        yield 1
        fail()

    async def consume() -> None:
        async for _ in mlobs.stage("s")(more)():
            pass

    def block() -> None:
        with mlobs.stage("s"):
            fail()

    runs: list[Callable[[], Any]] = [
        block,
        mlobs.stage("s")(fail),
        lambda: asyncio.run(mlobs.stage("s")(later)()),
        lambda: list(mlobs.stage("s")(items)()),
        lambda: asyncio.run(consume()),
    ]
    with trace.use_span(SAMPLED, record_exception=False, set_status_on_exception=False):
        for run in runs:
            with pytest.raises(KeyError) as caught:
                run()
            assert caught.value is error
    assert stages(telemetry) == {"s": 5}
    assert len(telemetry.spans) == 5
    for span in telemetry.spans:
        assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "KeyError")
        assert dict(span.attributes or {}) == {"stage": "s", "error.type": "KeyError"}


# ── as a decorator ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_decorator_without_a_name_is_told_where_it_stands() -> None:
    """Not by the first call of the function, which would be taken for the one that decorates."""
    wrong: Any = mlobs.stage
    with pytest.raises(mlobs.ConfigurationError, match=r"Try: @mlobs\.stage\('preprocess'\)"):

        @wrong
        def preprocess(x: Any) -> Any:
            return x


def test_a_decorated_function_is_of_its_kind_and_looks_as_it_did() -> None:
    """Name, signature, documentation, whether it is a coroutine's or a generator's; methods of every kind."""

    def plain(x: int = 1) -> int:
        """Say so."""
        return x

    async def later(x: int = 1) -> int:
        return x

    def items(x: int = 1) -> Iterator[int]:
        yield x

    async def more(x: int = 1) -> AsyncIterator[int]:
        yield x

    for function in (plain, later, items, more):
        decorated = mlobs.stage("s")(function)
        assert inspect.signature(decorated) == inspect.signature(function)
        assert (decorated.__name__, decorated.__doc__) == (function.__name__, function.__doc__)
        for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            assert kind(decorated) == kind(function)

    class Model:
        @mlobs.stage("s")
        def own(self) -> str:
            return type(self).__name__

        @mlobs.stage("s")
        @classmethod
        def of_class(cls) -> str:
            return cls.__name__

        @mlobs.stage("s")
        @staticmethod
        def of_none() -> str:
            return "Model"

    assert Model().own() == Model.of_class() == Model().of_none() == "Model"
    with pytest.raises(mlobs.ConfigurationError, match="int"):
        mlobs.stage("s")(3)  # type: ignore[type-var]


def test_a_coroutine_takes_until_it_is_done(telemetry: Telemetry) -> None:
    """Not until it is made; tasks in parallel, of one function, each have their own time, model and parent."""

    async def run() -> list[str]:
        together = asyncio.Event()
        waiting = 0

        @mlobs.stage("fetch")
        async def fetch() -> None:
            nonlocal waiting
            waiting += 1
            if waiting == 20:
                together.set()
            await together.wait()
            await asyncio.sleep(0.01)

        async def predict(x: Any) -> str:
            await fetch()
            return "done"

        tasks = [mlobs.observe(model=f"m{number % 2}")(predict)([1.0]) for number in range(20)]
        return await asyncio.gather(*tasks)

    with trace.use_span(SAMPLED):
        assert asyncio.run(run()) == ["done"] * 20
    assert by_model(telemetry) == {("m0", "unversioned", "fetch"): 10, ("m1", "unversioned", "fetch"): 10}
    assert seconds(telemetry, "fetch") >= 20 * 0.01
    calls = {span.context.span_id for span in telemetry.spans if span.context and span.name != "fetch"}
    assert {span.parent.span_id for span in telemetry.spans if span.parent and span.name == "fetch"} == calls
    assert len(calls) == 20


def test_a_generator_takes_from_its_first_item_to_its_end(telemetry: Telemetry) -> None:
    """Send, throw, close and return work as without it; the consumer does not find itself inside of it."""

    @mlobs.stage("stream")
    def talk() -> Generator[Any, Any, Any]:
        heard: list[Any] = []
        while len(heard) < 2:
            try:
                heard.append((yield len(heard)))
            except LookupError as error:
                heard.append(error)
        return heard

    with trace.use_span(SAMPLED):
        talking = talk()
        assert stages(telemetry) == {}
        assert next(talking) == 0
        assert trace.get_current_span() is SAMPLED
        assert talking.send("hello") == 1
        error = LookupError()
        with pytest.raises(StopIteration) as stop:
            talking.throw(error)
        assert stop.value.value == ["hello", error]
        left = talk()
        next(left)
        left.close()
        never = talk()
        never.close()
    assert stages(telemetry) == {"stream": 2}
    assert [span.status.status_code for span in telemetry.spans] == [trace.StatusCode.UNSET] * 2


def test_an_asynchronous_generator_likewise(telemetry: Telemetry) -> None:
    """asend, athrow and aclose reach it."""

    @mlobs.stage("stream")
    async def talk() -> Any:
        try:
            heard = yield 1
            yield heard
        except LookupError:
            yield "caught"

    async def run() -> None:
        talking = talk()
        assert await talking.asend(None) == 1
        assert await talking.asend("hello") == "hello"
        assert await talking.athrow(LookupError()) == "caught"
        await talking.aclose()
        assert [item async for item in talk()] == [1, None]

    asyncio.run(run())
    assert stages(telemetry) == {"stream": 2}


# ── one object, many users ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_recursive_function_counts_each_call(telemetry: Telemetry) -> None:
    """And one block entered within itself."""

    @mlobs.stage("deep")
    def down(steps: int) -> int:
        return steps and down(steps - 1)

    block = mlobs.stage("block")

    def nest(steps: int) -> None:
        if steps:
            with block:
                nest(steps - 1)

    down(9)
    nest(5)
    assert stages(telemetry) == {"deep": 10, "block": 5}
    assert block._begun == []


def test_one_object_shared_by_threads_and_tasks(telemetry: Telemetry) -> None:
    """Who leaves first need not have come last: each has its own time, model and span."""
    block = mlobs.stage("shared")
    long_in, short_out = threading.Event(), threading.Event()

    def predict(short: bool) -> None:
        if short:
            long_in.wait(10)
        with block:
            if short:
                return
            long_in.set()
            short_out.wait(10)

    long, short = (mlobs.observe(model=name)(predict) for name in ("long", "short"))

    def in_turn(short_one: bool) -> None:
        with trace.use_span(SAMPLED):
            (short if short_one else long)(short_one)
        if short_one:
            threading.Event().wait(0.05)
            short_out.set()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(in_turn, [False, True]))

    async def task(number: int) -> None:
        with block:
            await asyncio.sleep(0.002 * (number % 5))

    async def run() -> None:
        await asyncio.gather(*map(task, range(25)))

    asyncio.run(run())
    assert by_model(telemetry) == {
        ("long", "unversioned", "shared"): 1,
        ("short", "unversioned", "shared"): 1,
        ("", "", "shared"): 25,
    }
    took = {
        dict(points.attributes.items()).get("model.name"): points.total  # type: ignore[union-attr]
        for points in telemetry.histograms("mlobs.stage.duration")
    }
    assert took["long"] >= 0.05 > took["short"]
    spans = {span.context.span_id: span.name for span in telemetry.spans if span.context}
    parents = {span.parent.span_id: span for span in telemetry.spans if span.parent and span.name == "shared"}
    assert sorted(spans[parent] for parent in parents) == ["predict long", "predict short"]
    for parent, span in parents.items():  # the span that waited is the long one's
        assert ((span.end_time or 0) - (span.start_time or 0) >= 50e6) == (spans[parent] == "predict long")
    assert block._begun == []


def test_a_block_left_in_another_context_counts_and_nothing_is_logged(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A generator that is ended by somebody else, as web frameworks end dependencies."""

    def dependency() -> Iterator[int]:
        with mlobs.stage("dependency"):
            yield 1

    def begin() -> Iterator[int]:
        with trace.use_span(SAMPLED):
            made = dependency()
            next(made)
            return made

    made = contextvars.Context().run(begin)
    with caplog.at_level(logging.DEBUG), ThreadPoolExecutor(1) as pool:
        assert pool.submit(list, made).result() == []
    assert stages(telemetry) == {"dependency": 1}
    assert [span.name for span in telemetry.spans] == ["dependency"]
    assert "Failed to detach" not in caplog.text


def test_leaving_what_was_never_entered_is_no_error(telemetry: Telemetry) -> None:
    """Nothing counts."""
    mlobs.stage("a").__exit__(None, None, None)
    assert stages(telemetry) == {}


def test_copies_and_pickles(telemetry: Telemetry) -> None:
    """A copy is a stage of its own that nobody has entered."""
    block = mlobs.stage("a", model="m", version="2")
    with block:
        for other in (copy.deepcopy(block), copy.copy(block), pickle.loads(pickle.dumps(block))):
            with other:
                pass
            assert (other._name, other._model, other._version, other._begun) == ("a", "m", "2", [])
    assert stages(telemetry) == {"a": 4}


# ── bounds and bad input ────────────────────────────────────────────────────────────────────────────────────────────


def test_fifty_names_a_model_and_the_rest_are_one(telemetry: Telemetry) -> None:
    """None is lost, and those that were known stay known."""
    for number in [*range(70), *range(70)]:
        with mlobs.stage(f"s{number}"):
            pass
    assert stages(telemetry) == {**{f"s{number}": 2 for number in range(50)}, "_OTHER": 40}


class Hostile:
    """Says no to everything."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    def __float__(self) -> float:
        raise RuntimeError


class Text(str):
    """A text that is none of ours."""

    __slots__ = ()
    __eq__ = Hostile.__eq__
    __hash__ = Hostile.__hash__
    __len__ = Hostile.__hash__
    __str__ = Hostile.__str__


# made when they are needed: pytest itself would look at them
BAD: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "number": lambda: 3,
    "empty": str,
    "bytes": lambda: b"s",
    "list": list,
    "class": lambda: Text,
}


@pytest.mark.parametrize("kind", [*BAD, "hostile"])
def test_a_name_that_is_no_text_is_counted_and_the_block_runs(kind: str, telemetry: Telemetry) -> None:
    """As `stage` in mlobs.sdk.dropped, once a block; a model that is none is none."""
    name: Any = BAD.get(kind, Hostile)()
    with trace.use_span(SAMPLED):
        with mlobs.stage(name, model=name, version=name):
            ran = mlobs.stage(name)(lambda: "ran")()
        with mlobs.stage("good", model=name, version=name):
            pass
    assert ran == "ran"
    assert runtime.guard.dropped == {"stage": 2}
    assert by_model(telemetry) == {("", "", "good"): 1}
    assert [span.name for span in telemetry.spans] == ["good"]


@given(name=st.text(max_size=600) | st.text(max_size=600).map(Text))
def test_any_text_is_a_name(name: str) -> None:
    """Whatever is in it, however long: it is counted under what every receiver takes, and nothing is raised."""
    with capture(span_ratio=0.0) as telemetry, trace.use_span(SAMPLED):
        with mlobs.stage(name, model=name, version=name):
            pass
        found = stages(telemetry)
        assert sum(found.values()) + runtime.guard.dropped["stage"] == 1
        for shown in found:
            assert shown.encode()
            assert len(shown) <= 500


@pytest.mark.parametrize("kind", ["-1", "nan", "inf", "text", "none", "hostile"])
def test_what_an_integration_reports_is_checked(kind: str, telemetry: Telemetry) -> None:
    """A number that is none is counted as `report`, and what else is said stays."""
    value: Any = {"text": "x", "none": None}.get(kind, Hostile() if kind == "hostile" else 0)
    value = float(kind) if type(value) is int else value
    report = reporting()
    report.stage("queue", 0.5)
    report.stage("queue", value)
    report.stage(value if type(value) is Hostile else 3, 0.5)  # type: ignore[arg-type]
    report.gpu_memory(value)
    report.gpu_memory(7.0)
    report.first_token(value)
    report.next_token(value)
    report.tokens(read=value, written=3)
    assert stages(telemetry) == {"queue": 1}
    assert telemetry.total("mlobs.model.gpu.memory.peak") == 7
    assert runtime.guard.dropped == {"stage": 1, "report": 4 if value is None else 5}


def reporting() -> CallReport:
    """The report of an observed function, as an integration has it."""
    mlobs.observe(model="m", operation="predict")(lambda x: x)
    [monitor] = runtime.monitors.values()
    return CallReport(monitor)


def test_reports_that_nobody_folds_are_bounded() -> None:
    """65,536 wait, the rest are counted as `report_full`; once they are folded there is room again."""
    with capture(fold_interval=3600) as telemetry:
        report = reporting()
        runtime.fold()
        with runtime.counting:  # the thread may have been about to fold, by the interval that it was started with
            for _ in range(65_536 + 10):
                report.stage("queue", 0.1)
            assert runtime.guard.dropped == {"report_full": 10}
        runtime.fold()
        report.stage("queue", 0.1)
        assert stages(telemetry) == {"queue": 65_537}
        assert runtime.guard.dropped == {"report_full": 10}


def test_stages_are_folded_with_the_calls_and_not_only_when_they_are_sent(telemetry: Telemetry) -> None:
    """Of a model and of none: between two exports more may come than may wait."""
    report = reporting()
    for _ in range(3):
        report.stage("queue", 0.1)
        with mlobs.stage("mine"):
            pass
    assert runtime.fold() == 0
    [model] = runtime.models.values()
    assert model.reports._waiting == runtime.reports._waiting == []
    assert stages(telemetry) == {"queue": 3, "mine": 3}


def test_gpu_time_is_asked_for_until_it_is_known(telemetry: Telemetry) -> None:
    """A call whose GPU is not done is asked again; an error and a bad number are counted, and never the next one's."""
    runtime.guard.strict = False
    report = reporting()
    answers = iter([None, None, 0.25])

    def broken() -> float:
        raise RuntimeError("the device is gone")

    for finished in (lambda: next(answers), broken, lambda: -1.0, lambda: 1e308, lambda: 0.5):
        report.gpu(finished)
    for _ in range(3):
        runtime.fold()
    assert telemetry.total("mlobs.prediction.gpu.time") == 0.75
    assert runtime.guard.errors == {"gpu": 1}
    assert runtime.guard.dropped == {"gpu_time": 2}


def test_calls_that_wait_for_the_gpu_are_bounded(telemetry: Telemetry) -> None:
    """4,096 are asked again, the rest are counted as `gpu_pending`."""
    report = reporting()
    for number in range(4_096 + 5):
        report.gpu(lambda number=number: None)  # type: ignore[misc]
    runtime.fold()
    assert runtime.guard.dropped == {"gpu_pending": 5}
    [monitor] = runtime.monitors.values()
    assert len(monitor.ring.polled) == 4_096


def test_a_watch_reports_into_the_calls_model(telemetry: Telemetry) -> None:
    """What an integration's watch says, and `mlobs.stage` inside the hooked method, are of one model."""

    class Model:
        def predict(self, x: Any) -> float:
            with mlobs.stage("inference"):
                return 0.5

    def watch(report: Any, args: Any, kwargs: Any) -> None:
        report.stage("queue", 0.1)

    from mlobs.hooks.patching import Patches

    patches = Patches(runtime, mlobs.api.registry)
    patches.observe(Model, "predict", Reading(watch=watch))
    Model().predict([1.0])
    patches.restore()
    assert by_model(telemetry) == {("Model", "unversioned", "queue"): 1, ("Model", "unversioned", "inference"): 1}


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_begins_at_zero(telemetry: Telemetry) -> None:
    """Its stages are its own; a block that was open when it was forked ends in both."""
    block = mlobs.stage("open")
    with mlobs.stage("before"):
        pass
    read, write = os.pipe()
    block.__enter__()
    child = os.fork()
    if not child:
        try:
            block.__exit__(None, None, None)
            with mlobs.stage("after"):
                pass
            os.write(write, repr(sorted(stages(telemetry).items())).encode())
        finally:
            os._exit(0)
    block.__exit__(None, None, None)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as said:
        assert said.read() == "[('after', 1), ('open', 1)]"
    assert stages(telemetry) == {"before": 1, "open": 1}


def test_a_flush_sends_them(sink: Any) -> None:
    """Stages of a process that has observed no call at all."""
    with capture(endpoint=sink.url, environ={"OTEL_TRACES_EXPORTER": "none"}):
        for _ in range(3):
            with mlobs.stage("alone"):
                pass
        assert mlobs.flush()
    [metrics] = sink.latest().values()
    [point] = metrics["mlobs.stage.duration"].histogram.data_points
    assert point.count == 3
    assert [(pair.key, pair.value.string_value) for pair in point.attributes] == [("stage", "alone")]
