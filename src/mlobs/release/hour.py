"""Counts of truths, of predictions made in one hour, or ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlobs.sketch.scores import SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable


class Hour:
    """Sums of the truths that were joined. ``scores`` has the bins of the negatives, then those of the positives."""

    __slots__ = ("confusion", "errors", "joined", "money", "over", "scores", "squared", "under")

    def __init__(self) -> None:
        self.joined = 0
        self.confusion: dict[tuple[str, str], int] = {}
        self.scores = [0] * (2 * SIZE)
        self.errors = 0
        self.over = 0.0
        self.under = 0.0
        self.squared = 0.0
        self.money: dict[tuple[str, str, str], float] = {}  # by kpi, currency and direction

    def earn(self, kpi: str, currency: str, money: float) -> None:
        """Add a gain, or, negative, a loss."""
        key = (kpi, currency, "gain" if money >= 0 else "loss")
        self.money[key] = self.money.get(key, 0.0) + abs(money)

    def err(self, error: float) -> None:
        """Add the error of a regression."""
        self.errors += 1
        if error >= 0:
            self.over += error
        else:
            self.under -= error
        self.squared += error * error

    def merge(self, others: Iterable[Hour]) -> Hour:
        """Add other hours; returns itself."""
        for other in others:
            self.joined += other.joined
            for pair, count in other.confusion.items():
                self.confusion[pair] = self.confusion.get(pair, 0) + count
            self.scores = [mine + theirs for mine, theirs in zip(self.scores, other.scores, strict=True)]
            self.errors += other.errors
            self.over += other.over
            self.under += other.under
            self.squared += other.squared
            for key, money in other.money.items():
                self.money[key] = self.money.get(key, 0.0) + money
        return self
