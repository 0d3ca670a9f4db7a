"""Columns of numbers counted side by side.

Beside a busy thread every numpy call on more than a few hundred elements gives the interpreter away and waits its
switch interval to get it back, so what a fold costs its host is the number of such calls. Here they are four a chunk,
whatever the number of columns and edges.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.sketch.bins import NOTHING, Cuts, Found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

ROOM: Final = 2**22  # bytes of comparisons at once: what does not fit the caches costs less than a switch of threads
_LANES: Final = 128  # words added up before a byte of the sum could overflow
_FINITE: Final = float(np.finfo(np.float64).max)
# elements; numpy copies a broadcast operand through its buffer unless a row is longer than that
_BUFFER: Final = 512
# rows of a matrix that no cache holds are turned in pieces that one does; smaller ones in one step
_MANY: Final = 65_536
_TURNED: Final = 512

_LARGE: Final = 2**20  # bytes; smaller memory is at hand without a page being fetched

_kept = threading.local()


class CutMatrix:
    """The cuts of F columns, to count matrices of F columns at once; equal to `Cuts.count` column by column.

    Everything a column's numbers are compared with is one row of thresholds: the edges, infinity as padding (it
    leaves out NaN alone), the end of the reference's range, and just below its beginning.
    """

    def __init__(self, partitions: Sequence[Cuts]) -> None:
        self.partitions = tuple(partitions)
        most = max((len(cuts.edges) for cuts in self.partitions), default=0)
        table = np.full((len(self.partitions), most + 3), np.inf)
        for row, cuts in zip(table, self.partitions, strict=True):
            lowest, highest = cuts.extent
            row[: len(cuts.edges)] = cuts.edges
            row[-2] = min(highest, _FINITE)
            row[-1] = np.nextafter(lowest, -np.inf)
        self._thresholds = table[:, :, None]

    def count(self, matrix: NDArray[Any], into: Sequence[Counts]) -> list[Found]:
        """Add the counts of a matrix of real numbers, shape (n, F), to ``into``, F arrays of shape (size,)."""
        width, tests, _ = self._thresholds.shape
        most = max(8, ROOM // max(1, width * tests) // 8 * 8)
        room = min(-(-len(matrix) // 8) * 8, most)
        columns, masks = _rooms(width, tests, room)
        below = np.zeros((width, tests), dtype=np.int64)
        suspect = False
        turned = _TURNED if len(matrix) > _MANY else most
        usual = np.setbufsize(_BUFFER)
        try:
            for start in range(0, len(matrix), most):
                chunk = matrix[start : start + most]
                taken = len(chunk)
                if taken < room:
                    masks[:, :, taken:] = False
                values = columns[:, :, :taken]
                for row in range(0, taken, turned):
                    part = chunk[row : row + turned].T
                    np.copyto(values[:, 0, row : row + turned], part, casting="unsafe")
                np.less_equal(values, self._thresholds, out=masks[:, :, :taken])
                counted = _true(masks)
                below += counted
                if not suspect and np.any(counted[:, -1] | (counted[:, -3] - counted[:, -2])):
                    # outside the range: one sum, while the chunk is at hand, tells that nothing is infinite
                    with np.errstate(all="ignore"):
                        suspect = not np.isfinite(values.sum())
        finally:
            np.setbufsize(usual)
        return self._spread(matrix, below, into, suspect=suspect)

    def _spread(
        self, matrix: NDArray[Any], below: NDArray[np.int64], into: Sequence[Counts], *, suspect: bool
    ) -> list[Found]:
        reached = below[:, :-2]  # how many are <= each edge; the last of them is all but NaN
        steps = np.diff(reached, axis=1, prepend=0)
        missing = len(matrix) - reached[:, -1]
        low, high = below[:, -1], reached[:, -1] - below[:, -2]
        for index, cuts in enumerate(self.partitions):
            into[index][: cuts.ordered] += steps[index, : cuts.ordered]
            into[index][-1] += missing[index]
        found = [NOTHING] * len(self.partitions)
        for index in np.flatnonzero(missing | low | high).tolist():
            outside = int(low[index] + high[index])
            infinite = int(np.count_nonzero(np.isinf(matrix[:, index]))) if outside and suspect else 0
            found[index] = Found(missing=int(missing[index]), infinite=infinite, range=outside - infinite)
        return found


def _rooms(width: int, tests: int, room: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Columns and masks for a chunk. Large ones, bounded by `ROOM`, are kept by each thread: fresh pages cost a fifth."""
    if width * tests * room < _LARGE:
        return np.empty((width, 1, room)), np.zeros((width, tests, room), np.bool_)
    kept = getattr(_kept, "rooms", None)
    if kept is None or kept[0].size < width * room or kept[1].size < width * tests * room:
        kept = _kept.rooms = (np.empty(width * room), np.zeros(width * tests * room, np.bool_))
    columns, masks = kept
    return columns[: width * room].reshape(width, 1, room), masks[: width * tests * room].reshape(width, tests, room)


def _true(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many are true along the last axis, whose length is a multiple of 8: eight bytes of a word are eight lanes."""
    words = masks.view(np.uint64)
    width, tests, length = words.shape
    whole = length - length % _LANES
    ones = np.zeros((width, tests), dtype=np.int64)
    if whole:
        lanes = np.add.reduce(words[:, :, :whole].reshape(width, tests, -1, _LANES), axis=-1)
        ones += lanes.view(np.uint8).sum(axis=-1, dtype=np.int64)
    if whole < length:
        lanes = np.add.reduce(words[:, :, whole:], axis=-1)
        ones += lanes[..., None].view(np.uint8).sum(axis=-1, dtype=np.int64)
    return ones
