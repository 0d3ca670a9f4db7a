"""What a run comes to: the sums, and the drift of each season."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mlobs.demo.glance import drifted
from mlobs.demo.stakes import CURRENCY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlobs.demo.totals import Totals
    from mlobs.demo.worth import Worth
    from mlobs.sketch import Drift


class Season(NamedTuple):
    """One stretch of the traffic: what was counted in it, and how far that is from the reference."""

    name: str
    totals: Totals
    drifts: list[Drift]
    auc_sklearn: float  # of the truths that were told, by the raw scores


class Outcome(NamedTuple):
    """The whole run."""

    sent: int
    malformed: int
    truths: int  # told to the arrivals process, the spoilt ones too
    totals: Totals
    winter: Season
    spring: Season
    auc: Mapping[str, float]  # of the model's answers, by part of the traffic
    auc_of_truths: float  # scikit-learn's, of all truths that were told whole

    def to_json(self) -> dict[str, object]:
        """Return the run as one JSON object; what cannot be told is null."""
        durations, worth = self.totals.durations, self.totals.worth
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
            "outcomes_sent": self.truths,
            "outcomes_joined": worth.joined,
            "outcomes_rejected": worth.rejected,
            "outcomes_rejected_by_reason": dict(worth.refused),
            "coverage": _number(worth.coverage),
            "delay_mean_s": _number(worth.delays.mean),
            **_quality(worth, self.auc_of_truths),
            "business_value": _number(worth.value),
            "net_value": _number(worth.net),
            "currency": CURRENCY,
            "seasons": {
                name: _quality(season.totals.worth, season.auc_sklearn)
                | {"business_value": _number(season.totals.worth.value)}
                for name, season in (("winter", self.winter), ("spring", self.spring))
            },
            "cpu_seconds": _number(worth.cpu),
            "cost_per_1000": _number(worth.cost_per_1000, digits=12),
        }


def _quality(worth: Worth, sklearn: float) -> dict[str, object]:
    auc, expected = worth.auc, worth.expected_auc
    return {
        "auc": auc and _number(auc.value),
        "auc_bound": auc and _number(auc.bound),
        "auc_sklearn": _number(sklearn),
        "auc_expected": expected and _number(expected.value),
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


def _number(value: float | None, digits: int = 6) -> float | None:
    return round(value, digits) if value is not None and math.isfinite(value) else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
