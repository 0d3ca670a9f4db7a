"""A context chooses the variant whose predictions its calls are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from types import SimpleNamespace

import pytest

import mlobs
from mlobs import testing


def rows_of(telemetry: testing.Telemetry, variant: str) -> float:
    return telemetry.total("mlobs.prediction.rows", model_variant=variant)


def test_a_block_chooses_the_variant(telemetry: testing.Telemetry) -> None:
    """Calls of the block count for its variant, those before and after for the decorator's."""

    @mlobs.observe(model="churn", version="2")
    def predict(row: list[float]) -> float:
        return 0.5

    predict([1.0])
    with mlobs.variant("challenger"):
        predict([1.0])
        predict([2.0])
        with mlobs.variant("canary"):
            predict([3.0])
        predict([4.0])
    predict([1.0])
    assert [rows_of(telemetry, name) for name in ("champion", "challenger", "canary")] == [2, 3, 1]
    assert telemetry.total("mlobs.prediction.rows", model_name="churn", model_version="2") == 6


@pytest.mark.parametrize("kind", ["coroutine", "generator", "async generator"])
def test_every_kind_of_function_follows(telemetry: testing.Telemetry, kind: str) -> None:
    """Coroutines and generators are counted once, for the block's variant, and give what they give without mlobs."""
    observe = mlobs.observe(model="m")

    async def call() -> list[float]:
        with mlobs.variant("challenger"):
            if kind == "coroutine":

                @observe
                async def predict(row: list[float]) -> list[float]:
                    await asyncio.sleep(0)
                    return [0.5]

                return await predict([1.0])
            if kind == "generator":

                @observe
                def stream(row: list[float]) -> Iterator[float]:
                    yield 0.5

                return list(stream([1.0]))

            @observe
            async def flow(row: list[float]) -> AsyncIterator[float]:
                yield 0.5

            return [item async for item in flow([1.0])]

    assert asyncio.run(call()) == [0.5]
    assert telemetry.total("mlobs.prediction.duration", model_variant="challenger") == 1
    assert telemetry.total("mlobs.prediction.duration", model_variant="champion") == 0


def test_only_the_outermost_counts_under_a_variant_too(telemetry: testing.Telemetry) -> None:
    """A model inside a model is no prediction of its own, and a block inside a call changes nothing."""
    inner = mlobs.observe(model="inner")(lambda row: 1.0)

    @mlobs.observe(model="outer")
    def outer(row: list[float]) -> float:
        with mlobs.variant("challenger"):
            return inner(row)

    with mlobs.variant("canary"):
        outer([1.0])
    assert telemetry.total("mlobs.prediction.duration", model_name="outer", model_variant="canary") == 1
    assert telemetry.total("mlobs.prediction.duration", model_name="inner") == 0


def test_other_threads_and_tasks_do_not_see_it(telemetry: testing.Telemetry) -> None:
    """A thread that runs beside the block, and a task that began before it, count for their own variant."""
    predict = mlobs.observe(model="m")(lambda row: 1.0)

    async def main() -> None:
        entered, done = asyncio.Event(), asyncio.Event()

        async def other() -> None:
            await entered.wait()
            predict([1.0])
            done.set()

        task = asyncio.create_task(other())
        with mlobs.variant("challenger"):
            entered.set()
            await done.wait()
            thread = threading.Thread(target=predict, args=([1.0],))
            thread.start()
            thread.join()
        await task

    asyncio.run(main())
    assert rows_of(telemetry, "champion") == 2
    assert rows_of(telemetry, "challenger") == 0


def test_a_block_may_end_in_another_context(telemetry: testing.Telemetry) -> None:
    """A server that runs a generator piece by piece, each in a context of its own: nothing is raised, and none is left chosen."""
    predict = mlobs.observe(model="churn")(lambda row: 0.5)

    def dependency() -> Iterator[None]:
        with mlobs.variant("challenger"):
            predict([1.0])
            yield

    generator = dependency()
    first = copy_context()
    first.run(next, generator)
    copy_context().run(next, generator, None)
    generator = dependency()
    first.run(next, generator)
    again = first.copy()
    again.run(next, generator, None)
    again.run(predict, [1.0])
    assert [rows_of(telemetry, name) for name in ("champion", "challenger")] == [1, 2]


def test_an_instrumented_method_follows(telemetry: testing.Telemetry) -> None:
    """What `mlobs.instrument` hooked counts for the block's variant."""
    from sklearn.linear_model import LogisticRegression

    mlobs.instrument("sklearn")
    try:
        model = mlobs.register(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), name="lr", version="3")
        with mlobs.variant("challenger"):
            model.predict([[0.5]])
        model.predict([[0.5]])
    finally:
        mlobs.uninstrument("sklearn")
    assert rows_of(telemetry, "challenger") == rows_of(telemetry, "champion") == 1


def test_a_flag_of_openfeature_chooses(telemetry: testing.Telemetry) -> None:
    """The details of a real flag's evaluation name the variant, and the call's span says which flag it was."""
    from openfeature import api
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    flag = InMemoryFlag("on", {"on": "challenger", "off": "champion"})
    api.set_provider(InMemoryProvider({"churn-model": flag}))
    predict = mlobs.observe(model="m")(lambda row: 1.0)
    details = api.get_client().get_string_details("churn-model", "champion")
    with mlobs.variant(details):
        predict([1.0])
    assert rows_of(telemetry, "on") == 1
    (span,) = telemetry.spans
    assert span.attributes is not None
    assert span.attributes["feature_flag.key"] == "churn-model"
    assert span.attributes["feature_flag.result.variant"] == "on"
    assert span.attributes["feature_flag.result.reason"] == "static"


def test_many_variants_are_bounded(telemetry: testing.Telemetry) -> None:
    """Names made by the request end in one variant, and no call is lost."""
    predict = mlobs.observe(model="m")(lambda row: 1.0)
    for number in range(200):
        with mlobs.variant(f"v{number}"):
            predict([1.0])
    assert telemetry.total("mlobs.prediction.rows") == 200
    assert rows_of(telemetry, "_OTHER") == 136


@pytest.mark.parametrize("name", ["", None, 3, SimpleNamespace(flag_key="f", variant=None, value=True)])
def test_what_is_no_variant_is_refused(name: object) -> None:
    """The error says what was expected."""
    with pytest.raises(mlobs.ConfigurationError, match="expected a text"), mlobs.variant(name):
        pass


def test_off_stays_off(telemetry: testing.Telemetry) -> None:
    """A disabled model counts nothing under a variant either, and its calls go through."""
    predict = mlobs.observe(model="m")(lambda row: 7.0)
    mlobs.configure(enabled=False)
    with mlobs.variant("challenger"):
        assert predict([1.0]) == 7.0
    assert telemetry.total("mlobs.prediction.rows") == 0
