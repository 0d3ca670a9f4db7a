"""Observed functions can be pickled, copied and sent to other processes as if nobody looked."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from tests.sink import Sink

import mlobs
from mlobs.api import runtime
from mlobs.testing import Telemetry

SCRIPT = """
import sys, pickle, functools
import cloudpickle, joblib
import numpy as np
import mlobs

@mlobs.observe(model="m", version="2", reference=mlobs.Profile.build(np.arange(300.0).reshape(100, 3)))
def predict(x):
    return x * 2

@mlobs.observe(model="g")
def stream(n):
    yield from range(n)

class Model:
    @mlobs.observe()
    def predict(self, x):
        return x
"""


def run(script: str, url: str, tmp_path: Path) -> str:
    """Run a script after the one above, as `__main__`, and return what it printed."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT + textwrap.dedent(script))
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)], env=environ, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_cloudpickle_of_main_is_observed_where_it_arrives(sink: Sink, tmp_path: Path) -> None:
    """By value: the other process observes under the same identity, with the same reference."""
    script = f"""
    predict(np.ones(3))
    with open(r"{tmp_path}/pickle", "wb") as file:
        cloudpickle.dump((predict, stream, Model(), functools.partial(predict, np.ones(3))), file)
    """
    run(script, sink.url, tmp_path)
    assert sink.calls() == 1
    loader = f"""
import pickle, numpy as np
with open(r"{tmp_path}/pickle", "rb") as file:
    predict, stream, model, bound = pickle.load(file)
assert (predict(np.ones(3)) == 2).all() and list(stream(2)) == [0, 1] and model.predict(3) == 3
bound()
import mlobs
assert mlobs.drift()["m"]["f0"].count == 2
"""
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    done = subprocess.run([sys.executable, "-c", loader], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 1 + 4
    assert len(sink.latest()) == 2


def test_joblib_workers_count(sink: Sink, tmp_path: Path) -> None:
    """Functions of `__main__` go to the processes of loky by value; the answers are right, and so are the counts."""
    script = """
    if __name__ == "__main__":
        def work(i):
            answer = predict(np.full(3, i))
            mlobs.flush()
            return answer[0]
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(i) for i in range(8))
        print([int(one) for one in found])
    """
    assert run(script, sink.url, tmp_path).strip() == str([2 * i for i in range(8)])
    assert sink.calls() == 8


def test_a_round_trip_in_one_process_meets_the_same_monitor(telemetry: Telemetry) -> None:
    """What comes back counts where the original counts, and the marks that stand for nothing are still themselves."""
    observed = mlobs.observe(model="m", inputs=["a", "b"], capture=["a"])(lambda a, b=None: a)
    again = pickle.loads(cloudpickle.dumps(observed))
    observed(1.0)
    for _ in range(3):
        assert again(2.0, b=3.0) == 2.0
    assert telemetry.total("mlobs.prediction.duration", model_name="m") == 4
    assert telemetry.total("mlobs.sdk.dropped") == 0
    [monitor] = runtime.monitors.values()
    assert pickle.loads(pickle.dumps(monitor)) is monitor
    assert pickle.loads(pickle.dumps(runtime.tracing)) is runtime.tracing


class Model:
    """Importable, with an observed method."""

    def __init__(self) -> None:
        self.weights = np.ones(3)

    @mlobs.observe(model="of module")
    def predict(self, x: Any) -> Any:
        return x * self.weights


@mlobs.observe(model="of module")
def predict(x: Any) -> Any:
    return x


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module by its name, which pytest does not give it."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, type(sys)(__name__)))
    for name, value in (("Model", Model), ("predict", predict)):
        monkeypatch.setattr(sys.modules[__name__], name, value, raising=False)


@pytest.mark.usefixtures("importable", "telemetry")
@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy])
def test_functions_of_a_module_are_themselves_in_every_copy(copied: Any) -> None:
    """A pickle goes by the name; copies of instances, bound methods and partials work and share nothing they should not."""
    assert copied(predict) is predict
    model = copied(Model())
    assert model.predict(2.0).tolist() == [2.0] * 3
    bound = copied(Model().predict)
    assert bound.__func__ is Model.predict
    assert copied(functools.partial(predict, 3))() == 3
