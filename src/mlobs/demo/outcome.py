"""What a run comes to: the sums, and the drift of each season."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mlobs.demo.glance import drifted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlobs.demo.totals import Totals
    from mlobs.sketch import Drift


class Season(NamedTuple):
    """One stretch of the traffic: what was counted in it, and how far that is from the reference."""

    name: str
    totals: Totals
    drifts: list[Drift]


class Outcome(NamedTuple):
    """The whole run."""

    sent: int
    malformed: int
    totals: Totals
    winter: Season
    spring: Season
    auc: Mapping[str, float]  # of the model's answers, by part of the traffic

    def to_json(self) -> dict[str, object]:
        """Return the run as one JSON object; what cannot be told is null."""
        durations = self.totals.durations
        return {
            "requests_sent": self.sent,
            "predictions_counted": self.totals.predictions,
            "workers": len(self.totals.workers),
            "errors_sent": self.malformed,
            "errors_counted": self.totals.errors,
            "spans_received": self.totals.spans,
            "latency": {
                "p50_ms": _milliseconds(durations.quantile(0.5)),
                "p99_ms": _milliseconds(durations.quantile(0.99)),
            },
            "features": _features(self.spring.drifts),
            "features_winter": _features(self.winter.drifts),
            "drifted": drifted(self.spring.drifts),
            "drifted_winter": drifted(self.winter.drifts),
        }


def _features(drifts: list[Drift]) -> dict[str, dict[str, object]]:
    return {
        drift.name: {
            "psi": _number(drift.psi),
            "ks": _number(drift.ks),
            "noise": _number(drift.psi_noise),
            "count": drift.count,
            "verdict": drift.verdict,
        }
        for drift in drifts
        if drift.role == "input"
    }


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
