"""Unordered bins of a category: the named ones, the rest, and the missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mlobs.sketch.bins import Found
from mlobs.sketch.distinct import Distinct
from mlobs.sketch.values import is_missing, plain_list, unmasked

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]
    Values = Sequence[object] | npt.NDArray[Any]

NAMED = 19  # with `other` and `missing` at most 21 bins
PRIVATE = 5  # a category seen less often in the reference is written down nowhere
KNOWN = 10_000
DISTINCT = 100_000
LABEL = 80
EXACT = 2**53
INEXACT: tuple[type, ...] = (float, np.floating, Decimal, Fraction)


@dataclass(frozen=True, eq=False)
class Categories:
    """Bins of a category: `c00`, `c01`, … in order of falling reference count, `other`, `missing`.

    names: the categories with a bin of their own, at most 19.
    known: further categories of the reference; they are counted in `other`.

    A category in neither is counted in `other` and in `Found.unseen`. None, NaN, NaT and NA are
    missing; what cannot be hashed is missing and counted in `Found.type`. Two Categories are
    equal when their names are. Raises ValueError for too many or repeated names.
    """

    names: tuple[str, ...]
    known: frozenset[str] = frozenset()
    _slots: dict[str, int] = field(init=False, repr=False)

    ordered = 0

    def __post_init__(self) -> None:
        names = tuple(self.names)
        if len(names) > NAMED or len(set(names)) != len(names):
            raise ValueError(f"at most {NAMED} different names are possible, got {names!r}")
        slots = dict.fromkeys(self.known, len(names))
        slots.update((name, index) for index, name in enumerate(names))
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "known", frozenset(self.known) - set(names))
        object.__setattr__(self, "_slots", slots)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Categories) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    @property
    def size(self) -> int:
        """All bins, `other` and `missing` included."""
        return len(self.names) + 2

    @property
    def keys(self) -> tuple[str, ...]:
        """`c00`, `c01`, …, `other`, `missing`; they cannot clash with a category's own name."""
        return (*(f"c{index:02d}" for index in range(len(self.names))), "other", "missing")

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories' own names, shortened to 80 characters, then `other` and `missing`."""
        return (*(_label(name) for name in self.names), "other", "missing")

    def count(self, values: Values, into: Counts) -> Found:
        """Add the counts of raw values, shape (n,), to `into`, shape (size,)."""
        tally, missing, bad = tally_up(values)
        slots, other, unseen = self._slots, len(self.names), 0
        for name, times in tally.items():
            slot = slots.get(name)
            if slot is None:
                slot = other
                unseen += times
            into[slot] += times
        into[-1] += missing + bad
        return Found(missing=missing, unseen=unseen, type=bad)


class Tally:
    """One-pass, mergeable count of the categories of a column, bounded to 100,000 of them.

    Exact up to the bound. Beyond it the rarest half is folded into `overflow`, so that memory
    stays bounded and the frequent ones, which alone get a bin, stay.
    """

    def __init__(self, limit: int = DISTINCT) -> None:
        self.limit = limit
        self.counts: Counter[str] = Counter()
        self.missing = 0
        self.bad = 0
        self.overflow = 0
        self._met: Distinct | None = None  # once there were too many: all but those in `counts`, which may be in it

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        mine = (self.counts, self.missing, self.bad, self.overflow)
        return mine == (other.counts, other.missing, other.bad, other.overflow)

    __hash__ = None  # type: ignore[assignment] # mutable

    @property
    def total(self) -> int:
        """How many values were categories: all but the missing and the bad."""
        return self.counts.total() + self.overflow

    @property
    def distinct(self) -> int:
        """How many different categories were met: exact up to the bound, beyond within a few percent.

        It depends on what was added, not on its order or parts: more than the bound are folded in any.
        """
        if self._met is None:
            return len(self.counts)
        met = Distinct()
        met.merge(self._met)
        met.add(self.counts)
        return met.count

    def add(self, values: Values) -> None:
        """Count raw values, shape (n,)."""
        counts, missing, bad = tally_up(values)
        self._fold(counts, missing, bad, 0)

    def merge(self, other: Tally) -> None:
        """Add another tally to this one."""
        if other._met is not None:
            self._met = self._met or Distinct()
            self._met.merge(other._met)
        self._fold(other.counts, other.missing, other.bad, other.overflow)

    def categories(self, named: int = NAMED, private: int = PRIVATE) -> Categories:
        """The bins for this reference: the most frequent are named, ties in order of the name.

        Categories seen less than `private` times are left out, also out of `known`.
        """
        falling = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [name for name, times in falling if times >= private]
        return Categories(tuple(kept[:named]), frozenset(kept[named : named + KNOWN]))

    def count(self, categories: Categories) -> Counts:
        """The counts of everything added, in these bins, shape (size,)."""
        into = np.zeros(categories.size, dtype=np.int64)
        names = {name: index for index, name in enumerate(categories.names)}
        for name, times in self.counts.items():
            into[names.get(name, len(names))] += times
        into[-2] += self.overflow
        into[-1] += self.missing + self.bad
        return into

    def _fold(self, counts: Counter[str], missing: int, bad: int, overflow: int) -> None:
        self.counts.update(counts)
        self.missing += missing
        self.bad += bad
        self.overflow += overflow
        if len(self.counts) > self.limit:
            self._met = self._met or Distinct()
            self._met.add(self.counts)
            kept = Counter(dict(self.counts.most_common(self.limit // 2)))
            self.overflow += self.counts.total() - kept.total()
            self.counts = kept


def tally_up(values: Values) -> tuple[Counter[str], int, int]:
    """Count the categories of raw values: (by name, missing, neither hashable nor printable)."""
    distinct, bad = _distinct(unmasked(values))
    tally: Counter[str] = Counter()
    missing = 0
    for value, times in distinct:
        try:
            if type(value) is str:
                tally[value] += times
            elif is_missing(value):
                missing += times
            else:
                tally[category(value)] += times
        except Exception:  # noqa: BLE001 - a value may be of any class, with any behaviour
            bad += times
    return tally, missing, bad


def category(value: Any) -> str:  # noqa: ANN401 - any value there is
    """The name of a category: a string as it is, `1` for 1, 1.0 and Decimal(1), an instant as Python writes it, else its text."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.datetime64):
        return str(value.item() if np.datetime_data(value.dtype)[0] == "D" else value.astype("M8[us]").item())
    if isinstance(value, INEXACT):
        number: Any = value
        whole = int(number) if abs(number) < EXACT else None
        return str(number) if whole != number else str(whole)
    return str(value)


def _distinct(values: Values) -> tuple[list[tuple[Any, int]], int]:
    """Each different value with its count, and how many values cannot be told apart at all."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf":
        array: npt.NDArray[Any] = values
        found, counts = np.unique(np.asarray(array), return_counts=True)
        return list(zip(found, counts.tolist(), strict=True)), 0
    raw = plain_list(values)
    try:
        counter = Counter(raw)
        if not (True in counter or False in counter) or len(set(map(type, raw))) == 1:
            return list(counter.items()), 0
    except Exception:  # noqa: BLE001 - a value may be of any class, with any behaviour
        pass
    # One by one, and by type: True equals 1, yet it is another category.
    typed: Counter[tuple[type, Any]] = Counter()
    bad = 0
    for value in raw:
        try:
            value = None if value is np.ma.masked else value  # noqa: PLW2901 - it cannot be hashed
            typed[type(value), value] += 1
        except Exception:  # noqa: BLE001 - a value may be of any class, with any behaviour
            bad += 1
    return [(value, times) for (_, value), times in typed.items()], bad


def _label(name: str) -> str:
    if not name:
        return "(empty)"
    return name if len(name) <= LABEL else name[: LABEL - 1] + "…"
