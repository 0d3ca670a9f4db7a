"""What is remembered of instances, and when it is found anew."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import cloudpickle
import numpy as np
import pytest
from tests.told import rows

import mlobs
from mlobs.api import registry, runtime
from mlobs.core.known import Known, News
from mlobs.hooks.patching import Patches
from mlobs.integration import Reading
from mlobs.testing import Telemetry

X = np.ones((2, 3))


class Model:
    """A framework's."""

    training = False

    def predict(self, x: Any) -> Any:
        return np.asarray(x)[:, 0]


@pytest.fixture
def patches() -> Iterator[Patches]:
    made = Patches(runtime, registry)
    yield made
    made.restore()


def test_a_model_that_is_registered_late(patches: Patches, telemetry: Telemetry) -> None:
    """From the registration on it goes by its name, however often it was called before."""
    patches.observe(Model, "predict")
    model, other = Model(), Model()
    for _ in range(3):
        model.predict(X)
        other.predict(X)
    mlobs.register(model, name="late", version="2")
    for _ in range(3):
        model.predict(X)
        other.predict(X)
    assert rows(telemetry) == {("Model", "predict"): 18, ("late", "predict"): 6}


def test_an_instance_that_is_gone_is_forgotten(patches: Patches, telemetry: Telemetry) -> None:
    """Another one at its place in memory is somebody else."""
    patches.observe(Model, "predict")
    others = 0
    for turn in range(20):
        model = Model()
        mlobs.register(model, name=f"m{turn}")
        for _ in range(2):
            model.predict(X)
        number = id(model)
        del model
        gc.collect()
        crowd = [Model() for _ in range(300)]  # one of them takes its place
        for other in crowd:
            if id(other) == number:
                other.predict(X)
                others += 1
    assert others, "no place in memory was used twice"
    assert rows(telemetry) == {**{(f"m{turn}", "predict"): 4 for turn in range(20)}, ("Model", "predict"): 2 * others}


def test_a_stand_in_that_is_held_stops_when_it_was_put_back(patches: Patches, telemetry: Telemetry) -> None:
    """Also of an instance that it knows."""
    patches.observe(Model, "predict")
    model, held = Model(), Model.predict
    for _ in range(3):
        held(model, X)
    patches.restore()
    for _ in range(3):
        assert held(model, X).tolist() == [1.0, 1.0]
    assert rows(telemetry) == {("Model", "predict"): 6}


@pytest.mark.parametrize("unless", [None, lambda: False])
def test_every_call_is_asked_whether_it_serves(patches: Patches, telemetry: Telemetry, unless: Any) -> None:
    """Known or not, with `unless` and without; what the question raises is counted, and the call is a prediction."""
    runtime.guard.strict = False
    asked: list[object] = []

    def serving(model: Any) -> bool:
        asked.append(model)
        if model.training is None:
            raise ValueError
        return not model.training

    patches.observe(Model, "predict", Reading(serving=serving, unless=unless))
    model = Model()
    for training in (False, False, True, False, None, False):
        model.training = training  # type: ignore[assignment]
        model.predict(X)
    assert rows(telemetry) == {("Model", "predict"): 10}
    assert telemetry.total("mlobs.sdk.errors", reason="hook") == 1
    assert len(asked) >= 6


def test_news_while_somebody_finds() -> None:
    """What was found in an epoch that is over is not kept, whoever of the two comes first."""
    news, known, model = News(), Known(), Model()
    epoch = news.epoch
    known.add(model, len, None)
    news.tell(known, epoch)
    assert known[id(model)].run(("abc",), {}, False) == 3
    news.come()
    assert not known
    known.add(model, len, None)  # found before the news, told after
    news.tell(known, epoch)
    assert not known
    known.add(model, len, None)
    news.tell(known, news.epoch)
    assert len(known) == 1
    del model
    gc.collect()
    assert not known


def test_instances_are_bounded() -> None:
    """A method that is called on ever new instances remembers few."""
    known, models = Known(), [Model() for _ in range(3000)]
    for model in models:
        known.add(model, len, None)
    assert 0 < len(known) <= 1024


def test_news_and_calls_from_many_threads(patches: Patches, telemetry: Telemetry) -> None:
    """Each row is counted once, under the old name or the new one."""
    patches.observe(Model, "predict")
    models = [Model() for _ in range(8)]
    ready = threading.Barrier(5)

    def call() -> None:
        ready.wait()
        for _ in range(200):
            for model in models:
                model.predict(X)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    for turn, model in enumerate(models):
        mlobs.register(model, name=f"m{turn}")
    for thread in threads:
        thread.join()
    before = rows(telemetry)
    assert sum(before.values()) == 4 * 200 * 8 * 2
    for model in models:
        model.predict(X)
    after = rows(telemetry)
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == {
        (f"m{turn}", "predict"): 2 for turn in range(8)
    }


def test_a_class_by_value_needs_no_mlobs(patches: Patches, telemetry: Telemetry) -> None:
    """What its methods know stays here."""

    class Local:
        def predict(self, x: Any) -> Any:
            return x

    patches.observe(Local, "predict")
    model = Local()
    for _ in range(3):
        model.predict(1.0)
    sent = cloudpickle.dumps(Local)
    script = f"""
import pickle, sys
sys.modules["mlobs"] = None
print(pickle.loads({sent!r})().predict(2.0))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("2.0\n", "")
    assert rows(telemetry) == {("Local", "predict"): 3}
    assert pickle.loads(sent)().predict(2.0) == 2.0


def test_what_a_suppressed_generator_predicts_counts_nothing(patches: Patches, telemetry: Telemetry) -> None:
    """Its own code is quiet, however it goes on and ends; what its consumer predicts between two items counts."""

    class Staged:
        def predict(self, x: Any) -> Any:
            return x

        def staged(self, x: Any) -> Generator[Any, Any, str]:
            said = None
            try:
                while said != "enough":
                    try:
                        said = yield self.predict(x)
                    except KeyError:
                        self.predict(x)
            finally:
                self.predict(x)
            return "value"

    patches.observe(Staged, "predict")
    patches.suppress(Staged, "staged")
    model = Staged()
    generator: Any = model.staged(1.0)
    assert next(generator) == 1.0
    model.predict(2.0)
    assert generator.throw(KeyError("one")) == 1.0
    model.predict(2.0)
    with pytest.raises(StopIteration, match="value"):
        generator.send("enough")
    left: Any = model.staged(1.0)
    next(left)
    left.close()
    assert rows(telemetry) == {("Staged", "predict"): 2}
