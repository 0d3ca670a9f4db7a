"""SLO and error budget: how much may still fail, how fast it goes, and who spends it."""

from __future__ import annotations

import serving
from board import MODELS, VARIANTS, VERSIONS, Page, Section
from pages.fleet import LEFT, firing
from panels import Query, drawn, stated
from signals import BAD, BUDGET, BURN, DURATION, FAILURES, GOOD, NAME, OBJECTIVE, RATE, WHO, calls
from tables import Column, link, tabled

MONTH = 30 * 86400
FAST = ((1, "orange"), (14.4, "red"))
PAIR = "model_name, slo"


def page() -> Page:
    """What on-call opens when a budget burns."""
    legend = "{{model_name}} {{slo}}"
    now = [
        firing(),
        stated(
            "Least budget left",
            "What is left of three days' error budget, of the model with the least, by objective.",
            "percentunit",
            Query(f"min by (slo) ({BUDGET}{{{NAME}}})", "{{slo}}"),
            steps=LEFT,
            base="red",
            decimals=0,
        ),
        stated(
            "Fastest burn of an hour",
            "How many times too fast the budget goes, over the last hour, of the model with the most, by objective.",
            "none",
            Query(f'max by (slo) ({BURN}{{{NAME}, window="1h"}})', "{{slo}}"),
            steps=FAST,
            decimals=1,
        ),
        stated(
            "A month's budget would last",
            "How long a whole month's budget lasts at the pace of the last six hours, of the model with the least.",
            "dtdurations",
            Query(f'min by (slo) ({MONTH} / ({BURN}{{{NAME}, window="6h"}} > 0))', "{{slo}}"),
            steps=((2 * 86400, "orange"), (MONTH, "green")),
            base="red",
            empty="nothing fails",
        ),
        stated(
            "Objectives",
            f"The shares of calls that are to succeed, and of those that succeed to take at most {serving.SLOW} s.",
            "percentunit",
            Query(f"max by (slo) ({OBJECTIVE})", "{{slo}}"),
            decimals=1,
        ),
    ]
    table = tabled(
        "Budgets",
        "What is left of three days' budget, and how many times too fast it goes over each window; a name opens the model.",
        [
            Column("left of 3 days", "percentunit", f"min by ({PAIR}) ({BUDGET}{{{NAME}}})", LEFT, "red", 0),
            *(
                Column(
                    f"burn {window}",
                    "none",
                    f'max by ({PAIR}) ({BURN}{{{NAME}, window="{window}"}})',
                    ((1, "orange"), (limit, "red")),
                    decimals=1,
                )
                for window, limit in zip(serving.WINDOWS, (14.4, 6, 14.4, 3, 6, 3, 1.5), strict=True)
            ),
        ],
        links={"model_name": link("Open the model", "mlobs-model", {"model": "model_name"})},
        sort="burn 1h",
    )
    burns = [
        drawn(
            "Burn of an hour",
            "How many times too fast the budget goes over an hour; beyond 14.4 somebody is called.",
            "none",
            Query(f'max by ({PAIR}) ({BURN}{{{NAME}, window="1h"}})', legend),
            steps=FAST,
        ),
        drawn(
            "Burn of a day",
            "How many times too fast the budget goes over a day; beyond 3 it is a ticket.",
            "none",
            Query(f'max by ({PAIR}) ({BURN}{{{NAME}, window="1d"}})', legend),
            steps=((1, "orange"), (3, "red")),
        ),
        drawn(
            "Budget left",
            "What is left of three days' error budget; below zero more failed than the objective allows.",
            "percentunit",
            Query(f"min by ({PAIR}) ({BUDGET}{{{NAME}}})", legend),
            steps=((0, "red"),),
            least=None,
            most=1,
        ),
    ]
    by = "model_name, model_version, model_variant"
    who = "{{model_name}} {{model_version}} {{model_variant}}"
    slow = (
        f'1 - sum by ({by}) (rate({DURATION}_bucket{{{WHO}, {GOOD}, le="{serving.SLOW}"}}[$__rate_interval]))'
        f" / ({calls(f'{WHO}, {GOOD}', by)} > 0)"
    )
    spenders = [
        drawn(
            "Bad calls by model",
            "The share of calls of five minutes that failed, or took too long, as the objectives count them.",
            "percentunit",
            Query(f'max by ({PAIR}) ({BAD}{{{NAME}, window="5m"}})', legend),
        ),
        drawn(
            "Which version fails, and with what",
            "The share of all calls of the version that raise, by exception.",
            "percentunit",
            Query(
                f"sum by ({by}, error_type) ({FAILURES}{{{WHO}}})"
                f" / on ({by}) group_left () (sum by ({by}) ({RATE}{{{WHO}}}) > 0)",
                f"{who} {{{{error_type}}}}",
            ),
        ),
        drawn(
            "Which version is slow",
            f"The share of successful calls that took longer than {serving.SLOW} s, by version and variant.",
            "percentunit",
            Query(slow, who),
            steps=((1 - serving.OBJECTIVES["latency"], "orange"),),
        ),
    ]
    return Page(
        "slo",
        "SLO and error budget",
        "How much may still fail, how fast does it go, and which version spends it?",
        [MODELS, VERSIONS, VARIANTS],
        [
            Section("Now", [(4, [(4, now[0]), *((5, one) for one in now[1:])]), (8, [(24, table)])]),
            Section("How fast", [(8, [(8, one) for one in burns])]),
            Section("Who spends it", [(8, [(8, one) for one in spenders])]),
        ],
        time="now-24h",
    )
