"""Where to cut a number: edges between reference quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]

BINS = 10
MOST = 20  # ordered bins
CLOSE = 2.0**-22  # relative; further away than the float32 copy of a value
ALONE = 1e-6  # relative, for a constant
TINY = 1e-9  # absolute, for a constant


def cut(values: Floats, counts: Counts, bins: int = BINS, *, last: Floats | None = None) -> Floats:
    """Edges of about equally filled bins, strictly increasing, at most 19 of them.

    values: the distinct finite values, increasing; counts: how often each occurs. Where an entry stands for a range of
    values, `values` holds its first and `last` its last. bins: how many to aim at, from 1 to 20.

    An edge lies midway between a quantile (a value that occurs, never an interpolated one) and the next value, so the
    float32 copy of a value stays on its side. Up to `bins` distinct values get a bin each. An outer bin of one single
    value is closed on its outer side too, so that what was never seen is drift and not more of the same; only where
    that would make more than 20 bins it stays open.
    """
    if not 1 <= bins <= MOST:
        raise ValueError(f"bins must be from 1 to {MOST}, got {bins!r}")
    if not len(values):
        return np.zeros(0)
    last = values if last is None else last
    after = _quantiles(counts, bins)
    edges = _between(last[after], values[after + 1])
    few = len(values) == 1
    if len(edges) + 2 <= MOST and values[0] == last[0] and (few or after[:1].tolist() == [0]):
        edges = np.concatenate((_outside(values[0], values, last, -1), edges))
    if len(edges) + 2 <= MOST and values[-1] == last[-1] and (few or after[-1:].tolist() == [len(values) - 2]):
        edges = np.concatenate((edges, _outside(values[-1], values, last, 1)))
    return edges


def _quantiles(counts: Counts, bins: int) -> NDArray[np.intp]:
    """Positions of the values after which to cut: inverted distribution function, without the last value."""
    if len(counts) <= bins:
        return np.arange(len(counts) - 1)
    below = np.cumsum(counts)
    found = np.unique(np.searchsorted(below * bins, below[-1] * np.arange(1, bins)))
    return found[found < len(counts) - 1]


def _between(left: Floats, right: Floats) -> Floats:
    """Midpoints with left <= midpoint < right, whatever rounding does."""
    middle = left / 2 + right / 2
    return np.where((left <= middle) & (middle < right), middle, left)


def _outside(value: np.float64, values: Floats, last: Floats, side: int) -> Floats:
    """The edge just below (side -1) or above (side 1) the outermost value; none where float64 ends."""
    with np.errstate(over="ignore"):
        gap = np.min(values[1:] - last[:-1]) if len(values) > 1 else None
        margin = max(abs(value) * ALONE, TINY) if gap is None else max(gap / 2, abs(value) * CLOSE)
        edge = value + side * margin
        if edge == value or not np.isfinite(edge):
            edge = np.nextafter(value, side * np.inf)
    return np.array([edge] if np.isfinite(edge) else [], dtype=np.float64)
