"""What a user waits for: a call bare, with mlobs, and with the same telemetry by hand.

python benchmarks/hot_path.py [--json] [--quick]
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any

import observed
import tail
from by_hand import ByHand
from crew import Crew
from measure import (
    Lap,
    difference,
    environment,
    header,
    interleave,
    loop,
    options,
    quiet,
    table,
    told,
)
from rows import Case, cases, predict
from sink import Sink

import mlobs
from mlobs.sketch import Cuts

CREWS = (1, 8, 64)


def containers(found: list[Case], by_hand: ByHand, *, quick: bool) -> dict[str, dict[str, float]]:
    """Measure every container: µs a call bare, with mlobs, by hand, and what they add."""
    figures = {}
    for case in found:
        profile = observed.reference(case.training)
        edges = {
            feature.name: feature.partition.edges.tolist()
            for feature in profile.inputs
            if isinstance(feature.partition, Cuts)
        }
        laps = {
            "bare": Lap(loop(predict, case.row)),
            "mlobs": Lap(
                loop(observed.observe(predict, model=case.name, profile=profile), case.row),
                mlobs.flush,
            ),
            "otel": Lap(
                loop(by_hand.wrap(predict, model=case.name, row=case.row, edges=edges), case.row),
                by_hand.settle,
            ),
        }
        taken = interleave(laps, rounds=2 if quick else 25, seconds=0.002 if quick else 0.04)
        added = difference(taken["mlobs"], taken["bare"])
        figures[case.name] = {
            **{f"{name}_us": median(slices) * 1e6 for name, slices in taken.items()},
            "added_us": added * 1e6,
            "times_cheaper": difference(taken["otel"], taken["bare"]) / added,
        }
    return figures


def threads(case: Case, *, quick: bool) -> dict[str, float]:
    """Return the µs that mlobs adds to a call while so many threads call without a pause."""
    profile = observed.reference(case.training)
    added = {}
    for size in CREWS:
        wrapped = observed.observe(predict, model=f"threads-{size}", profile=profile)
        with Crew(size) as crew:
            laps = {
                "bare": Lap(crew.loop(predict, case.row)),
                "mlobs": Lap(crew.loop(wrapped, case.row), mlobs.flush),
            }
            taken = interleave(laps, rounds=2 if quick else 11, seconds=0.002 if quick else 0.15)
        added[str(size)] = difference(taken["mlobs"], taken["bare"]) * 1e6
    return added


def main() -> None:
    """Measure, then print a table or one JSON object."""
    chosen = options(__doc__)
    quick: bool = chosen.quick
    found = cases(500 if quick else 10_000)
    with Sink() as sink:
        if not chosen.json:
            told("hot path: p99.9 while exporting …")
        slices = tail.compare(sink.endpoint, rounds=1 if quick else 10, seconds=0.2 if quick else 5.0)
        exported = sink.received()
        if not chosen.json:
            told("hot path: five containers, then 1, 8 and 64 threads …")
        observed.start(sink.endpoint)
        by_hand = ByHand(interval=observed.INTERVAL)
        figures = containers(found, by_hand, quick=quick)
        by_hand.close()
        crowd = threads(found[0], quick=quick)
        mlobs.shutdown()
    if not exported["requests"]:
        message = "mlobs exported nothing to the sink: the p99.9 figure would mean nothing."
        raise RuntimeError(message)
    medians = {
        kind: (quiet(pair[0] for pair in pairs), quiet(pair[1] for pair in pairs)) for kind, pairs in slices.items()
    }
    report: dict[str, Any] = {
        "cases": figures,
        "p999_ratio_while_exporting": medians["mlobs"][1] / medians["bare"][1],
        "threads": crowd,
        "tail": {
            **{f"{kind}_p50_us": pair[0] for kind, pair in medians.items()},
            **{f"{kind}_p999_us": pair[1] for kind, pair in medians.items()},
            "series": exported["points"],
        },
        "environment": environment("pandas", "opentelemetry-sdk"),
    }
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    found = report["tail"]
    return "\n".join(
        [
            header(report["environment"]),
            table(
                "One row of 30 features, µs a call (goal: ndarray +3 and 50× cheaper, frames +15)",
                ["container", "bare", "with mlobs", "by hand", "mlobs adds", "times cheaper"],
                [[name, *figures.values()] for name, figures in report["cases"].items()],
            ),
            table(
                f"Slowest calls of a 36 µs predict while {found['series']} series are exported"
                " each second (goal: p99.9 ≤ 1.25×)",
                ["", "bare µs", "with mlobs µs", "ratio"],
                [
                    ["p50", found["bare_p50_us"], found["mlobs_p50_us"], found["mlobs_p50_us"] / found["bare_p50_us"]],
                    ["p99.9", found["bare_p999_us"], found["mlobs_p999_us"], report["p999_ratio_while_exporting"]],
                ],
            ),
            table(
                "Threads calling at once, ndarray",
                ["threads", "mlobs adds µs a call"],
                report["threads"].items(),
            ),
        ]
    )


if __name__ == "__main__":
    main()
