"""What is counted of truths equals scikit-learn's numbers on the same labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    recall_score,
    roc_auc_score,
)

import mlobs
from mlobs.otel.points import NO_ATTRIBUTES, Numbers
from mlobs.release.objective import Objective
from mlobs.release.prediction import Prediction
from mlobs.release.tally import Tally

NOW = 1_800_000_000.0


def objective(**given: Any) -> Objective:
    defaults: dict[str, Any] = {
        "model": "m", "version": None, "task": None, "threshold": 0.5, "positive": True, "classes": None, "costs": None,
        "currency": "EUR", "calibration": None,
    }  # fmt: skip
    return Objective.of(**{**defaults, **given})


def made(label: Any = None, score: float | None = None, *, at: float = NOW, task: str = "") -> Prediction:
    return Prediction(b"0" * 12, "m", "1", "champion", at, None, task, label, score)


def points(tally: Tally) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for one in tally.collect():
        if isinstance(one, Numbers):
            for each, value in zip(one.each, one.values, strict=True):
                found[(one.instrument.name, *(pair[1] for pair in each.items()))] = value
    return found


def test_binary_equals_scikit_learn() -> None:
    """Confusion, accuracy, precision, recall, F1 exactly; AUC within its bound; money by the cost matrix."""
    random = np.random.default_rng(1)
    scores = random.random(5000)
    labels = random.random(5000) < scores
    worth = {(1, 1): 40.0, (True, False): -15.0, (0, 1): -60.0}
    judged = objective(task="binary", threshold=0.4, costs=worth)
    tally = Tally(NO_ATTRIBUTES)
    for score, label in zip(scores.tolist(), labels, strict=True):
        assert tally.add(made(None, score), label, NOW + 5, judged) is None  # labels are numpy's
    tally.expected(10_000)
    quality = tally.quality(None, None, judged)
    predicted = scores >= 0.4
    (tn, fp), (fn, tp) = confusion_matrix(labels, predicted)
    assert quality.confusion == {("0", "0"): tn, ("1", "0"): fp, ("0", "1"): fn, ("1", "1"): tp}
    assert quality.accuracy == accuracy_score(labels, predicted)
    assert quality.precision == precision_score(labels, predicted)
    assert quality.recall == recall_score(labels, predicted)
    assert math.isclose(quality.f1 or 0, f1_score(labels, predicted))
    assert quality.auc is not None
    assert abs(quality.auc.value - roc_auc_score(labels, scores)) <= quality.auc.bound < 0.02
    assert quality.coverage == 0.5
    assert quality.value == {"EUR": 40.0 * tp - 15.0 * fp - 60.0 * fn}
    found = points(tally)
    assert found["mlobs.business.value", "prediction", "EUR", "gain"] == 40.0 * tp
    assert sum(value for key, value in found.items() if key[0] == "mlobs.outcome.score") == 5000


def test_classes_and_regressions_equal_scikit_learn() -> None:
    """Accuracy of several classes; MAE, RMSE and bias of a regression."""
    random = np.random.default_rng(2)
    actual, predicted = random.choice(["a", "b", "c"], 500), random.choice(["a", "b", "c"], 500)
    tally = Tally(NO_ATTRIBUTES)
    for one, other in zip(predicted.tolist(), actual.tolist(), strict=True):
        tally.add(made(one, 0.6), other, NOW, None)
    assert tally.quality(None, None, None).accuracy == accuracy_score(actual, predicted)
    truth, guess = random.normal(size=700), random.normal(size=700)
    tally = Tally(NO_ATTRIBUTES)
    for value, real in zip(guess.tolist(), truth.tolist(), strict=True):
        tally.add(made(value), real, NOW, None)
    quality = tally.quality(None, None, None)
    assert math.isclose(quality.mae or 0, mean_absolute_error(truth, guess))
    assert math.isclose(quality.rmse or 0, mean_squared_error(truth, guess) ** 0.5)
    assert math.isclose(quality.bias or 0, float((guess - truth).mean()))


class Hostile:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError


def test_what_is_no_truth_is_refused() -> None:
    """Each bad truth has its reason, nothing is raised, and nothing is counted."""
    tally = Tally(NO_ATTRIBUTES)
    for actual in (None, math.nan, math.inf, [1], 10**4000, Hostile(), np.datetime64("NaT"), b"1", 1j):
        assert tally.add(made(None, 0.5), actual, NOW, None) == "invalid"
    assert tally.quality(None, None, None).joined == 0


def test_other_refusals_have_their_reasons() -> None:
    """A class that nobody named, a truth before its prediction, text or too large a number for a regression."""
    tally = Tally(NO_ATTRIBUTES)
    assert tally.add(made("a"), "z", NOW, objective(classes=["a", "b"])) == "unknown_class"
    assert tally.add(made("a", at=NOW + 61), "a", NOW, None) == "early"
    assert tally.add(made(1.0), "late", NOW, objective(task="regression")) == "invalid"
    assert tally.add(made(1e200), 1.0, NOW, None) == "invalid"
    assert tally.add(made(1.0), 10**400, NOW, None) == "invalid"


def test_times_choose_by_the_prediction() -> None:
    """`since` and `until` take the hours in which predictions were made, whenever their truth came; hours are bounded."""
    tally = Tally(NO_ATTRIBUTES)
    for hour in range(300):
        tally.add(made("a", at=NOW - 3600.0 * hour), "a", NOW, None)
    assert tally.quality(NOW - 3600.0 * 9, None, None).joined == 10
    assert tally.quality(None, NOW - 3600.0 * 10, None).joined == 290
    assert tally.quality(None, None, None).joined == 300
    assert len(tally._hours) <= 202


def test_classes_are_bounded() -> None:
    """Beyond twenty classes the names are one, and no truth is lost."""
    tally = Tally(NO_ATTRIBUTES)
    for number in range(100):
        tally.add(made(f"c{number}"), f"c{number}", NOW, None)
    confusion = tally.quality(None, None, None).confusion
    assert sum(confusion.values()) == 100
    assert len(confusion) == 21


def test_business_events_and_money() -> None:
    """Gains and losses are counted apart, currencies too, and what is none has its reason."""
    tally = Tally(NO_ATTRIBUTES)
    assert tally.business("conversion", 39.9, "EUR") is None
    assert tally.business("conversion", -9.9, "EUR") is None
    assert tally.business("conversion", 5, "USD") is None
    assert tally.business("visit", None, None) is None
    refused = [("", 1.0, "EUR"), ("k", math.inf, "EUR"), ("k", 10**400, "EUR"), ("k", "9", "EUR"), ("k", 1.0, "euro")]
    assert [tally.business(*event) for event in refused] == ["kpi", "value", "value", "value", "currency"]
    assert tally.business(Hostile(), Hostile(), Hostile()) == "kpi"
    found = points(tally)
    assert found["mlobs.business.events", "conversion"] == 3
    assert found["mlobs.business.value", "conversion", "EUR", "gain"] == 39.9
    assert found["mlobs.business.value", "conversion", "EUR", "loss"] == 9.9
    assert tally.quality(None, None, None).value == {"EUR": 30.0, "USD": 5.0}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"model": ""}, "model"),
        ({"task": "ranking"}, "task"),
        ({"threshold": 2}, "threshold"),
        ({"threshold": math.nan}, "threshold"),
        ({"currency": "eur"}, "currency"),
        ({"classes": ["a"]}, "classes"),
        ({"classes": "ab"}, "classes"),
        ({"classes": ["a", "b"], "task": "binary"}, "positive"),
        ({"costs": {"a": 1.0}}, "costs"),
        ({"costs": {(1, 0): math.inf}}, "costs"),
        ({"calibration": ([0.5], [1, 0])}, "calibration"),
        ({"calibration": 3}, "calibration"),
    ],
)
def test_an_objective_that_cannot_hold_is_refused(given: dict[str, Any], what: str) -> None:
    """The error names the argument and what was expected."""
    with pytest.raises(mlobs.ConfigurationError, match=rf"mlobs\.objective\({what}=.*expected"):
        mlobs.objective(**{"model": "m", **given})
