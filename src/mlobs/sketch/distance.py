"""How far two sets of counts over the same bins are apart.

Each function takes int64 counts of equal shape (bins,) and answers NaN where either side is empty. PSI and
Jensen-Shannon smooth with Jeffreys' 0.5 a bin on both sides, so that an empty bin costs what its sample size says and
no arbitrary epsilon decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]

JEFFREYS = 0.5
NAN = float("nan")


class KolmogorovSmirnov(NamedTuple):
    """The distance at the bins' edges, and the most it can be on the values themselves."""

    distance: float
    bound: float


class ChiSquared(NamedTuple):
    """The two-sample statistic and its degrees of freedom."""

    statistic: float
    freedom: int


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index, Σ (q − p) ln(q / p), on smoothed shares."""
    if not reference.sum() or not current.sum():
        return NAN
    p, q = _smoothed(reference), _smoothed(current)
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Jensen-Shannon divergence to base 2, in [0, 1], on smoothed shares."""
    if not reference.sum() or not current.sum():
        return NAN
    p, q = _smoothed(reference), _smoothed(current)
    middle = (p + q) / 2
    divergence = float(np.sum(p * np.log2(p / middle) + q * np.log2(q / middle))) / 2
    return min(max(divergence, 0.0), 1.0)


def ks(reference: Counts, current: Counts) -> KolmogorovSmirnov:
    """Kolmogorov-Smirnov distance over ordered bins, unsmoothed; hand over the ordered bins only.

    The distance D of the values obeys distance ≤ D ≤ bound, the bound being distance + max min(pᵢ, qᵢ).
    """
    if not reference.sum() or not current.sum():
        return KolmogorovSmirnov(NAN, NAN)
    p, q = reference / reference.sum(), current / current.sum()
    distance = float(np.max(np.abs(np.cumsum(q - p))))
    return KolmogorovSmirnov(distance, min(distance + float(np.max(np.minimum(p, q))), 1.0))


def chi_squared(reference: Counts, current: Counts) -> ChiSquared:
    """Pearson's two-sample statistic, unsmoothed, over the bins that either side has met."""
    m, n = int(reference.sum()), int(current.sum())
    if not m or not n:
        return ChiSquared(NAN, 0)
    met = reference + current > 0
    r, c = reference[met].astype(np.float64), current[met].astype(np.float64)
    statistic = float(np.sum((np.sqrt(m / n) * c - np.sqrt(n / m) * r) ** 2 / (r + c)))
    return ChiSquared(statistic, int(met.sum()) - 1)


def wasserstein(reference: Counts, current: Counts, edges: Floats, low: float, high: float) -> float:
    """Wasserstein-1 distance, in the feature's unit, over ordered bins; hand over the ordered bins only.

    Values are taken as spread evenly within a bin and the outer bins as ending at low and high, so what lies beyond
    the reference's range counts as if it lay at its end.
    """
    if not reference.sum() or not current.sum():
        return NAN
    if not len(edges):
        return 0.0
    knots = np.concatenate(([min(low, edges[0])], edges, [max(high, edges[-1])]))
    apart = np.concatenate(([0.0], np.cumsum(reference / reference.sum() - current / current.sum())))
    left, right = np.abs(apart[:-1]), np.abs(apart[1:])
    crossing = apart[:-1] * apart[1:] < 0
    total = np.where(left + right > 0, left + right, 1.0)
    mean = np.where(crossing, (left**2 + right**2) / (2 * total), (left + right) / 2)
    return float(np.sum(np.diff(knots) * mean))


def _smoothed(counts: Counts) -> Floats:
    return np.asarray((counts + JEFFREYS) / (counts.sum() + JEFFREYS * len(counts)), dtype=np.float64)
