"""One column while a profile is built: one pass, bounded memory."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.errors import ProfileError
from mlobs.profile import kind as kinds
from mlobs.profile.feature import Feature, make_cuts
from mlobs.sketch import Categories, Quantiles, Tally, instants, lengths, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlobs.profile.feature import Role
    from mlobs.profile.kind import Kind
    from mlobs.sketch import Cuts

WORDS: Final = 200  # a string column of more different values than this, and than half of all, is text


class Column:
    """What is kept of a column: the quantiles of its numbers, lengths or instants, and the tally of its categories.

    told: what the caller says it holds, or None to infer it from the first values that are not missing. Later batches
    may then widen the kind within its family, from integer to numeric say; the result is that of one big batch.
    """

    def __init__(self, name: str, role: Role, told: Kind | None, limit: int) -> None:
        self.name = name
        self.role = role
        self.told = told
        self.kind = told
        self.dtype: str | None = None
        self.quantiles = Quantiles(limit)
        self.tally = Tally()
        self.missing = 0  # met before the kind was known

    def add(self, values: Sequence[Any] | NDArray[Any], hint: Kind | None, dtype: str | None) -> None:
        """Add a batch's values, shape (n,), with the kind and dtype their container declares."""
        found = self.told or hint or kinds.infer(values)
        if found is None and self.kind is None:
            self.missing += len(values)
            return
        if found is not None:
            self._agree(found, dtype or kinds.dtype(values))
        if self.kind in kinds.NUMBERS:
            self.quantiles.add(numbers(values)[0])
        elif self.kind == "datetime":
            self.quantiles.add(instants(values)[0])
        else:
            if self.kind == "categorical":
                self.tally.add(values)
            if self.told != "categorical":  # it may turn out to be text
                self.quantiles.add(lengths(values)[0])

    def merge(self, other: Any) -> None:  # noqa: ANN401 - a Column
        """What another part of the column holds. Raises ProfileError where it is of another kind."""
        self.missing += other.missing
        if other.kind is None:
            return
        if other.dtype is not None:
            self._agree(other.kind, other.dtype)
        self.quantiles.merge(other.quantiles)
        self.tally.merge(other.tally)

    def feature(self, bins: int) -> Feature:
        """The finished column. Without a single value it is numeric, with one bin for any number there may be."""
        kind = self.kind or "numeric"
        if kind == "categorical" and self.told is None and self._is_text():
            kind = "text"
        dtype = self.dtype or "object"
        if kind == "categorical":
            categories = self.tally.categories()
            counts = self.tally.count(categories)
            counts[-1] += self.missing
            return Feature(self.name, self.role, kind, dtype, categories, counts)
        if kind == "boolean":
            cuts = make_cuts(kind, [0.5], 0.0, 1.0)
        else:
            found = self.quantiles.edges(bins)
            cuts = make_cuts(kind, found.edges, found.low, found.high)
        counts = self.quantiles.counts(cuts)
        counts[-1] += self.missing
        return Feature(self.name, self.role, kind, dtype, cuts, counts)

    def _agree(self, found: Kind, dtype: str) -> None:
        """Agree with the batches before on a kind."""
        if self.kind is None or self.dtype is None:
            self.kind, self.dtype = found, dtype
        elif kinds.family(found) != kinds.family(self.kind):
            raise ProfileError(
                f"column {self.name!r} changes from {self.kind} ({self.dtype}) to {found} ({dtype}) on the way. "
                f"Say what it is: kinds={{{self.name!r}: {self.kind!r}}}; what does not fit is then counted as missing."
            )
        elif found in kinds.NUMBERS and kinds.NUMBERS.index(found) > kinds.NUMBERS.index(self.kind):
            self.kind, self.dtype = found, dtype

    def _is_text(self) -> bool:
        return self.tally.distinct > max(WORDS, self.tally.total / 2)


class Recount:
    """A column counted in the bins of another profile's; the range and the known categories are its own."""

    def __init__(self, like: Feature) -> None:
        self.like = like
        self.counts: NDArray[np.int64] = np.zeros(like.partition.size, dtype=np.int64)
        self.low = math.inf
        self.high = -math.inf
        self.tally = Tally()

    def add(self, values: Sequence[Any] | NDArray[Any], hint: Kind | None, dtype: str | None) -> None:
        """Add a batch's values, shape (n,); what they are is the other profile's to say."""
        del hint, dtype
        if isinstance(self.like.partition, Categories):
            self.like.count(values, self.counts)
            self.tally.add(values)
            return
        column = self.like.measured(values)[0]
        self.like.partition.count(column, self.counts)
        finite = column[np.isfinite(column)]
        if len(finite):
            self.low = min(self.low, float(finite.min()) + 0.0)  # 0.0, were it -0.0
            self.high = max(self.high, float(finite.max()) + 0.0)

    def merge(self, other: Any) -> None:  # noqa: ANN401 - a Recount
        """What another part of the column holds."""
        self.counts += other.counts
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.tally.merge(other.tally)

    def feature(self, bins: int) -> Feature:
        """The finished column. Without a finite value no range is known."""
        del bins
        part: Cuts | Categories = self.like.partition
        if isinstance(part, Categories):
            part = Categories(part.names, self.tally.categories(named=0).known)
        elif self.low <= self.high:
            part = make_cuts(self.like.kind, part.edges, self.low, self.high)
        else:
            part = make_cuts(self.like.kind, part.edges, -math.inf, math.inf)
        return replace(self.like, partition=part, counts=self.counts)
