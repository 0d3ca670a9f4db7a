"""Quality, calibration and money out of Prometheus' rules are what Python says of the same counts, and what fell is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.backends.promtool import RULES, holds, promtool, unit_test

from mlobs.sketch import scores

BOTH = ["mlobs-quality.rules.yml", "mlobs-quality.alerts.yml"]
MODEL = {"model_name": "m", "model_version": "1", "model_variant": "champion"}
MINUTES = 180
TOLERANCE = 1e-3


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    named = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{named}}}", "values": values}


def labels(**more: str) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in {**MODEL, **more}.items()) + "}"


def equals(record: str, value: float, *, rel: float = TOLERANCE, at: str = "180m", **more: str) -> dict[str, Any]:
    named = labels(**more)
    within = rel * max(1.0, abs(value))
    return holds(f"abs({record}{named} - ({value!r})) < bool {within!r}", at, [named])


def fired(name: str, at: str, *models: str) -> dict[str, Any]:
    expr = f'count by (model_name) (ALERTS{{alertname="{name}",alertstate="firing"}})'
    found = [{"labels": f'{{model_name="{model}"}}', "value": 1} for model in models]
    return {"expr": expr, "eval_time": at, "exp_samples": found}


@pytest.fixture
def counts() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Negatives and positives of each score bin that come in five minutes."""
    rng = np.random.default_rng(7)
    drawn = rng.beta(1.2, 2.5, 4000)
    truth = rng.random(4000) < drawn**1.3
    return scores.count_scores(drawn[~truth])[0], scores.count_scores(drawn[truth])[0]


@pytest.mark.parametrize("name", BOTH)
def test_prometheus_takes_them(name: str) -> None:
    """No rule has a mistake that Prometheus can see."""
    promtool("check", "rules", str(RULES / name))


@pytest.mark.parametrize("objective", [False, True], ids=["without", "with"])
def test_quality_is_pythons(
    tmp_path: Path, counts: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], *, objective: bool
) -> None:
    """Over two replicas, one of them restarted, with and without a measured calibration and a threshold of one's own."""
    negatives, positives = counts
    rates = scores.calibration(np.repeat(scores.MIDDLES, 2), [False, True] * 40) * 0.9 if objective else None
    threshold = 0.4 if objective else 0.5
    real = scores.realized(negatives, positives, threshold=threshold)
    hoped = scores.expected(negatives + positives, threshold=threshold, rates=rates)
    other = np.roll(negatives, 3) + positives
    ahead = scores.expected(other, threshold=threshold, rates=rates)
    assert real
    assert hoped
    assert ahead
    given = []
    for instance, per in (("a", f"x{MINUTES // 2} 0+{{0}}x{MINUTES}"), ("b", f"x{MINUTES + MINUTES // 2}")):
        for index, key in enumerate(scores.KEYS):
            for actual, side in (("0", negatives), ("1", positives)):
                values = f"0+{side[index]}{per.format(side[index])}"
                told = {**MODEL, "bin": key, "actual": actual, "instance": instance}
                given.append(series("mlobs_outcome_score_total", values, **told))
            told = {**MODEL, "bin": key, "instance": instance}
            given.append(series("mlobs_prediction_score_total", f"0+{other[index]}{per.format(other[index])}", **told))
            if rates is not None:
                given.append(series("mlobs_quality_calibration_ratio", f"{float(rates[index])!r}x200", **told))
        if objective:
            given.append(series("mlobs_quality_threshold_ratio", "0.4x200", **MODEL, instance=instance))
    measures = {"auc": "auc", "accuracy": "accuracy", "f1": "f1"}
    tests = [
        equals("mlobs:log_loss:mean1d", real.log_loss.value),
        equals("mlobs:brier:mean1d", real.brier.value),
        equals("mlobs:calibration_error:ratio1d", real.calibration_error.value),
    ]
    for measure in measures:
        found, promise, expected = (getattr(one, measure).value for one in (real, hoped, ahead))
        tests.append(equals("mlobs:score_quality:ratio1d", found, measure=measure, basis="realized"))
        tests.append(equals("mlobs:quality_gap:ratio1d", found - promise, measure=measure))
        tests.append(equals("mlobs:quality_expected:ratio1d", expected, measure=measure))
    unit_test(tmp_path, BOTH[:1], [{"interval": "1m", "input_series": given, "promql_expr_test": tests}])


def test_labels_numbers_and_money(tmp_path: Path) -> None:
    """Accuracy of three classes, errors of regressions, coverage, gains less losses less costs, over two replicas."""
    confusion = {("a", "a"): 50, ("a", "b"): 5, ("b", "b"): 30, ("c", "b"): 10, ("c", "c"): 5}
    given = []
    for instance in ("x", "y"):
        told = {**MODEL, "instance": instance}
        for (predicted, actual), count in confusion.items():
            many = {"predicted": predicted, "actual": actual}
            given.append(series("mlobs_outcome_confusion_total", f"0+{count}x200", **told, **many))
        for bin_, count in (("20", 40), ("30", 60)):
            given.append(series("mlobs_prediction_score_total", f"0+{count}x200", **told, bin=bin_))
        for direction, total in (("over", 300), ("under", 100)):
            given.append(series("mlobs_outcome_error_absolute_total", f"0+{total}x200", **told, direction=direction))
        given += [
            series("mlobs_outcome_error_squared_total", "0+1600x200", **told),
            series("mlobs_outcome_joined_total", "0+100x200", **told),
            series("mlobs_outcome_expected_total", "0+125x200", **told),
            series("mlobs_prediction_rows_total", "0+250x200", **told, model_operation="predict"),
        ]
        for kpi, direction, currency, amount in (
            ("prediction", "gain", "EUR", 4),
            ("prediction", "loss", "EUR", 1),
            ("conversion", "gain", "EUR", 2),
            ("conversion", "loss", "USD", 7),
        ):
            many = {"kpi": kpi, "direction": direction, "currency": currency}
            given.append(series("mlobs_business_value_total", f"0+{amount}x200", **told, **many))
        for hardware in ("cpu", "gpu"):
            cost = {"model_operation": "predict", "currency": "EUR", "hardware": hardware}
            given.append(series("mlobs_prediction_cost_total", "0+0.25x200", **told, **cost))
    minutes = 2 * 178
    tests = [
        equals("mlobs:quality:ratio1d", 0.85, measure="accuracy"),
        equals("mlobs:quality_expected:ratio1d", float(0.4 * scores.MIDDLES[20] + 0.6 * scores.MIDDLES[30]),
               measure="accuracy"),
        equals("mlobs:mean_absolute_error:mean1d", 4.0),
        equals("mlobs:bias:mean1d", 2.0),
        equals("mlobs:root_mean_squared_error:mean1d", 4.0),
        equals("mlobs:outcome_coverage:ratio1d", 0.8),
        equals("mlobs:business_value:increase1d", 3.0 * minutes, kpi="prediction", currency="EUR", rel=0.03),
        equals("mlobs:business_value:increase1d", 2.0 * minutes, kpi="conversion", currency="EUR", rel=0.03),
        equals("mlobs:business_value:increase1d", -7.0 * minutes, kpi="conversion", currency="USD", rel=0.03),
        equals("mlobs:net_value:increase1d", 4.5 * minutes, currency="EUR", rel=0.03),
        equals("mlobs:net_value:per_row1d", 4.5 / 250, currency="EUR"),
        equals("mlobs:prediction_cost:per_row1d", 0.5 / 250, currency="EUR"),
    ]  # fmt: skip
    unit_test(tmp_path, BOTH[:1], [{"interval": "1m", "input_series": given, "promql_expr_test": tests}])


def test_money_that_stays_away_is_told_until_it_comes_back(tmp_path: Path) -> None:
    """Also when a whole day brought none and no process tells of it any more; of a model that predicts no longer nothing is."""
    good, bad = 60 * 24 * 3, 60 * 24 * 3  # minutes
    given = []
    for model, rows in (("serves", f"0+20x{good + bad}"), ("served", f"0+20x{good}")):
        told = {**MODEL, "model_name": model, "instance": "a"}
        given.append(series("mlobs_prediction_rows_total", rows, **told, model_operation="predict"))
        money = {"kpi": "order", "currency": "EUR", "direction": "gain"}
        given.append(series("mlobs_business_value_total", f"0+9x{good}", **{**told, "instance": "b"}, **money))
    tests = [
        fired("MlobsBusinessValueDrop", "3d"),
        fired("MlobsBusinessValueDrop", "3d20h", "serves"),
        fired("MlobsBusinessValueDrop", "5d12h", "serves"),
    ]
    unit_test(tmp_path, BOTH, [{"interval": "1m", "input_series": given, "promql_expr_test": tests}])


def test_what_fell_is_told_and_what_did_not_is_not(tmp_path: Path) -> None:
    """After six good days truths stay away, answers get worse, errors grow and money is lost; another model goes on."""
    good, bad = 60 * 24 * 6, 60 * 24 * 2  # minutes
    given = []

    def told(name: str, model: str, before: float, after: float, **more: str) -> None:
        after = before if model == "steady" else after
        values = f"0+{before}x{good} {before * good + after}+{after}x{bad}"
        given.append(series(name, values, **{**MODEL, "model_name": model}, instance="a", **more))

    for model in ("steady", "fallen"):
        told("mlobs_outcome_expected_total", model, 20, 20)
        told("mlobs_outcome_joined_total", model, 18, 6)
        told("mlobs_prediction_rows_total", model, 20, 20, model_operation="predict")
        told("mlobs_outcome_confusion_total", model, 15, 3, predicted="1", actual="1")
        told("mlobs_outcome_confusion_total", model, 3, 3, predicted="1", actual="0")
        for key, before, after in (("10", (8, 1), (2, 1)), ("30", (1, 8), (2, 1))):
            for actual in ("0", "1"):
                at = int(actual)
                told("mlobs_outcome_score_total", model, before[at], after[at], bin=key, actual=actual)
        told("mlobs_outcome_error_absolute_total", model, 18, 12, direction="over")
        told("mlobs_business_value_total", model, 9, 2, kpi="prediction", currency="EUR", direction="gain")
    alerts = (
        "OutcomeCoverageDrop", "QualityGap", "QualityDrop", "RegressionErrorGrowth", "BusinessValueDrop",
    )  # fmt: skip
    tests = []
    for alert in alerts:
        tests.append(fired(f"Mlobs{alert}", "6d"))
        several = {
            "expr": f'count by (model_name) (ALERTS{{alertname="Mlobs{alert}",alertstate="firing"}} > 0) > bool 0'
        }
        found = [{"labels": '{model_name="fallen"}', "value": 1}]
        tests.append({**several, "eval_time": "7d1h", "exp_samples": found})
    unit_test(tmp_path, BOTH, [{"interval": "1m", "input_series": given, "promql_expr_test": tests}])
