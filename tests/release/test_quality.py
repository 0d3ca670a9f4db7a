"""What a person is told of a model's quality: scikit-learn's numbers on the same labels, or None."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from mlobs.otel.points import NO_ATTRIBUTES
from mlobs.release import Quality
from mlobs.release.hour import Hour
from mlobs.release.prediction import Prediction
from mlobs.release.quality import SHARES, magnitudes
from mlobs.release.tally import Tally
from mlobs.sketch import Exponential

NOW = 1_800_000_000.0
NOT_OF_CLASSES = ("mae", "rmse", "bias")
OF_CLASSES = (
    "accuracy", "precision", "recall", "f1", "auc", "log_loss", "brier", "calibration_error", "expected_accuracy",
    "expected_f1", "expected_auc", "balanced_accuracy", "matthews", "macro", "weighted",
)  # fmt: skip


def made(label: str | float | None = None, score: float | None = None, *, at: float = NOW) -> Prediction:
    return Prediction(b"0" * 12, "m", "1", "champion", at, None, "", label, score)


def told(tally: Tally) -> Quality:
    return tally.quality(None, None, None)


def test_scores_give_scikit_learns_numbers_within_their_bounds() -> None:
    """AUC, log-loss and Brier score of 5,000 binary predictions, and bounds that are of use."""
    random = np.random.default_rng(3)
    values = random.beta(0.6, 1.4, 5000)
    labels = random.random(5000) < values**1.3
    tally = Tally(NO_ATTRIBUTES)
    for value, label in zip(values.tolist(), labels.tolist(), strict=True):
        assert tally.add(made(None, value), label, NOW, None) is None
    quality = told(tally)
    for mine, theirs, widest in (
        (quality.auc, roc_auc_score(labels, values), 0.02),
        (quality.log_loss, log_loss(labels, values), 0.05),
        (quality.brier, brier_score_loss(labels, values), 0.03),
    ):
        assert mine is not None
        assert abs(mine.value - theirs) <= mine.bound < widest


def test_several_classes_give_scikit_learns_numbers() -> None:
    """Each class, the averages, balanced accuracy and correlation; nothing that only two classes have."""
    random = np.random.default_rng(9)
    actual, predicted = random.choice(["a", "b", "c", "d"], (2, 400), p=[0.6, 0.2, 0.15, 0.05])
    tally = Tally(NO_ATTRIBUTES)
    for one, other in zip(predicted.tolist(), actual.tolist(), strict=True):
        tally.add(made(one), other, NOW, None)
    quality = told(tally)
    assert quality.balanced_accuracy is not None
    assert quality.matthews is not None
    assert math.isclose(quality.balanced_accuracy, balanced_accuracy_score(actual, predicted))
    assert math.isclose(quality.matthews, matthews_corrcoef(actual, predicted))
    each = np.array(precision_recall_fscore_support(actual, predicted))
    assert np.allclose(np.array(list(quality.classes.values())).T, each)
    for mine, average in ((quality.macro, "macro"), (quality.weighted, "weighted")):
        assert mine is not None
        assert np.allclose(mine[:3], precision_recall_fscore_support(actual, predicted, average=average)[:3])
    assert (quality.precision, quality.recall, quality.f1, quality.auc) == (None, None, None, None)


def test_nothing_known_is_none() -> None:
    """Without a truth every figure is None or empty, never NaN."""
    quality = told(Tally(NO_ATTRIBUTES))
    assert (quality.expected, quality.joined, quality.coverage) == (0, 0, None)
    assert all(getattr(quality, name) is None for name in (*OF_CLASSES, *NOT_OF_CLASSES))
    empty = (quality.confusion, quality.value, quality.gap, quality.classes, quality.delays, quality.error_quantiles)
    assert empty == ({},) * 6
    assert str(quality) == "0 truths joined"


def test_what_is_of_another_task_is_none() -> None:
    """A regression has no accuracy, a classifier no error."""
    tally = Tally(NO_ATTRIBUTES)
    tally.add(made(1.5), 2.5, NOW, None)
    assert all(getattr(told(tally), name) is None for name in OF_CLASSES)
    assert told(tally).bias == -1
    tally = Tally(NO_ATTRIBUTES)
    tally.add(made(None, 0.7), True, NOW, None)
    assert all(getattr(told(tally), name) is None for name in NOT_OF_CLASSES)
    assert told(tally).auc is None  # all of one class


def test_delays_are_bounded_from_above() -> None:
    """That share of truths had come within the seconds that are told, and no later than the latest."""
    tally = Tally(NO_ATTRIBUTES)
    delays = np.random.default_rng(2).lognormal(8, 1, 1000)
    for delay in delays.tolist():
        tally.add(made("a"), "a", NOW + delay, None)
    found = told(tally).delays
    assert tuple(found) == SHARES
    for share, seconds in found.items():
        assert np.mean(delays <= seconds + 1e-3) >= share
    tally = Tally(NO_ATTRIBUTES)
    tally.add(made("a"), "a", NOW + 2, None)
    assert set(told(tally).delays.values()) == {2.0}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1e140), min_size=1, max_size=300))
def test_error_quantiles_hold_their_bound(errors: list[float]) -> None:
    """The raw error of the same rank lies within the bound, from zero to the largest numbers."""
    sketch = Exponential(finest=10)
    sketch.add(np.array(errors))
    raw = np.quantile(errors, SHARES, method="inverted_cdf")
    for (value, bound), theirs in zip(magnitudes(sketch).values(), raw, strict=True):
        assert abs(value - theirs) <= bound


def test_error_quantiles_are_of_use() -> None:
    """Of ordinary errors the median is told to a few hundredths of itself."""
    random = np.random.default_rng(7)
    truth, guess = random.normal(100, 10, (2, 2000))
    tally = Tally(NO_ATTRIBUTES)
    for one, other in zip(guess.tolist(), truth.tolist(), strict=True):
        tally.add(made(one), other, NOW, None)
    median = told(tally).error_quantiles[0.5]
    raw = float(np.quantile(abs(guess - truth), 0.5, method="inverted_cdf"))
    assert abs(median.value - raw) <= median.bound < 0.1 * raw


def test_hours_add_up() -> None:
    """Truths of many hours merge into what one hour would have counted."""
    random = np.random.default_rng(1)
    apart, together = Tally(NO_ATTRIBUTES), Tally(NO_ATTRIBUTES)
    for number in range(2000):
        score, label = float(random.random()), bool(random.integers(2))
        apart.add(made(None, score, at=NOW - 3600 * (number % 400)), label, NOW, None)
        together.add(made(None, score), label, NOW, None)
    everything = apart.quality(0.0, None, None)._replace(delays={})
    assert everything == told(together)._replace(delays={})


def test_every_count_is_merged() -> None:
    """No field of an hour is forgotten when hours become one."""
    hour = Hour()
    hour.count(("a", "a"), right=True)
    hour.trust(0.5, right=True)
    hour.err(2.0)
    hour.err(-1.0)
    hour.earn("k", "EUR", 5.0)
    hour.joined, hour.scores[3] = 4, 2
    twice = Hour().merge([hour, hour])
    for name in Hour.__slots__:
        mine, other = getattr(hour, name), getattr(twice, name)
        if isinstance(mine, dict):
            assert other == {key: 2 * value for key, value in mine.items()}
        elif isinstance(mine, list):
            assert other == [2 * value for value in mine]
        else:
            assert other == 2 * mine != 0


@pytest.mark.parametrize(("label", "score", "actual"), [(None, 0.7, True), ("a", 0.6, "b"), (1.5, None, 2.5)])
def test_the_record_is_read_by_people_and_kept(label: str | None, score: float | None, actual: object) -> None:
    """It prints in some lines without None or NaN, and it can be pickled."""
    tally = Tally(NO_ATTRIBUTES)
    tally.expected(2)
    tally.add(made(label, score), actual, NOW + 90, None)
    tally.business("sale", 3.0, "EUR")
    quality = told(tally)
    text = str(quality)
    assert text.startswith("1 truths joined (50.0% of 2 expected)\n50% within 90 s")
    assert "None" not in text
    assert "nan" not in text
    assert text.endswith("3.00 EUR")
    assert pickle.loads(pickle.dumps(quality)) == quality
