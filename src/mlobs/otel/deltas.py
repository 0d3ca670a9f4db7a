"""Cumulative points as deltas since the last export that arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlobs.otel.points import Collected, Exponential, Histogram, Numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlobs.otel.points import Points

_Key = tuple[Any, ...]


class Deltas:
    """Remembers what has arrived. A window that failed is merged back by not being remembered.

    Minimum and maximum of a delta cannot be told from cumulative ones; the cumulative ones are sent. An exponential
    histogram that changed its scale since is sent whole from the change on, with its earlier counts subtracted at
    the coarser scale.
    """

    def __init__(self) -> None:
        self._sent: dict[_Key, Any] = {}
        self._since: int | None = None

    def since(self, collected: Collected) -> Collected:
        """What is new in ``collected``."""
        points = [self._delta(points) for points in collected.points]
        start = collected.start_unix_nano if self._since is None else self._since
        return Collected(start, collected.time_unix_nano, points)

    def arrived(self, collected: Collected) -> None:
        """Everything in ``collected``, which is cumulative, has been delivered."""
        for points in collected.points:
            key = (points.instrument.name, points.attributes.items())
            if isinstance(points, Numbers):
                for each, value in zip(points.each, points.values, strict=True):
                    self._sent[(*key, each.items())] = value
            else:
                self._sent[key] = points
        self._since = collected.time_unix_nano

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
            return points._replace(counts=_subtract(points.counts, earlier.counts), total=points.total - earlier.total)
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
