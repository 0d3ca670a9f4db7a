"""What counters that others keep have grown by since they were first read here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class Growth:
    """Counts from 0 what a driver or a control group counts from its own beginning.

    Exported as they are, such counters would give whoever is sent deltas the whole past as the first one.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[float, float]] = {}

    def of(self, key: Hashable, value: float) -> float:
        """How much the counter of this key has grown; one that began anew, as after a driver's reset, goes on growing."""
        last, grown = self._seen.get(key, (value, type(value)(0)))
        grown += value - last if value >= last else value
        self._seen[key] = (value, grown)
        return grown
