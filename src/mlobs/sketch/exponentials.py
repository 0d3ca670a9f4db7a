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

_ROOM: Final = 2**15  # values at once: a quarter of a megabyte stays in a core's cache, and in the allocator


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
    if mixed:
        found = indexes(np.abs(columns))
        ends = (
            _ends(_least(columns, np.uint64), highest, highest > 0),
            _ends(_least(columns, np.int64), lowest, lowest < 0),
        )
    else:
        found = indexes(columns)
        ends = _ends(lowest, highest, highest > 0), [None] * len(into)
    for row, histogram in enumerate(into):
        histogram.extend(float(lowest[row]), float(highest[row]), float(sums[row]), [ends[0][row], ends[1][row]])
    # every bucket of every histogram has a place in one row of counts; zeros have the last
    sizes = [len(buckets.counts) for one in into for buckets in (one.positive, one.negative)]
    places = np.concatenate(([0], np.cumsum(sizes)))
    offsets = np.array([[one.positive.offset, one.negative.offset] for one in into], dtype=np.int64)
    moved = places[:-1].reshape(-1, 2) - offsets
    found >>= np.array([[FINEST - one.scale] for one in into], dtype=np.int64)
    if mixed:
        found += np.where(columns < 0, moved[:, 1:], moved[:, :1])
        np.copyto(found, places[-1], where=columns == 0)
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


def _least(columns: NDArray[np.float64], word: type[np.uint64 | np.int64]) -> NDArray[np.float64]:
    """Of each row the number nearest to zero, shape (F,): the positive one by unsigned words, the negative by signed ones.

    Where a row has none, some other number. Read as a word the positive numbers of IEEE 754 are ordered as they are, and the
    negative ones, which have the highest bit, by their size: unsigned they are above the positive ones, signed below. Zero
    is the first word of its side, and by taking one it becomes the last.
    """
    words = columns.view(word) - word(1)
    least: NDArray[np.float64] = (words.min(axis=1) + word(1)).view(np.float64)
    return least


def _ends(
    nearest: NDArray[np.float64], farthest: NDArray[np.float64], there: NDArray[np.bool_]
) -> list[tuple[int, int] | None]:
    """The least and the greatest of `indexes` of each row's numbers on one side of zero; None where ``there`` are none."""
    pairs = indexes(np.abs(np.where(there, [nearest, farthest], 1.0))).T.tolist()
    return [(pair[0], pair[1]) if one else None for pair, one in zip(pairs, there.tolist(), strict=True)]
