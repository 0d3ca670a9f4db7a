"""What all workers did together, at one moment or between two."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.demo.durations import Durations
from mlobs.demo.worth import Worth

if TYPE_CHECKING:
    from collections.abc import Mapping

Bins = dict[str, int]  # bin's key -> count

_NOTHING: Final[Mapping[tuple[str, str], Bins]] = MappingProxyType({})


class Worker(NamedTuple):
    """One process that reported: what it has done since it began, and what it uses now."""

    instance: str
    predictions: int
    errors: int
    cpu: float  # share of all the machine's CPUs, 0 to 1
    memory: int  # bytes
    threads: int
    heard: int  # when its newest point was taken, nanoseconds since the epoch


class Totals(NamedTuple):
    """Sums over all workers."""

    predictions: int = 0
    errors: int = 0
    spans: int = 0
    dropped: int = 0  # what mlobs says it could not take in
    durations: Durations = Durations()
    observations: Mapping[tuple[str, str], Bins] = _NOTHING  # by role and feature
    workers: tuple[Worker, ...] = ()
    worth: Worth = Worth()

    def since(self, earlier: Totals) -> Totals:
        """What was added after ``earlier``, an older reading of the same ledger; the workers stay as they are now."""
        return Totals(
            self.predictions - earlier.predictions,
            self.errors - earlier.errors,
            self.spans - earlier.spans,
            self.dropped - earlier.dropped,
            self.durations.since(earlier.durations),
            {key: _less(bins, earlier.observations.get(key, {})) for key, bins in self.observations.items()},
            self.workers,
            self.worth.since(earlier.worth),
        )


def _less(now: Bins, then: Bins) -> Bins:
    return {name: count - then.get(name, 0) for name, count in now.items()}
