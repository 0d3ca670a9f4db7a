"""The last seconds of a run: how fast it goes, and how long calls take just now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.demo.totals import Totals

if TYPE_CHECKING:
    from mlobs.demo.durations import Durations

SPAN: Final = 10.0  # seconds that are kept
_RATE_SPAN: Final = 4.0  # seconds a rate is taken over; each worker reports once a second
_RATE_STEP: Final = 1.0  # seconds between two points of the rate's line


class _Reading(NamedTuple):
    at: float
    totals: Totals


class History:
    """Keeps readings of the totals, the newest last; ``now`` is of any clock that never goes back, in seconds."""

    def __init__(self, now: float, points: int = 30) -> None:
        self._readings: deque[_Reading] = deque([_Reading(now, Totals())])
        self._rates: deque[float] = deque(maxlen=points)
        self._rated = now

    def add(self, now: float, totals: Totals) -> None:
        """Take a reading."""
        self._readings.append(_Reading(now, totals))
        while len(self._readings) > 1 and self._readings[1].at <= now - SPAN:
            self._readings.popleft()
        if now - self._rated >= _RATE_STEP:
            self._rated = now
            self._rates.append(self.rate())

    def rate(self) -> float:
        """Return calls a second, over the last few seconds."""
        newest = self._readings[-1]
        oldest = self._before(newest.at - _RATE_SPAN)
        elapsed = newest.at - oldest.at
        return (newest.totals.predictions - oldest.totals.predictions) / elapsed if elapsed > 0 else 0.0

    def rates(self) -> list[float]:
        """Return the rate at each of the last seconds, the newest last."""
        return list(self._rates)

    def durations(self) -> Durations:
        """Return how long the calls of the last seconds took."""
        newest = self._readings[-1]
        return newest.totals.durations.since(self._before(newest.at - SPAN).totals.durations)

    def _before(self, moment: float) -> _Reading:
        """Return the newest reading at or before a moment, or the oldest there is."""
        older = [reading for reading in self._readings if reading.at <= moment]
        return older[-1] if older else self._readings[0]
