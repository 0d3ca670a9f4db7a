"""The CPU time of the process, and who may be said to have used it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mlobs.core.monitor import Monitor

_LOOKED_AT: Final = 16  # operations; where there are more, nobody asks whether a call is alone


class Budget:
    """Hands out CPU seconds, so that the sum over all models never exceeds the process' own total.

    What models use is estimated from samples, and an estimate may be too high; the process' clock is not. ``clock``
    gives the process' CPU seconds, ``monitors`` are all that observe. The caller of `take` holds the counting lock.
    """

    def __init__(
        self,
        monitors: Callable[[], Collection[Monitor]] = tuple,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._monitors = monitors
        self._clock = clock
        self._taken = 0.0

    def take(self, seconds: float) -> float:
        """As many of these seconds as are left."""
        granted = min(seconds, max(0.0, self._clock() - self._taken)) if seconds > 0 else 0.0
        self._taken += granted
        return granted

    def renew(self) -> None:
        """Begin at zero, as the clock of a forked child does."""
        self._taken = 0.0

    def alone(self) -> int:
        """How many calls have begun so far, where one is running and no other; else -1. Called by the one."""
        monitors = self._monitors()
        if len(monitors) > _LOOKED_AT:
            return -1
        begun = [monitor.begun for monitor in monitors]
        ended = sum(monitor.ended for monitor in monitors)
        return sum(begun) if sum(begun) - ended == 1 else -1
