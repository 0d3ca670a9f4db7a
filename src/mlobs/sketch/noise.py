"""What chance alone makes of a distance, and the verdict that takes it into account.

With no drift, PSI / (1/n + 1/m) follows chi-squared with K - 1 degrees of freedom for K bins, n current and m reference
rows (Yurdakul 2018; Yurdakul & Naranjo 2020; arXiv 2307.11878). So a feature has drifted when both hold: its PSI is
significant, after Benjamini & Hochberg (1995) over all features, and exceeds what chance gives it by the tolerance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from mlobs.sketch.distance import jensen_shannon, ks, psi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

Verdict = Literal["insufficient", "stable", "drifting", "drifted"]

ALPHA = 0.001
QUANTILE = 3.0902  # of the normal distribution at 1 - ALPHA
POWER = 1.6449  # of the normal distribution at 95%
CHOSEN = 4.0  # z**2 - 1, on average, of counts some 2.2 standard deviations high, as the first 19 of hundreds are
KS_FACTOR = 1.9495  # sqrt(ln(2 / ALPHA) / 2)
WARN = 0.1
ACT = 0.25


class Drift(NamedTuple):
    """What is known of one feature's distance from its reference.

    ks and ks_bound are NaN where bins have no order; every distance is NaN where nothing was counted.
    """

    name: str
    role: str
    psi: float
    ks: float
    ks_bound: float
    js: float
    psi_noise: float
    ks_noise: float
    count: int  # type: ignore[assignment] # not tuple.count: nobody searches a Drift for a value
    pvalue: float
    verdict: Verdict


def psi_noise(bins: int, n: float, m: float) -> float:
    """The PSI that chance exceeds once in a thousand times (Wilson & Hilferty's chi-squared quantile)."""
    return _quantile(bins - 1) * _spread(n, m)


def psi_expected(bins: int, n: float, m: float) -> float:
    """The PSI that chance gives on average."""
    return (bins - 1) * _spread(n, m)


def psi_smoothing(bins: int, n: float, m: float) -> float:
    """The PSI that Jeffreys' half alone makes at most, where all but one of the bins hold next to nothing.

    Such a bin has a share of 1/2n here and of some 1/2m there: ln(m/n)/2n each. Beside a reference of millions that is more
    than chi-squared expects, 1/n.
    """
    return (bins - 1) * math.log(m / n) / (2 * n) if 0 < n < m else 0.0


def psi_chosen(reference: Counts) -> float:
    """The PSI that naming the most frequent categories makes on average: part of what is frequent is so by chance, and here only.

    Of categories, `other` and `missing` last. Those count whose frequency chance could confuse with the rarest named one's;
    none where all are named.
    """
    named, other = reference[:-2], reference[-2]
    if not len(named) or not other:
        return 0.0
    rarest = float(named.min())
    return CHOSEN * int(np.count_nonzero(named <= rarest + 3 * math.sqrt(rarest))) / float(reference.sum())


def psi_pvalue(value: float, bins: int, n: float, m: float) -> float:
    """How probable a PSI of at least `value` is by chance (Wilson & Hilferty); NaN where nothing was counted."""
    freedom, spread = bins - 1, _spread(n, m)
    if math.isnan(value) or math.isinf(spread):
        return math.nan
    if freedom < 1:
        return 1.0
    part = 2 / (9 * freedom)
    z = ((value / spread / freedom) ** (1 / 3) - (1 - part)) / math.sqrt(part)
    return math.erfc(z / math.sqrt(2)) / 2


def ks_noise(n: float, m: float) -> float:
    """The KS distance that chance exceeds less than once in a thousand times."""
    return KS_FACTOR * math.sqrt(_spread(n, m))


def benjamini_hochberg(pvalues: Sequence[float] | NDArray[np.float64], alpha: float = ALPHA) -> NDArray[np.bool_]:
    """Which hypotheses to reject at false discovery rate alpha, shape (tests,); NaN is never rejected and no test."""
    values = np.asarray(pvalues, dtype=np.float64)
    tested = np.sort(values[~np.isnan(values)])
    passing = np.flatnonzero(tested <= alpha * np.arange(1, len(tested) + 1) / max(len(tested), 1))
    return values <= tested[passing[-1]] if len(passing) else np.zeros(len(values), dtype=np.bool_)


def minimum_count(bins: int, tolerance: float = WARN, m: float = math.inf) -> float:
    """The rows from which a true PSI of `tolerance` is found significant with 95% power; infinite where m is too small.

    By the normal approximation to the noncentral chi-squared distribution with noncentrality tolerance / (1/n + 1/m):
    about 420 for ten bins and `missing`.
    """
    freedom = max(bins - 1, 1)
    above = _quantile(freedom) - freedom
    middle = above + 2 * POWER**2
    noncentrality = middle + math.sqrt(middle**2 - above**2 + 2 * freedom * POWER**2)
    left = tolerance / noncentrality - (1 / m if m else math.inf)
    return math.ceil(1 / left) if left > 0 else math.inf


def judge(
    features: Sequence[tuple[str, str, int, Counts, Counts]], warn: float = WARN, act: float = ACT
) -> list[Drift]:
    """One verdict a feature, given (name, role, ordered bins, reference counts, current counts) of each.

    drifted, drifting: significant after Benjamini & Hochberg, and PSI less its expectation above `act`, `warn`.
    insufficient: too few rows to tell; fewer than `minimum_count`, or than it takes for smoothing alone to stay below `warn`,
    are not even tested, and where only the reference is too small, drift that shows all the same is reported, but nothing
    is called stable.
    """
    measured = [_measure(*feature, warn=warn) for feature in features]
    significant = benjamini_hochberg([tested for _, _, tested, _ in measured])
    return [
        drift._replace(verdict=_verdict(excess, alarm=bool(alarm), enough=enough, warn=warn, act=act))
        for (drift, excess, _, enough), alarm in zip(measured, significant, strict=True)
    ]


def _measure(
    name: str, role: str, ordered: int, reference: Counts, current: Counts, *, warn: float
) -> tuple[Drift, float, float, bool]:
    """The distances without a verdict; PSI above its expectation; the p-value to test; whether rows suffice."""
    m, n, bins = int(reference.sum()), int(current.sum()), len(reference)
    distance = psi(reference, current)
    pvalue = psi_pvalue(distance, bins, n, m)
    steps = ks(reference[:ordered], current[:ordered])
    drift = Drift(
        name=name,
        role=role,
        psi=distance,
        ks=steps.distance,
        ks_bound=steps.bound,
        js=jensen_shannon(reference, current),
        psi_noise=psi_noise(bins, n, m),
        ks_noise=ks_noise(n, m),
        count=n,
        pvalue=pvalue,
        verdict="insufficient",
    )
    expected = psi_expected(bins, n, m)
    plain = psi_smoothing(bins, n, m) - expected <= warn
    chosen = 0.0 if ordered or not m else psi_chosen(reference)
    tested = pvalue if plain and n >= minimum_count(bins, warn) else math.nan
    enough = plain and chosen <= warn and n >= minimum_count(bins, warn, m)
    return drift, distance - expected - chosen, tested, enough


def _verdict(excess: float, *, alarm: bool, enough: bool, warn: float, act: float) -> Verdict:
    if alarm and excess > act:
        return "drifted"
    if alarm and excess > warn:
        return "drifting"
    return "stable" if enough else "insufficient"


def _quantile(freedom: int) -> float:
    """Wilson & Hilferty's chi-squared quantile at 1 - ALPHA."""
    if freedom < 1:
        return 0.0
    part = 2 / (9 * freedom)
    return freedom * (1 - part + QUANTILE * math.sqrt(part)) ** 3


def _spread(n: float, m: float) -> float:
    return 1 / n + 1 / m if n > 0 and m > 0 else math.inf
