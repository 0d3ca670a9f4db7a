"""Whatever a function is given, answers or raises: it behaves as if nobody looked, and every call is counted.

4,000 examples in a run of the tests, the same every time; `make fuzz` tries 100,000 new ones (MLOBS_FUZZ=100000).
An example is one configuration and a batch of calls.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.safety.arena import REFERENCES, arena, check, check_exports
from tests.safety.hostile import ANY, HONEST, error

import mlobs
from mlobs import testing
from mlobs.api import runtime

KEY: Final = "5" * 64
EXAMPLES: Final = int(os.environ.get("MLOBS_FUZZ") or os.environ.get("MLOBS_EXAMPLES", "4000"))
RANDOM: Final = "MLOBS_FUZZ" in os.environ

pytestmark = pytest.mark.filterwarnings("ignore")  # numpy's and pandas' about what the values are


def share(part: float) -> Callable[[Any], Any]:
    """This part of all examples."""
    return settings(
        max_examples=int(EXAMPLES * part),
        derandomize=not RANDOM,
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


SEEDS = st.integers(0, 2**32 - 1)
CONFIGURATIONS = st.fixed_dictionaries(
    {
        "reference": st.sampled_from(REFERENCES),
        "capture": st.sampled_from([(), ("f0", "city", "exception.message"), ("exception.message",)]),
        "spans": st.sampled_from(["auto", "always", "never"]),
        "inputs": st.sampled_from([None, "rows", ["rows", "other"], lambda *args, **kwargs: (args or [None])[0]]),
        "strict": st.booleans(),
    }
)
CALL = st.tuples(st.integers(0, len(ANY) - 1), SEEDS, st.integers(0, len(ANY) - 1), SEEDS, st.integers(0, 5))


def made(makers: Any, index: int, seed: int) -> Any:
    try:
        return makers[index % len(makers)](random.Random(seed))
    except Exception:  # noqa: BLE001 - a frame that this pandas refuses to make
        return None


def fingerprint(value: Any) -> Any:
    """What must not change of an argument, asked of nothing that it overrides."""
    if type(value) is np.ndarray:
        return value.shape, value.strides, value.flags.writeable, value.dtype, value.tobytes()
    if type(value) is list or type(value) is tuple:
        return [id(item) for item in value]
    if type(value) is dict:
        return [(id(key), id(item)) for key, item in value.items()]
    if type(value) is pd.DataFrame:
        return list(value.columns), value.dtypes.tolist(), [value.iloc[:, i].tolist() for i in range(value.shape[1])]
    return None


def same(before: Any, after: Any) -> bool:
    return repr(before) == repr(after)  # NaN is itself


class Batch:
    """Calls of one function, each told what to answer or raise."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.error: BaseException | None = None
        self.seen: tuple[Any, ...] = ()

    def body(self, *args: Any) -> Any:
        self.seen = args
        if self.error is not None:
            raise self.error
        return self.answer


def observed(configuration: dict[str, Any], function: Any) -> Any:
    return mlobs.observe(
        model="m",
        reference=configuration["reference"],
        capture=configuration["capture"],
        inputs=configuration["inputs"],
    )(function)


def each(calls: list[Any], makers: Any) -> Any:
    """What every call of a batch is given, answers, and how it is called."""
    for first, seed, second, other, way in calls:
        yield (
            made(makers, first, seed),
            made(makers, second, other),
            (error(random.Random(seed)) if way == 0 else None),
            way,
        )


def invoke(call: Any, batch: Batch, rows: Any, answer: Any, problem: BaseException | None, way: int) -> None:
    """One call, compared with what the bare function would have done."""
    batch.answer, batch.error = answer, problem
    before = fingerprint(rows), fingerprint(answer)
    caught: BaseException | None = None
    given: Any = None
    try:
        if way == 1:
            given = call(rows=rows, other=3)
        elif way == 2:
            given = call(rows, answer)
        else:
            given = call(rows)
    except BaseException as raised:  # noqa: BLE001 - whatever it is, it has to be the very one
        caught = raised
    # compared outside of the assertion: pytest would ask the objects what they are
    promises = {
        "the very exception": caught is problem,
        "the very answer": given is (answer if problem is None else None),
        "the very argument": batch.seen[0] is rows,
        "nothing changed": same(before, (fingerprint(rows), fingerprint(answer))),
    }
    if not promises["the very exception"] and caught is not None:
        raise caught
    assert all(promises.values()), promises


def plain(batch: Batch) -> Any:
    def predict(rows: Any, other: Any = None) -> Any:
        return batch.body(rows, other)

    return predict


def kinds(batch: Batch) -> list[Callable[[dict[str, Any]], Any]]:
    """The ways in which a plain function may be written."""

    class Model:
        def predict(self, rows: Any, other: Any = None) -> Any:
            return batch.body(rows, other)

        def __call__(self, rows: Any, other: Any = None) -> Any:
            return batch.body(rows, other)

    def method(configuration: dict[str, Any]) -> Any:
        Model.predict = observed(configuration, Model.predict)  # type: ignore[method-assign]
        return Model().predict

    def of_class(configuration: dict[str, Any]) -> Any:
        Model.make = observed(configuration, classmethod(lambda cls, rows, other=None: batch.body(rows, other)))  # type: ignore[attr-defined]
        return Model.make  # type: ignore[attr-defined]

    def static(configuration: dict[str, Any]) -> Any:
        Model.free = observed(configuration, staticmethod(plain(batch)))  # type: ignore[attr-defined]
        return Model().free  # type: ignore[attr-defined]

    return [
        lambda configuration: observed(configuration, plain(batch)),
        method,
        of_class,
        static,
        lambda configuration: observed(configuration, Model()),
        lambda configuration: observed(configuration, Model().predict),
        lambda configuration: observed(configuration, functools.partial(plain(batch))),
        lambda configuration: functools.partial(observed(configuration, plain(batch))),
    ]


@share(0.35)
@given(CONFIGURATIONS, st.integers(0, 7), st.lists(CALL, min_size=1, max_size=4))
def test_functions_given_anything(configuration: dict[str, Any], kind: int, calls: list[Any]) -> None:
    """Functions, methods, partials and callable objects: result and exception are the very ones of the bare function."""
    batch = Batch()
    with arena(strict=configuration["strict"], spans=configuration["spans"]) as seen:
        call = kinds(batch)[kind](configuration)
        for rows, answer, problem, way in each(calls, ANY):
            invoke(call, batch, rows, answer, problem, way)
        check(len(calls), seen, honest=False)


@share(0.25)
@given(CONFIGURATIONS, st.lists(CALL, min_size=1, max_size=4))
def test_every_row_is_counted_or_dropped_under_a_reason(configuration: dict[str, Any], calls: list[Any]) -> None:
    """Of containers that do not lie, every row that was there is in the statistics or in mlobs.sdk.dropped."""
    batch = Batch()
    with arena(strict=configuration["strict"], spans=configuration["spans"]) as seen:
        call = observed(configuration, plain(batch))
        for rows, answer, problem, way in each(calls, HONEST):
            invoke(call, batch, rows, answer, problem, way)
        check(len(calls), seen, honest=True)
        check_exports()


@share(0.1)
@given(CONFIGURATIONS, st.lists(CALL, min_size=1, max_size=4))
def test_coroutines_given_anything(configuration: dict[str, Any], calls: list[Any]) -> None:
    """Coroutine functions, awaited one after the other and without a loop."""
    batch = Batch()

    async def predict(rows: Any, other: Any = None) -> Any:
        return batch.body(rows, other)

    def drive(*args: Any, **kwargs: Any) -> Any:
        try:
            call(*args, **kwargs).send(None)
        except StopIteration as stop:
            return stop.value

    with arena(strict=configuration["strict"], spans=configuration["spans"]) as seen:
        call = observed(configuration, predict)
        for rows, answer, problem, way in each(calls, ANY):
            stops = isinstance(
                problem, (StopIteration, StopAsyncIteration)
            )  # a coroutine makes a RuntimeError of these
            invoke(drive, batch, rows, answer, None if stops else problem, way)
        check(len(calls), seen, honest=False)


@share(0.15)
@given(CONFIGURATIONS, st.booleans(), st.lists(CALL, min_size=1, max_size=4))
def test_generators_given_anything(configuration: dict[str, Any], asynchronous: bool, calls: list[Any]) -> None:
    """Generators and asynchronous ones, run to their end, left in the middle, or thrown into."""
    batch = Batch()

    def stream(rows: Any, other: Any = None) -> Any:
        yield rows
        try:
            yield other
        except KeyError as thrown:
            yield thrown
        return batch.body(rows, other)

    async def astream(rows: Any, other: Any = None) -> Any:
        yield rows
        try:
            yield other
        except KeyError as thrown:
            yield thrown
        batch.body(rows, other)

    def step(run: Any, how: str, *args: Any) -> Any:
        if not asynchronous:
            return getattr(run, how)(*args)
        try:
            getattr(run, {"send": "asend", "throw": "athrow", "close": "aclose"}[how])(*args).send(None)
        except StopIteration as stop:
            return stop.value

    with arena(strict=configuration["strict"], spans=configuration["spans"]) as seen:
        call = observed(configuration, astream if asynchronous else stream)
        for rows, answer, problem, way in each(calls, ANY):
            batch.answer, batch.error = answer, problem
            stops = isinstance(
                problem, (StopIteration, StopAsyncIteration)
            )  # a generator makes a RuntimeError of these
            run = call(rows, other=answer)
            same_item = step(run, "send", None) is rows
            assert same_item
            if way == 1:
                step(run, "close")
                continue
            same_item = step(run, "send", None) is answer
            assert same_item
            if way == 2:
                thrown = KeyError()
                assert step(run, "throw", thrown) is thrown
            try:
                step(run, "send", None)
            except (StopIteration, StopAsyncIteration) as stop:
                ended = problem is None and (asynchronous or getattr(stop, "value", None) is answer)
                if not ended and stop is not problem:
                    raise
            except BaseException as raised:  # whatever it is, it has to be the very one
                if raised is not problem and not (stops and isinstance(raised, RuntimeError)):
                    raise
        check(len(calls), seen, honest=False)


def tolerable(problem: BaseException | None) -> bool:
    """Whether a task may end with it: what is no Exception ends the loop, and a coroutine cannot raise a StopIteration."""
    return isinstance(problem, Exception) and not isinstance(problem, (StopIteration, StopAsyncIteration))


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
) | hnp.arrays(
    hnp.scalar_dtypes() | hnp.array_dtypes(max_size=3), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
)


@share(0.1)
@given(CONFIGURATIONS, DATA, DATA)
def test_data_of_any_shape(configuration: dict[str, Any], rows: Any, answer: Any) -> None:
    """Nested Python and arrays of every dtype, as input and as output."""
    batch = Batch()
    with arena(strict=configuration["strict"], spans=configuration["spans"]) as seen:
        call = observed(configuration, plain(batch))
        for _ in range(2):
            invoke(call, batch, rows, answer, None, 3)
        check(2, seen, honest=True)
        check_exports()


@share(0.05)
@given(CONFIGURATIONS, st.lists(CALL, min_size=2, max_size=6))
def test_tasks_given_anything_at_once(configuration: dict[str, Any], calls: list[Any]) -> None:
    """Tasks that take turns in one loop are one call each, and each has its own answer."""

    async def predict(rows: Any, other: Any = None) -> Any:
        await asyncio.sleep(0)
        if issubclass(type(other), Exception):  # the class itself is asked: an answer may say that it is another
            raise other
        return other

    async def main(call: Any) -> list[Any]:
        return await asyncio.gather(*(call(rows, other) for rows, other in given_), return_exceptions=True)

    given_ = [
        (rows, problem if issubclass(type(problem), Exception) else answer)
        for rows, answer, problem, _ in each(calls, ANY)
    ]
    given_ = [
        (rows, None if issubclass(type(other), (StopIteration, StopAsyncIteration)) else other)
        for rows, other in given_
    ]
    with arena(strict=configuration["strict"], spans=configuration["spans"]) as seen:
        loop = asyncio.new_event_loop()  # asyncio.run shows its answers to the log
        answers = loop.run_until_complete(main(observed(configuration, predict)))
        loop.close()
        for (_, expected), answer in zip(given_, answers, strict=True):
            identical = answer is expected
            assert identical
        check(len(calls), seen, honest=False)


VERBS: Final[tuple[Callable[[Any, Any], object], ...]] = (
    lambda one, other: mlobs.outcome(one, actual=other),
    lambda one, other: mlobs.outcome(mlobs.ticket(), actual=other),
    lambda one, other: mlobs.outcome(prediction_id=one, actual=other),
    lambda one, other: mlobs.ticket(label=one, score=other),
    lambda one, other: mlobs.outcome(mlobs.ticket(label=one, score=other), actual=one),
    lambda one, other: mlobs.tickets(),
    lambda one, other: mlobs.remember(one, label=other),
    lambda one, other: mlobs.remember("an id", score=one),
    lambda one, other: mlobs.business(one, value=other, currency="EUR"),
    lambda one, other: mlobs.business("kpi", value=one, currency=other, event_id=other),
    lambda one, other: mlobs.business("kpi", ticket=one, model=other, version=one, variant=other),
    lambda one, other: mlobs.gpu_time(one),
)


@share(0.1)
@given(calls=st.lists(st.tuples(CALL, st.sampled_from(VERBS)), min_size=1, max_size=4))
def test_truths_given_anything(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[Any, Callable[[Any, Any], object]]]
) -> None:
    """Tickets, truths, ids and events of anything, after calls that answered anything: nothing is raised."""
    batch = Batch()
    place = tmp_path_factory.mktemp("joins") / "predictions.sqlite"
    with testing.capture(ticket_keys=[KEY], join_store=str(place)):
        call = mlobs.observe(model="m")(plain(batch))
        for (first, seed, second, other, _), verb in calls:
            one, batch.answer = made(ANY, first, seed), made(ANY, second, other)
            call(one)
            verb(one, batch.answer)
            verb(batch.answer, one)
        mlobs.quality()
        assert not runtime.guard.errors, runtime.guard.errors
