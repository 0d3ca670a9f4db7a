"""Counts as points: what the exporters send, free of any encoding.

Values are cumulative since ``start``; an exporter that must send deltas subtracts for itself.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlobs.otel.instrument import Instrument


LONGEST: Final = 500
_OURS: Final = "mlobs."  # how the names of metrics of models begin
_SDK: Final = "mlobs.sdk."  # and those of mlobs itself


def sendable(text: str, longest: int = LONGEST) -> str:
    """A text as every receiver takes it.

    Names come from data: half of a surrogate pair has no place in UTF-8, and one of them would keep everything else
    from being sent, so it is written out as Python does, and two names stay two; a name longer than 500 characters
    is cut, and ends in what tells it from others.
    """
    if type(text) is not str:
        text = str.__str__(text)
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) > longest:
        text = f"{text[: longest - 17]}…{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
    return text


class Attributes:
    """An immutable attribute set, kept by whoever owns the series so that its encoding is made once.

    ``base`` is a set that this one extends: the features of a model share the model's part.
    """

    __slots__ = ("base", "encoded", "pairs")

    def __init__(self, *pairs: tuple[str, str], base: Attributes | None = None) -> None:
        self.pairs = tuple((key, sendable(value)) for key, value in pairs)
        self.base = base
        self.encoded: bytes | None = None

    def items(self) -> tuple[tuple[str, str], ...]:
        """All pairs, the base's first."""
        return self.pairs if self.base is None else self.base.items() + self.pairs

    def extended(self, *pairs: tuple[str, str]) -> Attributes:
        """A set with these pairs more."""
        return Attributes(*pairs, base=self)


NO_ATTRIBUTES = Attributes()


class Numbers(NamedTuple):
    """Numbers of one instrument that share a set of attributes; ``each`` tells them apart, value by value."""

    instrument: Instrument
    attributes: Attributes
    values: Sequence[float]
    each: Sequence[Attributes] = (NO_ATTRIBUTES,)

    @property
    def series(self) -> int:
        """How many series these are."""
        return len(self.values)


class Exemplar(NamedTuple):
    """One measured value and the span it was measured in."""

    value: float
    time_unix_nano: int
    trace_id: int
    span_id: int


class Histogram(NamedTuple):
    """A histogram with explicit bounds; bucket i holds values <= bounds[i], the last one the rest.

    ``low`` and ``high`` are the least and the greatest value, None where there is none or nobody knows.
    """

    instrument: Instrument
    attributes: Attributes
    bounds: Sequence[float]
    counts: Sequence[int]
    total: float
    low: float | None
    high: float | None
    exemplars: Sequence[Exemplar] = ()

    @property
    def series(self) -> int:
        """One."""
        return 1


class Exponential(NamedTuple):
    """A base-2 exponential histogram as OTLP defines it, without the sum, the minimum and the maximum.

    They are optional. The extremes are values of single rows, and so is the sum of one row, or the difference of two
    sums: none of them may leave.
    """

    instrument: Instrument
    attributes: Attributes
    scale: int
    zero_count: int
    positive_offset: int
    positive: Sequence[int]
    negative_offset: int
    negative: Sequence[int]

    @property
    def series(self) -> int:
        """One."""
        return 1

    @property
    def observed(self) -> int:
        """How many values."""
        return self.zero_count + sum(self.positive) + sum(self.negative)


Points = Numbers | Histogram | Exponential


class Collected(NamedTuple):
    """Everything one process says at one moment.

    ``starts``, where it is there, has a start for each of the points: deltas begin where the last one that arrived ended.
    """

    start_unix_nano: int
    time_unix_nano: int
    points: list[Points]
    starts: Sequence[int] = ()

    def started(self) -> Iterable[tuple[Points, int]]:
        """The points, each with its start."""
        return zip(self.points, self.starts or itertools.repeat(self.start_unix_nano), strict=False)

    @property
    def series(self) -> int:
        """How many series that is."""
        return sum(points.series for points in self.points)

    @property
    def counted(self) -> float:
        """All that has been counted of calls and truths, in one number that grows with each of them."""
        found = 0.0
        for points in self.points:
            name, kind, *_ = points.instrument
            if not name.startswith(_OURS) or name.startswith(_SDK):
                continue
            if isinstance(points, Numbers):
                found += sum(points.values) if kind == "counter" else 0
            else:
                found += sum(points.counts) if isinstance(points, Histogram) else points.observed
        return found
