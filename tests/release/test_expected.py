"""Expected quality holds while scores mean what they meant, and the gap tells when they no longer do."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.release import objectives

from mlobs.otel.points import NO_ATTRIBUTES
from mlobs.release import Quality
from mlobs.release.objective import Objective
from mlobs.release.prediction import Prediction
from mlobs.release.tally import Tally

NOW = 1_800_000_000.0
ROWS = 20_000
NAMES = ("accuracy", "f1", "auc")


def objective(**given: Any) -> Objective:
    return objectives.objective(**{"task": "binary", **given})


def seen(scores: np.ndarray, labels: np.ndarray, aim: Objective) -> Quality:
    """The quality of predictions with these scores and truths."""
    tally = Tally(NO_ATTRIBUTES)
    for score, label in zip(scores.tolist(), labels.tolist(), strict=True):
        assert tally.add(Prediction(b"", "m", "1", "c", NOW, None, "", None, score), label, NOW, aim) is None
    return tally.quality(None, None, aim)


def drawn(shares: np.ndarray) -> np.ndarray:
    """Truths that are positive with these probabilities."""
    return np.random.default_rng(11).random(len(shares)) < shares


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.73])
@pytest.mark.parametrize("shape", [(2.0, 2.0), (5.0, 2.0), (1.0, 6.0)])
def test_it_holds_under_covariate_shift(shape: tuple[float, float], threshold: float) -> None:
    """Calibrated scores promise what comes true, wherever the inputs have moved: within bounds and chance."""
    scores = np.random.default_rng(5).beta(*shape, ROWS)
    quality = seen(scores, drawn(scores), objective(threshold=threshold))
    for name in NAMES:
        gap = quality.gap[name]
        assert abs(gap.value) <= gap.bound + 0.02
        assert abs(gap.value) < 0.03


def test_it_fails_under_concept_drift_and_the_gap_says_so() -> None:
    """When the same scores come to mean the opposite, the promise stays as high as it was and the truth falls far below."""
    scores = np.random.default_rng(5).beta(2, 2, ROWS)
    before, after = (seen(scores, drawn(shares), objective()) for shares in (scores, 1 - scores))
    assert (after.expected_accuracy, after.expected_f1) == (before.expected_accuracy, before.expected_f1)
    assert after.expected_auc == before.expected_auc
    for name in NAMES:
        assert after.gap[name].value + after.gap[name].bound < -0.2


def test_it_fails_gradually() -> None:
    """The larger the share of rows whose meaning has changed, the larger the gap."""
    scores = np.random.default_rng(5).beta(2, 2, ROWS)
    turned = np.random.default_rng(6).random(ROWS)
    gaps = [
        seen(scores, drawn(np.where(turned < share, 1 - scores, scores)), objective()).gap["auc"].value
        for share in (0.0, 0.2, 0.5, 1.0)
    ]
    assert all(later < earlier - 0.05 for earlier, later in itertools.pairwise(gaps))


def test_it_fails_on_scores_that_are_no_probabilities_until_they_are_calibrated() -> None:
    """Overconfident scores promise too much; with held-out labels in the objective they promise what comes true."""
    share = np.random.default_rng(7).random(2 * ROWS)
    pressed = 1 / (1 + (1 / share - 1) ** 3)
    labels = drawn(share)
    later = pressed[ROWS:], labels[ROWS:]
    plain = seen(*later, objective())
    mended = seen(*later, objective(calibration=(pressed[:ROWS], labels[:ROWS])))
    assert plain.gap["accuracy"].value + plain.gap["accuracy"].bound < -0.05
    for name in NAMES:
        assert abs(mended.gap[name].value) < 0.02


def test_of_several_classes_the_accuracy_is_expected_from_the_confidence() -> None:
    """The mean probability of predicted classes is the share that comes true; when it no longer is, the gap says so."""
    random = np.random.default_rng(8)
    confidence = random.uniform(0.4, 1, ROWS)
    right = random.random(ROWS) < confidence
    for truths, gap in ((right, 0.0), (random.random(ROWS) < 0.3, -0.4)):
        tally = Tally(NO_ATTRIBUTES)
        for score, hit in zip(confidence.tolist(), truths.tolist(), strict=True):
            tally.add(Prediction(b"", "m", "1", "c", NOW, None, "", "cat", score), "cat" if hit else "dog", NOW, None)
        quality = tally.quality(None, None, None)
        assert quality.expected_accuracy is not None
        assert abs(quality.expected_accuracy.value - confidence.mean()) < 1e-9
        assert abs(quality.gap["accuracy"].value - gap) < 0.02
