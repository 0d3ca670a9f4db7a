"""Cumulative points as deltas since the last export that arrived."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from mlobs.otel.points import Collected, Exponential, Histogram, Numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlobs.otel.points import Points

_Key = tuple[Any, ...]
_CUMULATIVE: Final = ("gauge", "updowncounter")


class Deltas:
    """Remembers what has arrived, and until when. What failed is merged back by not being remembered.

    What is no delta, gauges and sums that go down too, keeps the start of the process.

    Minimum and maximum of a delta cannot be told from cumulative ones and are left out, but of the first. An exponential
    histogram that changed its scale since is sent whole from the change on, with its earlier counts subtracted at
    the coarser scale.
    """

    def __init__(self) -> None:
        self._sent: dict[_Key, Any] = {}
        self._until: dict[_Key, int] = {}  # the time of the last export with these points that arrived
        self._since: int | None = None  # that of the last one that arrived whole
        self._latest = 0
        self._shown = 0  # the time of the export that is under way
        # new settings may come while an export by the old ones waits for its answer
        self.turn = threading.Lock()

    def since(self, collected: Collected) -> Collected:
        """What is new in ``collected``.

        Where the clock was set back time all but stands still: each export is a nanosecond later than the last that arrived,
        for who adds deltas up (the Collector's delta_to_cumulative) passes over those that are not.
        """
        self._shown = max(collected.time_unix_nano, self._latest + 1)
        points = [self._delta(points) for points in collected.points]
        start = collected.start_unix_nano if self._since is None else self._since
        starts = [self._start(points, start, collected.start_unix_nano) for points in collected.points]
        return Collected(start, self._shown, points, starts)

    def arrived(self, collected: Collected, first: int = 0, end: int | None = None) -> None:
        """The points from ``first`` to ``end`` of ``collected``, which is cumulative, have been delivered, after all before."""
        self._latest = max(collected.time_unix_nano, self._latest, self._shown)
        for points in collected.points[first:end]:
            key = (points.instrument.name, points.attributes.items())
            self._until[key] = self._latest
            if isinstance(points, Numbers):
                for each, value in zip(points.each, points.values, strict=True):
                    self._sent[(*key, each.items())] = value
            else:
                self._sent[key] = points
        if end is None or end >= len(collected.points):
            self._since = self._latest

    def _start(self, points: Points, since: int, begun: int) -> int:
        if points.instrument.kind in _CUMULATIVE:
            return begun
        return self._until.get((points.instrument.name, points.attributes.items()), since)

    def _delta(self, points: Points) -> Points:
        key = (points.instrument.name, points.attributes.items())
        if isinstance(points, Numbers):
            if points.instrument.kind != "counter":
                return points
            before = [self._sent.get((*key, each.items()), 0) for each in points.each]
            return points._replace(values=[now - then for now, then in zip(points.values, before, strict=True)])
        earlier = self._sent.get(key)
        if earlier is None:
            return points
        if isinstance(points, Histogram):
            if not any(earlier.counts):
                return points
            counts = _subtract(points.counts, earlier.counts)
            return points._replace(counts=counts, total=points.total - earlier.total, low=None, high=None)
        return _subtract_exponential(points, earlier)


def _subtract(now: Sequence[int], then: Sequence[int]) -> list[int]:
    return [a - b for a, b in zip(now, then, strict=True)]


def _subtract_exponential(now: Exponential, then: Exponential) -> Exponential:
    shift = then.scale - now.scale
    return now._replace(
        zero_count=now.zero_count - then.zero_count,
        positive=_subtract_buckets(now.positive_offset, now.positive, then.positive_offset, then.positive, shift),
        negative=_subtract_buckets(now.negative_offset, now.negative, then.negative_offset, then.negative, shift),
    )


def _subtract_buckets(
    offset: int, now: Sequence[int], earlier_offset: int, earlier: Sequence[int], shift: int
) -> list[int]:
    result = list(now)
    for index, count in enumerate(earlier):
        if count:
            result[((earlier_offset + index) >> shift) - offset] -= count
    return result
