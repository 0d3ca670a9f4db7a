"""Observed functions behave as if nobody looked."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import numpy as np
import pytest

import mlobs
from mlobs.core.ended import last
from mlobs.core.monitor import Monitor
from mlobs.hooks.hooked import quietly
from mlobs.testing import Telemetry


class Stop(BaseException):
    """Not an Exception."""


def calls(telemetry: Telemetry, model: str, **attributes: str) -> float:
    return telemetry.total("mlobs.prediction.duration", model_name=model, **attributes)


def test_signature_docs_and_name_are_kept(telemetry: Telemetry) -> None:
    """A wrapped function looks like the one it wraps."""

    def predict(rows: list[float], *, threshold: float = 0.5) -> float:
        """Predict."""
        return sum(rows) * threshold

    observed = mlobs.observe(model="m")(predict)
    assert inspect.signature(observed) == inspect.signature(predict)
    assert (observed.__name__, observed.__doc__, observed.__qualname__) == (
        predict.__name__,
        predict.__doc__,
        predict.__qualname__,
    )
    assert observed([1.0, 2.0], threshold=2) == 6.0


def test_the_result_is_the_very_object(telemetry: Telemetry) -> None:
    """The answer is not copied, converted or wrapped."""
    answer = np.arange(3.0)
    observed = mlobs.observe(model="m")(lambda x: answer)
    for _ in range(3):
        assert observed([1.0]) is answer


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), Stop("now"), StopIteration()])
def test_an_error_passes_through_untouched_and_is_counted_by_type(telemetry: Telemetry, error: BaseException) -> None:
    """Any BaseException reaches the caller as the same object, and is one failed call."""

    @mlobs.observe(model="m")
    def predict(x: object) -> None:
        raise error

    for count in (1, 2, 3):
        with pytest.raises(type(error)) as caught:
            predict([1.0])
        assert caught.value is error
        kind = type(error)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        assert calls(telemetry, "m", error_type=name) == count
    assert calls(telemetry, "m") == 3
    assert telemetry.total("mlobs.prediction.rows") == 3


def test_the_traceback_does_not_grow_for_the_reader(telemetry: Telemetry) -> None:
    """An error shows the user's frames and one of ours, with no other error chained to it."""

    @mlobs.observe(model="m")
    def predict(x: object) -> None:
        raise ValueError

    predict_ok = mlobs.observe(model="m2")(lambda x: x)
    predict_ok(1)
    for function in (predict,):
        with pytest.raises(ValueError) as caught:
            function([1.0])
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None


def test_methods_class_methods_and_static_methods(telemetry: Telemetry) -> None:
    """The input is the first argument after self; the model is named after the class."""

    class Churn:
        @mlobs.observe()
        def predict(self, rows: Any) -> Any:
            return rows

        @mlobs.observe()
        @classmethod
        def of_class(cls, rows: Any) -> Any:
            return cls, rows

        @staticmethod
        @mlobs.observe()
        def static(rows: Any) -> Any:
            return rows

    assert Churn().predict([1.0, 2.0]) == [1.0, 2.0]
    assert Churn.of_class([1.0]) == (Churn, [1.0])
    assert Churn.static([1.0]) == [1.0]
    assert calls(telemetry, "Churn") == 3
    assert calls(telemetry, "Churn", model_operation="predict") == 1
    assert telemetry.total("mlobs.prediction.rows") == 3


def test_only_the_outermost_call_counts(telemetry: Telemetry) -> None:
    """A model that calls an observed model is one prediction; recursion too."""

    @mlobs.observe(model="inner")
    def inner(x: float) -> float:
        return x if x < 1 else inner(x - 1)

    @mlobs.observe(model="outer")
    def outer(x: float) -> float:
        return inner(x) + inner(x)

    outer(3.0)
    assert (calls(telemetry, "outer"), calls(telemetry, "inner")) == (1, 0)
    inner(3.0)
    assert calls(telemetry, "inner") == 1


def test_coroutines(telemetry: Telemetry) -> None:
    """Coroutine functions stay coroutine functions; concurrent calls are one each."""

    @mlobs.observe(model="m")
    async def predict(x: list[float]) -> float:
        await asyncio.sleep(0)
        if x[0] < 0:
            raise ValueError
        return x[0]

    async def main() -> list[Any]:
        return await asyncio.gather(*(predict([float(i)]) for i in range(-1, 20)), return_exceptions=True)

    assert inspect.iscoroutinefunction(predict)
    answers = asyncio.run(main())
    assert answers[1:] == [float(i) for i in range(20)]
    assert calls(telemetry, "m") == 21
    assert calls(telemetry, "m", error_type="ValueError") == 1


def test_a_coroutine_behind_a_plain_function_is_told(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """As `torch.inference_mode()` makes one of an async function: what is observed is its making, and the log says so."""

    def plain(function: Any) -> Any:
        @functools.wraps(function)
        def made(*args: Any) -> Any:
            return function(*args)

        return made

    @mlobs.observe(model="m")
    @plain
    async def predict(x: float) -> float:
        return x

    assert asyncio.run(predict(1.0)) == 1.0
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 1
    assert "it has not run yet" in caplog.text
    assert "Put mlobs.observe right above the `async def`" in caplog.text


def test_a_cancelled_coroutine_is_an_error_of_its_type(telemetry: Telemetry) -> None:
    """Cancellation passes through and leaves nothing active."""

    @mlobs.observe(model="m")
    async def predict(x: float) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.ensure_future(predict(1.0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert calls(telemetry, "m", error_type="asyncio.exceptions.CancelledError") == 1
    assert telemetry.total("mlobs.prediction.active") == 0


class Pending:
    """Never done."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def test_a_coroutine_that_is_thrown_away_ends_amid_another_call(telemetry: Telemetry) -> None:
    """The garbage collector ends it where it finds it: what runs there stays one call, of its variant, and keeps its ticket."""
    thrown: list[Any] = []

    @mlobs.observe(model="away")
    async def away(x: float) -> None:
        await Pending()

    @mlobs.observe(model="m", operation="inner")
    def inner(x: float) -> float:
        return 0.5

    @mlobs.observe(model="away", operation="outer")
    def outer(x: float) -> float:
        thrown.clear()
        return inner(x)

    def throw() -> None:
        thrown.append(away(1.0))
        contextvars.copy_context().run(thrown[0].send, None)

    throw()
    outer(1.0)
    assert calls(telemetry, "m") == 0
    assert calls(telemetry, "away") == 2
    throw()
    with mlobs.variant("challenger"):
        thrown.clear()
        inner(1.0)
        handed = last()
        throw()
        thrown.clear()
        assert last() is handed is not None
    assert calls(telemetry, "m", model_variant="challenger") == 1
    assert calls(telemetry, "away", error_type="GeneratorExit") == 3


def test_what_counts_nothing_is_thrown_away_in_silence() -> None:
    """A coroutine in which nothing counts raises nothing where another context ends it."""

    async def pending() -> None:
        await Pending()

    coroutine = quietly(pending)
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()


def test_generators_keep_their_protocol(telemetry: Telemetry) -> None:
    """send, throw, close and the return value work as without mlobs, and each run is one call."""
    seen: list[Any] = []

    def plain(n: int) -> Generator[int, Any, str]:
        for i in range(n):
            try:
                seen.append((yield i))
            except KeyError as error:
                seen.append(type(error))
        return "end"

    observed = mlobs.observe(model="m")(plain)
    assert inspect.isgeneratorfunction(observed)
    generator: Any = observed(3)
    assert next(generator) == 0
    assert generator.send("a") == 1
    assert generator.throw(KeyError()) == 2
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"
    assert seen == ["a", KeyError, None]
    early = observed(3)
    next(early)
    early.close()
    assert calls(telemetry, "m") == 2
    assert calls(telemetry, "m", error_type="GeneratorExit") == 0
    failing = observed(3)
    next(failing)
    with pytest.raises(RuntimeError):
        failing.throw(RuntimeError())
    assert calls(telemetry, "m", error_type="RuntimeError") == 1


def test_a_generator_is_not_inside_between_two_items(telemetry: Telemetry) -> None:
    """What the consumer calls between two items is a call of its own."""

    @mlobs.observe(model="stream")
    def stream(n: int) -> Iterator[int]:
        yield from range(n)

    @mlobs.observe(model="other")
    def other(x: float) -> float:
        return x

    for item in stream(3):
        other(float(item))
    assert (calls(telemetry, "stream"), calls(telemetry, "other")) == (1, 3)


def test_async_generators_keep_their_protocol(telemetry: Telemetry) -> None:
    """asend, athrow and aclose work as without mlobs."""
    seen: list[Any] = []

    @mlobs.observe(model="m")
    async def stream(n: int) -> AsyncGenerator[int, Any]:
        for i in range(n):
            await asyncio.sleep(0)
            try:
                seen.append((yield i))
            except KeyError:
                seen.append(KeyError)

    async def main() -> None:
        assert [i async for i in stream(3)] == [0, 1, 2]
        generator: Any = stream(3)
        assert await generator.asend(None) == 0
        assert await generator.asend("a") == 1
        assert await generator.athrow(KeyError()) == 2
        await generator.aclose()

    assert inspect.isasyncgenfunction(stream)
    asyncio.run(main())
    assert calls(telemetry, "m") == 2
    assert seen == [None, None, None, "a", KeyError]


def test_partials_callables_and_bound_methods(telemetry: Telemetry) -> None:
    """Anything that can be called can be observed without being changed."""

    class Model:
        def __call__(self, x: float) -> float:
            return x + 1

        async def infer(self, x: float) -> float:
            return x + 2

    model = Model()
    assert mlobs.observe(model="a")(model)(1.0) == 2.0
    assert asyncio.run(mlobs.observe(model="b")(model.infer)(1.0)) == 3.0
    assert mlobs.observe(model="c")(functools.partial(max, 3))(1) == 3
    assert mlobs.observe(model="d")(len)([1, 2]) == 2
    assert [calls(telemetry, name) for name in "abcd"] == [1, 1, 1, 1]


def test_registered_objects_bring_their_identity(telemetry: Telemetry) -> None:
    """observe() on a method of a registered object takes its name and version."""

    class Model:
        def predict(self, x: float) -> float:
            return x

    model = mlobs.register(Model(), name="price", version="7", variant="challenger")
    mlobs.observe()(model.predict)(1.0)
    mlobs.observe()(functools.partial(model.predict))(1.0)
    attributes = {"model_version": "7", "model_variant": "challenger", "model_operation": "predict"}
    assert calls(telemetry, "price", **attributes) == 2


def test_a_partial_goes_by_the_name_of_its_function(telemetry: Telemetry) -> None:
    """Two of them are two models."""

    def score(x: float, factor: float) -> float:
        return x * factor

    class Rates:
        def predict(self, x: float) -> float:
            return x

    mlobs.observe()(functools.partial(score, factor=2.0))(1.0)
    mlobs.observe()(functools.partial(Rates().predict))(1.0)
    assert calls(telemetry, "score", model_operation="score") == 1
    assert calls(telemetry, "Rates", model_operation="predict") == 1


def test_active_counts_running_calls(telemetry: Telemetry) -> None:
    """A call that has begun and not ended is active."""
    begun, go = threading.Event(), threading.Event()

    @mlobs.observe(model="m")
    def predict(x: float) -> None:
        begun.set()
        go.wait(10)

    thread = threading.Thread(target=predict, args=(1.0,))
    thread.start()
    begun.wait(10)
    assert telemetry.total("mlobs.prediction.active") == 1
    go.set()
    thread.join()
    assert telemetry.total("mlobs.prediction.active") == 0


def test_threads_lose_nothing(telemetry: Telemetry) -> None:
    """Sixteen threads' calls, errors and rows add up exactly."""

    @mlobs.observe(model="m")
    def predict(x: Any) -> float:
        if x[0, 0] == 7:
            raise ValueError
        return 1.0

    def work() -> None:
        for i in range(500):
            with contextlib.suppress(ValueError):
                predict(np.full((2, 3), i % 10))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls(telemetry, "m") == 8000
    assert calls(telemetry, "m", error_type="ValueError") == 800
    assert telemetry.total("mlobs.prediction.rows") == 16000


def test_inputs_by_name_by_names_and_by_function(telemetry: Telemetry) -> None:
    """The rows may be any argument, several arguments, or what a function makes of the call."""

    @mlobs.observe(model="a", inputs="rows")
    def by_name(request: object, rows: Any) -> float:
        return 1.0

    @mlobs.observe(model="b", inputs=["age", "income"])
    def by_names(age: float, income: float, *, user: str = "") -> float:
        return age + income

    @mlobs.observe(model="c", inputs=lambda request: request["rows"])
    def by_function(request: Any) -> float:
        return 1.0

    for _ in range(5):
        by_name(None, [[1.0, 2.0], [3.0, 4.0]])
        by_name(None, rows=[[1.0, 2.0]])
        by_names(30.0, income=1000.0)
        by_function({"rows": [[1.0]]})
    assert telemetry.total("mlobs.prediction.rows", model_name="a") == 15
    features = {
        dict(one.attributes.items())["feature"]
        for one in telemetry.histograms("mlobs.feature.value", model_name="b", role="input")
    }
    assert features == {"age", "income"}
    assert telemetry.total("mlobs.prediction.rows", model_name="c") == 5


def test_a_model_that_is_off_leaves_nothing(telemetry: Telemetry) -> None:
    """enabled=False turns functions into themselves, also those decorated before."""
    from mlobs.testing import capture

    with capture(enabled=False) as off:
        assert mlobs.observe(model="m")(lambda x: x)(1.0) == 1.0
        assert calls(off, "m") == 0


def test_what_is_handed_over_by_mistake_is_not_shown() -> None:
    """A frame in the place of a profile or of a function does not get its rows into a log."""
    frame: Any = {"name": ["Jane Roe"]}
    for mistake in (
        lambda: mlobs.observe(reference=frame),
        lambda: mlobs.observe(model="m")(frame),
        lambda: mlobs.observe(inputs=[frame]),
        lambda: mlobs.observe(capture=[frame]),
    ):
        with pytest.raises(mlobs.ConfigurationError, match=r"is a (dict|list)") as told:
            mistake()
        assert "Jane" not in str(told.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": ""},
        {"model": 3},
        {"capture": "age"},
        {"capture": 5},
        {"capture": [["age"]]},
        {"reference": 3},
        {"inputs": "nothing"},
        {"inputs": 5},
        {"inputs": [1]},
        {"inputs": []},
    ],
)
def test_wrong_arguments_are_told_at_once(telemetry: Telemetry, arguments: dict[str, Any]) -> None:
    """A mistake in observe() is an error where it is made."""
    with pytest.raises(mlobs.ConfigurationError, match=next(iter(arguments))):
        mlobs.observe(**arguments)(lambda x: x)


def test_a_model_without_a_name_is_not_registered() -> None:
    """Its calls would be counted under no name."""
    with pytest.raises(mlobs.ConfigurationError, match=r"register\(name=None\): expected a text.* Try: "):
        mlobs.register(type("Model", (), {})(), name=None)  # type: ignore[arg-type]


def test_a_class_is_refused_with_the_cure(telemetry: Telemetry) -> None:
    """Decorating a class would break isinstance; the message says what to decorate."""
    with pytest.raises(mlobs.ConfigurationError, match="predict method"):
        mlobs.observe()(dict)


def test_without_arguments(telemetry: Telemetry) -> None:
    """`@mlobs.observe` alone, of functions and of methods of every kind."""

    @mlobs.observe
    def alone(x: float) -> float:
        return 0.5

    class Model:
        @mlobs.observe
        def predict(self, x: float) -> float:
            return x

        @mlobs.observe
        @staticmethod
        def score(x: float) -> float:
            return x

    assert (alone(1.0), Model().predict(2.0), Model.score(3.0)) == (0.5, 2.0, 3.0)
    assert calls(telemetry, "alone") == 1
    assert calls(telemetry, "Model") == 2


def test_a_name_is_given_by_keyword() -> None:
    """A text in the place of the function is the model's name, most likely."""
    observe: Any = mlobs.observe
    with pytest.raises(mlobs.ConfigurationError, match=r"a str\. .*mlobs\.observe\(model='churn'\)"):
        observe("churn")


@pytest.mark.parametrize("made", [property, functools.cached_property, functools.partialmethod])
def test_what_is_made_of_a_function_is_refused_with_the_cure(telemetry: Telemetry, made: Any) -> None:
    """There is nothing to call yet; the message says where the decorator goes."""
    with pytest.raises(mlobs.ConfigurationError, match=f"is a {made.__name__}. Put it beneath"):
        mlobs.observe()(made(len))


def test_a_call_that_begins_and_ends_while_active_ones_are_counted(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for one that a forked parent had begun."""
    predict = mlobs.observe(model="m")(lambda x: 0.5)
    predict([1.0])
    begun: Any = Monitor.begun
    calls = iter([[1.0], [2.0]])

    def looked(monitor: Monitor) -> int:
        found: int = begun.fget(monitor)
        for call in calls:
            predict(call)
            break
        return found

    monkeypatch.setattr(Monitor, "begun", property(looked))
    assert telemetry.total("mlobs.prediction.active") == 0
    assert telemetry.total("mlobs.prediction.active") == 0
    monkeypatch.undo()
    assert telemetry.total("mlobs.prediction.active") == 0
    assert telemetry.total("mlobs.prediction.duration") == 3
