"""Ordered bins of a number, counted exactly and fast."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf, isfinite
from operator import sub
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlobs.sketch.values import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

ROWS = 16_384  # a column of this length stays in the second-level cache over all its edges
FEW = 40  # up to here bisect on Python floats is cheaper than one numpy call an edge
SLACK = 2.0**-22  # relative; the float32 copy of a value at the end of the range is not outside it


class Found(NamedTuple):
    """The violations met while counting; a value counts in one of them at most."""

    missing: int = 0
    infinite: int = 0
    range: int = 0
    unseen: int = 0
    type: int = 0

    def merge(self, other: Found) -> Found:
        """Both added up."""
        return Found(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


NOTHING = Found()


@dataclass(frozen=True, eq=False)
class Cuts:
    """Ordered bins of a number: a value `<= edge` belongs left of it, the last bin is `> last edge`.

    edges: strictly increasing and finite, shape (k,); k = 0 is one bin for every number.
    low, high: the finite reference range; infinite ends mean no range is known.
    names: labels of the k + 1 ordered bins, where the edges themselves are no good ones.

    Bad numbers: NaN lands in `missing`; an infinity lands in the outer bin on its side and is
    counted in `Found.infinite`; a finite value outside [low, high] by more than the rounding of a
    float32 is counted in `Found.range`. Two Cuts are equal when their edges are.
    Raises ValueError for edges or names that do not fit this description.
    """

    edges: Floats
    low: float = -inf
    high: float = inf
    names: tuple[str, ...] | None = None
    _limits: list[float] = field(init=False, repr=False)
    _column: Floats = field(init=False, repr=False)
    _lowest: float = field(init=False, repr=False)
    _highest: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        edges = np.array(self.edges, dtype=np.float64)
        if edges.ndim != 1 or not np.isfinite(edges).all() or not (edges[1:] > edges[:-1]).all():
            raise ValueError(f"edges must be finite and strictly increasing, got {edges!r}")
        if not self.low <= self.high:
            raise ValueError(f"low must not be above high, got {self.low!r} and {self.high!r}")
        if self.names is not None and len(self.names) != edges.size + 1:
            raise ValueError(f"{edges.size + 1} names are needed for {edges.size} edges, got {self.names!r}")
        edges.setflags(write=False)
        low, high = float(self.low), float(self.high)
        derived = {
            "edges": edges,
            "low": low,
            "high": high,
            "_limits": edges.tolist(),
            "_column": edges[:, np.newaxis],
            "_lowest": low - abs(low) * SLACK,
            "_highest": high + abs(high) * SLACK,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cuts) and self._limits == other._limits

    def __hash__(self) -> int:
        return hash(tuple(self._limits))

    @property
    def extent(self) -> tuple[float, float]:
        """The reference range, widened by the rounding of a float32: what is outside is out of range."""
        return self._lowest, self._highest

    @property
    def ordered(self) -> int:
        """How many bins, from the first, are in the order of the numbers."""
        return len(self._limits) + 1

    @property
    def size(self) -> int:
        """All bins, `missing` included."""
        return len(self._limits) + 2

    @property
    def keys(self) -> tuple[str, ...]:
        """`00`, `01`, … and `missing`."""
        return (*(f"{index:02d}" for index in range(self.ordered)), "missing")

    @property
    def labels(self) -> tuple[str, ...]:
        """What a reader sees: `≤ 3.5`, …, `> 9`, `missing`."""
        if self.names is not None:
            return (*self.names, "missing")
        if not self._limits:
            return ("any", "missing")
        texts = _texts(self._limits)
        return (*(f"≤ {text}" for text in texts), f"> {texts[-1]}", "missing")

    def count(self, column: Floats, into: Counts) -> Found:
        """Add the counts of a float64 column, shape (n,), to `into`, shape (size,)."""
        return self._count(column, self.scratch(len(column)), into)

    def scratch(self, rows: int) -> Mask:
        """Room for the comparisons of so many rows; reuse it over the chunks of one thread."""
        return np.empty(0 if rows <= FEW else min(rows, ROWS) * len(self._limits), dtype=np.bool_)

    def _count(self, column: Floats, scratch: Mask, into: Counts) -> Found:
        if len(column) <= FEW:
            return self._count_few(column.tolist(), into)
        if len(column) <= ROWS:
            return self._count_many(column, scratch, into)
        found = NOTHING
        for start in range(0, len(column), ROWS):
            met = self._count(column[start : start + ROWS], scratch, into)
            found = found if met is NOTHING else found.merge(met)
        return found

    def _count_many(self, column: Floats, scratch: Mask, into: Counts) -> Found:
        rows, edges = len(column), len(self._limits)
        masks = scratch[: rows * edges].reshape(edges, rows)
        np.less_equal(column, self._column, masks)
        below = [0, *map(np.count_nonzero, masks)]
        # The extremes say whether anything is out of the ordinary, for the price of one edge.
        smallest, largest = float(np.minimum.reduce(column)), float(np.maximum.reduce(column))
        missing, found = 0, NOTHING
        ordinary = self._lowest <= smallest and largest <= self._highest
        if not (ordinary and isfinite(smallest) and isfinite(largest)):
            found = self._violations(column, smallest, largest)
            missing = found.missing
        into += [*map(sub, (*below[1:], rows - missing), below), missing]
        return found

    def _violations(self, column: Floats, smallest: float, largest: float) -> Found:
        """Only what the extremes leave open is looked for; they are NaN where one value is, and leave all open."""
        missing = 0 if largest == largest else _times(np.isnan(column))  # noqa: PLR0124 - NaN, without a call
        low = 0 if smallest >= self._lowest else _times(column < self._lowest)
        high = 0 if largest <= self._highest else _times(column > self._highest)
        below = above = 0
        if (low or self._lowest == -inf) and not smallest > -inf:
            below = _times(column == -inf)
            low -= below if low else 0
        if (high or self._highest == inf) and not largest < inf:
            above = _times(column == inf)
            high -= above if high else 0
        return Found(missing=missing, infinite=below + above, range=low + high)

    def _count_few(self, column: list[float], into: Counts) -> Found:
        limits, lowest, highest = self._limits, self._lowest, self._highest
        counts = [0] * self.size
        infinite = outside = 0
        for value in column:
            if value != value:  # noqa: PLR0124 - NaN, without a call
                counts[-1] += 1
                continue
            counts[bisect_left(limits, value)] += 1
            if value in (inf, -inf):
                infinite += 1
            elif not lowest <= value <= highest:
                outside += 1
        for slot, times in enumerate(counts):
            if times:
                into[slot] += times
        missing = counts[-1]
        return Found(missing, infinite, outside) if missing or infinite or outside else NOTHING


def count_values(values: Sequence[object] | npt.NDArray[Any], cuts: Cuts, into: Counts) -> Found:
    """Count raw values: what is no number is missing and counted in `Found.type` instead."""
    column, bad = numbers(values)
    found = cuts.count(column, into)
    return found._replace(missing=found.missing - bad, type=bad) if bad else found


def _times(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _texts(limits: list[float]) -> list[str]:
    """The shortest texts, from six digits on, that still tell the edges apart."""
    for digits in range(6, 17):
        texts = [f"{limit:.{digits}g}" for limit in limits]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(limit) for limit in limits]
