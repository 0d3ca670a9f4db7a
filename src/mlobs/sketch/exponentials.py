"""Columns of numbers added to exponential histograms side by side.

As with `matrix`, what counts beside a busy thread is how many numpy calls there are on more than a few hundred elements:
each gives the interpreter away, and waits its switch interval to get it back. Column by column thirty features took a
thousand such waits a fold, five seconds; side by side they take twenty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.sketch.exponential import FINEST, Exponential, indexes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ROOM: Final = 2**18  # values at once
_FAR: Final = np.int64(2**62)


def add_columns(into: Sequence[Exponential], matrix: NDArray[Any]) -> None:
    """Add column i of a matrix of real numbers, shape (n, F), to histogram i; equal to `Exponential.add` one by one."""
    if not len(into):
        return
    most = max(1, _ROOM // len(into))
    for start in range(0, len(matrix), most):
        columns = np.array(matrix[start : start + most].T, dtype=np.float64, order="C")
        with np.errstate(all="ignore"):
            sums = columns.sum(axis=1)
        usual = np.isfinite(sums)  # where a sum is finite, every number is
        if usual.all():
            _add(into, columns, sums)
            continue
        for histogram, column, fine in zip(into, columns, usual.tolist(), strict=True):
            if not fine:
                histogram.add(column)
        if usual.any():
            _add([one for one, fine in zip(into, usual.tolist(), strict=True) if fine], columns[usual], sums[usual])


def _add(into: Sequence[Exponential], columns: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
    """Finite numbers, shape (F, n) with n above 0."""
    lowest, highest = columns.min(axis=1), columns.max(axis=1)
    mixed = bool((lowest <= 0).any())
    found = indexes(np.abs(columns) if mixed else columns)
    least = [found.min(axis=1)] if not mixed else []
    greatest = [found.max(axis=1)] if not mixed else []
    if mixed:
        above, below = columns > 0, columns < 0
        for side in (above, below):
            least.append(np.where(side, found, _FAR).min(axis=1))
            greatest.append(np.where(side, found, -_FAR).max(axis=1))
    for row, histogram in enumerate(into):
        pairs = [(int(low[row]), int(high[row])) for low, high in zip(least, greatest, strict=True)]
        ends = [pair if pair[0] <= pair[1] else None for pair in pairs] + [None] * (2 - len(pairs))
        histogram.extend(float(lowest[row]), float(highest[row]), float(sums[row]), ends)
    # every bucket of every histogram has a place in one row of counts; zeros have the last
    sizes = [len(buckets.counts) for one in into for buckets in (one.positive, one.negative)]
    places = np.concatenate(([0], np.cumsum(sizes)))
    offsets = np.array([[one.positive.offset, one.negative.offset] for one in into], dtype=np.int64)
    moved = places[:-1].reshape(-1, 2) - offsets
    found >>= np.array([[FINEST - one.scale] for one in into], dtype=np.int64)
    if mixed:
        found += np.where(below, moved[:, 1:], moved[:, :1])
        found[columns == 0] = places[-1]
    else:
        found += moved[:, :1]
    counts = np.bincount(found.reshape(-1), minlength=int(places[-1]) + 1)
    for row, histogram in enumerate(into):
        for sign, buckets in enumerate((histogram.positive, histogram.negative)):
            first = places[2 * row + sign]
            np.add(buckets.counts, counts[first : first + len(buckets.counts)], out=buckets.counts)
    if counts[-1]:
        for histogram, zeros in zip(into, np.count_nonzero(columns == 0, axis=1).tolist(), strict=True):
            histogram.zero_count += zeros
