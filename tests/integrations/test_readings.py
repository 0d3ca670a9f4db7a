"""What an integration may say of how calls are read: each field of `mlobs.integration.Reading`, on a framework of the test's."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.told import calls, errors, rows, stages, standing

import mlobs
from mlobs.api import registry, runtime
from mlobs.hooks.patching import Patches
from mlobs.integration import Named, Reading, Report
from mlobs.testing import Telemetry


class Base:
    """A framework's model."""

    training = False

    def forward(self, batch: Any, scale: float = 1.0) -> dict[str, Any]:
        """Answer."""
        return {"scores": np.asarray(batch)[:, 0] * scale, "raw": object()}

    async def later(self, batch: Any) -> Any:
        return np.asarray(batch)[:, 0]

    def stream(self, batch: Any) -> Generator[int, Any, None]:
        got = yield 1
        yield got or 2

    async def flow(self, batch: Any) -> AsyncIterator[int]:
        got = yield 1
        yield got or 2

    def fit(self, batch: Any) -> Any:
        return self.forward(batch)

    async def tune(self, batch: Any) -> Any:
        return await self.later(batch)


class Derived(Base):
    """A user's model, with nothing of its own."""


@pytest.fixture
def patches() -> Iterator[Patches]:
    made = Patches(runtime, registry)
    yield made
    made.restore()


Use = Callable[..., None]
ROWS = np.ones((8, 2))


def test_operation_inputs_and_answer(patches: Patches, telemetry: Telemetry) -> None:
    """The operation's name, the argument that holds the rows, and the part of the answer that is predictions."""
    patches.observe(
        Base,
        "forward",
        Reading(operation="score", inputs="batch", answer=lambda said: said["scores"]),
    )
    said = Base().forward(scale=2.0, batch=ROWS)
    assert said["scores"].tolist() == [2.0] * 8
    assert rows(telemetry) == {("Base", "score"): 8}
    assert telemetry.total("mlobs.feature.value", role="output") == 8
    assert telemetry.total("mlobs.feature.value", role="input") == 16


def test_inputs_by_a_function_and_an_answer_that_is_not_read(patches: Patches, telemetry: Telemetry) -> None:
    """A function of all arguments, the instance among them, gives the rows; None of an answer is nothing."""
    patches.observe(
        Base, "forward", Reading(inputs=lambda model, batch, **_: {"a": batch[:, 0]}, answer=lambda _: None)
    )
    Base().forward(ROWS)
    features = {dict(key)["feature"] for key in _features(telemetry)}
    assert features == {"a"}
    assert rows(telemetry) == {("Base", "forward"): 8}


def _features(telemetry: Telemetry) -> list[Any]:
    return [
        points.attributes.items()
        for points in telemetry.collect().points
        if points.instrument.name == "mlobs.feature.value" and points.series
    ]


def test_what_the_integration_raises_is_counted_and_the_call_goes_on(patches: Patches, telemetry: Telemetry) -> None:
    """Readers that raise harm no call: it is counted, its data is left out, the errors are told by place."""
    runtime.guard.strict = False

    def raises(*_: Any, **__: Any) -> Any:
        raise KeyError("ours")

    patches.observe(
        Base,
        "forward",
        Reading(inputs=raises, answer=raises, identity=raises, serving=raises, watch=raises),
    )
    assert set(Base().forward(ROWS)) == {"scores", "raw"}
    assert calls(telemetry) == {("Base", "forward"): 1}
    places = {dict(key)["reason"] for key, value in telemetry.numbers("mlobs.sdk.errors").items() if value}
    assert {"answer", "hook", "identity", "watch"} <= places


@pytest.mark.usefixtures("telemetry")
def test_a_reader_that_raises_is_loud_where_we_are_tested(patches: Patches) -> None:
    """A test of an integration sees what its reader of answers raises, on the hot path too."""
    assert runtime.guard.strict
    patches.observe(Base, "forward", Reading(answer=lambda said: said["score"]))
    for _ in range(3):
        with pytest.raises(KeyError, match="score"):
            Base().forward(ROWS)


def test_identity_is_asked_once_of_each_instance(patches: Patches, telemetry: Telemetry) -> None:
    """What an instance says of itself is its name and version, what it was registered as goes before it."""
    asked: list[object] = []

    def identity(model: object) -> Named | None:
        asked.append(model)
        return Named("churn", "7") if isinstance(model, Derived) else None

    patches.observe(Base, "forward", Reading(identity=identity))
    plain, derived, registered = Base(), Derived(), mlobs.register(Derived(), name="mine")
    for model in (plain, derived, registered, plain, derived):
        model.forward(ROWS)
    assert asked == [plain, derived]
    assert calls(telemetry) == {("Base", "forward"): 2, ("churn", "forward"): 2, ("mine", "forward"): 1}
    versions = {dict(key)["model.version"] for key in telemetry.numbers("mlobs.prediction.rows", model_name="churn")}
    assert versions == {"7"}


def test_what_is_not_serving_counts_nothing_inside(patches: Patches, telemetry: Telemetry) -> None:
    """A model in training is no prediction, and neither is what it calls."""
    patches.observe(Base, "forward", Reading(serving=lambda model: not model.training))
    model = Base()
    model.training = True
    model.forward(ROWS)
    assert calls(telemetry) == {}
    model.training = False
    model.forward(ROWS)
    assert calls(telemetry) == {("Base", "forward"): 1}


def test_unless_is_asked_before_anything_of_ours_runs(patches: Patches, telemetry: Telemetry) -> None:
    """While it is true the original is called, and nothing is recorded."""
    off = [True]
    patches.observe(Base, "forward", Reading(unless=lambda: off[0]))
    Base().forward(ROWS)
    assert calls(telemetry) == {}
    off[0] = False
    Base().forward(ROWS)
    assert calls(telemetry) == {("Base", "forward"): 1}


def test_watch_reports_beside_the_call(patches: Patches, telemetry: Telemetry) -> None:
    """What a watcher says of stages, tokens, GPU time and memory is the model's; what it returns sees the answer."""
    seen: list[Any] = []
    pending = [None, 0.25]

    def watch(report: Report, args: tuple[Any, ...], kwargs: Any) -> Callable[[Any], None]:
        seen.append((type(args[0]), dict(kwargs)))
        report.stage("queue", 0.5)
        report.tokens(read=5, written=7)
        report.first_token(0.1)
        report.next_token(0.01)
        report.gpu(lambda: pending.pop(0))
        report.gpu_memory(1024)
        return lambda answer: seen.append(sorted(answer))

    patches.observe(Base, "forward", Reading(watch=watch))
    Base().forward(ROWS, scale=1.0)
    assert seen == [(Base, {"scale": 1.0}), ["raw", "scores"]]
    telemetry.collect()  # the GPU has not finished when it is asked first
    assert telemetry.total("mlobs.prediction.gpu.time") == 0.25
    assert stages(telemetry) == {"queue": 1}
    assert telemetry.total("mlobs.model.gpu.memory.peak") == 1024
    assert telemetry.total("gen_ai.client.token.usage", gen_ai_token_type="input") == 1
    assert telemetry.total("gen_ai.server.time_to_first_token") == 1
    assert telemetry.total("gen_ai.server.time_per_output_token") == 1


def test_a_watcher_rests_where_there_is_nothing_to_watch(patches: Patches, telemetry: Telemetry) -> None:
    """It is asked in each call, of plain functions and coroutines; where that raises, the call goes on and it is counted."""
    seen: list[int] = []
    states: list[bool] = []
    reading = Reading(watch=lambda *_: seen.append(len(states)), watching=states.pop)
    patches.observe(Base, "forward", reading)
    patches.observe(Base, "later", reading)
    for state in (False, True):
        states[:] = [state] * 2
        Base().forward(ROWS)
        asyncio.run(Base().later(ROWS))
    assert seen == [1, 0]
    runtime.guard.strict = False
    Base().forward(ROWS)  # nobody knows any more
    asyncio.run(Base().later(ROWS))
    assert telemetry.total("mlobs.sdk.errors", reason="watch") == 2
    assert calls(telemetry) == {("Base", "forward"): 3, ("Base", "later"): 3}


def test_a_watcher_of_a_coroutine(patches: Patches, telemetry: Telemetry) -> None:
    """The answer of a coroutine function is seen when it has come; its error passes, and nothing is seen."""
    seen: list[Any] = []
    patches.observe(Base, "later", Reading(watch=lambda *_: lambda answer: seen.append(answer.tolist())))
    assert inspect.iscoroutinefunction(Base.later)
    assert asyncio.run(Base().later(ROWS)).tolist() == [1] * 8
    with pytest.raises(IndexError):
        asyncio.run(Base().later(np.ones(3)))
    assert seen == [[1] * 8]
    assert errors(telemetry) == {"IndexError": 1}


def test_generators_stay_what_they_are(patches: Patches, telemetry: Telemetry) -> None:
    """Generators and asynchronous ones are asked what they are, sent to and closed as without mlobs; a run is a call."""
    patches.observe(Base, "stream")
    patches.observe(Base, "flow")
    assert inspect.isgeneratorfunction(Base.stream)
    assert inspect.isasyncgenfunction(Base.flow)
    stream = Base().stream(ROWS)
    assert (next(stream), stream.send(9)) == (1, 9)
    assert list(stream) == []

    async def drive() -> list[int]:
        flow: Any = Base().flow(ROWS)
        found = [await flow.asend(None), await flow.asend(9)]
        await flow.aclose()
        return found

    assert asyncio.run(drive()) == [1, 9]
    assert calls(telemetry) == {("Base", "stream"): 1, ("Base", "flow"): 1}


def test_inherited_methods_are_observed_for_the_heir_alone(patches: Patches, telemetry: Telemetry) -> None:
    """`inherited=True` gives a class a method of its own that stands for the one from above; it goes again."""
    before = standing((Base, "forward"), (Derived, "forward"))
    patches.observe(Derived, "forward", inherited=True)
    Base().forward(ROWS)
    Derived().forward(ROWS)
    assert calls(telemetry) == {("Derived", "forward"): 1}
    patches.restore()
    assert standing((Base, "forward"), (Derived, "forward")) == before


def test_suppressed_coroutines_count_nothing(patches: Patches, telemetry: Telemetry) -> None:
    """What a suppressed method awaits is no prediction; the method stays a coroutine function."""
    patches.observe(Base, "later")
    patches.observe(Base, "forward")
    patches.suppress(Base, "fit")
    patches.suppress(Base, "tune")
    assert inspect.iscoroutinefunction(Base.tune)
    Base().fit(ROWS)
    asyncio.run(Base().tune(ROWS))
    assert calls(telemetry) == {}
    asyncio.run(Base().later(ROWS))
    assert calls(telemetry) == {("Base", "later"): 1}


def test_functions_of_modules_are_suppressed_and_replaced(patches: Patches, telemetry: Telemetry) -> None:
    """Modules are owners as well as classes."""
    module: Any = ModuleType("framework")
    module.cross_validate = lambda model: model.forward(ROWS)
    sys.modules.pop("framework", None)
    patches.observe(Base, "forward")
    patches.suppress(module, "cross_validate")
    module.cross_validate(Base())
    assert calls(telemetry) == {}
