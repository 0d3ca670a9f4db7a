"""What cannot hold is refused at the start, with its reason and its cure; what can is taken however it is written."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.release.objectives import objective

import mlobs
from mlobs.sketch import scores


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"model": 3}, "model"),
        ({"model": ""}, "model"),
        ({"version": ""}, "version"),
        ({"task": ["binary"]}, "task"),
        ({"task": "ranking"}, "task"),
        ({"threshold": True}, "threshold"),
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": 2}, "threshold"),
        ({"threshold": math.nan}, "threshold"),
        ({"threshold": 10**400}, "threshold"),
        ({"threshold": Unspeakable()}, "threshold"),
        ({"threshold": 10**5000}, "threshold"),
        ({"currency": "E1R"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "ΕΥΡ"}, "currency"),
        ({"currency": None}, "currency"),
        ({"positive": None}, "positive"),
        ({"positive": math.nan}, "positive"),
        ({"positive": [1]}, "positive"),
        ({"positive": "fraud", "task": "binary"}, "positive"),
        ({"positive": "fraud"}, "positive"),
        ({"positive": "typo", "classes": ["ham", "spam"]}, "positive"),
        ({"positive": "typo", "classes": ["ham", "spam", "eggs"]}, "positive"),
        ({"classes": ["ham", "spam"]}, "positive"),
        ({"classes": 3}, "classes"),
        ({"classes": "ab"}, "classes"),
        ({"classes": ["a"]}, "classes"),
        ({"classes": ["a", "b"], "task": "binary"}, "positive"),
        ({"classes": {"a", "b"}}, "classes"),
        ({"classes": [1, True]}, "classes"),
        ({"classes": ["a", None]}, "classes"),
        ({"classes": ["a", "b", "c"], "task": "binary"}, "classes"),
        ({"classes": ["a", "b"], "task": "regression"}, "classes"),
        ({"classes": [str(number) for number in range(21)]}, "classes"),
        ({"costs": 3}, "costs"),
        ({"costs": {"a": 1.0}}, "costs"),
        ({"costs": {(1, 0): math.inf}}, "costs"),
        ({"costs": {(1, 0, 1): 2.0}}, "costs"),
        ({"costs": {(1, 0): True}}, "costs"),
        ({"costs": {(1, 0): 10**400}}, "costs"),
        ({"costs": {(1, 0): 1e200}}, "costs"),
        ({"costs": {(1, 0): "5"}}, "costs"),
        ({"costs": {(1, 0): 5, ("1", "0"): 6}}, "costs"),
        ({"costs": {(1, 2): 5}, "task": "binary"}, "costs"),
        ({"costs": {("a", "c"): 5}, "classes": ["a", "b"], "positive": "b"}, "costs"),
        ({"costs": {(1, 0): 5}, "task": "regression"}, "costs"),
        ({"costs": np.array([1.0, 2.0]), "task": "regression"}, "costs"),
        ({"calibration": ([0.5, 4.0], [True, False])}, "calibration"),
        ({"calibration": ([0.5, math.nan], [True, False])}, "calibration"),
        ({"calibration": (["x", "y"], [True, False])}, "calibration"),
        ({"calibration": ([0.5, 0.6], [True, None])}, "calibration"),
        ({"calibration": ([0.5, 0.6], [1.0, math.nan])}, "calibration"),
        ({"calibration": ([0.5, 0.6], [True, True])}, "calibration"),
        ({"calibration": ([0.5, 0.6], ["yes", "no"])}, "calibration"),
        ({"calibration": ([], [])}, "calibration"),
        ({"calibration": ([0.5], [1, 0])}, "calibration"),
        ({"calibration": 3}, "calibration"),
        ({"calibration": ([0.5, 0.6], [1, 2]), "task": "binary"}, "calibration"),
        ({"calibration": ([0.5, 0.6], [True, False]), "task": "multiclass"}, "calibration"),
    ],
)
def test_every_mistake_is_told_with_its_cure(given: dict[str, Any], what: str) -> None:
    """The error names the argument, says what was expected and what to try, in some lines at most."""
    with pytest.raises(mlobs.ConfigurationError, match=rf"^mlobs\.objective\({what}=.*expected .*Try: ") as raised:
        mlobs.objective(**{"model": "m", **given})
    assert len(str(raised.value)) < 500


def test_numbers_and_classes_of_numpy_and_pandas_are_taken() -> None:
    """What a training script has at hand: a float32, `model.classes_`, integers of numpy, a Series."""
    found = objective(
        threshold=np.float32(0.25),
        classes=np.array(["bird", "cat"]),
        positive=np.str_("cat"),
        task="binary",
        costs={("cat", "bird"): np.int64(-3)},
        calibration=(pd.Series([0.2, 0.8]), pd.Series(["bird", "cat"])),
    )
    assert (found.threshold, found.positive, found.negative) == (0.25, "cat", "bird")
    assert found.worth == {("cat", "bird"): -3.0}
    assert found.names == {"bird", "cat"}
    assert found.rates.shape == (40,)


def test_one_class_has_one_name() -> None:
    """`True`, 1, 1.0 and numpy's are the class `1`, in costs as in what is positive."""
    for one in (True, 1, 1.0, np.bool_(True), np.int8(1)):
        found = objective(positive=one, costs={(one, False): -1.0})
        assert (found.positive, found.negative, found.worth) == ("1", "0", {("1", "0"): -1.0})
    assert objective(positive=False).negative == "1"


def test_classes_tell_the_task() -> None:
    """Two are a binary task and more a multiclass one, if no other is given; none say nothing of it."""
    assert objective(classes=[0, 1, 2]).task == "multiclass"
    assert objective(classes=[0, 1]).task == objective(classes=["ham", "spam"], positive="spam").task == "binary"
    assert objective(classes=["ham", "spam"], task="multiclass").task == "multiclass"
    assert objective().task is objective(positive=False).task is None


def test_calibration_is_the_measured_share() -> None:
    """Rates are the measured shares where labels are given, drawn to the middle, and the middles themselves without."""
    assert objective().rates is scores.MIDDLES
    rates = objective(calibration=([0.72] * 100, [True] * 20 + [False] * 80)).rates
    low, measured, high = (float(rates[np.searchsorted(scores.EDGES, score)]) for score in (0.01, 0.72, 0.99))
    assert low < 0.02
    assert 0.2 < measured < 0.3  # bins between it and the low ones have no rows and may not lie above it
    assert high > 0.95
    assert (np.diff(rates) >= 0).all()
