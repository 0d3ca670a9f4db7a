"""How good predictions were: the record that `mlobs.quality` gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mlobs.sketch import scores
from mlobs.sketch.confusion import OfClass, confusion
from mlobs.sketch.scores import Measured

if TYPE_CHECKING:
    from mlobs.release.hour import Hour
    from mlobs.release.objective import Objective
    from mlobs.sketch import Exponential

SHARES: Final = (0.5, 0.9, 0.99)
OTHER: Final = "_OTHER"
ANOTHER: Final = "_ANOTHER"  # the actual class, where another one beyond those that have names was predicted


class Quality(NamedTuple):
    """Of the predictions whose truth has come; what does not apply, or cannot be told from none, is None.

    expected, joined, coverage
        predictions that had a ticket or an id, those of them whose truth came, and their share. ``joined`` is of the times
        asked for; ``expected`` and ``coverage`` are of all that this process gave and took.
    confusion
        counts by the names of (predicted, actual) class.
    accuracy, precision, recall, f1
        exact; the latter three of the positive class, where there are two.
    auc, log_loss, brier, calibration_error
        from the score bins: the value, and how far that of the raw scores can be from it.
    expected_accuracy, expected_f1, expected_auc
        what the scores of the same predictions promised before their truth came; of more than two classes the accuracy alone.
    mae, rmse, bias
        of regressions; bias is the mean of predicted less actual.
    value
        gains less losses by currency: of the cost matrix in the times asked for, and of business events where all of the
        time is.
    gap
        realised less expected ``accuracy``, ``f1`` and ``auc``: beyond its bound and what chance does, scores have come to
        mean something else.
    balanced_accuracy, matthews, classes, macro, weighted
        of classifiers: mean recall, correlation, figures of each class, their mean, and their mean by support. Classes
        beyond the first 20 are one there, `_OTHER`.
    delays
        of all truths, seconds from prediction to truth that half, nine tenths and 99 in 100 of them did not exceed.
    error_quantiles
        of all regressions, the absolute error that such shares of them did not exceed.
    """

    expected: int
    joined: int
    coverage: float | None
    confusion: Mapping[tuple[str, str], int]
    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    auc: Measured | None = None
    log_loss: Measured | None = None
    brier: Measured | None = None
    calibration_error: Measured | None = None
    expected_accuracy: Measured | None = None
    expected_f1: Measured | None = None
    expected_auc: Measured | None = None
    mae: float | None = None
    rmse: float | None = None
    bias: float | None = None
    value: Mapping[str, float] = {}
    gap: Mapping[str, Measured] = {}
    balanced_accuracy: float | None = None
    matthews: float | None = None
    classes: Mapping[str, OfClass] = {}
    macro: OfClass | None = None
    weighted: OfClass | None = None
    delays: Mapping[float, float] = {}
    error_quantiles: Mapping[float, Measured] = {}

    def __str__(self) -> str:
        """Some lines for people; what does not apply is left out."""
        covered = "" if self.coverage is None else f" ({self.coverage:.1%} of {self.expected} expected)"
        lines = [f"{self.joined} truths joined{covered}"]
        told = [f"{share:.0%} within {seconds:.6g} s" for share, seconds in self.delays.items()]
        lines.append(", ".join(told))
        names = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "matthews", "mae", "rmse", "bias")
        exact = [(name, getattr(self, name)) for name in names]
        lines.append(", ".join(f"{name} {figure:.4g}" for name, figure in exact if figure is not None))
        scored = ("auc", "log_loss", "brier", "calibration_error", "expected_accuracy", "expected_f1", "expected_auc")
        figures = [(name, getattr(self, name)) for name in scored]
        lines.append(", ".join(f"{name} {_shown(figure)}" for name, figure in figures if figure is not None))
        lines.append(", ".join(f"gap of {name} {_shown(figure)}" for name, figure in self.gap.items()))
        lines.append(
            ", ".join(f"{share:.0%} of errors within {_shown(size)}" for share, size in self.error_quantiles.items())
        )
        lines.append(", ".join(f"{money:.2f} {currency}" for currency, money in sorted(self.value.items())))
        return "\n".join(line for line in lines if line)


class Whole(NamedTuple):
    """What is known of all truths only, whatever times are asked for."""

    expected: int
    joined: int
    delays: Mapping[float, float]
    errors: Mapping[float, Measured]


def judged(found: Hour, whole: Whole, objective: Objective | None) -> Quality:
    """The quality of the predictions counted in ``found``."""
    value: dict[str, float] = {}
    for (_, currency, direction), money in found.money.items():
        value[currency] = value.get(currency, 0.0) + (money if direction == "gain" else -money)
    quality = Quality(
        whole.expected,
        found.joined,
        whole.joined / whole.expected if whole.expected else None,
        dict(found.confusion),
        value=value,
        delays=whole.delays,
        error_quantiles=whole.errors,
    )
    quality = _classes(quality, found.right, "1" if objective is None else objective.positive)
    quality = _scored(quality, found, objective)
    if found.confident:
        hoped = Measured(found.confidence / found.confident, 0.0)
        gap = Measured(found.confirmed / found.confident - hoped.value, 0.0)
        if quality.expected_accuracy is None:
            quality = quality._replace(expected_accuracy=hoped, gap={"accuracy": gap})
    if found.errors:
        quality = quality._replace(
            mae=(found.over + found.under) / found.errors,
            rmse=math.sqrt(found.squared / found.errors),
            bias=(found.over - found.under) / found.errors,
        )
    return quality


def magnitudes(sketch: Exponential) -> dict[float, Measured]:
    """The absolute errors that some shares of them did not exceed: the middle of a bucket, within half its width."""
    offset, counts = sketch.positive
    reached = sketch.zero_count + np.cumsum(counts)
    total = sketch.count
    found = {}
    for share in SHARES:
        rank = math.ceil(share * total)
        if rank <= sketch.zero_count:
            found[share] = Measured(0.0, 0.0)
            continue
        index = offset + int(np.searchsorted(reached, rank))
        low, high = (2.0 ** ((index + side) / 2.0**sketch.scale) for side in (0, 1))
        found[share] = Measured((low + high) / 2, (high - low) / 2 + high * 1e-9)
    return found


def _classes(quality: Quality, right: int, positive: str) -> Quality:
    """The figures of the confusion matrix."""
    counts = quality.confusion
    figures = confusion(counts)
    if figures is None:
        return quality
    quality = quality._replace(
        accuracy=right / sum(counts.values()),  # of classes that are one in the matrix too
        balanced_accuracy=figures.balanced_accuracy,
        matthews=figures.matthews,
        classes=figures.classes,
        macro=figures.macro,
        weighted=figures.weighted,
    )
    if len(figures.classes) > 2 or (len(figures.classes) == 2 and positive not in figures.classes):
        return quality
    hit = counts.get((positive, positive), 0)
    predicted = sum(count for (one, _), count in counts.items() if one == positive)
    actual = sum(count for (_, one), count in counts.items() if one == positive)
    return quality._replace(
        precision=hit / predicted if predicted else None,
        recall=hit / actual if actual else None,
        f1=2 * hit / (predicted + actual) if predicted + actual else None,
    )


def _scored(quality: Quality, found: Hour, objective: Objective | None) -> Quality:
    """The figures of the score bins."""
    negatives, positives = np.split(np.array(found.scores, np.int64), 2)
    threshold = 0.5 if objective is None else objective.threshold
    real = scores.realized(negatives, positives, threshold=threshold)
    rates = None if objective is None else objective.rates
    hoped = scores.expected(negatives + positives, threshold=threshold, rates=rates)
    if real is None or hoped is None:
        return quality
    pairs = {"accuracy": (real.accuracy, hoped.accuracy), "f1": (real.f1, hoped.f1), "auc": (real.auc, hoped.auc)}
    return quality._replace(
        auc=real.auc,
        log_loss=real.log_loss,
        brier=real.brier,
        calibration_error=real.calibration_error,
        expected_accuracy=hoped.accuracy,
        expected_f1=hoped.f1,
        expected_auc=hoped.auc,
        gap={
            name: Measured(one.value - other.value, one.bound + other.bound)
            for name, (one, other) in pairs.items()
            if one is not None and other is not None
        },
    )


def _shown(figure: Measured) -> str:
    return f"{figure.value:.4g} ± {figure.bound:.2g}"
