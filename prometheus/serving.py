"""How fast and how often calls are answered, how many fail, what runs out, and what fell silent."""

from __future__ import annotations

from typing import Final

from vocabulary import MODEL, Alert, Rule, prometheus

from mlobs.otel import machine, names

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
OBJECTIVES: Final = {"availability": 0.999, "latency": 0.99}  # the shares that are to be good
SLOW: Final = "0.25"  # seconds; a bound of mlobs.prediction.duration

_DURATION: Final = prometheus(names.PREDICTION_DURATION)
_FAILED: Final = 'error_type!=""'
_GOOD: Final = 'error_type=""'


def serving() -> list[Rule]:
    """Rates and quantiles by version, the share of bad calls by model and window, and how fast that burns the budget."""
    rules = [
        Rule("mlobs:predictions:rate5m", f"sum by ({MODEL}) (rate({_DURATION}_count[5m]))"),
        Rule(
            "mlobs:prediction_errors:rate5m", f"sum by ({MODEL}, error_type) (rate({_DURATION}_count{{{_FAILED}}}[5m]))"
        ),
    ]
    rules += [
        Rule(
            f"mlobs:prediction_duration_seconds:p{share}_5m",
            f"histogram_quantile(0.{share}, sum by ({MODEL}, le) (rate({_DURATION}_bucket{{{_GOOD}}}[5m])))",
        )
        for share in ("50", "99")
    ]
    rules += [Rule("mlobs:slo_objective:ratio", f"vector({share})", {"slo": slo}) for slo, share in OBJECTIVES.items()]
    for window in WINDOWS:
        calls = f"(sum by (model_name) (rate({_DURATION}_count[{window}])) > 0)"
        failed = f"sum by (model_name) (rate({_DURATION}_count{{{_FAILED}}}[{window}]))"
        fast, answered = (
            f'sum by (model_name) (rate({_DURATION}_bucket{{{_GOOD}, le="{bound}"}}[{window}]))'
            for bound in (SLOW, "+Inf")
        )
        slos = {"availability": f"{failed} / {calls}\nor 0 * {calls}", "latency": f"1 - {fast} / ({answered} > 0)"}
        rules += [Rule("mlobs:sli_error:ratio", expr, {"slo": slo, "window": window}) for slo, expr in slos.items()]
    return [
        *rules,
        Rule(
            "mlobs:slo_burn:ratio",
            "mlobs:sli_error:ratio\n/ on (slo) group_left () (1 - mlobs:slo_objective:ratio)",
        ),
        Rule("mlobs:slo_budget_remaining:ratio3d", '1 - max by (model_name, slo) (mlobs:slo_burn:ratio{window="3d"})'),
    ]


def alerts() -> list[Alert]:
    """What somebody should do something about, today or this week."""
    info, limit = prometheus(names.MODEL_INFO), prometheus(machine.CAPACITY_MEMORY_LIMIT)
    headroom, kills = prometheus(machine.CAPACITY_MEMORY_HEADROOM), prometheus(machine.CAPACITY_MEMORY_KILLS)
    stood, periods = prometheus(machine.CAPACITY_CPU_THROTTLED_PERIODS), prometheus(machine.CAPACITY_CPU_PERIODS)
    who = "{{ $labels.instance }} of {{ $labels.job }}"
    return [
        Alert(
            "MlobsErrorBudgetBurnFast",
            f"{_burns(14.4, '1h', '5m')}\nor\n{_burns(6, '6h', '30m')}",
            "critical",
            "2m",
            "5m",
            '{{ $labels.model_name }} burns its {{ $labels.slo }} budget {{ $value | printf "%.0f" }} times too fast',
            "14.4 times over 1 h and 5 min, or 6 times over 6 h and 30 min: 2 or 5 % of a month's budget are gone.",
        ),
        Alert(
            "MlobsErrorBudgetBurnSlow",
            f"{_burns(3, '1d', '2h')}\nor\n{_burns(1, '3d', '6h')}",
            "warning",
            "15m",
            "30m",
            '{{ $labels.model_name }} burns its {{ $labels.slo }} budget {{ $value | printf "%.1f" }} times too fast',
            "3 times over a day and 2 h, or faster than it lasts over 3 days and 6 h: a tenth of a month's budget is gone.",
        ),
        Alert(
            "MlobsTelemetryStopped",
            f"group by (model_name) (max_over_time({info}[6h]))\nunless on (model_name) group by (model_name) ({info})",
            "warning",
            "10m",
            "0s",
            "No process tells anything of {{ $labels.model_name }} any more",
            "It was told within the last six hours, and by nobody now.",
        ),
        Alert(
            "MlobsCpuThrottled",
            f"sum by (job, instance) (rate({stood}[5m]))\n/ (sum by (job, instance) (rate({periods}[5m])) > 0) > 0.25",
            "warning",
            "15m",
            "15m",
            who + " is held back in {{ $value | humanizePercentage }} of its CPU periods",
            "Its container's CPU quota ran out in more than a quarter of the periods of 15 minutes: calls wait for it.",
        ),
        Alert(
            "MlobsMemoryNearlyFull",
            f"min by (job, instance) ({headroom} / {limit}) < 0.1",
            "warning",
            "10m",
            "10m",
            who + " has {{ $value | humanizePercentage }} of its memory left",
            "Less than a tenth of what it may use has been left for ten minutes.",
        ),
        Alert(
            "MlobsOutOfMemoryKill",
            f"sum by (job, instance) (increase({kills}[15m])) > 0",
            "critical",
            "0s",
            "0s",
            "The kernel killed processes of {{ $labels.instance }} ({{ $labels.job }}) for want of memory",
            "What they had counted since their last export is gone with them.",
        ),
    ]


def _burns(factor: float, long: str, short: str) -> str:
    """So many times too fast over a long window, and still so over a short one."""
    both = (
        f'max by (model_name, slo) (mlobs:slo_burn:ratio{{window="{window}"}}) > {factor}' for window in (long, short)
    )
    return "(\n  " + "\n  and ".join(both) + "\n)"
