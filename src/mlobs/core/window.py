"""A rotating window over counts."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    Counts = NDArray[Any]

_TILES: Final = 12


class Window:
    """What was counted in about the last ``span`` seconds, from cumulative counts and the time they are given with.

    A snapshot is kept every twelfth of the span, so the window reaches back between ``span`` and 13/12 of it; before
    a whole span has passed it reaches back to the start. Memory: 14 vectors of the counts' length.
    """

    def __init__(self, span: float) -> None:
        self.span = span
        self._snapshots: deque[tuple[float, Counts]] = deque()

    def roll(self, now: float, total: Counts) -> None:
        """Keep a snapshot if the last one is a tile old, and forget those that no window needs any more."""
        if not self._snapshots or now - self._snapshots[-1][0] >= self.span / _TILES:
            self._snapshots.append((now, total.copy()))
        while len(self._snapshots) > 1 and self._snapshots[1][0] <= now - self.span:
            self._snapshots.popleft()

    def counts(self, total: Counts) -> Counts:
        """``total`` less what it was when the window began; same shape."""
        return total - self._snapshots[0][1] if self._snapshots else total.copy()


def kept(windows: Iterable[Window], spans: Iterable[float]) -> tuple[Window, ...]:
    """Windows of these lengths: of those that there are the ones that are still wanted, and new ones."""
    there = {window.span: window for window in windows}
    return tuple(there.get(span) or Window(span) for span in spans)


def name(seconds: float) -> str:
    """A length as people write it: ``90s``, ``5m``, ``1h``, ``1d``; ``all`` where it never ends."""
    if seconds == math.inf:
        return "all"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s"
