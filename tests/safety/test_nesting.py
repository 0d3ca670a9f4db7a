"""Only the outermost call counts: in its own thread, task, greenlet or step of a generator, and nowhere else."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import mlobs
from mlobs.testing import Telemetry


def calls(telemetry: Telemetry, model: str) -> float:
    return telemetry.total("mlobs.prediction.duration", model_name=model)


@pytest.fixture
def inner(telemetry: Telemetry) -> Any:
    return mlobs.observe(model="inner")(lambda x: x)


def test_recursion_is_one_call(telemetry: Telemetry, inner: Any) -> None:
    """A model that calls itself and others is one prediction, however deep, and also when it fails on the way."""

    @mlobs.observe(model="outer")
    def outer(depth: int) -> int:
        if depth < 0:
            raise ValueError
        return int(inner(depth)) + (outer(depth - 1) if depth else 0)

    assert outer(50) == sum(range(51))
    with pytest.raises(ValueError):
        outer(-1)
    inner(1)
    assert (calls(telemetry, "outer"), calls(telemetry, "inner")) == (2, 1)


def test_a_thread_begun_inside_is_outside(telemetry: Telemetry, inner: Any) -> None:
    """Another thread has a context of its own and counts by its own; with the caller's context it is inside."""

    @mlobs.observe(model="outer")
    def outer(copied: bool) -> None:
        run = contextvars.copy_context().run if copied else lambda function, *args: function(*args)
        threads = [threading.Thread(target=run, args=(inner, i), **NO_CONTEXT) for i in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    outer(False)
    assert (calls(telemetry, "outer"), calls(telemetry, "inner")) == (1, 5)


NO_CONTEXT: dict[str, Any] = (
    {"context": contextvars.Context()} if "context" in threading.Thread.__init__.__code__.co_varnames else {}
)


def test_tasks_and_to_thread_inside_are_inside(telemetry: Telemetry, inner: Any) -> None:
    """What a coroutine starts takes its context along, and what runs beside it does not."""

    @mlobs.observe(model="outer")
    async def outer(x: int) -> int:
        found = await asyncio.gather(*(asyncio.to_thread(inner, x) for _ in range(3)), waits(x))
        return sum(found)

    async def waits(x: int) -> int:
        await asyncio.sleep(0)
        return int(inner(x))

    async def main() -> None:
        await asyncio.gather(*(outer(1) for _ in range(10)), *(waits(1) for _ in range(7)))
        inner(1)

    asyncio.run(main())
    assert (calls(telemetry, "outer"), calls(telemetry, "inner")) == (10, 8)


def test_interleaved_generators_do_not_hide_each_other(telemetry: Telemetry, inner: Any) -> None:
    """Two streams in turn, and calls between their items, are each their own call; calls inside them are not."""

    @mlobs.observe(model="stream")
    def stream(n: int) -> Iterator[int]:
        for i in range(n):
            inner(i)
            yield i

    @mlobs.observe(model="astream")
    async def astream(n: int) -> AsyncIterator[int]:
        for i in range(n):
            inner(i)
            await asyncio.sleep(0)
            yield i

    for pair in zip(stream(5), stream(5), strict=True):
        inner(sum(pair))
    abandoned = stream(5)
    next(abandoned)
    del abandoned

    async def consume() -> None:
        async for item in astream(5):
            inner(item)

    async def main() -> None:
        await asyncio.gather(consume(), consume())

    asyncio.run(main())
    assert (calls(telemetry, "stream"), calls(telemetry, "astream"), calls(telemetry, "inner")) == (3, 2, 15)
    assert telemetry.total("mlobs.prediction.active") == 0


def test_a_coroutine_driven_from_two_contexts_leaves_both_usable(
    telemetry: Telemetry, inner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A token of one context cannot be given back in another: nothing is raised, nothing is logged, counting goes on."""

    @mlobs.observe(model="outer")
    async def outer(x: int) -> int:
        await asyncio.sleep(0)
        return x

    run = outer(3)
    contextvars.copy_context().run(run.send, None)

    def finish() -> None:
        with pytest.raises(StopIteration):
            run.send(None)
        inner(1)

    contextvars.copy_context().run(finish)
    inner(1)
    assert (calls(telemetry, "outer"), calls(telemetry, "inner")) == (1, 2)
    assert caplog.records == []


def test_a_generator_that_answers_when_it_is_closed(telemetry: Telemetry) -> None:
    """Since Python 3.13 close() returns what the generator returns; an observed one does what a bare one does."""

    def plain(n: int) -> Any:
        try:
            yield n
        except GeneratorExit:
            return 7

    def closed(function: Any) -> Any:
        run = function(1)
        next(run)
        return run.close()

    assert closed(mlobs.observe(model="m")(plain)) == closed(plain)
    assert calls(telemetry, "m") == 1


def test_arguments_by_keyword_only_and_beside_others(telemetry: Telemetry) -> None:
    """An argument that has no position is never taken for one of those that fill `*args`."""

    @mlobs.observe(model="m", inputs="rows")
    def predict(first: Any, *rest: Any, rows: Any = None) -> None: ...

    @mlobs.observe(model="n", inputs=["age", "plan"])
    def several(age: float, plan: str | None = None) -> None: ...

    predict(1, [[1.0], [2.0]], [[1.0]], rows=[[1.0], [2.0], [3.0]])
    predict(1, [[1.0], [2.0]])
    several(30.0)
    assert telemetry.total("mlobs.prediction.rows", model_name="m") == 3
    assert telemetry.total("mlobs.prediction.rows", model_name="n") == 1
    assert telemetry.total("mlobs.sdk.dropped") == 0
