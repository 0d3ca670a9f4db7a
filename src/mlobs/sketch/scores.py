"""Scores of classifiers in fixed bins: the quality that their truths show, and the one that they promise.

40 bins of [0, 1], the same everywhere, so that counts of threads, processes and windows add up; a score equal to an edge
belongs left. Every figure is told with a bound: what the raw scores would have given lies within it. Sums over scores
(log-loss, Brier score, calibration error) are the middle of what scores of these bins can give, which makes their bound
the smallest; a logarithm is taken of the float epsilon at least, as scikit-learn does, so that a positive in the lowest
bin bounds the log-loss widely, by some 13 for itself, and still finitely.

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

LOW: Final = np.array([0.0, *EDGES])
HIGH: Final = np.array([*EDGES, 1.0])
MIDDLES: Final[Floats] = (LOW + HIGH) / 2
LEAST: Final = float(np.finfo(np.float64).eps)  # what a logarithm is taken of at least, as scikit-learn does
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


class Expected(NamedTuple):
    """What scores promise; AUC and F1 are None where no positive is expected, AUC also where nothing else is."""

    accuracy: Measured
    f1: Measured | None
    auc: Measured | None


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
    """Quality of scores whose truth is known, from their counts by bin, shape (40,); None where there are none.

    A score from ``threshold`` on predicts the positive class; of the bin that holds the threshold nobody knows on which
    side its scores are, and the bound says what that may change.
    """
    no, yes = np.asarray(negatives, np.float64), np.asarray(positives, np.float64)
    total = float(no.sum() + yes.sum())
    if not total > 0:
        return None
    loss_low, loss_high = -np.log(np.maximum(HIGH, LEAST)), -np.log(np.maximum(LOW, LEAST))
    none_low, none_high = -np.log(np.maximum(1 - LOW, LEAST)), -np.log(np.maximum(1 - HIGH, LEAST))
    rate = np.divide(yes, no + yes, out=np.zeros(SIZE), where=(no + yes) > 0)
    off_high = np.maximum(np.abs(rate - LOW), np.abs(rate - HIGH))
    off_low = np.where((rate >= LOW) & (rate <= HIGH), 0.0, np.minimum(np.abs(rate - LOW), np.abs(rate - HIGH)))
    return Realized(
        *_at(no, yes, threshold),
        _auc(no, yes),
        _between(yes @ loss_low + no @ none_low, yes @ loss_high + no @ none_high, total),
        _between(yes @ (1 - HIGH) ** 2 + no @ LOW**2, yes @ (1 - LOW) ** 2 + no @ HIGH**2, total),
        _between((no + yes) @ off_low, (no + yes) @ off_high, total),
    )


def expected(counts: ArrayLike, *, threshold: float = 0.5, rates: ArrayLike | None = None) -> Expected | None:
    """The quality that scores promise before any truth has come, from their counts by bin; None where there are none.

    A bin's scores are taken to be right in the share ``rates`` of positives that they stand for, shape (40,); the expected
    counts of true and false predictions follow. Without ``rates`` (or with `MIDDLES`) a score is the share itself, told
    by the middle of its bin, and the bound covers that the scores may lie anywhere in it. It holds as long as the scores
    are calibrated, whatever the inputs do; it cannot see that the same inputs have come to mean something else (concept
    drift).
    """
    whole = np.asarray(counts, np.float64)
    total = float(whole.sum())
    if not total > 0:
        return None
    measured = rates is not None and rates is not MIDDLES
    low, share, high = (np.asarray(rates, np.float64),) * 3 if measured else (LOW, MIDDLES, HIGH)
    whole = whole / total
    no, yes = whole * (1 - share), whole * share
    accuracy, f1 = _at(no, yes, threshold)
    auc = _auc(no, yes)
    edge = share if measured else np.full(SIZE, threshold)  # where scores of the threshold's bin part
    right, harmonic = _ends(whole, low, edge, high, threshold)
    ranks = 1 - _best_auc(whole[::-1], low[::-1], high[::-1]), _best_auc(whole, low, high)
    return Expected(
        _within(accuracy.value, right), f1 and _within(f1.value, harmonic), auc and _within(auc.value, ranks)
    )


def expected_confidence(counts: ArrayLike) -> Measured | None:
    """The accuracy that the probabilities of predicted classes promise: their mean."""
    whole = np.asarray(counts, np.float64)
    total = float(whole.sum())
    return _between(whole @ LOW, whole @ HIGH, total) if total > 0 else None


def calibration(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """The share of positives that each bin stands for, from held-out scores and their labels (true or false).

    Drawn to the bin's middle with the weight of two rows, so that a bin without rows stands for its middle, and never
    falling from a bin to the next (pool adjacent violators, Ayer et al. 1955). Scores that are none are left out. Raises
    ValueError where the two are not as many.
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
    unsure = (threshold > LOW) & (threshold <= HIGH)
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


def _within(value: float, ends: tuple[float, float]) -> Measured:
    return Measured(value, max(value - ends[0], ends[1] - value, 0.0) + 1e-12)


def _ends(
    whole: Floats, low: Floats, edge: Floats, high: Floats, threshold: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The least and the largest accuracy and F1 that shares between ``low`` and ``high`` can promise.

    F1 rises with the shares of what is predicted positive and falls with the others'; in the number of scores of the
    threshold's bin that are predicted positive it is a quotient of linear functions: its ends are where all or none are.
    """
    unsure = (threshold > LOW) & (threshold <= HIGH)
    above, below = (threshold <= MIDDLES) & ~unsure, (threshold > MIDDLES) & ~unsure
    one, least, parted, most = whole @ unsure, low @ unsure, edge @ unsure, high @ unsure
    found = above @ (whole * low), above @ (whole * high)
    missed = below @ (whole * low), below @ (whole * high)
    rest, predicted = whole @ below, whole @ above
    accuracy = (
        found[0] + rest - missed[1] + one * min(parted, 1 - parted),
        found[1] + rest - missed[0] + one * max(most, 1 - least),
    )
    worst = (
        _harmonic(found[0] + said * parted, predicted + said, missed[1] + (one - said) * parted) for said in (0, one)
    )
    best = (_harmonic(found[1] + said * most, predicted + said, missed[0] + (one - said) * least) for said in (0, one))
    return (float(accuracy[0]), float(accuracy[1])), (min(worst), max(best))


def _harmonic(right: Any, predicted: Any, missed: Any) -> float:  # noqa: ANN401 - numpy's floats
    return float(2 * right / (predicted + right + missed)) if right > 0 else 0.0


def _best_auc(whole: Floats, low: Floats, high: Floats) -> float:
    """The largest AUC that shares between ``low`` and ``high`` can promise, ties of a bin all concordant.

    With the number of expected positives of a bin the AUC rises the more the higher the bin is, so at its largest the bins
    below one have their lowest share and those above it their highest. For each bin taken as that one, AUC is a quotient of
    two parabolas in its positives: the largest value is at an end or where the derivative, again a parabola, is zero.
    """
    few, many = whole * low, whole * high
    below = np.cumsum(whole - few) - (whole - few)  # negatives of lower bins, which have their lowest share
    above = many.sum() - np.cumsum(many)  # positives of higher bins
    upper = np.cumsum(whole - many)
    pairs_below = np.cumsum(few * np.cumsum(whole - few)) - few * np.cumsum(whole - few)
    pairs_above = (many * upper).sum() - np.cumsum(many * upper) + (below - upper) * above
    positives = np.cumsum(few) - few + above
    negatives = whole.sum() - whole - positives
    top = pairs_below + pairs_above + above * whole, below + whole - above  # top[0] + top[1] x - x²
    bottom = positives * (negatives + whole), negatives + whole - positives
    square, slope, constant = top[1] - bottom[1], top[0] - bottom[0], top[1] * bottom[0] - top[0] * bottom[1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        root = np.sqrt(slope * slope - square * constant)
        stationary = [(-slope + sign * root) / square for sign in (-1, 1)] + [-constant / (2 * slope)]
        tried = np.array([few, many, *(np.where(np.isfinite(x), np.clip(x, few, many), few) for x in stationary)])
        found = (top[0] + tried * (top[1] - tried)) / (bottom[0] + tried * (bottom[1] - tried))
    return min(1.0, float(np.nanmax(np.where(np.isfinite(found), found, 1.0))))


def _f1(right: float, wrong: float, actual: float) -> float | None:
    return 2 * right / (right + wrong + actual) if actual > 0 and math.isfinite(actual) else None
