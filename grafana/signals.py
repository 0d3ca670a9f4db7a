"""What dashboards ask for: names as Prometheus knows them, those that the rules record, and the labels they are asked by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import drift
import quality
import serving
import vocabulary
from vocabulary import prometheus

from mlobs.core.settings import Settings
from mlobs.otel import names

if TYPE_CHECKING:
    from mlobs.otel.instrument import Instrument

# ── whose ───────────────────────────────────────────────────────────────────────────────────────────────────────────

MODEL: Final = vocabulary.MODEL
FEATURE: Final = drift.FEATURE
NAME: Final = 'model_name=~"$model"'
WHO: Final = f'{NAME}, model_version=~"$version", model_variant=~"$variant"'
OF_FEATURE: Final = f'{WHO}, role="$role", feature="$feature"'
PROCESS: Final = 'job=~"$job", instance=~"$instance"'
RELEASE: Final = "{{model_version}} {{model_variant}}"  # as legends have it
_FIRING: Final = 'ALERTS{component="mlobs", alertstate="firing"'
FIRING: Final = f'{_FIRING}, {NAME}}} or {_FIRING}, model_name=""}}'  # a model's, and those of processes

# ── recorded by rules ───────────────────────────────────────────────────────────────────────────────────────────────

_FAST: Final = {rule.record for rule in serving.serving()}
_SLOW: Final = {rule.record for rule in (*drift.drift(), *quality.quality())}


def recorded(name: str) -> str:
    """The name, which a rule has to record."""
    if name not in _FAST | _SLOW:
        raise LookupError(f"No rule of prometheus/ records {name}")
    return name


def step(expr: str) -> str:
    """How far apart two points are at least: as far as exports, or evaluations of the rules, are by default."""
    slow = not _SLOW.isdisjoint(re.findall(r"\w+:[\w:]+", expr.replace("${window}", "1h")))
    return drift.TILE if slow else f"{Settings.export_interval:.0f}s"


RATE: Final = recorded("mlobs:predictions:rate5m")
FAILURES: Final = recorded("mlobs:prediction_errors:rate5m")
P50: Final = recorded("mlobs:prediction_duration_seconds:p50_5m")
P99: Final = recorded("mlobs:prediction_duration_seconds:p99_5m")
OBJECTIVE: Final = recorded("mlobs:slo_objective:ratio")
BURN: Final = recorded("mlobs:slo_burn:ratio")
BAD: Final = recorded("mlobs:sli_error:ratio")
BUDGET: Final = recorded("mlobs:slo_budget_remaining:ratio3d")
PSI_NOW: Final = recorded("mlobs:feature_psi_significant:1h")
REFERENCE: Final = recorded(drift.RATIO)
SAMPLES: Final = recorded(drift.SAMPLES)
BINS: Final = recorded(drift.BINS)
COUNTED: Final = recorded("mlobs:feature_observations:count1h")
TILES: Final = recorded(f"mlobs:feature_observations:increase{drift.TILE}")
POSITIVES: Final = recorded("mlobs:outcome_positives:ratio1d")
LOG_LOSS: Final = recorded("mlobs:log_loss:mean1d")
BRIER: Final = recorded("mlobs:brier:mean1d")
CALIBRATION: Final = recorded("mlobs:calibration_error:ratio1d")
RMSE: Final = recorded("mlobs:root_mean_squared_error:mean1d")
BIAS: Final = recorded("mlobs:bias:mean1d")
COST_PER_ROW: Final = recorded("mlobs:prediction_cost:per_row1d")


def windowed(what: str) -> str:
    """A recorded series of drift over the window that is chosen on the page."""
    for window in drift.WINDOWS:
        recorded(f"mlobs:feature_{what}{window}")
    return f"mlobs:feature_{what}${{window}}"


# ── told by mlobs ───────────────────────────────────────────────────────────────────────────────────────────────────

DURATION: Final = prometheus(names.PREDICTION_DURATION)
GOOD: Final = 'error_type=""'
FAILED: Final = 'error_type!=""'
INFO: Final = prometheus(names.MODEL_INFO)


def counted(instrument: Instrument, selector: str, by: str, window: str = "$__rate_interval") -> str:
    """How much a counter has grown, summed."""
    return f"sum by ({by}) (increase({prometheus(instrument)}{{{selector}}}[{window}]))"


def counted_whole(instrument: Instrument, selector: str, window: str) -> str:
    """How much a counter has grown in all, what its series began with included: for what may come once and never again."""
    series = f"{prometheus(instrument)}{{{selector}}}"
    before = f"{series} offset {window}"
    return f"sum(increase({series}[{window}]) and {before} or (max_over_time({series}[{window}]) unless {before}))"


def rate(instrument: Instrument, selector: str, by: str) -> str:
    """How fast a counter grows, summed."""
    return f"sum by ({by}) (rate({prometheus(instrument)}{{{selector}}}[$__rate_interval]))"


def calls(selector: str, by: str) -> str:
    """Calls a second."""
    return f"sum by ({by}) (rate({DURATION}_count{{{selector}}}[$__rate_interval]))"


def quantile(share: float, selector: str, by: str, metric: str = DURATION) -> str:
    """A quantile of a classic histogram."""
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"


def share(part: str, whole: str) -> str:
    """A part of a whole; 0 where there is a whole and no part."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def failing(by: str, selector: str = WHO) -> str:
    """The share of calls that fail, from the rules; 0 where calls come and none fails."""
    return share(f"sum by ({by}) ({FAILURES}{{{selector}}})", f"sum by ({by}) ({RATE}{{{selector}}})")


def release(expr: str) -> str:
    """The same with version and variant in one label."""
    return f'label_join({expr}, "release", " ", "model_version", "model_variant")'


def labelled(expr: str, variants: str = "sum") -> str:
    """Bins of one feature with what they hold; its variants summed, or averaged."""
    return f"{variants} by (bin, label) ({expr} * on ({FEATURE}, bin) group_left (label) {held(OF_FEATURE)})"


def held(selector: str) -> str:
    """What each bin holds, by its label. Where two references are told it is the one that most processes have."""
    each = f"count by ({FEATURE}, bin, label) ({prometheus(names.FEATURE_BIN_INFO)}{{{selector}}})"
    return f"(topk by ({FEATURE}, bin) (1, {each}) > bool 0)"


def scored(expr: str, by: str = "") -> str:
    """Score bins, summed, with the score in their middle."""
    middle = f'count_values by (bin) ("score", {quality.CONSTANT}{{of="middle"}})'
    return f"sum by (bin, score{by}) ({expr} * on (bin) group_left (score) {middle})"
