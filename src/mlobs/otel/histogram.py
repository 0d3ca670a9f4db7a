"""Explicit-bucket histograms, filled a block at a time."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

from mlobs.otel import points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlobs.otel.instrument import Instrument


class Histogram:
    """Counts of values by bucket, with their sum, extremes and the last exemplar of each bucket.

    Bucket i holds values <= bounds[i], the last one the rest, as OTLP and Prometheus define it.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = np.asarray(bounds, np.float64)
        self.counts = np.zeros(len(bounds) + 1, np.int64)
        self.total = 0.0
        self.low = math.inf
        self.high = -math.inf
        self._exemplars: dict[int, points.Exemplar] = {}

    def add(self, values: Sequence[float]) -> None:
        """Add finite values.

        Python's own sum, min and max take a little longer than numpy's and never let go of the interpreter: beside a
        busy thread every letting go costs that thread a switch, and this one the wait for its turn.
        """
        if not values:
            return
        array = np.array(values, np.float64)
        self.counts += np.bincount(np.searchsorted(self.bounds, array), minlength=len(self.counts))
        self.total += sum(values)
        low, high = min(values), max(values)
        self.low, self.high = min(self.low, low), max(self.high, high)

    def exemplify(self, exemplar: points.Exemplar) -> None:
        """Remember where one of the values was measured."""
        self._exemplars[bisect_left(self.bounds, exemplar.value)] = exemplar

    def quantile(self, share: float) -> float:
        """The upper bound of the bucket that holds this share of the values; NaN when empty."""
        reached = np.cumsum(self.counts)
        if not reached[-1]:
            return math.nan
        index = int(np.searchsorted(reached, share * reached[-1]))
        return float(self.bounds[index]) if index < len(self.bounds) else self.high

    def collect(self, instrument: Instrument, attributes: points.Attributes) -> points.Histogram:
        """The point; exemplars are handed over once."""
        exemplars, self._exemplars = list(self._exemplars.values()), {}
        return points.Histogram(
            instrument,
            attributes,
            self.bounds.tolist(),
            self.counts.tolist(),
            self.total,
            self.low if self.low < math.inf else None,
            self.high if self.high > -math.inf else None,
            exemplars,
        )
