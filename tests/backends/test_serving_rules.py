"""Rates, error budgets and what runs out, as Prometheus' rules tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.backends.promtool import RULES, holds, promtool, unit_test

BOTH = ["mlobs-serving.rules.yml", "mlobs-serving.alerts.yml"]
CALLS = "mlobs_prediction_duration_seconds"


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    return {
        "series": name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}",
        "values": values,
    }


def served(model: str, good: str, *, slow: str | None = None, failed: str | None = None) -> list[dict[str, str]]:
    """A model's calls: all good ones, those within 0.25 s, and those that failed."""
    labels = {"model_name": model, "model_version": "1", "model_variant": "champion", "instance": "a"}
    found = [
        series(f"{CALLS}_count", good, **labels),
        series(f"{CALLS}_bucket", slow or good, **labels, le="0.25"),
        series(f"{CALLS}_bucket", good, **labels, le="+Inf"),
    ]
    if failed is not None:
        found.append(series(f"{CALLS}_count", failed, **labels, error_type="ValueError"))
    return found


def fired(name: str, at: str, *labels: str) -> dict[str, Any]:
    by = "model_name, slo, instance"
    expr = f'count by ({by}) (ALERTS{{alertname="{name}",alertstate="firing"}})'
    return {"expr": expr, "eval_time": at, "exp_samples": [{"labels": each, "value": 1} for each in labels]}


@pytest.mark.parametrize("name", BOTH)
def test_prometheus_takes_them(name: str) -> None:
    """No rule has a mistake that Prometheus can see."""
    promtool("check", "rules", str(RULES / name))


def test_rates_quantiles_and_shares(tmp_path: Path) -> None:
    """Calls and errors a second, quantiles of good calls, and the share of bad ones, 0 where none failed."""
    model = '{model_name="m", model_version="1", model_variant="champion"}'
    tests = [
        holds("round(mlobs:predictions:rate5m{model_name='m'}, 0.01) == bool 2", "60m", [model]),
        holds("round(sum(mlobs:prediction_errors:rate5m{error_type='ValueError'}), 0.01) == bool 0.5", "60m", ["{}"]),
        holds("mlobs:prediction_duration_seconds:p50_5m{model_name='m'} < bool 0.25", "60m", [model]),
    ]
    shares = {("m", "availability"): 0.25, ("m", "latency"): 0.1, ("clean", "availability"): 0, ("clean", "latency"): 0}
    for (name, slo), share in shares.items():
        labels = f'{{model_name="{name}", slo="{slo}", window="30m"}}'
        tests.append(holds(f"abs(mlobs:sli_error:ratio{labels} - {share}) < bool 1e-6", "60m", [labels]))
    given = served("m", "0+45x130", slow="0+40.5x130", failed="0+15x130") + served("clean", "0+10x130")
    unit_test(
        tmp_path, BOTH[:1], [{"interval": "30s", "input_series": given, "promql_expr_test": tests}], interval="30s"
    )


def test_a_budget_that_burns_fast_is_told_while_it_does(tmp_path: Path) -> None:
    """Five errors in a hundred calls page within minutes and no longer; two in a thousand are for working hours."""
    given = served("fast", "0+300x239 72000+285x120 106300+300x240", failed="0+0x239 0+15x120 1800+0x240")
    given += served("slow", "0+998x1500", failed="0+4x1500") + served("clean", "0+300x1500", failed="0+0x1500")
    fast = '{model_name="fast", slo="availability"}'
    slow = '{model_name="slow", slo="availability"}'
    tests = [
        fired("MlobsErrorBudgetBurnFast", "118m"),
        fired("MlobsErrorBudgetBurnFast", "170m", fast),
        fired("MlobsErrorBudgetBurnFast", "225m"),
        fired("MlobsErrorBudgetBurnSlow", "740m", slow),
        holds('mlobs:slo_budget_remaining:ratio3d{model_name="clean", slo="availability"} == bool 1', "740m",
              ['{model_name="clean", slo="availability"}']),
    ]  # fmt: skip
    unit_test(tmp_path, BOTH, [{"interval": "30s", "input_series": given, "promql_expr_test": tests}], interval="30s")


def test_silence_and_what_runs_out_are_told(tmp_path: Path) -> None:
    """A model of which nobody tells any more, a CPU quota, memory, and the kernel's kills."""
    tight = {"job": "churn", "instance": "tight"}
    roomy = {"job": "churn", "instance": "roomy"}
    given = [
        series("mlobs_model_info", "1x60 _x120", model_name="gone", instance="a"),
        series("mlobs_model_info", "1x180", model_name="here", instance="a"),
        series("mlobs_model_info", "1x60 _x120", model_name="here", instance="b"),
    ]
    for labels, throttled, headroom, kills in ((tight, 5, 5e7, "0x100 1x80"), (roomy, 1, 5e8, "0x180")):
        given += [
            series("mlobs_capacity_cpu_throttled_periods_total", f"0+{throttled}x180", **labels),
            series("mlobs_capacity_cpu_periods_total", "0+10x180", **labels),
            series("mlobs_capacity_memory_headroom_bytes", f"{headroom:.0f}x180", **labels),
            series("mlobs_capacity_memory_limit_bytes", "1000000000x180", **labels),
            series("mlobs_capacity_memory_oom_kills_total", kills, **labels),
        ]
    found = '{instance="tight"}'
    tests = [
        fired("MlobsTelemetryStopped", "29m"),
        fired("MlobsTelemetryStopped", "60m", '{model_name="gone"}'),
        fired("MlobsCpuThrottled", "60m", found),
        fired("MlobsMemoryNearlyFull", "60m", found),
        fired("MlobsOutOfMemoryKill", "45m"),
        fired("MlobsOutOfMemoryKill", "55m", found),
        fired("MlobsOutOfMemoryKill", "80m"),
    ]
    unit_test(tmp_path, BOTH, [{"interval": "30s", "input_series": given, "promql_expr_test": tests}], interval="30s")
