"""What Python's garbage collector has done."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Final

from mlobs.otel import machine
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.otel.points import Points

_METRICS: Final = (
    (machine.GC_COLLECTIONS, "collections"),
    (machine.GC_COLLECTED, "collected"),
    (machine.GC_UNCOLLECTABLE, "uncollectable"),
)


class Garbage:
    """Counts since this object was made: a forked child has its parent's counts, and they would be told twice.

    CPython only: no other Python has ``gc.get_stats`` by generation.
    """

    def __init__(self) -> None:
        self._before = _stats()
        self._generations = [Attributes((machine.GC_GENERATION, str(index))) for index in range(len(self._before))]

    def collect(self) -> Iterator[Points]:
        """Collections, collected and uncollectable objects of each generation."""
        pairs = list(zip(_stats(), self._before, strict=True))
        if pairs:
            for instrument, key in _METRICS:
                values = [now[key] - before[key] for now, before in pairs]
                yield Numbers(instrument, NO_ATTRIBUTES, values, self._generations)


def _stats() -> list[dict[str, int]]:
    return gc.get_stats() if sys.implementation.name == "cpython" else []
