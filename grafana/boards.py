"""The nine dashboards, general to specific: each answers one question."""

from __future__ import annotations

from typing import Final

from pieces import BY, LEGEND, MODEL, NAMED, Board, Panel, Row
from vocabulary import prometheus

from mlobs.otel import machine, names

_DURATION: Final = prometheus(names.PREDICTION_DURATION)
_RATE: Final = "$__rate_interval"
_INSTANCE: Final = 'instance=~"$instance"'
_WHO: Final = "{{job}} {{instance}}"
_BAD: Final = ((None, "green"), (0.001, "orange"), (0.01, "red"))
_DRIFT: Final = ((None, "green"), (0.1, "orange"), (0.25, "red"))
_ALARM: Final = ((None, "green"), (1.0, "red"))


def _ratio(record: str) -> str:
    return f"{record}{{{MODEL}}}"


def _sum(instrument: names.Instrument, by: str, chosen: str = MODEL, more: str = "") -> str:
    return f"sum by ({by}) (rate({prometheus(instrument)}{{{chosen}{more}}}[{_RATE}]))"


def _gauge(instrument: names.Instrument, how: str = "sum") -> str:
    return f"{how} by (job, instance) ({prometheus(instrument)}{{{_INSTANCE}}})"


_NUMBERS: Final = Row("Now", (
    Panel("Alerts that fire", "Alerts of mlobs' rules that fire now, graver ones first in Alertmanager.", "short",
          ((f'count(ALERTS{{alertstate="firing", component="mlobs", {NAMED}}}) or vector(0)', ""),), "number", 4, _ALARM),
    Panel("Calls a second", "Predictions answered or failed, over everything chosen.", "reqps",
          ((f"sum({_ratio('mlobs:predictions:rate5m')})", ""),), "number", 4),
    Panel("Failed", "Share of calls that ended in an exception, of the last 5 minutes.", "percentunit",
          ((f'max(mlobs:sli_error:ratio{{{NAMED}, slo="availability", window="5m"}})', ""),), "number", 4, _BAD),
    Panel("Slowest 1 %", "What 99 in 100 successful calls did not exceed; the worst model.", "s",
          ((f"max({_ratio('mlobs:prediction_duration_seconds:p99_5m')})", ""),), "number", 4),
    Panel("Features that drift", "Features above 0.25 PSI and above chance over the last hour.", "short",
          ((f"count({_ratio('mlobs:feature_psi_significant:1h')} > 0.25) or vector(0)", ""),), "number", 4, _ALARM),
    Panel("Net value of a day", "Gains less losses less cost of predictions, by currency.", "short",
          ((f"sum by (currency) ({_ratio('mlobs:net_value:increase1d')})", "{{currency}}"),), "number", 4),
))  # fmt: skip

FLEET: Final = Board("mlobs-fleet", "1 Fleet", "Is everything well, and if not, which model?", (
    _NUMBERS,
    Row("By model", (
        Panel("Calls", "Predictions a second by model and version.", "reqps",
              ((_ratio("mlobs:predictions:rate5m"), LEGEND),)),
        Panel("Failed calls", "Exceptions a second by class.", "reqps",
              ((f"sum by (model_name, error_type) ({_ratio('mlobs:prediction_errors:rate5m')})",
                "{{model_name}} {{error_type}}"),)),
        Panel("Slowest 1 %", "What 99 in 100 successful calls did not exceed.", "s",
              ((_ratio("mlobs:prediction_duration_seconds:p99_5m"), LEGEND),)),
        Panel("Error budget left", "Of the last three days; below 0 the objective is broken.", "percentunit",
              ((f"mlobs:slo_budget_remaining:ratio3d{{{NAMED}}}", "{{model_name}} {{slo}}"),)),
        Panel("Largest drift", "The largest PSI of a feature over the last hour; from 0.25 on it has drifted.", "none",
              ((f"max by ({BY}) ({_ratio('mlobs:feature_psi:1h')})", LEGEND),), steps=_DRIFT),
        Panel("Net value", "Of a day, by version and currency: gains less losses less cost.", "short",
              ((_ratio("mlobs:net_value:increase1d"), LEGEND + " {{currency}}"),)),
    )),
))  # fmt: skip

SERVING: Final = Board("mlobs-model", "2 Model", "How fast and how well does this model answer, by version?", (
    _NUMBERS,
    Row("Calls, errors, duration", (
        Panel("Calls by operation", "Predictions a second.", "reqps",
              ((f"sum by ({BY}, model_operation) (rate({_DURATION}_count{{{MODEL}}}[{_RATE}]))", LEGEND + " {{model_operation}}"),)),
        Panel("Share of failed calls", "By version; the objective allows 1 in 1000.", "percentunit",
              ((f"sum by ({BY}) (mlobs:prediction_errors:rate5m{{{MODEL}}})\n/ (sum by ({BY}) "
                f"({_ratio('mlobs:predictions:rate5m')}) > 0)\nor 0 * {_ratio('mlobs:predictions:rate5m')}", LEGEND),),
              steps=_BAD),
        Panel("Duration", "Half, 9 and 99 in 100 of the calls did not exceed; points are traces of single calls.", "s",
              tuple((f"histogram_quantile({share}, sum by ({BY}, le) (rate({_DURATION}_bucket{{{MODEL}}}[{_RATE}])))",
                     f"{label} {LEGEND}") for share, label in ((0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %")))),
        Panel("Rows", "Rows that calls were given, a second.", "cps", ((_sum(names.PREDICTION_ROWS, BY), LEGEND),)),
        Panel("Under way", "Calls that have begun and not ended: where it climbs, calls queue.", "short",
              ((f"sum by ({BY}) ({prometheus(names.PREDICTION_ACTIVE)}{{{MODEL}}})", LEGEND),)),
        Panel("CPU time", "Seconds of CPU a second by version, thread pools included.", "none",
              ((f"{_sum(names.PREDICTION_CPU_TIME, BY)} + ({_sum(names.PREDICTION_POOL_TIME, BY)} or 0 * "
                f"{_sum(names.PREDICTION_CPU_TIME, BY)})", LEGEND),)),
    )),
    Row("Answers", (
        Panel("Distribution of answers", "Share of answers in each bin of the reference, over the last hour.", "percentunit",
              (('sum by (feature, bin) (mlobs:feature_observations:increase1h{role="output", ' + MODEL + '})\n'
                '/ on (feature) group_left () (sum by (feature) (mlobs:feature_observations:increase1h{role="output", '
                + MODEL + "}) > 0)", "{{feature}} {{bin}}"),), width=24),
    )),
))  # fmt: skip

_PICKED: Final = f'{MODEL}, role=~"$role", feature=~"$feature"'
_DATA: Final = f"{BY}, role, feature"
_INFO: Final = f"max by (feature, bin, label) ({prometheus(names.FEATURE_BIN_INFO)}{{{_PICKED}}})"
DATA: Final = Board("mlobs-data", "3 Data and drift", "Do inputs and answers still look like the training data?", (
    Row("Drift", (
        Panel("PSI of the last hour", "Against the reference; from 0.1 on look, from 0.25 on act.", "none",
              ((f"mlobs:feature_psi:1h{{{_PICKED}}}", "{{feature}} {{model_version}}"),), steps=_DRIFT),
        Panel("PSI above chance", "PSI where it exceeds what sampling noise reaches once in a thousand windows, else 0.",
              "none", ((f"mlobs:feature_psi_significant:1h{{{_PICKED}}}", "{{feature}} {{model_version}}"),),
              steps=_DRIFT),
        Panel("PSI and its noise floor", "A PSI under its floor says nothing but that there were few rows.", "none",
              ((f"mlobs:feature_psi:1h{{{_PICKED}}}", "PSI {{feature}}"),
               (f"mlobs:feature_psi_noise:1h{{{_PICKED}}}", "floor {{feature}}"))),
        Panel("KS and its noise floor", "Largest difference of the cumulated shares, of ordered features.", "none",
              ((f"mlobs:feature_ks:1h{{{_PICKED}}}", "KS {{feature}}"),
               (f"mlobs:feature_ks_noise:1h{{{_PICKED}}}", "floor {{feature}}"))),
        Panel("PSI of a day", "The slow movement: season, campaign, new users.", "none",
              ((f"mlobs:feature_psi:1d{{{_PICKED}}}", "{{feature}} {{model_version}}"),), steps=_DRIFT),
        Panel("Observations of the last hour", "Under 500 no drift is told.", "short",
              ((f"mlobs:feature_observations:count1h{{{_PICKED}}}", "{{feature}} {{model_version}}"),)),
    )),
    Row("Bins of the chosen features", (
        Panel("Live", "Share of the last hour's values in each bin.", "percentunit",
              ((f"(sum by (feature, bin) (mlobs:feature_observations:increase1h{{{_PICKED}}})\n/ on (feature) group_left () "
                f"(sum by (feature) (mlobs:feature_observations:increase1h{{{_PICKED}}}) > 0))\n"
                f"* on (feature, bin) group_left (label) {_INFO}", "{{feature}} {{label}}"),)),
        Panel("Reference", "Share of the reference's values in each bin.", "percentunit",
              ((f"max by (feature, bin) (mlobs:feature_reference:ratio{{{_PICKED}}})\n"
                f"* on (feature, bin) group_left (label) {_INFO}", "{{feature}} {{label}}"),)),
    )),
    Row("Values that should not be", (
        Panel("Violations", "Missing, infinite, of a wrong type, out of range, never seen; a second.", "cps",
              ((f"sum by (feature, kind) (rate({prometheus(names.FEATURE_VIOLATIONS)}{{{MODEL}}}[{_RATE}]))",
                "{{feature}} {{kind}}"),)),
        Panel("Schema violations", "Missing, extra, swapped columns or other types; rows × columns a second.", "cps",
              ((_sum(names.SCHEMA_VIOLATIONS, "model_name, kind"), "{{model_name}} {{kind}}"),)),
    )),
), ("model", "version", "variant", "role", "feature"))  # fmt: skip

_MONEY: Final = LEGEND + " {{currency}}"
OUTCOMES: Final = Board("mlobs-outcomes", "4 Outcomes and business", "Were the answers right, and what were they worth?", (
    Row("A day", (
        Panel("Net value", "Gains less losses less cost of predictions of a day, by currency.", "short",
              ((f"sum by (currency) ({_ratio('mlobs:net_value:increase1d')})", "{{currency}}"),), "number", 6),
        Panel("Accuracy", "Of the truths of a day; the worst version.", "percentunit",
              ((f'min(mlobs:quality:ratio1d{{{MODEL}, measure="accuracy"}})', ""),), "number", 6),
        Panel("Truths that came back", "Share of the predictions of a day that got their truth.", "percentunit",
              ((f"min({_ratio('mlobs:outcome_coverage:ratio1d')})", ""),), "number", 6),
        Panel("Cost of 1000 predictions", "CPU and GPU time at the prices of the settings.", "none",
              ((f"1000 * max by (currency) ({_ratio('mlobs:prediction_cost:per_row1d')})", "{{currency}}"),),
              "number", 6),
    )),
    Row("Money", (
        Panel("Net value by version", "Of a day: which version earns, and which loses.", "short",
              ((_ratio("mlobs:net_value:increase1d"), _MONEY),)),
        Panel("Value by kind", "Of a day, gains less losses, by kpi.", "short",
              ((f"sum by (kpi, currency) ({_ratio('mlobs:business_value:increase1d')})", "{{kpi}} {{currency}}"),)),
        Panel("Net value of one prediction", "Traffic plays no part in it.", "none",
              ((_ratio("mlobs:net_value:per_row1d"), _MONEY),)),
        Panel("Business events", "Events a second by kpi.", "cps",
              ((_sum(names.BUSINESS_EVENTS, "kpi"), "{{kpi}}"),)),
    )),
    Row("Quality", (
        Panel("Realised", "Accuracy, F1 and AUC of the truths of a day.", "percentunit",
              ((_ratio("mlobs:quality:ratio1d"), "{{measure}} " + LEGEND),)),
        Panel("Expected", "What the scores of all predictions of a day promise, before truths come.", "percentunit",
              ((_ratio("mlobs:quality_expected:ratio1d"), "{{measure}} " + LEGEND),)),
        Panel("Gap", "Realised less promised of the same predictions: below 0, inputs mean something else.", "percentunit",
              ((_ratio("mlobs:quality_gap:ratio1d"), "{{measure}} " + LEGEND),)),
        Panel("Calibration error", "Mean distance of a score from the share of positives that it got.", "percentunit",
              ((_ratio("mlobs:calibration_error:ratio1d"), LEGEND),)),
        Panel("Errors of regressions", "Mean absolute error, root mean squared error and bias of a day.", "none",
              ((_ratio("mlobs:mean_absolute_error:mean1d"), "MAE " + LEGEND),
               (_ratio("mlobs:root_mean_squared_error:mean1d"), "RMSE " + LEGEND),
               (_ratio("mlobs:bias:mean1d"), "bias " + LEGEND))),
        Panel("Delay of truths", "Half and 95 in 100 truths came within.", "s",
              tuple((f"histogram_quantile({share}, sum by ({BY}, le) (rate({prometheus(names.OUTCOME_DELAY)}_bucket"
                     f"{{{MODEL}}}[{_RATE}])))", f"{label} {LEGEND}") for share, label in ((0.5, "50 %"), (0.95, "95 %")))),
        Panel("Truths that were not joined", "By reason, a second: why coverage is what it is.", "cps",
              ((_sum(names.OUTCOME_UNJOINED, "reason", 'reason=~".+"'), "{{reason}}"),)),
        Panel("Coverage", "Share of the predictions of a day that got their truth.", "percentunit",
              ((_ratio("mlobs:outcome_coverage:ratio1d"), LEGEND),)),
    )),
), since="now-7d")  # fmt: skip

COMPARISON: Final = Board("mlobs-comparison", "5 Release comparison", "Which version or variant is better?", (
    Row("Side by side", (
        Panel("Traffic", "Share of the calls that each version and variant got.", "percentunit",
              ((f"{_ratio('mlobs:predictions:rate5m')}\n/ on (model_name) group_left () "
                f"(sum by (model_name) ({_ratio('mlobs:predictions:rate5m')}) > 0)", LEGEND),)),
        Panel("Slowest 1 %", "What 99 in 100 successful calls did not exceed.", "s",
              ((_ratio("mlobs:prediction_duration_seconds:p99_5m"), LEGEND),)),
        Panel("Failed calls", "Exceptions a second.", "reqps",
              ((f"sum by ({BY}) ({_ratio('mlobs:prediction_errors:rate5m')})", LEGEND),)),
        Panel("Quality", "Accuracy, F1 and AUC of a day's truths.", "percentunit",
              ((_ratio("mlobs:quality:ratio1d"), "{{measure}} " + LEGEND),)),
        Panel("Within chance", "Three standard errors of a quality: two versions nearer than that are not apart.",
              "percentunit", ((_ratio("mlobs:quality_noise:ratio1d"), LEGEND),)),
        Panel("Net value of one prediction", "By version and currency, of a day.", "none",
              ((_ratio("mlobs:net_value:per_row1d"), _MONEY),)),
        Panel("Drift of answers", "PSI of the model's answers over a day: do versions answer differently?", "none",
              ((f'mlobs:feature_psi:1d{{{MODEL}, role="output"}}', "{{feature}} " + LEGEND),), steps=_DRIFT),
        Panel("CPU time of a row", "Seconds of CPU for one row.", "s",
              ((f"{_sum(names.PREDICTION_CPU_TIME, BY)}\n/ ({_sum(names.PREDICTION_ROWS, BY)} > 0)", LEGEND),)),
    )),
), since="now-2d")  # fmt: skip

RESOURCES: Final = Board("mlobs-resources", "6 Resources and capacity", "What runs out, where, and when?", (
    Row("Processes", (
        Panel("CPU", "Share of the machine's CPU by process.", "percentunit",
              ((_gauge(machine.PROCESS_CPU_UTILIZATION), _WHO),)),
        Panel("Memory", "Physical memory by process; a line that climbs is a leak.", "bytes",
              ((_gauge(machine.PROCESS_MEMORY_USAGE), _WHO),)),
        Panel("Threads", "By process.", "short", ((_gauge(machine.PROCESS_THREAD_COUNT), _WHO),)),
        Panel("Open files", "File descriptors by process.", "short", ((_gauge(machine.PROCESS_FILE_DESCRIPTORS), _WHO),)),
    )),
    Row("Limits", (
        Panel("CPU periods held back", "Share of the CPU quota's periods in which calls had to wait.", "percentunit",
              ((f"sum by (job, instance) (rate({prometheus(machine.CAPACITY_CPU_THROTTLED_PERIODS)}{{{_INSTANCE}}}[{_RATE}]))"
                f"\n/ (sum by (job, instance) (rate({prometheus(machine.CAPACITY_CPU_PERIODS)}{{{_INSTANCE}}}[{_RATE}])) > 0)",
                _WHO),), steps=((None, "green"), (0.25, "red"))),
        Panel("Memory left", "Until the limit.", "bytes", ((_gauge(machine.CAPACITY_MEMORY_HEADROOM, "min"), _WHO),)),
        Panel("Memory full in", "Seconds until the headroom is gone, as the last hour went; none where it does not shrink.",
              "s", ((f"(min by (job, instance) ({prometheus(machine.CAPACITY_MEMORY_HEADROOM)}{{{_INSTANCE}}})\n"
                     f"/ (-min by (job, instance) (deriv({prometheus(machine.CAPACITY_MEMORY_HEADROOM)}{{{_INSTANCE}}}[1h])) > 0))",
                     _WHO),)),
        Panel("Stalled", "Seconds a second in which work waited, by resource (pressure stall information).", "percentunit",
              ((f"sum by (job, instance, resource) (rate({prometheus(machine.CAPACITY_STALLED_TIME)}{{{_INSTANCE}}}[{_RATE}]))",
                _WHO + " {{resource}}"),)),
    )),
    Row("GPUs", (
        Panel("GPU utilisation", "Share of time in which a kernel ran.", "percentunit",
              ((f'max by (hw_id) ({prometheus(machine.GPU_UTILIZATION)}{{{_INSTANCE}, hw_gpu_task="general"}})',
                "{{hw_id}}"),)),
        Panel("GPU memory", "Share of the memory in use.", "percentunit",
              ((f"max by (hw_id) ({prometheus(machine.GPU_MEMORY_UTILIZATION)}{{{_INSTANCE}}})", "{{hw_id}}"),)),
        Panel("Power", "Watts that a GPU draws.", "watt",
              ((f"max by (hw_id) ({prometheus(machine.GPU_POWER)}{{{_INSTANCE}}})", "{{hw_id}}"),)),
        Panel("Clocks held down", "Reasons for which a GPU runs slower than it could.", "short",
              ((f"max by (hw_id, reason) ({prometheus(machine.GPU_THROTTLED)}{{{_INSTANCE}}}) > 0", "{{hw_id}} {{reason}}"),)),
    )),
), ("instance",))  # fmt: skip

BUDGET: Final = Board("mlobs-slo", "7 SLO and error budget", "Do we keep what we promised, and how long will it last?", (
    Row("Budget", (
        Panel("Budget left", "Of three days, the worst model and objective.", "percentunit",
              ((f"min by (slo) (mlobs:slo_budget_remaining:ratio3d{{{NAMED}}})", "{{slo}}"),), "number", 12,
              ((None, "red"), (0, "orange"), (0.25, "green"))),
        Panel("Burn rate of an hour", "1 uses the budget up exactly; 14.4 uses 2 % of a month's in an hour.", "none",
              ((f'max by (slo) (mlobs:slo_burn:ratio{{{NAMED}, window="1h"}})', "{{slo}}"),), "number", 12,
              ((None, "green"), (1, "orange"), (14.4, "red"))),
        Panel("Burn rates", "Over an hour, six, a day and three.", "none",
              ((f'mlobs:slo_burn:ratio{{{NAMED}, window=~"1h|6h|1d|3d"}}', "{{model_name}} {{slo}} {{window}}"),)),
        Panel("Bad calls", "Share of calls that failed or took more than 0.25 s, over an hour.", "percentunit",
              ((f'mlobs:sli_error:ratio{{{NAMED}, window="1h"}}', "{{model_name}} {{slo}}"),), steps=_BAD),
        Panel("Budget left by model", "Of three days.", "percentunit",
              ((f"mlobs:slo_budget_remaining:ratio3d{{{NAMED}}}", "{{model_name}} {{slo}}"),), width=24),
    )),
), ("model",), "now-3d")  # fmt: skip

TRACES: Final = Board("mlobs-traces", "8 Traces", "What happened in the calls that went wrong?", (
    Row("Single calls", (
        Panel("Failed", "The latest calls that ended in an exception.", "none",
              (('{ name =~ "predict .*" && status = error }', ""),), "traces"),
        Panel("Slow", "The latest calls above the slow threshold.", "none",
              ((f"{{ span.{names.SLOW} = true }}", ""),), "traces"),
        Panel("While inputs drifted", "Calls made while a feature of their model was drifting.", "none",
              ((f"{{ span.{names.DRIFT_DETECTED} = true }}", ""),), "traces"),
        Panel("Unsure", "Calls whose best class had a probability under one half.", "none",
              ((f"{{ span.{names.CONFIDENCE} < 0.5 }}", ""),), "traces"),
    )),
    Row("Their numbers", (
        Panel("Calls", "All calls, with a trace or without.", "reqps", ((_ratio("mlobs:predictions:rate5m"), LEGEND),)),
        Panel("Duration", "Points are traces of single calls.", "s",
              ((f"histogram_quantile(0.99, sum by ({BY}, le) (rate({_DURATION}_bucket{{{MODEL}}}[{_RATE}])))", LEGEND),)),
    )),
), since="now-1h")  # fmt: skip

TELEMETRY: Final = Board("mlobs-telemetry", "9 Telemetry health", "Can these numbers be believed, and what do they cost?", (
    Row("mlobs itself", (
        Panel("Dropped", "What mlobs did not take in, by reason, a second.", "cps",
              ((_sum(names.SDK_DROPPED, "reason", 'reason=~".+"'), "{{reason}}"),)),
        Panel("Errors inside mlobs", "That the host never saw, by place, a second.", "cps",
              ((_sum(names.SDK_ERRORS, "reason", 'reason=~".+"'), "{{reason}}"),)),
        Panel("Series", "Series of each process in its last export.", "short",
              ((f"sum by (job, instance) ({prometheus(names.SDK_SERIES)}{{{_INSTANCE}}})", _WHO),)),
        Panel("Folding", "Seconds a second that mlobs' counting thread works.", "percentunit",
              ((_sum(names.SDK_FOLD_DURATION, "job, instance", _INSTANCE), _WHO),)),
        Panel("Exporting", "Seconds a second that mlobs' export thread works or waits for answers.", "percentunit",
              ((_sum(names.SDK_EXPORT_DURATION, "job, instance", _INSTANCE), _WHO),)),
        Panel("Uptime", "Of each process: a saw shows restarts.", "s", ((_gauge(machine.PROCESS_UPTIME, "max"), _WHO),)),
    )),
), ("instance",))  # fmt: skip

BOARDS: Final = (FLEET, SERVING, DATA, OUTCOMES, COMPARISON, RESOURCES, BUDGET, TRACES, TELEMETRY)
