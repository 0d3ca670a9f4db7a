"""The CPU and GPU time of one operation, and what it cost."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from mlobs.otel import names
from mlobs.otel.points import Attributes, Numbers, Points

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlobs.core.budget import Budget
    from mlobs.core.settings import Settings

_HOUR: Final = 3600.0
_LONG_AGO: Final = 10**12  # ns of sampled calls, from which on the older ones count half


class _Share:
    """CPU time by duration, as sampled calls tell it: a ratio estimate. ``most`` bounds the ratio."""

    def __init__(self, most: float) -> None:
        self.seconds = 0.0
        self.known = False
        self._most = most
        self._spent = 0
        self._took = 0

    def add(self, duration: int, sampled: Sequence[tuple[int, int]], budget: Budget) -> float:
        """Seconds of CPU that ``duration`` ns of calls had; ``sampled`` are pairs of ns of CPU and ns of duration."""
        for spent, took in sampled:
            self._spent += spent
            self._took += took
        if not self._took:
            return 0.0
        self.known = True
        ratio = min(self._most, self._spent / self._took)
        if self._took > _LONG_AGO:
            self._spent //= 2
            self._took //= 2
        granted = budget.take(duration * 1e-9 * ratio)
        self.seconds += granted
        return granted


class Work:
    """Sums since the start. The caller holds the counting lock."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._own = _Share(1.0)  # a thread has one CPU
        self._pool = _Share(math.inf)
        self._gpu = 0.0
        # by currency and hardware: settings change, and what was paid stays paid
        self._cost: defaultdict[tuple[str, str], float] = defaultdict(float)

    def fold(
        self,
        duration: int,
        sampled: Sequence[tuple[int, int]],
        pooled: Sequence[tuple[int, int]],
        gpu: Sequence[float],
        settings: Settings,
    ) -> None:
        """Take in calls of ``duration`` ns together: what was sampled of them, in ns, and GPU seconds."""
        cpu = self._own.add(duration, sampled, self._budget) + self._pool.add(duration, pooled, self._budget)
        busy = sum(gpu)
        self._gpu += busy
        self._cost[settings.currency, "cpu"] += cpu / _HOUR * settings.cpu_price
        self._cost[settings.currency, "gpu"] += busy / _HOUR * settings.gpu_price

    def collect(self, attributes: Attributes) -> Iterator[Points]:
        """What is known of it."""
        if self._own.known:
            yield Numbers(names.PREDICTION_CPU_TIME, attributes, (self._own.seconds,))
        if self._pool.known:
            yield Numbers(names.PREDICTION_POOL_TIME, attributes, (self._pool.seconds,))
        if self._gpu:
            yield Numbers(names.PREDICTION_GPU_TIME, attributes, (self._gpu,))
        for (currency, hardware), cost in self._cost.items():
            if cost:
                paid = attributes.extended((names.CURRENCY, currency), (names.HARDWARE, hardware))
                yield Numbers(names.PREDICTION_COST, paid, (cost,))
