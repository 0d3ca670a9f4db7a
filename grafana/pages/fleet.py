"""Fleet: which model needs a look, since when, and what all of them earn."""

from __future__ import annotations

from typing import Final

import quality
import serving
from board import MODELS, VARIANTS, VERSIONS, Page, Section
from panels import Panel, Query, Steps, drawn, stated
from signals import BUDGET, BURN, FAILURES, FIRING, MODEL, NAME, OBJECTIVE, P99, PSI_NOW, RATE, WHO, failing, share
from tables import Column, link, tabled

from mlobs.sketch.noise import ACT

SLOW: Final = float(serving.SLOW)
ERRORS: Final[Steps] = tuple(
    (round(factor * (1 - serving.OBJECTIVES["availability"]), 6), color)
    for factor, color in ((1, "orange"), (14.4, "red"))
)
LATENCY: Final[Steps] = ((SLOW / 2, "orange"), (SLOW, "red"))
GAP: Final[Steps] = ((-quality.DROP, "orange"), (-quality.DROP / 2, "green"))  # below: red
LEFT: Final[Steps] = ((0, "orange"), (0.25, "green"))  # below: red
SOME: Final[Steps] = ((1, "orange"), (5, "red"))
LOSS: Final[Steps] = ((0, "green"),)  # below: red
TO_MODEL: Final = {"model": "model_name", "version": "model_version", "variant": "model_variant"}


def firing() -> Panel:
    """How many alerts fire; nothing where no rules are evaluated, for then none can."""
    return stated(
        "Firing alerts",
        "Alerts of mlobs that fire now; no number at all means that Prometheus evaluates no rules of mlobs.",
        "short",
        Query(f"count({FIRING}) or 0 * max({OBJECTIVE})", "alerts"),
        steps=((1, "red"),),
        decimals=0,
    )


def alerts() -> Panel:
    """What fires, by model."""
    labels = ("severity", "alertname", "model_name", "model_version", "feature", "instance")
    return tabled(
        "What fires",
        "Each alert that fires, whose it is, and what of it; docs/alerts.md says what to do.",
        [Column("n", "none", f"sum by ({', '.join(labels)}) ({FIRING})")],
        links={"model_name": link("Open the model", "mlobs-model", {"model": "model_name"})},
        hidden=("Value",),
        empty="nothing fires",
    )


def _models() -> Panel:
    significant = f'sum by ({MODEL}) ({PSI_NOW}{{{WHO}, role="input"}} > bool {ACT})'
    columns = [
        Column("calls/s", "reqps", f"sum by ({MODEL}) ({RATE}{{{WHO}}})", decimals=1),
        Column("failed", "percentunit", failing(MODEL), ERRORS),
        Column("p99", "s", f"max by ({MODEL}) ({P99}{{{WHO}}})", LATENCY),
        Column("drifted features", "none", significant, SOME),
        Column("truths of a day", "percentunit", f"{quality.COVERAGE}{{{WHO}}}", decimals=0),
        Column("quality less promised", "percentunit", f"min by ({MODEL}) ({quality.GAP}{{{WHO}}})", GAP, "red", 1),
    ]
    return tabled(
        "Models",
        "Each model, version and variant that serves, with what is wrong with it in colour; a name opens the model.",
        columns,
        links={
            "model_name": link("Open the model", "mlobs-model", TO_MODEL),
            "model_version": link("Data and drift of this version", "mlobs-data", TO_MODEL),
            "model_variant": link("Outcomes of this release", "mlobs-outcomes", TO_MODEL),
        },
        sort="failed",
    )


def page() -> Page:
    """The first page that anybody opens."""
    by = "model_name, model_version"
    legend = "{{model_name}} {{model_version}}"
    money = f"sum by (currency) ({quality.NET}{{{WHO}}})"
    now = [
        firing(),
        stated("Calls", "Calls of all models chosen, a second.", "reqps", Query(f"sum({RATE}{{{WHO}}})")),
        stated(
            "Failed calls",
            "The share of calls that raise; red where it burns the month's budget 14.4 times too fast.",
            "percentunit",
            Query(share(f"sum({FAILURES}{{{WHO}}})", f"sum({RATE}{{{WHO}}})")),
            steps=ERRORS,
        ),
        stated(
            "Slowest p99",
            f"The largest 99th percentile of any model; red beyond the {serving.SLOW} s that the objective names.",
            "s",
            Query(f"max({P99}{{{WHO}}})"),
            steps=LATENCY,
        ),
        stated(
            "Least budget left",
            "What is left of three days' error budget, of the model and objective with the least.",
            "percentunit",
            Query(f"min({BUDGET}{{{NAME}}})"),
            steps=LEFT,
            base="red",
            decimals=0,
        ),
        stated(
            "Drifted features",
            f"Inputs whose PSI of an hour is above {ACT} and above what sampling noise reaches.",
            "short",
            Query(f'sum({PSI_NOW}{{{WHO}, role="input"}} > bool {ACT})'),
            steps=SOME,
            decimals=0,
        ),
        stated(
            "Worst quality gap",
            "Realised less promised quality of a day, of the model with the least: below zero, scores promise too much.",
            "percentunit",
            Query(f"min({quality.GAP}{{{WHO}}})"),
            steps=GAP,
            base="red",
            decimals=1,
        ),
        stated(
            "Net value of a day",
            "Gains less losses less what the predictions cost, of the last 24 hours, by currency.",
            "short",
            Query(money, "{{currency}}"),
            steps=LOSS,
            base="red",
        ),
    ]
    since = [
        drawn(
            "Failed calls by model",
            "The share of calls that raise, by model and version; dashed where the budget burns, and burns 14.4 times.",
            "percentunit",
            Query(failing(by), legend),
            steps=ERRORS,
        ),
        drawn(
            "Slowest calls by model",
            "The 99th percentile of successful calls, by model and version.",
            "s",
            Query(f"max by ({by}) ({P99}{{{WHO}}})", legend),
            steps=LATENCY,
            log=True,
            least=None,
        ),
        drawn(
            "Calls by model",
            "Calls a second by model and version: a line that ends is a model that fell silent or was switched off.",
            "reqps",
            Query(f"sum by ({by}) ({RATE}{{{WHO}}})", legend),
            stacked=True,
        ),
    ]
    slower = [
        drawn(
            "Budget burn of an hour",
            "How many times too fast each model spends its error budget, over the last hour.",
            "none",
            Query(f'max by (model_name, slo) ({BURN}{{{NAME}, window="1h"}})', "{{model_name}} {{slo}}"),
            steps=((1, "orange"), (14.4, "red")),
        ),
        drawn(
            "Drifted features by model",
            f"How many inputs have a significant PSI above {ACT} over an hour, by model and version.",
            "short",
            Query(f'sum by ({by}) ({PSI_NOW}{{{WHO}, role="input"}} > bool {ACT})', legend),
        ),
        drawn(
            "Net value of a day by model",
            "Gains less losses less cost over the 24 hours before each point, by model and currency.",
            "short",
            Query(f"sum by (model_name, currency) ({quality.NET}{{{WHO}}})", "{{model_name}} {{currency}}"),
            least=None,
        ),
    ]
    return Page(
        "fleet",
        "Fleet",
        "Which model needs a look, since when, and what do all of them earn?",
        [MODELS, VERSIONS, VARIANTS],
        [
            Section("Now", [(4, [(3, one) for one in now]), (9, [(15, _models()), (9, alerts())])]),
            Section("Since when", [(8, [(8, one) for one in since]), (8, [(8, one) for one in slower])]),
        ],
    )
