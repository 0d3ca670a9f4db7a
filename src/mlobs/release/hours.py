"""The last 200 hours in which predictions were made, each by itself, and all before them as one."""

from __future__ import annotations

import math
from typing import Final

from mlobs.release.hour import Hour

_SECONDS: Final = 3600.0
_KEPT: Final = 200  # hours
_OLDER: Final = -1  # stands for those that are one


class Hours:
    """Counts by hour. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._hours: dict[int, Hour] = {}
        self._first = -math.inf  # hours before it are no longer kept apart
        self._older = (math.inf, -math.inf)  # the first and the last hour of those that are one

    def __len__(self) -> int:
        """How many are kept; those that are one are one."""
        return len(self._hours)

    def at(self, time: float) -> Hour:
        """The hour of a time."""
        number = int(time // _SECONDS)
        found = self._hours.get(number)
        if found is None:
            if number < self._first:
                return self._fold(number, [])
            if len(self._hours) > _KEPT:
                oldest = min(key for key in self._hours if key != _OLDER)
                if number < oldest:
                    self._first = oldest
                    return self._fold(number, [])
                self._fold(oldest, [self._hours.pop(oldest)])
                self._first = oldest + 1
            found = self._hours[number] = Hour()
        return found

    def between(self, since: float | None, until: float | None) -> Hour:
        """The sum of all hours that overlap these times, an hour that begins at ``until`` apart; a new one."""
        first = -math.inf if since is None else since // _SECONDS
        last = math.inf if until is None else math.ceil(until / _SECONDS) - 1
        spans = {number: (number, number) for number in self._hours} | {_OLDER: self._older}
        return Hour().merge(
            hour for number, hour in self._hours.items() if spans[number][0] <= last and first <= spans[number][1]
        )

    def _fold(self, number: int, hours: list[Hour]) -> Hour:
        self._older = (min(self._older[0], number), max(self._older[1], number))
        return self._hours.setdefault(_OLDER, Hour()).merge(hours)
