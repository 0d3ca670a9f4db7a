"""PSI and KS as `mlobs.drift` computes them, from counts summed over processes, and what to tell about them."""

from __future__ import annotations

from typing import Final

from vocabulary import MODEL, Alert, Rule, prometheus

from mlobs.otel import names
from mlobs.sketch.distance import JEFFREYS
from mlobs.sketch.noise import ACT, KS_FACTOR, QUANTILE, WARN

FEATURE: Final = f"{MODEL}, role, feature"
TILE: Final = "5m"
# one second short of the window: exactly its tiles, under Prometheus 2 (closed ranges) and 3 (left-open)
WINDOWS: Final = {"1h": "59m59s", "6h": "5h59m59s", "1d": "23h59m59s"}
CUTS: Final = 19  # between at most twenty ordered bins
LEAST: Final = 500  # observations, below which nothing is significant
RATIO, SAMPLES, BINS, SMOOTHED = (
    f"mlobs:feature_reference:{what}" for what in ("ratio", "samples", "bins", "smoothed")
)
ORDERED: Final = 'bin=~"[0-9]+"'  # not `missing`, `other` and the categories, c00 to c18


def drift() -> list[Rule]:
    """The rules of drift, in the order in which they need each other.

    One group, because rules of a group share a timestamp: groups of their own get offsets of their own, and lose a tile.
    """
    seen = prometheus(names.FEATURE_OBSERVATIONS)
    rules = [
        Rule(
            f"mlobs:feature_observations:increase{TILE}",
            f"sum by ({FEATURE}, bin) (increase({seen}[{TILE}] offset 1m))",
        ),
        Rule(RATIO, f"max by ({FEATURE}, bin) ({prometheus(names.FEATURE_REFERENCE_RATIO)})"),
        Rule(SAMPLES, f"max by ({FEATURE}) ({prometheus(names.FEATURE_REFERENCE_SAMPLES)})"),
        Rule(BINS, f"count by ({FEATURE}) ({RATIO})"),
        Rule(
            SMOOTHED,
            f"({RATIO} * on ({FEATURE}) group_left () {SAMPLES} + {JEFFREYS})\n"
            f"/ on ({FEATURE}) group_left () ({SAMPLES} + {JEFFREYS} * {BINS})",
        ),
    ]
    for window, reach in WINDOWS.items():
        rules += _drift_of(window, reach)
    return rules


def _drift_of(window: str, reach: str) -> list[Rule]:
    increase, count, smoothed = (
        f"mlobs:feature_observations:{what}{window}" for what in ("increase", "count", "smoothed")
    )
    step, psi, ks = f"mlobs:feature_cdf_step:delta{window}", f"mlobs:feature_psi:{window}", f"mlobs:feature_ks:{window}"
    psi_noise, ks_noise = f"mlobs:feature_psi_noise:{window}", f"mlobs:feature_ks_noise:{window}"
    cuts = "\n  or ".join(
        f'label_replace(sum by ({FEATURE}) ({step}{{bin=~"{"|".join(f"{index:02d}" for index in range(cut + 1))}"}}), '
        f'"cut", "{cut:02d}", "", "")'
        for cut in range(CUTS)
    )
    free = f"({BINS} - 1)"
    return [
        Rule(
            increase,  # every bin of the reference is there, though nothing fell into it
            f"sum_over_time(mlobs:feature_observations:increase{TILE}[{reach}])\n"
            f"  and on ({FEATURE}, bin) {RATIO}\nor 0 * {RATIO}",
        ),
        Rule(count, f"sum by ({FEATURE}) ({increase})"),
        Rule(smoothed, f"({increase} + {JEFFREYS})\n/ on ({FEATURE}) group_left () ({count} + {JEFFREYS} * {BINS})"),
        Rule(
            psi,
            f"sum by ({FEATURE}) (\n  ({smoothed} - {SMOOTHED})\n  * ln({smoothed} / {SMOOTHED})\n)\n"
            f"and on ({FEATURE}) {count} > 0",
        ),
        Rule(
            step,
            f"{increase}{{{ORDERED}}} / on ({FEATURE}) group_left () (sum by ({FEATURE}) ({increase}{{{ORDERED}}}) > 0)\n"
            f"- {RATIO}{{{ORDERED}}} / on ({FEATURE}) group_left () (sum by ({FEATURE}) ({RATIO}{{{ORDERED}}}) > 0)",
        ),
        Rule(ks, f"max by ({FEATURE}) (abs(\n  {cuts}\n))"),
        Rule(
            psi_noise,  # Wilson & Hilferty's quantile of chi-squared
            f"{free}\n* (1 - 2 / (9 * {free}) + {QUANTILE} * sqrt(2 / (9 * {free}))) ^ 3\n"
            f"* (1 / ({count} > 0) + 1 / {SAMPLES})",
        ),
        Rule(ks_noise, f"{KS_FACTOR} * sqrt(1 / ({count} > 0) + 1 / {SAMPLES})"),
        Rule(
            f"mlobs:feature_psi_significant:{window}",  # and more than smoothing alone makes beside a large reference
            f"{psi}\n* ({psi} > bool {psi_noise})\n* ({count} >= bool {LEAST})\n"
            f"* ({free} * ln({SAMPLES} / {count}) / 2 <= bool {WARN} * {count})",
        ),
        Rule(
            f"mlobs:feature_ks_significant:{window}",
            f"{ks}\n* ({ks} > bool {ks_noise})\n* ({count} >= bool {LEAST})",
        ),
    ]


def alerts() -> list[Alert]:
    """What somebody should know about drift."""
    critical, warning = "MlobsFeatureDriftCritical", "MlobsFeatureDriftWarning"
    who = "{{ $labels.model_name }} {{ $labels.model_version }}"
    which = "{{ $labels.feature }} ({{ $labels.role }}) of " + who
    dropped = prometheus(names.SDK_DROPPED)
    model = "model_name, model_version, model_variant"
    return [
        Alert(
            critical,
            _steady("mlobs:feature_psi_significant:1h", critical, ACT, 0.2),
            "critical",
            "15m",
            "30m",
            which + ' drifted (PSI {{ $value | printf "%.2f" }})',
            f"PSI of the last hour is above {ACT} and above what sampling noise reaches. Ends below 0.2.",
        ),
        Alert(
            warning,
            f"(\n{_steady('mlobs:feature_psi_significant:6h', warning, WARN, 0.08)}\n)\n"
            f'unless on ({FEATURE}) ALERTS{{alertname="{critical}", alertstate="firing"}}',
            "warning",
            "30m",
            "1h",
            which + ' is drifting (PSI {{ $value | printf "%.2f" }})',
            f"PSI of six hours is above {WARN} and above what sampling noise reaches. Ends below 0.08.",
        ),
        Alert(
            "MlobsFeatureDriftSlow",
            f"mlobs:feature_psi_significant:1d > {WARN} or mlobs:feature_ks_significant:1d > {WARN}",
            "info",
            "1h",
            "6h",
            which + " has moved over the last day",
            f"PSI or KS of one day is above {WARN} and above what sampling noise reaches.",
        ),
        Alert(
            "MlobsReferenceMissing",
            f"count by ({model}) (\n  group by ({FEATURE}) (mlobs:feature_observations:increase{TILE})\n"
            f"  unless on ({FEATURE}) mlobs:feature_reference:samples\n) > 0",
            "warning",
            "30m",
            "0s",
            "{{ $value }} features of " + who + " are counted and have no reference",
            "Their bins arrive without the reference's shares, so drift cannot be computed for them.",
        ),
        Alert(
            "MlobsReferenceDisagrees",
            disagreeing(),
            "warning",
            "1h",
            "0s",
            "Replicas of " + who + " have different references for {{ $labels.feature }}",
            "One version was deployed with two reference profiles; its drift is of neither.",
        ),
        Alert(
            "MlobsCardinalityOverflow",
            # as it is, not as it grows: a model beyond the limit is counted once, when it comes
            f'sum by (job, reason) ({dropped}{{reason=~"model_limit|feature_limit|operation_limit"}}) > 0',
            "warning",
            "15m",
            "0s",
            "{{ $labels.job }} has more models, features or operations than mlobs may count ({{ $labels.reason }})",
            "What is beyond the limit is counted as one or not at all: max_models, max_features of mlobs.configure, and a hundred operations a model.",
        ),
    ]


def disagreeing(selector: str = "") -> str:
    """Features of which two references are told: in shares, or, as quantiles' shares are alike, in what a bin holds."""
    ratio, info = (
        prometheus(one) + (f"{{{selector}}}" if selector else "")
        for one in (names.FEATURE_REFERENCE_RATIO, names.FEATURE_BIN_INFO)
    )
    return (
        f"max by ({FEATURE}) (\n  max by ({FEATURE}, bin) ({ratio}) - min by ({FEATURE}, bin) ({ratio})\n) > 1e-6\n"
        f"or max by ({FEATURE}) (\n  count by ({FEATURE}, bin) (group by ({FEATURE}, bin, label) ({info}))\n) > 1"
    )


def _steady(series: str, name: str, enter: float, leave: float) -> str:
    """Fires above one threshold, and once firing ends below another."""
    return (
        f"{series} > {enter}\nor (\n  {series} > {leave}\n"
        f'  and on ({FEATURE}) ALERTS{{alertname="{name}", alertstate="firing"}}\n)'
    )
