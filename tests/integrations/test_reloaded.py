"""Classes that are made while the program runs: sent away and back by value, and forgotten."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import VotingRegressor
from tests.told import calls

import mlobs
from mlobs.testing import Telemetry, capture

X = np.arange(12.0).reshape(4, 3)
ECHO = "import sys, cloudpickle; sys.stdout.buffer.write(cloudpickle.dumps(cloudpickle.load(sys.stdin.buffer)))"


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Scikit-learn instrumented."""
    mlobs.instrument("sklearn")
    with capture() as found:
        yield found
    mlobs.uninstrument()


def made() -> Any:
    """A class that no name leads to: cloudpickle sends it by value, as it does those of ``__main__``."""

    class Mine(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, rows: Any, truths: Any) -> Any:
            self.fitted_ = True
            return self

        def predict(self, rows: Any) -> Any:
            return rows[:, 0]

        def again(self) -> Any:
            return super().__repr__()  # its functions refer to it

    return Mine


def there_and_back(value: Any) -> Any:
    """What another process, without mlobs' hooks, gives back."""
    sent = cloudpickle.dumps(value)
    return cloudpickle.loads(
        subprocess.run([sys.executable, "-c", ECHO], input=sent, capture_output=True, check=True).stdout
    )


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_a_class_that_comes_back_is_observed_as_before(telemetry: Telemetry, way: str) -> None:
    """Its instances of before and those that came, until it is taken back, and its fit stays quiet."""
    cls = made()
    model, plain = cls().fit(X, X[:, 0]), vars(cls)["predict"].__wrapped__
    model.predict(X)
    came = cloudpickle.loads(cloudpickle.dumps(model)) if way == "here" else there_and_back(model)
    assert type(came) is cls
    model.predict(X)
    came.predict(X)
    VotingRegressor([("one", came)]).fit(X, X[:, 0])
    assert calls(telemetry) == {("Mine", "predict"): 3}
    mlobs.uninstrument()
    assert vars(cls)["predict"] is plain
    mlobs.instrument("sklearn")
    came.predict(X)
    assert calls(telemetry) == {("Mine", "predict"): 4}


def test_a_class_that_is_forgotten_is_gone(telemetry: Telemetry) -> None:
    """Nothing of ours holds it, whatever was predicted, registered and news."""
    gone = []
    for _ in range(5):
        cls = made()
        model = cls().fit(X, X[:, 0])
        model.predict(X)
        mlobs.register(model, name="mine")
        model.predict(X)
        gone.append(weakref.ref(cls))
        del cls, model
    telemetry.collect()
    gc.collect()
    assert [reference() for reference in gone] == [None] * 5


def test_what_was_changed_of_classes_that_are_gone_is_forgotten(telemetry: Telemetry) -> None:
    """However many classes come and go, the list of changes stays short."""
    before = changes()
    for _ in range(600):
        made()
    gc.collect()
    for _ in range(600):
        made()
    assert changes() - before < 2400


def changes() -> int:
    """How many of scikit-learn's attributes are told to be changed."""
    return next(one.hooked for one in mlobs.integrations() if one.name == "sklearn")
