"""One model: how it serves, version by version, and what it answers."""

from __future__ import annotations

import drift
import serving
from board import A_MODEL, VARIANTS, VERSIONS, Page, Section
from pages.fleet import ERRORS, LATENCY, SOME, firing
from panels import Query, barred, drawn, heated, stated
from signals import (
    DURATION,
    FAILED,
    GOOD,
    MODEL,
    P99,
    PSI_NOW,
    RATE,
    RELEASE,
    WHO,
    calls,
    counted,
    failing,
    held,
    quantile,
    rate,
    release,
    scored,
    share,
)
from tables import matrix
from vocabulary import prometheus

from mlobs.otel import names
from mlobs.sketch.noise import ACT

BY = "model_version, model_variant"


def scores_by_release() -> list[Query]:
    """Scores of the time shown, as shares of each release."""
    seen = counted(names.PREDICTION_SCORE, WHO, f"{MODEL}, bin", "$__range")
    every = counted(names.PREDICTION_SCORE, WHO, MODEL, "$__range")
    shares = f"({seen} / on ({MODEL}) group_left () ({every} > 0))"
    return [Query(release(scored(shares, f", {BY}")))]


def page() -> Page:
    """What whoever is called at night opens second."""
    rows, active = prometheus(names.PREDICTION_ROWS), prometheus(names.PREDICTION_ACTIVE)
    cpu = " + ".join(
        f"(sum by ({BY}) (rate({prometheus(one)}{{{WHO}}}[$__rate_interval])) or 0 * {calls(WHO, BY)})"
        for one in (names.PREDICTION_CPU_TIME, names.PREDICTION_POOL_TIME)
    )
    now = [
        firing(),
        stated("Calls", "Calls a second of the versions chosen.", "reqps", Query(f"sum({RATE}{{{WHO}}})")),
        stated(
            "Failed calls",
            "The share of calls that raise, of the version with the most; red where the budget burns 14.4 times.",
            "percentunit",
            Query(f"max({failing(BY)})"),
            steps=ERRORS,
        ),
        stated(
            "p99",
            f"The 99th percentile of successful calls, of the slowest version; the objective names {serving.SLOW} s.",
            "s",
            Query(f"max({P99}{{{WHO}}})"),
            steps=LATENCY,
        ),
        stated(
            "Calls in flight",
            "Calls that have begun and not ended: a number that only grows is a model that hangs.",
            "short",
            Query(f"sum({active}{{{WHO}}})"),
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
    ]
    red = [
        drawn(
            "Calls by version",
            "Calls a second by version and variant: who gets the traffic, and since when.",
            "reqps",
            Query(calls(WHO, BY), RELEASE),
            stacked=True,
        ),
        drawn(
            "Failed calls by version",
            "The share of calls that raise, by version and variant; dashed where the budget burns, and burns 14.4 times.",
            "percentunit",
            Query(share(calls(f"{WHO}, {FAILED}", BY), calls(WHO, BY)), RELEASE),
            steps=ERRORS,
        ),
        drawn(
            "Duration by version",
            "Median and 99th percentile of successful calls; a point is a traced call, and opens its trace.",
            "s",
            Query(quantile(0.5, f"{WHO}, {GOOD}", BY), f"p50 {RELEASE}"),
            Query(quantile(0.99, f"{WHO}, {GOOD}", BY), f"p99 {RELEASE}", exemplar=True),
            steps=((float(serving.SLOW), "red"),),
            least=None,
            log=True,
        ),
    ]
    why = [
        drawn(
            "Failures by what was raised",
            "Calls a second that raise, by version and class of the exception.",
            "reqps",
            Query(calls(f"{WHO}, {FAILED}", f"{BY}, error_type"), f"{{{{error_type}}}} {RELEASE}"),
            stacked=True,
        ),
        heated(
            "How long calls take",
            "Successful calls by duration over time: two bands are two kinds of calls, a band that climbs is a queue.",
            "short",
            Query(
                f"sum by (le) (increase({DURATION}_bucket{{{WHO}, {GOOD}}}[$__rate_interval]))", "{{le}}", exemplar=True
            ),
            "s",
        ),
        drawn(
            "CPU time of a call",
            "CPU seconds of the calling thread and its pools, per call: up with the duration it computes, else it waits.",
            "s",
            Query(f"({cpu}) / ({calls(WHO, BY)} > 0)", RELEASE),
        ),
    ]
    stage, usage = prometheus(names.STAGE_DURATION), prometheus(names.TOKEN_USAGE)
    parts = [
        drawn(
            "Time by stage",
            "Mean time that each stage of a prediction takes: a queue that grows waits for the model, not in it.",
            "s",
            Query(
                f"sum by (stage) (rate({stage}_sum{{{WHO}}}[$__rate_interval])) / "
                f"(sum by (stage) (rate({stage}_count{{{WHO}}}[$__rate_interval])) > 0)",
                "{{stage}}",
            ),
            stacked=True,
        ),
        drawn(
            "Slow stages",
            "95th percentile of each stage, where `mlobs.stage` or a server's queue tells it.",
            "s",
            Query(quantile(0.95, WHO, "stage", stage), "{{stage}}"),
        ),
        drawn(
            "GPU time of a call",
            "GPU seconds per call, by version: beside the duration, how busy a call keeps its device.",
            "s",
            Query(
                f"{rate(names.PREDICTION_GPU_TIME, WHO, BY)} / ({calls(WHO, BY)} > 0)",
                RELEASE,
            ),
        ),
        drawn(
            "Tokens a second",
            "Tokens that generations read (input) and wrote (output), for models that generate text.",
            "cps",
            Query(
                f"sum by (gen_ai_token_type) (rate({usage}_sum{{{WHO}}}[$__rate_interval]))",
                "{{gen_ai_token_type}}",
            ),
        ),
        drawn(
            "First token",
            "Median and 95th percentile of the time to a generation's first token: what a reader waits for.",
            "s",
            *(
                Query(quantile(share, WHO, BY, prometheus(names.TIME_TO_FIRST_TOKEN)), f"p{share * 100:.0f} {RELEASE}")
                for share in (0.5, 0.95)
            ),
        ),
        drawn(
            "Each further token",
            "Median and 95th percentile of the mean time of a generation's further tokens.",
            "s",
            *(
                Query(
                    quantile(share, WHO, BY, prometheus(names.TIME_PER_OUTPUT_TOKEN)), f"p{share * 100:.0f} {RELEASE}"
                )
                for share in (0.5, 0.95)
            ),
        ),
    ]
    asked = [
        drawn(
            "Calls in flight by version",
            "Calls that have begun and not ended, by version and variant.",
            "short",
            Query(f"sum by ({BY}) ({active}{{{WHO}}})", RELEASE),
        ),
        drawn(
            "Rows a second",
            "Rows that calls were given, by version: traffic in rows where calls are batches.",
            "cps",
            Query(f"sum by ({BY}) (rate({rows}{{{WHO}}}[$__rate_interval]))", RELEASE),
        ),
        drawn(
            "Rows a call",
            "Median and 99th percentile of the rows of a call: batches that grow are calls that slow down.",
            "short",
            Query(quantile(0.5, WHO, BY, prometheus(names.PREDICTION_BATCH_SIZE)), f"p50 {RELEASE}"),
            Query(quantile(0.99, WHO, BY, prometheus(names.PREDICTION_BATCH_SIZE)), f"p99 {RELEASE}"),
        ),
    ]
    observed = rate(names.FEATURE_OBSERVATIONS, f'{WHO}, role="output"', f"{MODEL}, role, feature, bin")
    info = held(f'{WHO}, role="output"')
    answers = [
        barred(
            "Scores by version",
            "How the scores of the time shown are spread, as shares of each version: the middle of each of 40 bins.",
            "percentunit",
            "score\\release",
            scores_by_release(),
            matrix("score", "release", "bin"),
            label="score",
        ),
        heated(
            "Scores over time",
            "How many predictions fell into each score bin (00 is 0, 39 is 1): a band that moves is a model that changed its mind.",
            "short",
            Query(counted(names.PREDICTION_SCORE, WHO, "bin"), "{{bin}}"),
            "none",
        ),
        drawn(
            "What it answers",
            "Answers a second by the bins of the reference's outputs, where the profile has outputs.",
            "cps",
            Query(
                f"sum by (feature, bin, label) ({observed} * on ({drift.FEATURE}, bin) group_left (label) {info})",
                "{{feature}} {{label}}",
            ),
            stacked=True,
            whole=True,
        ),
    ]
    return Page(
        "model",
        "Model",
        "How does this model serve, version by version, and what does it answer?",
        [A_MODEL, VERSIONS, VARIANTS],
        [
            Section("Now", [(4, [(4, one) for one in now]), (9, [(8, one) for one in red])]),
            Section("Why", [(8, [(8, one) for one in why])]),
            Section(
                "Where the time goes",
                [(7, [(8, one) for one in parts[:3]]), (7, [(8, one) for one in parts[3:]])],
            ),
            Section("What it is asked", [(7, [(8, one) for one in asked])]),
            Section("What it answers", [(9, [(8, one) for one in answers])]),
        ],
    )
