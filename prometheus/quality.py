"""How good answers were and what they were worth, over a day, from the truths that came back; and what to tell of it.

The formulas are those of `mlobs.sketch.scores`, bin by bin; positives and negatives of each score bin are told on three
bases: ``realized`` (the truths), ``promised`` (what the scores of the same predictions stand for) and ``expected`` (what
the scores of all predictions stand for). Everything is a sum of tiles of five minutes, as in the rules of drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from drift import TILE, WINDOWS
from vocabulary import MODEL, Alert, Rule, prometheus

from mlobs.otel import names
from mlobs.sketch import scores

DAY: Final = WINDOWS["1d"]
LEAST: Final = 500  # truths a day, below which nothing is told of quality
DROP: Final = 0.05  # of a quality, beyond what chance does

EXPECTED: Final = "mlobs:outcome_expected:increase1d"
JOINED: Final = "mlobs:outcome_joined:increase1d"
ROWS: Final = "mlobs:prediction_rows:increase1d"
COVERAGE: Final = "mlobs:outcome_coverage:ratio1d"
CONSTANT: Final = "mlobs:score_bin:constant"
RATE: Final = "mlobs:score_bin:rate"
ABOVE: Final = "mlobs:score_bin:above"
POSITIVES: Final = "mlobs:score_positives:increase1d"
NEGATIVES: Final = "mlobs:score_negatives:increase1d"
BELOW: Final = "mlobs:score_negatives_below:increase1d"
QUALITY: Final = "mlobs:quality:ratio1d"
ON_SCORES: Final = "mlobs:score_quality:ratio1d"
PROMISED: Final = "mlobs:quality_expected:ratio1d"
GAP: Final = "mlobs:quality_gap:ratio1d"
NOISE: Final = "mlobs:quality_noise:ratio1d"
ERROR: Final = "mlobs:mean_absolute_error:mean1d"
VALUE: Final = "mlobs:business_value:increase1d"
COST: Final = "mlobs:prediction_cost:increase1d"
NET: Final = "mlobs:net_value:increase1d"
PER_ROW: Final = "mlobs:net_value:per_row1d"

_SCORE: Final = "mlobs:outcome_score:increase1d"
_GIVEN: Final = "mlobs:prediction_score:increase1d"
_PAIRS: Final = "mlobs:outcome_confusion:increase1d"
_SIDES: Final = "mlobs:outcome_error_absolute:increase1d"
_SQUARED: Final = "mlobs:outcome_error_squared:increase1d"
_MONEY: Final = "mlobs:business_money:increase1d"


def quality() -> list[Rule]:
    """The rules of outcomes, quality and money, in the order in which they need each other: one group."""
    return [*_sums(), *_constants(), *_bases(), *_of_scores(), *_of_labels(), *_of_numbers(), *_of_money()]


def _sums() -> list[Rule]:
    """What a day brought, as sums of tiles."""
    sums = {
        EXPECTED: (names.OUTCOME_EXPECTED, MODEL),
        JOINED: (names.OUTCOME_JOINED, MODEL),
        ROWS: (names.PREDICTION_ROWS, MODEL),
        _SCORE: (names.OUTCOME_SCORE, f"{MODEL}, bin, actual"),
        _GIVEN: (names.PREDICTION_SCORE, f"{MODEL}, bin"),
        _PAIRS: (names.OUTCOME_CONFUSION, f"{MODEL}, predicted, actual"),
        _SIDES: (names.OUTCOME_ERROR_ABSOLUTE, f"{MODEL}, direction"),
        _SQUARED: (names.OUTCOME_ERROR_SQUARED, MODEL),
        _MONEY: (names.BUSINESS_VALUE, f"{MODEL}, kpi, currency, direction"),
        COST: (names.PREDICTION_COST, f"{MODEL}, currency"),
    }
    rules = []
    for record, (instrument, labels) in sums.items():
        tile = record.replace("1d", TILE)
        rules.append(Rule(tile, f"sum by ({labels}) (increase({prometheus(instrument)}[{TILE}] offset 1m))"))
        rules.append(Rule(record, f"sum_over_time({tile}[{DAY}])"))
    return [*rules, Rule(COVERAGE, f"{JOINED} / ({EXPECTED} > 0)")]


def _constants() -> list[Rule]:
    """What a score bin stands for by itself: middle, half width, and the loss of a positive and of a negative in it."""
    yes = [-np.log(np.maximum(edge, scores.LEAST)) for edge in (scores.LOW, scores.HIGH)]
    no = [-np.log(np.maximum(1 - edge, scores.LEAST)) for edge in (scores.LOW, scores.HIGH)]
    constants = {
        "middle": scores.MIDDLES,
        "half_width": (scores.HIGH - scores.LOW) / 2,
        "log_loss_1": sum(yes) / 2,
        "log_loss_0": sum(no) / 2,
        "brier_1": ((1 - scores.LOW) ** 2 + (1 - scores.HIGH) ** 2) / 2,
        "brier_0": (scores.LOW**2 + scores.HIGH**2) / 2,
    }
    return [Rule(CONSTANT, _table(values), {"of": name}) for name, values in constants.items()]


def _table(values: Sequence[float]) -> str:
    """One constant a bin."""
    return "\nor ".join(
        f'label_replace(vector({value:.12g}), "bin", "{key}", "", "")'
        for key, value in zip(scores.KEYS, values, strict=True)
    )


def _bases() -> list[Rule]:
    """Positives and negatives of each bin. Without an objective a score stands for itself and 0.5 decides."""
    rates = f"max by ({MODEL}, bin) ({prometheus(names.QUALITY_CALIBRATION)})"
    thresholds = f"max by ({MODEL}) ({prometheus(names.QUALITY_THRESHOLD)})"
    joined = f"sum by ({MODEL}, bin) ({_SCORE})"
    itself = f'0 * {joined} + on (bin) group_left () {CONSTANT}{{of="middle"}}'
    middles = f'0 * {RATE} + on (bin) group_left () {CONSTANT}{{of="middle"}}'
    of_rate = f"on ({MODEL}, bin) {RATE}"
    rules = [
        Rule(RATE, f"{rates}\nor {itself}"),
        Rule(
            ABOVE,
            f"({middles})\n>= bool on ({MODEL}) group_left ()\n({thresholds} or 0 * sum by ({MODEL}) ({RATE}) + 0.5)",
        ),
        Rule(POSITIVES, f'sum by ({MODEL}, bin) ({_SCORE}{{actual="1"}})', {"basis": "realized"}),
        Rule(NEGATIVES, f'sum by ({MODEL}, bin) ({_SCORE}{{actual="0"}})', {"basis": "realized"}),
    ]
    for basis, counts in (("promised", joined), ("expected", _GIVEN)):
        rules += [
            Rule(POSITIVES, f"{counts} * {of_rate}", {"basis": basis}),
            Rule(NEGATIVES, f"{counts} * on ({MODEL}, bin) (1 - {RATE})", {"basis": basis}),
        ]
    lower = "\nor ".join(
        f'label_replace(sum by ({MODEL}, basis) ({NEGATIVES}{{bin=~"{"|".join(scores.KEYS[:index])}"}}), '
        f'"bin", "{scores.KEYS[index]}", "", "")'
        for index in range(1, scores.SIZE)
    )
    return [*rules, Rule(BELOW, f'{lower}\nor 0 * {NEGATIVES}{{bin="{scores.KEYS[0]}"}}')]


def _of_scores() -> list[Rule]:
    """AUC, accuracy and F1 on each basis; log-loss, Brier score and calibration error of the truths."""
    by = f"sum by ({MODEL}, basis)"
    wide = f"on ({MODEL}, bin) group_left ()"
    yes, no = f"{by} ({POSITIVES})", f"{by} ({NEGATIVES})"
    right, wrong = (f"{by} ({side} * {wide} {ABOVE})" for side in (POSITIVES, NEGATIVES))
    rejected = f"{by} ({NEGATIVES} * {wide} (1 - {ABOVE}))"
    total = f"({yes} + {no} > 0)"
    rank = f"{by} ({POSITIVES} * {BELOW}) + {by} ({POSITIVES} * {NEGATIVES}) / 2"
    truths = f"(sum by ({MODEL}) ({_SCORE}) > 0)"
    everywhere = f"sum by ({MODEL}, bin) ({_SCORE}) > 0"
    rules = [
        Rule(ON_SCORES, f"({rank})\n/ ({yes} * {no} > 0)", {"measure": "auc"}),
        Rule(ON_SCORES, f"({right} + {rejected})\n/ {total}", {"measure": "accuracy"}),
        Rule(ON_SCORES, f"2 * {right}\n/ ({right} + {wrong} + ({yes} > 0))", {"measure": "f1"}),
    ]
    for record, of in (("mlobs:log_loss:mean1d", "log_loss"), ("mlobs:brier:mean1d", "brier")):
        losses = "\n  or ".join(
            f'{_SCORE}{{actual="{actual}"}} * on (bin) group_left () {CONSTANT}{{of="{of}_{actual}"}}'
            for actual in ("0", "1")
        )
        rules.append(Rule(record, f"sum by ({MODEL}) (\n  {losses}\n)\n/ {truths}"))
    positives = "mlobs:outcome_positives:ratio1d"
    off = f'abs({positives} - on (bin) group_left () {CONSTANT}{{of="middle"}})'
    half = f'on (bin) group_left () {CONSTANT}{{of="half_width"}}'
    return [
        *rules,
        Rule(positives, f'sum by ({MODEL}, bin) ({_SCORE}{{actual="1"}})\n/ ({everywhere})'),
        Rule(
            "mlobs:calibration_error:ratio1d",
            f"sum by ({MODEL}) (\n  ({off} + {half} + clamp_min({off} - {half}, 0)) / 2\n"
            f"  * on ({MODEL}, bin) ({everywhere})\n)\n/ {truths}",
        ),
    ]


def _of_labels() -> list[Rule]:
    """Accuracy of any number of classes from the confusion; what scores know; and how far the two bases are apart."""
    diagonal = f'label_replace(group by ({MODEL}, predicted) ({_PAIRS}), "actual", "$1", "predicted", "(.*)")'
    right = f"sum by ({MODEL}) ({_PAIRS} and on ({MODEL}, predicted, actual) {diagonal})"
    realized, promised, expected = (
        f'sum by ({MODEL}, measure) ({ON_SCORES}{{basis="{basis}"}})' for basis in ("realized", "promised", "expected")
    )
    binary = f'{ON_SCORES}{{basis="expected", measure="accuracy"}}'
    hopes = f'sum by ({MODEL}) ({_GIVEN} * on (bin) group_left () {CONSTANT}{{of="middle"}})'
    return [
        Rule(QUALITY, f"{right}\n/ (sum by ({MODEL}) ({_PAIRS}) > 0)", {"measure": "accuracy"}),
        Rule(QUALITY, f'sum by ({MODEL}, measure) ({ON_SCORES}{{basis="realized", measure!="accuracy"}})'),
        Rule(PROMISED, expected),
        Rule(
            PROMISED,
            f"{hopes}\n/ (sum by ({MODEL}) ({_GIVEN}) > 0)\nunless on ({MODEL}) {binary}",
            {"measure": "accuracy"},
        ),
        Rule(GAP, f"{realized}\n- {promised}"),
        # three standard errors at most: a share's is at most 0.5 / √n, an AUC's 0.5 / √min(P, N) (Birnbaum & Klose 1957)
        Rule(
            NOISE,
            f"1.5 / sqrt(min by ({MODEL}) (sum by ({MODEL}, actual) ({_SCORE})) > 0)\nor 1.5 / sqrt({JOINED} > 0)",
        ),
    ]


def _of_numbers() -> list[Rule]:
    """Errors of regressions."""
    over, under = (f'sum by ({MODEL}) ({_SIDES}{{direction="{side}"}})' for side in ("over", "under"))
    joined = f"({JOINED} > 0)"
    return [
        Rule(ERROR, f"sum by ({MODEL}) ({_SIDES})\n/ {joined}"),
        Rule("mlobs:bias:mean1d", f"({over} - {under})\n/ {joined}"),
        Rule("mlobs:root_mean_squared_error:mean1d", f"sqrt({_SQUARED} / {joined})"),
    ]


def _of_money() -> list[Rule]:
    """Gains less losses by kpi, the net less what the predictions cost, and both of one prediction; nothing is converted."""
    gain, loss = f'{_MONEY}{{direction="gain"}}', f'-{_MONEY}{{direction="loss"}}'
    rows = f"on ({MODEL}) group_left () ({ROWS} > 0)"
    return [
        Rule(VALUE, f"sum by ({MODEL}, kpi, currency) ({gain} or {loss})"),
        Rule(NET, f"sum by ({MODEL}, currency) ({VALUE} or -{COST})"),
        Rule(PER_ROW, f"{NET}\n/ {rows}"),
        Rule("mlobs:prediction_cost:per_row1d", f"{COST}\n/ {rows}"),
    ]


def alerts() -> list[Alert]:
    """What the owner of a model should know: answers got worse, truths stay away, money is lost."""
    who = "{{ $labels.model_name }} {{ $labels.model_version }} ({{ $labels.model_variant }})"
    enough = f"{JOINED} >= {LEAST}"
    model = f"on ({MODEL})"
    week = "[6d] offset 1d"
    before, brought = (f"avg_over_time({record}{week})" for record in (QUALITY, PER_ROW))
    return [
        Alert(
            "MlobsOutcomeCoverageDrop",
            f"{COVERAGE} < 0.5 * avg_over_time({COVERAGE}{week})\nand {EXPECTED} >= {LEAST}",
            "warning",
            "1h",
            "30m",
            "Only {{ $value | humanizePercentage }} of the predictions of " + who + " got a truth",
            "Less than half of the share that truths came back for in the six days before: quality is judged on the rest.",
        ),
        Alert(
            "MlobsQualityGap",
            f"{GAP}\n< {model} group_left () -({DROP} + {NOISE})\nand {model} {enough}",
            "critical",
            "30m",
            "30m",
            "{{ $labels.measure }} of " + who + ' is {{ $value | printf "%.3f" }} from what its scores promised',
            "Realised less promised, of the same predictions of a day, by more than 0.05 and three standard errors.",
        ),
        Alert(
            "MlobsQualityDrop",
            f"{QUALITY}\n< ({before} - {model} group_left () ({DROP} + {NOISE}))\nand {model} {enough}",
            "warning",
            "1h",
            "30m",
            "{{ $labels.measure }} of " + who + " has fallen to {{ $value | humanizePercentage }}",
            "More than 0.05 and three standard errors below the mean of the six days before.",
        ),
        Alert(
            "MlobsRegressionErrorGrowth",
            f"{ERROR} > 1.25 * avg_over_time({ERROR}{week})\nand {enough}",
            "warning",
            "1h",
            "30m",
            "The mean absolute error of " + who + ' has grown to {{ $value | printf "%.3g" }}',
            "More than a quarter above the mean of the six days before.",
        ),
        Alert(
            "MlobsBusinessValueDrop",
            f"({PER_ROW} or 0 * {brought}) < 0.5 * ({brought} > 0)\nand {model} {ROWS} >= {LEAST}",
            "critical",
            "1h",
            "30m",
            "A prediction of " + who + ' brings {{ $value | printf "%.4g" }} {{ $labels.currency }}',
            "Less than half of what one brought, net of its cost, in the six days before.",
        ),
    ]
