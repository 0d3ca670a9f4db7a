"""Counts of truths, of predictions made in one hour, or ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlobs.sketch.scores import SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable


class Hour:
    """Sums of the truths that were joined.

    ``right`` counts predictions of the actual class, also of those whose names are `_OTHER`. ``scores`` has the bins of the
    negatives, then those of the positives. ``confidence`` is the sum of the probabilities of predicted classes, of more
    than two, ``confident`` how many had one and ``confirmed`` how many of these were right. Sums of floats are plain: of
    a million errors they are exact to ten digits.
    """

    __slots__ = (
        "confidence", "confident", "confirmed", "confusion", "errors", "joined", "money", "over", "right", "scores",
        "squared", "under",
    )  # fmt: skip

    def __init__(self) -> None:
        self.joined = 0
        self.confusion: dict[tuple[str, str], int] = {}
        self.right = 0
        self.scores = [0] * (2 * SIZE)
        self.confidence = 0.0
        self.confident = 0
        self.confirmed = 0
        self.errors = 0
        self.over = 0.0
        self.under = 0.0
        self.squared = 0.0
        self.money: dict[tuple[str, str, str], float] = {}  # by kpi, currency and direction

    def count(self, pair: tuple[str, str], *, right: bool) -> None:
        """Add a predicted and an actual class, by name, and whether they are one."""
        self.confusion[pair] = self.confusion.get(pair, 0) + 1
        self.right += right

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

    def trust(self, confidence: float, *, right: bool) -> None:
        """Add the probability of a predicted class, and whether it was the actual one."""
        self.confidence += confidence
        self.confident += 1
        self.confirmed += right

    def merge(self, others: Iterable[Hour]) -> Hour:
        """Add other hours; returns itself."""
        for other in others:
            self.joined += other.joined
            for pair, count in other.confusion.items():
                self.confusion[pair] = self.confusion.get(pair, 0) + count
            self.right += other.right
            self.confidence += other.confidence
            self.confident += other.confident
            self.confirmed += other.confirmed
            self.scores = [mine + theirs for mine, theirs in zip(self.scores, other.scores, strict=True)]
            self.errors += other.errors
            self.over += other.over
            self.under += other.under
            self.squared += other.squared
            for key, money in other.money.items():
                self.money[key] = self.money.get(key, 0.0) + money
        return self
