"""Releases: versions and variants of one model side by side, and each against the one that is to be replaced."""

from __future__ import annotations

import quality
from board import A_MODEL, VARIANTS, VERSIONS, Page, Section, Variable, values
from pages.fleet import ERRORS, GAP, LATENCY, LOSS
from pages.model import scores_by_release
from panels import Query, barred, drawn
from signals import BRIER, COST_PER_ROW, INFO, MODEL, NAME, P50, P99, PSI_NOW, RATE, RELEASE, WHO, failing, recorded
from tables import Column, matrix, tabled
from vocabulary import prometheus

from mlobs.otel import names
from mlobs.sketch.noise import ACT, WARN

BASELINE = f'{NAME}, model_version="$baseline", model_variant="$baseline_variant"'
BY = "model_version, model_variant"
THOUSAND = 1000


def against(expr: str, base: str, *labels: str, relative: bool = False) -> str:
    """A figure of each release less the baseline's, or how much more it is."""
    pair = ", ".join(("model_name", *labels))
    joined = f"on ({pair}) group_left () max by ({pair}) ({base})"
    return f"({expr}) / {joined} - 1" if relative else f"({expr}) - {joined}"


def page() -> Page:
    """What decides whether a release goes on."""
    cost = " + ".join(
        f"(sum by ({MODEL}) (rate({prometheus(one)}{{{WHO}}}[$__rate_interval])) or 0 * {RATE}{{{WHO}}})"
        for one in (names.PREDICTION_CPU_TIME, names.PREDICTION_POOL_TIME)
    )
    side = tabled(
        "Releases side by side",
        "How each version and variant serves now and how good it was in 24 hours; differences below `chance` say nothing.",
        [
            Column("calls/s", "reqps", f"sum by ({MODEL}) ({RATE}{{{WHO}}})", decimals=1),
            Column("failed", "percentunit", failing(MODEL), ERRORS),
            Column("p50", "s", f"{P50}{{{WHO}}}"),
            Column("p99", "s", f"{P99}{{{WHO}}}", LATENCY),
            Column("CPU of a call", "s", f"({cost}) / ({RATE}{{{WHO}}} > 0)"),
            Column("accuracy", "percentunit", _measured("accuracy"), decimals=1),
            Column("AUC", "percentunit", _measured("auc"), decimals=1),
            Column("Brier", "none", f"sum by ({MODEL}) ({BRIER}{{{WHO}}})", decimals=3),
            Column("chance", "percentunit", f"{quality.NOISE}{{{WHO}}}", decimals=1),
            Column("less promised", "percentunit", f"min by ({MODEL}) ({quality.GAP}{{{WHO}}})", GAP, "red", 1),
            Column(
                "drifted", "none", f'sum by ({MODEL}) ({PSI_NOW}{{{WHO}, role="input"}} > bool {ACT})',
                ((1, "orange"),),
            ),
        ],
        sort="calls/s",
    )  # fmt: skip
    earned = tabled(
        "What each release earns",
        "Of the last 24 hours, by currency: what a thousand predictions brought net of their cost, and that cost.",
        [
            Column("net of a day", "short", f"{quality.NET}{{{WHO}}}", LOSS, "red", 2),
            Column("net of 1,000", "short", f"{THOUSAND} * {quality.PER_ROW}{{{WHO}}}", LOSS, "red", 2),
            Column("cost of 1,000", "short", f"{THOUSAND} * {COST_PER_ROW}{{{WHO}}}", decimals=4),
        ],
        sort="net of 1,000",
    )
    traffic = drawn(
        "Who gets the traffic",
        "The share of calls of each version and variant: how far the release has got.",
        "percentunit",
        Query(f"sum by ({BY}) ({RATE}{{{WHO}}})", RELEASE),
        stacked=True,
        whole=True,
    )
    measured, base_measured = f'{WHO}, measure="$measure"', f'{BASELINE}, measure="$measure"'
    differences = [
        drawn(
            "p99 against the baseline",
            "How much longer the 99th percentile is than the baseline's; above zero the release is slower.",
            "percentunit",
            Query(against(f"{P99}{{{WHO}}}", f"{P99}{{{BASELINE}}}", relative=True), RELEASE),
            steps=((0.1, "orange"), (0.5, "red")),
            least=None,
        ),
        drawn(
            "Failed calls against the baseline",
            "The share of calls that raise less the baseline's; above zero the release fails more often.",
            "percentunit",
            Query(against(failing(MODEL), failing(MODEL, BASELINE)), RELEASE),
            steps=ERRORS,
            least=None,
        ),
        drawn(
            "Quality against the baseline ($measure)",
            "Realised quality of 24 hours less the baseline's; below zero the release is worse, but for chance.",
            "percentunit",
            Query(
                against(f"{quality.QUALITY}{{{measured}}}", f"{quality.QUALITY}{{{base_measured}}}", "measure"), RELEASE
            ),
            least=None,
        ),
        drawn(
            "Net of 1,000 predictions against the baseline",
            "What a thousand predictions of 24 hours brought, less the baseline's, by currency.",
            "short",
            Query(
                f"{THOUSAND} * ({against(f'{quality.PER_ROW}{{{WHO}}}', f'{quality.PER_ROW}{{{BASELINE}}}', 'currency')})",
                f"{RELEASE} {{{{currency}}}}",
            ),
            least=None,
        ),
    ]
    overlays = [
        barred(
            "Scores by release",
            "How the scores of the time shown are spread, as shares of each release.",
            "percentunit",
            "score\\release",
            scores_by_release(),
            matrix("score", "release", "bin"),
            label="score",
        ),
        drawn(
            "Quality by release ($measure)",
            "What truths of the 24 hours before each point say, by version and variant.",
            "percentunit",
            Query(f"{quality.QUALITY}{{{measured}}}", RELEASE),
            least=None,
        ),
        drawn(
            "Drift of the answers",
            "PSI of what each release answers against its own reference: one that drifts alone was released wrong.",
            "none",
            Query(
                f'max by ({BY}, feature) ({recorded("mlobs:feature_psi:1h")}{{{WHO}, role="output"}})',
                f"{RELEASE} {{{{feature}}}}",
            ),
            steps=((WARN, "orange"), (ACT, "red")),
        ),
    ]
    return Page(
        "comparison",
        "Release comparison",
        "Is the new version better than the one it is to replace?",
        [
            A_MODEL,
            VERSIONS,
            VARIANTS,
            Variable("baseline", "Baseline version", values(INFO, "model_version", NAME), many=False),
            Variable(
                "baseline_variant",
                "Baseline variant",
                values(INFO, "model_variant", f'{NAME}, model_version="$baseline"'),
                many=False,
            ),
            Variable("measure", "Measure", values(quality.QUALITY, "measure", WHO), many=False),
        ],
        [
            Section("Side by side", [(7, [(24, side)]), (7, [(12, earned), (12, traffic)])]),
            Section("Against $baseline $baseline_variant", [(8, [(6, one) for one in differences])]),
            Section("By release", [(9, [(8, one) for one in overlays])]),
        ],
        time="now-24h",
    )


def _measured(measure: str) -> str:
    return f'sum by ({MODEL}) ({quality.QUALITY}{{{WHO}, measure="{measure}"}})'
