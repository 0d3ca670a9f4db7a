"""Telemetry health: can be believed what the other pages say?"""

from __future__ import annotations

from typing import Final

import drift
import quality
from board import INSTANCES, JOBS, MODELS, VARIANTS, VERSIONS, Page, Section
from panels import Query, drawn, stated
from signals import BINS, COUNTED, INFO, MODEL, NAME, OBJECTIVE, PROCESS, WHO, counted_whole, rate
from tables import Column, tabled
from vocabulary import prometheus

from mlobs.otel import names

LEGEND: Final = "{{job}} {{instance}}"
AT: Final = "job, instance"
SERIES: Final = prometheus(names.SDK_SERIES)
LATE: Final = ((600, "orange"), (1200, "red"))


def age(series: str) -> str:
    """Seconds since a rule last recorded something."""
    return f"time() - max(max_over_time(timestamp({series})[1d:5m]))"


def page() -> Page:
    """What to open when a page is empty, or says what cannot be."""
    told = f"{prometheus(names.FEATURE_REFERENCE_RATIO)}{{{WHO}}}"
    silent = (
        f"count(group by (model_name) (max_over_time({INFO}{{{NAME}}}[6h]))"
        f" unless on (model_name) group by (model_name) ({INFO}{{{NAME}}})) or 0 * count(max_over_time({INFO}{{{NAME}}}[6h]))"
    )
    now = [
        stated(
            "Processes that tell",
            "Processes whose telemetry of the last five minutes is there.",
            "short",
            Query(f"count({SERIES}{{{PROCESS}}})"),
            steps=((1, "green"),),
            base="red",
            decimals=0,
        ),
        stated(
            "Silent models",
            "Models that somebody told of within six hours, and nobody tells of now.",
            "short",
            Query(silent),
            steps=((1, "red"),),
            decimals=0,
        ),
        stated(
            "Oldest process' news",
            "How long ago the process with the oldest news was heard; twice the export interval is late.",
            "s",
            Query(f"max(time() - timestamp({SERIES}{{{PROCESS}}}))"),
            steps=((120, "orange"), (240, "red")),
        ),
        stated(
            "Dropped in the time shown",
            "Rows, spans and calls that mlobs did not take in: what other pages leave out.",
            "short",
            Query(f"{counted_whole(names.SDK_DROPPED, PROCESS, '$__range')} or 0 * count({SERIES}{{{PROCESS}}})"),
            steps=((1, "orange"),),
            decimals=0,
        ),
        stated(
            "Errors inside mlobs",
            "Errors of mlobs itself in the time shown, which no caller saw: worth a bug report.",
            "short",
            Query(f"{counted_whole(names.SDK_ERRORS, PROCESS, '$__range')} or 0 * count({SERIES}{{{PROCESS}}})"),
            steps=((1, "red"),),
            decimals=0,
        ),
        stated(
            "References that disagree",
            "Features for which processes of one version tell two references: their drift is of neither.",
            "short",
            Query(f"count({drift.disagreeing(WHO)}) or 0 * count({told})"),
            steps=((1, "red"),),
            decimals=0,
            empty="no references",
        ),
        stated(
            "Rules: newest record",
            "How long ago the rules of serving, drift and quality last recorded something: old ones are pages that lie still.",
            "s",
            Query(age(OBJECTIVE), "serving"),
            Query(age(BINS), "drift"),
            Query(age(quality.CONSTANT), "quality"),
            steps=LATE,
        ),
    ]
    versions = tabled(
        "Who tells of what",
        "How many processes tell of each version, with how many profiles; more than one profile is a deployment gone wrong.",
        [
            Column("processes", "short", f"count by ({MODEL}) ({INFO}{{{WHO}, {PROCESS}}})", decimals=0),
            Column(
                "profiles",
                "short",
                f"count by ({MODEL}) (group by ({MODEL}, profile_id) ({INFO}{{{WHO}, {PROCESS}}}))",
                ((2, "red"),),
                decimals=0,
            ),
        ],
        sort="processes",
    )
    telling = drawn(
        "Processes that tell",
        "Processes whose telemetry arrives, by job: a step down is a crash, a scale-in or a broken network.",
        "short",
        Query(f"count by (job) ({SERIES}{{{PROCESS}}})", "{{job}}"),
        stacked=True,
    )
    losses = [
        drawn(
            "Dropped by reason",
            "Items a second that mlobs did not take in: ring_* are bursts, *_limit are too many models or features.",
            "cps",
            Query(rate(names.SDK_DROPPED, PROCESS, "reason"), "{{reason}}"),
            stacked=True,
        ),
        drawn(
            "Errors inside mlobs by place",
            "Errors a second of mlobs itself, which no caller saw.",
            "cps",
            Query(rate(names.SDK_ERRORS, PROCESS, "reason"), "{{reason}}"),
        ),
        drawn(
            "Truths that found no prediction",
            "Truths a second that were not joined, by reason: wrong_key and damaged are configuration, not models.",
            "cps",
            Query(rate(names.OUTCOME_UNJOINED, PROCESS, "reason"), "{{reason}}"),
        ),
    ]
    costs = [
        drawn(
            "Series of each process",
            "Series in the last export: times the replicas it is what Prometheus has to keep.",
            "short",
            Query(f"max by ({AT}) ({SERIES}{{{PROCESS}}})", LEGEND),
        ),
        drawn(
            "What mlobs' threads work",
            "Seconds a second of folding and exporting, waiting for the receiver's answer included.",
            "percentunit",
            Query(rate(names.SDK_FOLD_DURATION, PROCESS, AT), f"fold {LEGEND}"),
            Query(rate(names.SDK_EXPORT_DURATION, PROCESS, AT), f"export {LEGEND}"),
        ),
        drawn(
            "Values in drift's windows",
            "Values of the last hour that drift is judged by, of the feature with the fewest: too few say nothing.",
            "short",
            Query(
                f"min by ({MODEL}) ({COUNTED}{{{WHO}}})",
                "{{model_name}} {{model_version}} {{model_variant}}",
            ),
            steps=((drift.LEAST, "orange"),),
        ),
        drawn(
            "Runs of mlobs doctor",
            "Canaries that arrived, each sent by one run of mlobs doctor.",
            "short",
            Query(f"count(count by (canary_id) ({prometheus(names.SDK_CANARY)})) or 0 * count({SERIES})", "canaries"),
        ),
    ]
    return Page(
        "telemetry",
        "Telemetry health",
        "Can be believed what the other pages say?",
        [MODELS, VERSIONS, VARIANTS, JOBS, INSTANCES],
        [
            Section(
                "Now",
                [(4, [*((3, one) for one in now[:6]), (6, now[6])]), (9, [(12, versions), (12, telling)])],
            ),
            Section("What is lost", [(8, [(8, one) for one in losses])]),
            Section("What it costs", [(8, [(6, one) for one in costs])]),
        ],
    )
