"""Outcomes and business: what predictions earned, how many truths came back, and whether quality holds."""

from __future__ import annotations

import quality
from board import A_MODEL, VARIANTS, VERSIONS, Page, Section, Variable, values
from pages.fleet import GAP, LOSS
from panels import Query, barred, drawn, stated
from signals import (
    BIAS,
    BRIER,
    CALIBRATION,
    COST_PER_ROW,
    LOG_LOSS,
    MODEL,
    POSITIVES,
    RELEASE,
    RMSE,
    WHO,
    counted,
    quantile,
    rate,
    release,
    scored,
)
from tables import Column, confused, matrix, tabled
from vocabulary import prometheus

from mlobs.otel import names

BY = "model_version, model_variant"
MEASURED = f'{WHO}, measure="$measure"'
THOUSAND = 1000


def money(window: str = "$__range") -> list[Column]:
    """Gains, losses, costs and the net of the time shown."""
    by = f"{MODEL}, currency"
    gain, loss = (counted(names.BUSINESS_VALUE, f'{WHO}, direction="{side}"', by, window) for side in ("gain", "loss"))
    cost = counted(names.PREDICTION_COST, WHO, by, window)
    rows = counted(names.PREDICTION_ROWS, WHO, MODEL, window)
    known = f"(sum by ({by}) ({gain} or {loss} or {cost}))"
    net = f"(({gain} or 0 * {known}) - ({loss} or 0 * {known}) - ({cost} or 0 * {known}))"
    each = f"on ({MODEL}) group_left () ({rows} > 0)"
    return [
        Column("gains", "short", f"{gain} or 0 * {known}", decimals=2),
        Column("losses", "short", f"{loss} or 0 * {known}", decimals=2),
        Column("cost of predicting", "short", f"{cost} or 0 * {known}", decimals=4),
        Column("net", "short", net, LOSS, "red", 2),
        Column("net of 1,000", "short", f"{THOUSAND} * {net} / {each}", decimals=2),
        Column("cost of 1,000", "short", f"{THOUSAND} * ({cost} or 0 * {known}) / {each}", decimals=4),
    ]


def scores() -> Query:
    """The share of positives in each score bin by release, and the score itself to compare with."""
    seen = f"avg by (bin, release) ({release(f'{POSITIVES}{{{WHO}}}')})"
    itself = f'label_replace({quality.CONSTANT}{{of="middle"}}, "release", "the score", "", "")'
    return Query(scored(f"(sum by (bin, release) ({seen} or {itself}))", ", release"))


def page() -> Page:
    """What the owner of a model opens on Monday."""
    earned = [
        stated(
            "Net value of a day",
            "Gains less losses less what the predictions cost, of the last 24 hours, by currency.",
            "short",
            Query(f"sum by (currency) ({quality.NET}{{{WHO}}})", "{{currency}}"),
            steps=LOSS,
            base="red",
            empty="no money told",
        ),
        stated(
            "Net of 1,000 predictions",
            "What a thousand predictions of the last 24 hours brought, net of their cost, by currency.",
            "short",
            Query(
                f"{THOUSAND} * sum by (currency) ({quality.NET}{{{WHO}}}) / on () group_left () sum({quality.ROWS}{{{WHO}}})",
                "{{currency}}",
            ),
            steps=LOSS,
            base="red",
            empty="no money told",
        ),
        stated(
            "Cost of 1,000 predictions",
            "CPU and GPU time of a thousand predictions of the last 24 hours at the prices set, by currency.",
            "short",
            Query(
                f"{THOUSAND} * sum by (currency) ({quality.COST}{{{WHO}}}) / on () group_left () sum({quality.ROWS}{{{WHO}}})",
                "{{currency}}",
            ),
            empty="no prices set",
        ),
        stated(
            "Truths that came back",
            "Truths joined in the last 24 hours, over the predictions of these hours that can get one; late ones may make it more.",
            "percentunit",
            Query(f"sum({quality.JOINED}{{{WHO}}}) / (sum({quality.EXPECTED}{{{WHO}}}) > 0)"),
            decimals=0,
            empty="no truths",
        ),
        stated(
            "Quality: $measure",
            "What the truths of the last 24 hours say, of the version with the least.",
            "percentunit",
            Query(f"min({quality.QUALITY}{{{MEASURED}}})"),
            decimals=1,
            empty="no classes",
        ),
        stated(
            "Quality less promised",
            "Realised less promised, of the same predictions of 24 hours: below zero, scores promise too much.",
            "percentunit",
            Query(f"min({quality.GAP}{{{MEASURED}}})"),
            steps=GAP,
            base="red",
            decimals=1,
            empty="no scores",
        ),
    ]
    table = tabled(
        "What each version earned in the time shown",
        "Gains, losses and the cost of predicting over the time range chosen above, by version and currency; nothing is converted.",
        money(),
        sort="net",
    )
    holding = drawn(
        "Is quality holding? ($measure)",
        "What truths say, beside what the scores of all predictions promise, over the 24 hours before each point.",
        "percentunit",
        Query(f"{quality.QUALITY}{{{MEASURED}}}", f"realised {RELEASE}"),
        Query(f"{quality.PROMISED}{{{MEASURED}}}", f"promised {RELEASE}"),
        least=None,
    )
    over_time = [
        drawn(
            "Net value of a day by version",
            "Gains less losses less cost over the 24 hours before each point, by version and currency.",
            "short",
            Query(f"{quality.NET}{{{WHO}}}", f"{RELEASE} {{{{currency}}}}"),
            least=None,
        ),
        drawn(
            "Value of a day by kpi",
            "Gains less losses over the 24 hours before each point, by what the money is for; `prediction` is the cost matrix.",
            "short",
            Query(f"sum by (kpi, currency) ({quality.VALUE}{{{WHO}}})", "{{kpi}} {{currency}}"),
            least=None,
        ),
        drawn(
            "Truths that came back by version",
            "Truths joined over predictions that can get one, of the 24 hours before each point.",
            "percentunit",
            Query(f"{quality.COVERAGE}{{{WHO}}}", RELEASE),
        ),
    ]
    business = [
        drawn(
            "Business events",
            "Events a second by what they are called.",
            "cps",
            Query(rate(names.BUSINESS_EVENTS, WHO, "kpi"), "{{kpi}}"),
        ),
        drawn(
            "Cost of an hour of predicting",
            "What CPU and GPU time cost an hour at the present pace, by hardware and currency.",
            "short",
            Query(f"3600 * {rate(names.PREDICTION_COST, WHO, 'hardware, currency')}", "{{hardware}} {{currency}}"),
            stacked=True,
        ),
        drawn(
            "Cost of 1,000 predictions by version",
            "Cost over rows of the 24 hours before each point, by version and currency.",
            "short",
            Query(f"{THOUSAND} * {COST_PER_ROW}{{{WHO}}}", f"{RELEASE} {{{{currency}}}}"),
        ),
    ]
    right = [
        barred(
            "Do scores mean what they say?",
            "The share of positives of a day in each score bin, beside the score: below it, the model promises too much.",
            "percentunit",
            "score\\release",
            [scores()],
            matrix("score", "release", "bin"),
            label="score",
        ),
        drawn(
            "Quality less promised by version ($measure)",
            "Realised less promised of the same predictions, beside what chance can do (three standard errors, below zero).",
            "percentunit",
            Query(f"{quality.GAP}{{{MEASURED}}}", RELEASE),
            Query(f"-{quality.NOISE}{{{WHO}}}", f"chance {RELEASE}"),
            least=None,
        ),
        drawn(
            "Errors of scores",
            "Brier score, log-loss and calibration error of the 24 hours before each point: less is better.",
            "none",
            Query(f"{BRIER}{{{WHO}}}", f"Brier {RELEASE}"),
            Query(f"{LOG_LOSS}{{{WHO}}}", f"log-loss {RELEASE}"),
            Query(f"{CALIBRATION}{{{WHO}}}", f"calibration {RELEASE}"),
        ),
    ]
    pairs = counted(names.OUTCOME_CONFUSION, WHO, "actual, predicted", "$__range")
    truths = [
        confused(
            "Which classes are taken for which",
            "Joined truths of the time shown by actual and predicted class: what is off the diagonal is wrong.",
            Query(pairs),
            "actual",
            "predicted",
        ),
        drawn(
            "How late truths come",
            "Half and nine tenths of the truths were joined within this time of their prediction.",
            "s",
            Query(quantile(0.5, WHO, BY, prometheus(names.OUTCOME_DELAY)), f"p50 {RELEASE}"),
            Query(quantile(0.9, WHO, BY, prometheus(names.OUTCOME_DELAY)), f"p90 {RELEASE}"),
            log=True,
            least=None,
        ),
        drawn(
            "Truths that found no prediction",
            "Truths a second that were not joined, by reason, of all models: nobody knows whose they are.",
            "cps",
            Query(f"sum by (reason) (rate({prometheus(names.OUTCOME_UNJOINED)}[$__rate_interval]))", "{{reason}}"),
            stacked=True,
        ),
    ]
    errors = [
        drawn(
            "Errors of regressions",
            "Mean absolute and root mean squared error of the 24 hours before each point, in the target's unit.",
            "short",
            Query(f"{quality.ERROR}{{{WHO}}}", f"mean absolute {RELEASE}"),
            Query(f"{RMSE}{{{WHO}}}", f"root mean squared {RELEASE}"),
        ),
        drawn(
            "Bias of regressions",
            "Too high less too low, of a prediction, over the 24 hours before each point: far from zero it leans.",
            "short",
            Query(f"{BIAS}{{{WHO}}}", RELEASE),
            least=None,
        ),
        drawn(
            "How large errors get",
            "Half, nine tenths and 99 in 100 of the absolute errors do not exceed these.",
            "short",
            *(
                Query(
                    f"histogram_quantile({part}, sum by ({BY}) "
                    f"(rate({prometheus(names.OUTCOME_ERROR)}{{{WHO}}}[$__rate_interval])))",
                    f"p{part * 100:g} {RELEASE}",
                )
                for part in (0.5, 0.9, 0.99)
            ),
        ),
    ]
    return Page(
        "outcomes",
        "Outcomes and business",
        "What did the predictions earn, how many truths came back, and is quality holding?",
        [
            A_MODEL,
            VERSIONS,
            VARIANTS,
            Variable("measure", "Measure", values(quality.QUALITY, "measure", WHO), many=False),
        ],
        [
            Section("On Monday", [(4, [(4, one) for one in earned]), (9, [(14, table), (10, holding)])]),
            Section("Money", [(8, [(8, one) for one in over_time]), (7, [(8, one) for one in business])]),
            Section("Are the scores right?", [(9, [(8, one) for one in right])]),
            Section("Truths", [(8, [(8, one) for one in truths])]),
            Section("Regressions", [(8, [(8, one) for one in errors])], folded=True),
        ],
        time="now-7d",
    )
