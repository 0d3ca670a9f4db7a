"""The base-2 exponential histogram of OTLP: any positive or negative number, bounded memory, bounded relative error."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indexes = NDArray[np.int64]

FINEST = 20  # OTLP's largest scale
FEWEST = 3  # hold every float at scale -10, the coarsest that other implementations know
LARGEST = sys.float_info.max


class Buckets(NamedTuple):
    """Consecutive buckets: ``counts[i]`` values lie in (base**(offset + i), base**(offset + i + 1)]."""

    offset: int
    counts: Indexes


class Exponential:
    """Counts of float64 values in buckets whose bounds are powers of 2**(2**-scale).

    It starts at the scale `finest`, 20 at most, and halves its resolution just as often as `max_size` buckets a sign
    demand, so its state is a function of what was added, in whatever order and parts. Bucket bounds are those of the
    OpenTelemetry specification: the upper one is inside.

    Bad numbers: NaN is counted in `missing` and infinities in `infinite`, and neither in anything else.
    """

    __slots__ = ("_buckets", "_ends", "infinite", "max", "max_size", "min", "missing", "scale", "total", "zero_count")

    def __init__(self, max_size: int = 160, finest: int = FINEST) -> None:
        if max_size < FEWEST:
            raise ValueError(f"max_size must be at least {FEWEST}, got {max_size!r}")
        if finest > FINEST:
            raise ValueError(f"finest must be at most {FINEST}, got {finest!r}")
        self.max_size = max_size
        self.scale = finest
        self.zero_count = 0
        self.missing = 0
        self.infinite = 0
        self.total = 0.0
        self.min = math.inf
        self.max = -math.inf
        self._buckets = [_empty(), _empty()]  # of the positive values, of the negative ones
        self._ends: list[tuple[int, int] | None] = [None, None]  # least and greatest index met, at the finest scale

    @property
    def positive(self) -> Buckets:
        """Buckets of the values above zero."""
        return self._buckets[0]

    @property
    def negative(self) -> Buckets:
        """Buckets of the values below zero, by their absolute value."""
        return self._buckets[1]

    @property
    def count(self) -> int:
        """How many finite values were added."""
        return self.zero_count + int(self.positive.counts.sum()) + int(self.negative.counts.sum())

    def add(self, values: Floats) -> None:
        """Add a float64 array of any shape."""
        values = values.ravel()
        finite = values[np.isfinite(values)]
        if len(finite) < len(values):
            missing = int(np.count_nonzero(np.isnan(values)))
            self.missing += missing
            self.infinite += len(values) - len(finite) - missing
        if not len(finite):
            return
        with np.errstate(over="ignore"):
            total = float(finite.sum())
        above, below = finite[finite > 0], finite[finite < 0]
        self.zero_count += len(finite) - len(above) - len(below)
        sides = [indexes(above), indexes(-below)]
        ends = [(int(side.min()), int(side.max())) if len(side) else None for side in sides]
        self.extend(float(finite.min()), float(finite.max()), total, ends)
        for side, found in enumerate(sides):
            if len(found):
                buckets = self._buckets[side]
                slots = (found >> (FINEST - self.scale)) - buckets.offset
                np.add(buckets.counts, np.bincount(slots, minlength=len(buckets.counts)), out=buckets.counts)

    def extend(self, least: float, greatest: float, total: float, ends: list[tuple[int, int] | None]) -> None:
        """Make room for numbers that are about to be counted in `positive` and `negative`.

        ``ends`` are the least and greatest of their `indexes`, of the positive ones and of the negative ones.
        """
        self.min = min(self.min, least)
        self.max = max(self.max, greatest)
        self._sum(total)
        self._widen(ends)

    def merge(self, other: Exponential) -> None:
        """Add everything another histogram has counted."""
        self.missing += other.missing
        self.infinite += other.infinite
        self.zero_count += other.zero_count
        self._sum(other.total)
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)
        self._widen(other._ends, other.scale)
        for mine, theirs in zip(self._buckets, other._buckets, strict=True):
            slots = (theirs.offset + np.arange(len(theirs.counts)) >> (other.scale - self.scale)) - mine.offset
            np.add.at(mine.counts, slots, theirs.counts)

    def _sum(self, value: float) -> None:
        total = self.total + value
        self.total = total if math.isfinite(total) else math.copysign(LARGEST, total)

    def _widen(self, ends: list[tuple[int, int] | None], coarsest: int = FINEST) -> None:
        """Make room for indexes between these ends, given at the finest scale."""
        joined = [_join(mine, new) for mine, new in zip(self._ends, ends, strict=True)]
        if joined == self._ends and coarsest >= self.scale:
            return
        scale = min(self.scale, coarsest)
        while any(_width(pair, scale) > self.max_size for pair in joined):
            scale -= 1
        for side, pair in enumerate(joined):
            if pair is not None:
                self._buckets[side] = _moved(self._buckets[side], self.scale - scale, pair, scale)
        self._ends, self.scale = joined, scale


def _empty() -> Buckets:
    return Buckets(0, np.zeros(0, dtype=np.int64))


def indexes(magnitudes: Floats) -> Indexes:
    """Bucket index at the finest scale, exact at powers of two: base**i < value ≤ base**(i + 1); of zero, any number."""
    fraction, exponent = np.frexp(magnitudes)  # fraction in [0.5, 1)
    fraction *= 2
    with np.errstate(divide="ignore"):
        np.log2(fraction, out=fraction)
    fraction *= 2.0**FINEST
    np.ceil(fraction, out=fraction)
    # whole numbers far below 2**53: float64 adds them exactly
    fraction += exponent * 2.0**FINEST
    with np.errstate(invalid="ignore"):
        found: Indexes = fraction.astype(np.int64)
    found -= 2**FINEST + 1
    return found


def _join(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _width(pair: tuple[int, int] | None, scale: int) -> int:
    return 0 if pair is None else (pair[1] >> (FINEST - scale)) - (pair[0] >> (FINEST - scale)) + 1


def _moved(buckets: Buckets, coarser: int, pair: tuple[int, int], scale: int) -> Buckets:
    """The same counts in buckets from end to end, `coarser` halvings of the resolution later."""
    offset = pair[0] >> (FINEST - scale)
    counts = np.zeros(_width(pair, scale), dtype=np.int64)
    np.add.at(counts, (buckets.offset + np.arange(len(buckets.counts)) >> coarser) - offset, buckets.counts)
    return Buckets(offset, counts)
