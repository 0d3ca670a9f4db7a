"""One pass over a number column, to choose its edges and to know the exact counts between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlobs.sketch.bins import Cuts
from mlobs.sketch.edges import BINS, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.uint64]
    Counts = NDArray[np.int64]

LIMIT = 65_536
SIGN = np.uint64(1 << 63)
ONE = np.uint64(1)
TINIEST = 5e-324


class Quantiles:
    """Mergeable summary of a float64 column, bounded to `limit` counted codes (16 bytes each).

    A code is the value itself, as an integer of the same order. Where there would be more than `limit` different ones,
    all drop their lowest bits, as many as it takes, and codes that become equal merge. So everything is exact up to
    `limit` different values; beyond, a code is a narrow range of values, edges fall between ranges, and the counts at
    the edges this object gives are exact still. State depends on what was added, not on its order or parts.

    Bad numbers: NaN is counted in `missing`; infinities are counted, yet take no part in choosing edges.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.missing = 0
        self.infinite = [0, 0]  # below, above
        self.min = math.inf
        self.max = -math.inf
        self._shift = 0
        self._codes: Codes = np.zeros(0, dtype=np.uint64)
        self._counts: Counts = np.zeros(0, dtype=np.int64)
        self._waiting: list[Floats] = []
        self._waits = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Quantiles):
            return NotImplemented
        self._settle()
        other._settle()
        mine = (self.missing, self.infinite, self.min, self.max, self._shift)
        return (
            mine == (other.missing, other.infinite, other.min, other.max, other._shift)
            and np.array_equal(self._codes, other._codes)
            and np.array_equal(self._counts, other._counts)
        )

    __hash__ = None  # type: ignore[assignment] # mutable

    @property
    def distinct(self) -> int:
        """How many different finite values were met, as far as codes tell them apart."""
        self._settle()
        return len(self._codes)

    @property
    def exact(self) -> bool:
        """Whether every code still is one value."""
        self._settle()
        return self._shift == 0

    def add(self, values: Floats) -> None:
        """Add a float64 array, shape (n,)."""
        finite = values[np.isfinite(values)]
        if len(finite) < len(values):
            above, below = int(np.count_nonzero(values == np.inf)), int(np.count_nonzero(values == -np.inf))
            self.infinite = [self.infinite[0] + below, self.infinite[1] + above]
            self.missing += len(values) - len(finite) - above - below
        if len(finite):
            self.min = min(self.min, float(finite.min()) + 0.0)  # 0.0, were it -0.0: which of the two is chance
            self.max = max(self.max, float(finite.max()) + 0.0)
            self._waiting.append(finite)
            self._waits += len(finite)
            if self._waits >= self.limit:
                self._settle()

    def merge(self, other: Quantiles) -> None:
        """Add everything another summary has counted; the limits have to be equal for the result to be, too."""
        self._settle()
        other._settle()
        self.missing += other.missing
        self.infinite = [self.infinite[0] + other.infinite[0], self.infinite[1] + other.infinite[1]]
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)
        shift = max(self._shift, other._shift)
        self._drop(shift - self._shift)
        self._join(other._codes >> np.uint64(shift - other._shift), other._counts)

    def edges(self, bins: int = BINS) -> Cuts:
        """About equally filled bins of the finite values; without any, one bin for every number."""
        self._settle()
        if not len(self._codes):
            return Cuts(np.zeros(0))
        first, last = self._ranges()
        return Cuts(cut(first, self._counts, bins, last=last), self.min, self.max)

    def counts(self, cuts: Cuts) -> Counts:
        """What `cuts.count` says of the values added, shape (size,).

        Exact for the cuts this object gives, and for any while `exact`; else to within a code's range of values.
        """
        self._settle()
        upto = np.searchsorted(self._ranges()[1], cuts.edges, side="right")
        below = np.concatenate(([0], self._counts.cumsum()))
        counts = np.diff(below[upto], prepend=0, append=below[-1])
        counts[0] += self.infinite[0]
        counts[-1] += self.infinite[1]
        return np.append(counts, self.missing).astype(np.int64)

    def _settle(self) -> None:
        """Count what waits."""
        if self._waiting:
            codes = _encode(np.concatenate(self._waiting)) >> np.uint64(self._shift)
            self._waiting, self._waits = [], 0
            self._join(*np.unique(codes, return_counts=True))

    def _join(self, codes: Codes, counts: Counts) -> None:
        """Add counted codes of the same shift, then drop bits as long as there are too many."""
        both = np.concatenate((self._codes, codes))
        order = np.argsort(both, kind="stable")
        self._codes, self._counts = both[order], np.concatenate((self._counts, counts))[order]
        shift = 0
        while _different(self._codes >> np.uint64(shift)) > self.limit:
            shift += 1
        self._drop(shift)

    def _drop(self, shift: int) -> None:
        """Drop that many further bits, and merge equal codes."""
        self._shift += shift
        codes = self._codes >> np.uint64(shift)
        starts = np.flatnonzero(np.concatenate((np.ones(min(len(codes), 1), dtype=np.bool_), codes[1:] != codes[:-1])))
        self._codes = codes[starts]
        if len(starts) < len(codes):
            self._counts = np.add.reduceat(self._counts, starts)

    def _ranges(self) -> tuple[Floats, Floats]:
        """The first and the last value of each code, none of them beyond what was met."""
        shift = np.uint64(self._shift)
        first = _decode(self._codes << shift)
        last = _decode(((self._codes + ONE) << shift) - ONE)
        last[(last == 0) & np.signbit(last)] = -TINIEST  # -0.0 compares equal to 0.0, which is in the next range
        first[:1], last[-1:] = self.min, self.max
        return first, last


def _different(ordered: Codes) -> int:
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(len(ordered), 1)


def _encode(values: Floats) -> Codes:
    """Integers in the order of the values; -0.0 becomes 0.0."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _decode(codes: Codes) -> Floats:
    return np.where(codes & SIGN, codes ^ SIGN, ~codes).view(np.float64)
