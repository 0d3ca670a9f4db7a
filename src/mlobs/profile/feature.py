"""One column of a reference profile."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from mlobs.profile.kind import KINDS, Kind
from mlobs.sketch import Categories, Cuts, count_values, instants, lengths, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlobs.sketch import Found

Role = Literal["input", "output"]
LARGEST: Final = 2**63 - 1  # what a count, and their sum, may be


@dataclass(frozen=True, eq=False)
class Feature:
    """A column's name, kind, bins and reference counts.

    dtype: as the reference had it, for people. partition: `Cuts` of the numbers themselves, of text's lengths, of
    datetimes' seconds since 1970 in UTC; or `Categories`. counts: int64, shape (partition.size,).
    Raises ValueError where these do not fit each other.
    """

    name: str
    role: Role
    kind: Kind
    dtype: str
    partition: Cuts | Categories
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        counts = np.array(self.counts, dtype=np.int64)
        if self.kind not in KINDS:
            raise ValueError(f"the kind of {self.name!r} must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if (self.kind == "categorical") != isinstance(self.partition, Categories):
            raise ValueError(f"{self.name!r} is {self.kind}, and its bins are {type(self.partition).__name__}")
        if counts.shape != (self.partition.size,) or (counts < 0).any():
            raise ValueError(f"{self.name!r} needs {self.partition.size} counts from 0 up, got {counts.tolist()}")
        if sum(counts.tolist()) > LARGEST:
            raise ValueError(f"the counts of {self.name!r} are more than can be added up")
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Feature):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash((self.name, self.role, self.kind))

    def __repr__(self) -> str:
        return f"<{self.role} {self.name!r}: {self.kind}, {self.partition.size} bins, {self.samples:,} samples>"

    @property
    def samples(self) -> int:
        """How many values were counted, missing ones included."""
        return int(self.counts.sum())

    @property
    def ratios(self) -> NDArray[np.float64]:
        """The share of each bin, shape (partition.size,); zeros where nothing was counted."""
        return np.asarray(self.counts / max(self.samples, 1), dtype=np.float64)

    def count(self, values: Sequence[object] | NDArray[Any], into: NDArray[np.int64]) -> Found:
        """Add the counts of raw values, shape (n,), to `into`, shape (partition.size,).

        A value of the wrong type is missing and counted in `Found.type`.
        """
        if isinstance(self.partition, Categories):
            return self.partition.count(values, into)
        if self.kind in ("text", "datetime"):
            column, bad = self.measured(values)
            found = self.partition.count(column, into)
            return found._replace(missing=found.missing - bad, type=bad) if bad else found
        return count_values(values, self.partition, into)

    def measured(self, values: Sequence[object] | NDArray[Any]) -> tuple[NDArray[np.float64], int]:
        """Raw values, shape (n,), as the numbers that `Cuts` count, and how many have none."""
        if self.kind == "text":
            return lengths(values)
        return instants(values) if self.kind == "datetime" else numbers(values)

    def _content(self) -> tuple[object, ...]:
        part = self.partition
        more = (part.low, part.high) if isinstance(part, Cuts) else (part.known,)
        return (self.name, self.role, self.kind, self.dtype, part, more, self.counts.tolist())


def make_cuts(kind: Kind, edges: NDArray[np.float64] | Sequence[float], low: float, high: float) -> Cuts:
    """The cuts of a kind, with the labels a reader of that kind expects."""
    edges = np.asarray(edges, dtype=np.float64)
    if kind == "boolean" and edges.tolist() == [0.5]:
        return Cuts(edges, 0.0, 1.0, ("false", "true"))
    if kind == "datetime" and len(edges):
        texts = [_instant(edge) for edge in edges]
        return Cuts(edges, low, high, (*(f"≤ {text}" for text in texts), f"> {texts[-1]}"))
    return Cuts(edges, low, high)


def _instant(seconds: float) -> str:
    try:
        text = dt.datetime.fromtimestamp(seconds, tz=dt.timezone.utc).isoformat(timespec="milliseconds")
    except (OverflowError, OSError, ValueError):  # outside the years 1 to 9999
        return f"{seconds:.6g} s"
    return text.replace("+00:00", "Z").replace(".000", "")
