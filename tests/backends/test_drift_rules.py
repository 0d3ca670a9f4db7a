"""Drift out of Prometheus' rules is what Python says of the same counts, and its alerts fire when they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.backends.promtool import RULES, holds, promtool, unit_test

from mlobs.sketch import Drift, judge

SAMPLES = 10_000
MODEL = 'model_name="m",model_version="1",model_variant="champion"'
BOTH = ["mlobs-drift.rules.yml", "mlobs-drift.alerts.yml"]
TOLERANCE = 1e-3


class Feature:
    """A feature with a reference, and how many values of each bin come in a minute."""

    def __init__(self, name: str, role: str, reference: dict[str, int], minute: dict[str, int]) -> None:
        self.name, self.role, self.reference, self.minute = name, role, reference, minute

    @property
    def labels(self) -> str:
        return f'{MODEL},role="{self.role}",feature="{self.name}"'

    def series(self, minutes: int = 130) -> list[dict[str, str]]:
        """Two replicas, of which one restarts after an hour."""
        found = []
        for bin_, count in self.reference.items():
            mine = self.minute.get(bin_, 0)
            observed = f'{self.labels},bin="{bin_}"'
            for instance, values in (("a", f"0+{mine}x60 0+{mine}x{minutes - 61}"), ("b", f"0+{2 * mine}x{minutes}")):
                found.append(_series("mlobs_feature_observations_total", f'{observed},instance="{instance}"', values))
                share = f"{count / SAMPLES}x{minutes}"
                found.append(_series("mlobs_feature_reference_ratio", f'{observed},instance="{instance}"', share))
        found.append(_series("mlobs_feature_reference_samples", f'{self.labels},instance="a"', f"{SAMPLES}x{minutes}"))
        return found

    def drift(self) -> Drift:
        """What Python says of an hour."""
        ordered = sum(bin_.isdigit() for bin_ in self.reference)
        counts = [180 * self.minute.get(bin_, 0) for bin_ in self.reference]
        reference = np.array(list(self.reference.values()))
        (found,) = judge([(self.name, self.role, ordered, reference, np.array(counts))])
        return found


def _series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


def ten(*minute: int) -> tuple[dict[str, int], dict[str, int]]:
    keys = [f"{index:02d}" for index in range(10)]
    return {**dict.fromkeys(keys, 980), "missing": 200}, dict(zip([*keys, "missing"], minute, strict=True))


FEATURES = [
    Feature("stable", "input", *ten(10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 2)),
    Feature("moved", "input", *ten(0, 0, 1, 2, 5, 9, 14, 20, 25, 30, 4)),
    Feature("prediction", "output", *ten(30, 25, 20, 14, 9, 5, 2, 1, 0, 0, 0)),
    Feature("color", "input", {"c00": 5000, "c01": 4500, "missing": 500}, {"c00": 50, "c01": 30, "missing": 20}),
    Feature("rare", "input", {"00": 5000, "01": 5000}, {"00": 1}),
]


@pytest.mark.parametrize("name", BOTH)
def test_prometheus_takes_them(name: str) -> None:
    """No rule has a mistake that Prometheus can see."""
    promtool("check", "rules", str(RULES / name))


def test_psi_and_ks_are_pythons(tmp_path: Path) -> None:
    """Over two replicas and a restart, PSI, KS and the noise of both are those of the summed counts."""
    found: list[dict[str, Any]] = []
    for feature in FEATURES:
        drift, labels = feature.drift(), f"{{{feature.labels}}}"
        pairs = {"psi": drift.psi, "psi_noise": drift.psi_noise, "ks": drift.ks, "ks_noise": drift.ks_noise}
        for what, expected in pairs.items():
            if np.isnan(expected) or (what == "ks_noise" and np.isnan(drift.ks)):
                continue
            near = f"abs(mlobs:feature_{what}:1h{labels} - {expected:.12f}) < bool {TOLERANCE}"
            found.append(holds(near, "125m", [labels]))
    series = [series for feature in FEATURES for series in feature.series()]
    unit_test(tmp_path, BOTH[:1], [{"interval": "1m", "input_series": series, "promql_expr_test": found}])


def test_what_is_no_drift_is_none(tmp_path: Path) -> None:
    """Noise and too few rows are not significant, and what has no order has no KS."""
    stable, rare, color = (f"{{{FEATURES[index].labels}}}" for index in (0, 4, 3))
    tests = [
        holds(f"mlobs:feature_psi_significant:1h{stable} == bool 0", "125m", [stable]),
        holds(f"mlobs:feature_psi_significant:1h{rare} == bool 0", "125m", [rare]),
        holds(f"mlobs:feature_ks:1h{color}", "125m", []),
    ]
    series = [series for feature in FEATURES for series in feature.series()]
    unit_test(tmp_path, BOTH[:1], [{"interval": "1m", "input_series": series, "promql_expr_test": tests}])


def test_smoothing_beside_a_large_reference_is_no_drift(tmp_path: Path) -> None:
    """Of 540 rows that are all alike, the rare categories of ten million others are empty, and that is not significant."""
    labels = f'{MODEL},role="input",feature="status"'
    shares = {"c00": 1 - 180e-7, **{f"c{index:02d}": 10e-7 for index in range(1, 19)}, "missing": 0.0, "other": 0.0}
    series = [_series("mlobs_feature_reference_samples", labels, "10000000x130")]
    for bin_, share in shares.items():
        series.append(_series("mlobs_feature_reference_ratio", f'{labels},bin="{bin_}"', f"{share}x130"))
        values = f"0+{9 if bin_ == 'c00' else 0}x130"
        series.append(_series("mlobs_feature_observations_total", f'{labels},bin="{bin_}"', values))
    tests = [
        holds(f"mlobs:feature_psi:1h{{{labels}}} > bool 0.1", "70m", [f"{{{labels}}}"]),
        holds(f"mlobs:feature_psi:1h{{{labels}}} > bool mlobs:feature_psi_noise:1h", "70m", [f"{{{labels}}}"]),
        holds(f"mlobs:feature_psi_significant:1h{{{labels}}} == bool 0", "70m", [f"{{{labels}}}"]),
        holds(f"mlobs:feature_psi_significant:6h{{{labels}}} < bool 0.1", "130m", [f"{{{labels}}}"]),
    ]
    unit_test(tmp_path, BOTH[:1], [{"interval": "1m", "input_series": series, "promql_expr_test": tests}])


def fired(name: str, at: str, *labels: dict[str, str]) -> dict[str, Any]:
    """An alert with these labels, whatever its annotations say, is `ALERTS` of that state."""
    each = [", ".join(f'{key}="{value}"' for key, value in one.items()) for one in labels]
    expr = f'count by ({", ".join(labels[0]) if labels else "alertname"}) (ALERTS{{alertname="{name}",alertstate="firing"}})'
    return {
        "expr": expr,
        "eval_time": at,
        "exp_samples": [{"labels": "{" + one + "}", "value": 1} for one in each],
    }


def test_drift_fires_once_and_at_the_right_height(tmp_path: Path) -> None:
    """PSI of an hour above 0.25 is critical; six hours above 0.1 are a warning only where nothing is critical."""
    drifted = [{"feature": name} for name in ("color", "moved", "prediction")]
    tests = [
        fired("MlobsFeatureDriftCritical", "10m"),
        fired("MlobsFeatureDriftCritical", "125m", *drifted),
        fired("MlobsFeatureDriftWarning", "125m"),
    ]
    assert FEATURES[3].drift().psi > 0.25
    series = [series for feature in FEATURES for series in feature.series()]
    unit_test(tmp_path, BOTH, [{"interval": "1m", "input_series": series, "promql_expr_test": tests}])


def test_drift_ends_below_a_lower_threshold(tmp_path: Path) -> None:
    """Firing goes on between the two thresholds, and ends below the lower one after a while."""
    mild = Feature("mild", "input", {"00": 5000, "01": 5000}, {})
    series = [
        _series(
            "mlobs_feature_observations_total",
            f'{mild.labels},bin="00",instance="a"',
            "0+80x180 14473+73x240 32043+50x360",
        ),
        _series(
            "mlobs_feature_observations_total",
            f'{mild.labels},bin="01",instance="a"',
            "0+20x180 3627+27x240 10157+50x360",
        ),
        _series("mlobs_feature_reference_ratio", f'{mild.labels},bin="00"', "0.5x800"),
        _series("mlobs_feature_reference_ratio", f'{mild.labels},bin="01"', "0.5x800"),
        _series("mlobs_feature_reference_samples", mild.labels, f"{SAMPLES}x800"),
    ]
    tests = [
        fired("MlobsFeatureDriftCritical", "170m", {"feature": "mild"}),
        fired("MlobsFeatureDriftCritical", "400m", {"feature": "mild"}),  # at 0.229 now
        fired("MlobsFeatureDriftCritical", "590m"),
        holds("(mlobs:feature_psi:1h > 0.2 < 0.25) > bool 0", "400m", [f"{{{mild.labels}}}"]),
    ]
    unit_test(tmp_path, BOTH, [{"interval": "1m", "input_series": series, "promql_expr_test": tests}])


def test_slow_drift_is_told(tmp_path: Path) -> None:
    """A day that has moved a little is information."""
    slow = Feature("slow", "input", {"00": 5000, "01": 5000}, {})
    series = [
        _series("mlobs_feature_observations_total", f'{slow.labels},bin="00",instance="a"', "0+67x1600"),
        _series("mlobs_feature_observations_total", f'{slow.labels},bin="01",instance="a"', "0+33x1600"),
        _series("mlobs_feature_reference_ratio", f'{slow.labels},bin="00"', "0.5x1600"),
        _series("mlobs_feature_reference_ratio", f'{slow.labels},bin="01"', "0.5x1600"),
        _series("mlobs_feature_reference_samples", slow.labels, f"{SAMPLES}x1600"),
    ]
    tests = [
        fired("MlobsFeatureDriftSlow", "1500m", {"feature": "slow"}),
        fired("MlobsFeatureDriftWarning", "1500m", {"feature": "slow"}),
        fired("MlobsFeatureDriftCritical", "1500m"),
    ]
    unit_test(tmp_path, BOTH, [{"interval": "1m", "input_series": series, "promql_expr_test": tests}])


def test_references_that_are_missing_or_disagree_are_told(tmp_path: Path) -> None:
    """Counted features without a reference, replicas with two references, and what is beyond a limit."""
    lost, two, moved, one = (f'{MODEL},role="input",feature="{name}"' for name in ("lost", "two", "moved", "one"))
    series = [
        _series("mlobs_feature_observations_total", f'{lost},bin="00",instance="a"', "0+30x130"),
        _series("mlobs_feature_reference_ratio", f'{two},bin="00",instance="a"', "0.5x130"),
        _series("mlobs_feature_reference_ratio", f'{two},bin="00",instance="b"', "0.6x130"),
        *(
            _series("mlobs_feature_bin_info", f'{which},bin="00",instance="{instance}",label="≤ {edge}"', "1x130")
            for which, edges in ((moved, (3, 5)), (one, (3, 3)))
            for instance, edge in zip("ab", edges, strict=True)
        ),
        _series("mlobs_feature_reference_samples", two, f"{SAMPLES}x130"),
        _series("mlobs_sdk_dropped_total", 'job="churn",instance="a",reason="feature_limit"', "0+5x130"),
        _series("mlobs_sdk_dropped_total", 'job="churn",instance="a",reason="model_limit"', "_x20 4x110"),
        _series("mlobs_sdk_dropped_total", 'job="churn",instance="a",reason="ragged"', "0+5x130"),
    ]
    tests = [
        fired("MlobsReferenceMissing", "125m", {"model_name": "m", "model_version": "1"}),
        fired("MlobsReferenceDisagrees", "125m", {"feature": "two"}, {"feature": "moved"}),
        fired(
            "MlobsCardinalityOverflow",
            "125m",
            {"job": "churn", "reason": "feature_limit"},
            {"job": "churn", "reason": "model_limit"},
        ),
    ]
    unit_test(tmp_path, BOTH, [{"interval": "1m", "input_series": series, "promql_expr_test": tests}])
