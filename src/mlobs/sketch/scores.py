"""Scores of classifiers in fixed bins: the quality that their truths show, and the one that they promise.

40 bins of [0, 1], the same everywhere, so that counts of threads, processes and windows add up; a score equal to an edge
belongs left. Every figure is told with a bound: what the raw scores would have given lies within it.

Sources: AUC as the share of concordant pairs, ties half (Hanley & McNeil 1982); expected calibration error (Naeini et al.
2015) over these bins; confidence-based performance estimation as NannyML documents it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_LOWER: Final = (
    0.0001, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45,
)  # fmt: skip
EDGES: Final = (*_LOWER, 0.5, *(round(1 - edge, 4) for edge in reversed(_LOWER)))
KEYS: Final = tuple(f"{index:02d}" for index in range(len(EDGES) + 1))
SIZE: Final = len(KEYS)

_LOW: Final = np.array([0.0, *EDGES])
_HIGH: Final = np.array([*EDGES, 1.0])
MIDDLES: Final[Floats] = (_LOW + _HIGH) / 2
_LEAST: Final = float(np.finfo(np.float64).eps)  # what a logarithm is taken of at least, as scikit-learn does
_PRIOR: Final = 2.0  # rows by which a measured share of positives is drawn to the bin's middle


class Measured(NamedTuple):
    """A figure, and how far the one of the raw scores can be from it."""

    value: float
    bound: float


class Realized(NamedTuple):
    """What truths say of binary scores; AUC is None where all of them are of one class, F1 where none is positive."""

    accuracy: Measured
    f1: Measured | None
    auc: Measured | None
    log_loss: Measured
    brier: Measured
    calibration_error: Measured


def score_bin(score: float) -> int | None:
    """The bin of a score, 0 to 39; None for NaN and what lies outside [0, 1]."""
    return bisect_left(EDGES, score) if 0.0 <= score <= 1.0 else None


def count_scores(values: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Counts by bin, and how many values were no scores: NaN, or outside [0, 1]."""
    scores = np.asarray(values, np.float64).ravel()
    with np.errstate(invalid="ignore"):
        good = scores[(scores >= 0) & (scores <= 1)]
    counts = np.bincount(np.searchsorted(EDGES, good), minlength=SIZE)
    return counts.astype(np.int64), len(scores) - len(good)


def realized(negatives: ArrayLike, positives: ArrayLike, *, threshold: float = 0.5) -> Realized | None:
    """Quality of scores whose truth is known, from their counts by bin; None where there are none.

    Counts need not be whole: `expected` gives shares. A score from ``threshold`` on predicts the positive class; of the
    bin that holds the threshold nobody knows on which side its scores are, and the bound says what that may change.
    """
    no, yes = np.asarray(negatives, np.float64), np.asarray(positives, np.float64)
    total = float(no.sum() + yes.sum())
    if not total > 0:
        return None
    loss_low, loss_high = -np.log(np.maximum(_HIGH, _LEAST)), -np.log(np.maximum(_LOW, _LEAST))
    none_low, none_high = -np.log(np.maximum(1 - _LOW, _LEAST)), -np.log(np.maximum(1 - _HIGH, _LEAST))
    rate = np.divide(yes, no + yes, out=np.zeros(SIZE), where=(no + yes) > 0)
    off_high = np.maximum(np.abs(rate - _LOW), np.abs(rate - _HIGH))
    off_low = np.where((rate >= _LOW) & (rate <= _HIGH), 0.0, np.minimum(np.abs(rate - _LOW), np.abs(rate - _HIGH)))
    return Realized(
        *_at(no, yes, threshold),
        _auc(no, yes),
        _between(yes @ loss_low + no @ none_low, yes @ loss_high + no @ none_high, total),
        _between(yes @ (1 - _HIGH) ** 2 + no @ _LOW**2, yes @ (1 - _LOW) ** 2 + no @ _HIGH**2, total),
        _between((no + yes) @ off_low, (no + yes) @ off_high, total),
    )


def expected(counts: ArrayLike, *, threshold: float = 0.5, rates: ArrayLike | None = None) -> Realized | None:
    """The quality that scores promise before any truth has come, from their counts by bin; None where there are none.

    A bin's scores are taken to be right in the share ``rates`` of positives that they stand for, its middle where nothing
    is measured: the expected counts of true and false predictions follow. It holds as long as the scores are calibrated,
    whatever the inputs do; it cannot see that the same inputs have come to mean something else (concept drift).
    """
    share = MIDDLES if rates is None else np.asarray(rates, np.float64)
    whole = np.asarray(counts, np.float64)
    return realized(whole * (1 - share), whole * share, threshold=threshold)


def expected_confidence(counts: ArrayLike) -> Measured | None:
    """The accuracy that the probabilities of predicted classes promise: their mean."""
    whole = np.asarray(counts, np.float64)
    total = float(whole.sum())
    return _between(whole @ _LOW, whole @ _HIGH, total) if total > 0 else None


def calibration(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """The share of positives that each bin stands for, from held-out scores and their labels (true or false).

    Drawn to the bin's middle with the weight of two rows, and never falling from a bin to the next (pool adjacent
    violators, Ayer et al. 1955).
    """
    truth = np.asarray(labels).astype(bool).ravel()
    values = np.asarray(scores, np.float64).ravel()
    if len(truth) != len(values):
        raise ValueError(f"as many labels as scores are due, not {len(truth)} for {len(values)}")
    yes, all_of_them = count_scores(values[truth])[0], count_scores(values)[0]
    pools: list[list[float]] = []  # share, weight, bins
    for share, weight in zip((yes + _PRIOR * MIDDLES) / (all_of_them + _PRIOR), all_of_them + _PRIOR, strict=True):
        pools.append([float(share), float(weight), 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            last, before = pools.pop(), pools.pop()
            joint = before[1] + last[1]
            pools.append([(before[0] * before[1] + last[0] * last[1]) / joint, joint, before[2] + last[2]])
    return np.repeat([pool[0] for pool in pools], [int(pool[2]) for pool in pools])


def _between(low: Any, high: Any, total: float) -> Measured:  # noqa: ANN401 - numpy's floats
    return Measured(float(low + high) / 2 / total, float(high - low) / 2 / total + 1e-12)


def _auc(no: Floats, yes: Floats) -> Measured | None:
    pairs = float(no.sum() * yes.sum())
    if not pairs > 0:
        return None
    below = np.cumsum(no) - no
    tied = float(no @ yes) / 2 / pairs
    return Measured(float(yes @ below) / pairs + tied, tied + 1e-12)


def _at(no: Floats, yes: Floats, threshold: float) -> tuple[Measured, Measured | None]:
    """Accuracy and F1 at a threshold."""
    above = threshold <= MIDDLES
    unsure = (threshold > _LOW) & (threshold <= _HIGH)
    right, wrong = float(yes[above].sum()), float(no[above].sum())
    total, actual = float(no.sum() + yes.sum()), float(yes.sum())
    accuracy = (right + float(no.sum()) - wrong) / total
    slack = max(float(yes[unsure].sum()), float(no[unsure].sum())) / total
    f1 = _f1(right, wrong, actual)
    if f1 is None:
        return Measured(accuracy, slack + 1e-12), None
    sure = above & ~unsure
    maybe = float(yes[unsure].sum()), float(no[unsure].sum())
    best = _f1(float(yes[sure].sum()) + maybe[0], float(no[sure].sum()), actual) or 0.0
    worst = _f1(float(yes[sure].sum()), float(no[sure].sum()) + maybe[1], actual) or 0.0
    return Measured(accuracy, slack + 1e-12), Measured(f1, max(best - f1, f1 - worst) + 1e-12)


def _f1(right: float, wrong: float, actual: float) -> float | None:
    return 2 * right / (right + wrong + actual) if actual > 0 and math.isfinite(actual) else None
