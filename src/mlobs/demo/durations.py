"""A latency histogram as OTLP sends it: counts between explicit bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Durations(NamedTuple):
    """How many durations fell between the bounds, seconds; the last count is above the last bound."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    seconds: float = 0.0  # all of them together

    @property
    def total(self) -> int:
        """How many durations there are."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Seconds, exactly; None where there are none."""
        return self.seconds / self.total if self.total else None

    @classmethod
    def sum(cls, parts: Iterable[Durations]) -> Durations:
        """All of them together. Histograms of other bounds cannot be added: ValueError."""
        filled = [part for part in parts if part.counts]
        if not filled:
            return cls()
        bounds = filled[0].bounds
        if any(part.bounds != bounds for part in filled):
            msg = "two histograms of one metric have different bounds"
            raise ValueError(msg)
        return cls(
            bounds,
            tuple(sum(column) for column in zip(*(part.counts for part in filled), strict=True)),
            sum(part.seconds for part in filled),
        )

    def since(self, earlier: Durations) -> Durations:
        """What was added after ``earlier``, an older reading of the same histogram."""
        if not earlier.counts:
            return self
        return Durations(
            self.bounds,
            tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True)),
            self.seconds - earlier.seconds,
        )

    def quantile(self, share: float) -> float | None:
        """The duration that ``share`` of all stay under, seconds; None where there are none.

        Linear inside a bucket, as Prometheus' histogram_quantile is; above the last bound it is the last bound.
        """
        if not self.total or not self.bounds:
            return None
        rank = share * self.total
        below = 0
        for low, high, count in zip((0.0, *self.bounds), self.bounds, self.counts, strict=False):
            if count and below + count >= rank:
                return low + (high - low) * (rank - below) / count
            below += count
        return self.bounds[-1]
