"""What it costs to turn rows into counts, and counts into verdicts, beside its peers.

    python benchmarks/fold.py [--json] [--quick]

Thirty features of lognormal values, ten edges each: twelve bins with `missing`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import repeat
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from measure import Lap, environment, header, interleave, options, ratio, table, told
from peers import PEERS, Running, Unavailable

from mlobs.sketch import CutMatrix, Cuts, Drift, Exponential, add_columns, judge

FEATURES = 30
EDGES = 10
ROWS = 100_000
PEER_ROWS = 20_000
BLOCKS = (512, 4_096, 8_192)


class Fold:
    """Reference and partitions of the thirty features, and the two things measured on them."""

    def __init__(self, rows: int) -> None:
        """Draw a reference and, from the same law, the rows to fold."""
        random = np.random.default_rng(7)
        reference = random.lognormal(size=(rows, FEATURES))
        self.matrix = random.lognormal(size=(rows, FEATURES))
        edges = np.quantile(reference, np.arange(1, EDGES + 1) / (EDGES + 1), axis=0)
        self.partitions = [
            Cuts(np.ascontiguousarray(edges[:, index]), column.min(), column.max())
            for index, column in enumerate(reference.T)
        ]
        self.reference = self.empty()
        self.counter = CutMatrix(self.partitions)
        self.counter.count(reference, self.reference)
        self.signed = random.normal(size=(rows, FEATURES))
        self.sketches = {sign: [Exponential(finest=10) for _ in range(FEATURES)] for sign in ("positive", "signed")}

    def empty(self) -> list[npt.NDArray[np.int64]]:
        """Return zero counts for every feature."""
        return [np.zeros(cuts.size, np.int64) for cuts in self.partitions]

    def count(self, rows: npt.NDArray[np.float64]) -> list[npt.NDArray[np.int64]]:
        """Turn rows into counts."""
        counts = self.empty()
        self.counter.count(rows, counts)
        return counts

    def summarise(self, sign: str, rows: int) -> None:
        """Turn some rows into what is told of features without a reference: an exponential histogram each."""
        add_columns(self.sketches[sign], (self.matrix if sign == "positive" else self.signed)[:rows])

    def verdicts(self) -> list[Drift]:
        """Turn raw rows into PSI, KS and a verdict for every feature."""
        current = self.count(self.matrix)
        return judge(
            [
                (f"f{index}", "input", cuts.ordered, reference, counts)
                for index, (cuts, reference, counts) in enumerate(
                    zip(self.partitions, self.reference, current, strict=True)
                )
            ]
        )


def over(function: Callable[[], object], values: int) -> Callable[[int], float]:
    """Return a lap that is measured by the value: a call of it is one value seen."""

    def run(calls: int) -> float:
        times = max(1, round(calls / values))
        started = perf_counter()
        for _ in repeat(None, times):
            function()
        return (perf_counter() - started) * calls / (times * values)

    return run


def lap(peer: Running, values: int) -> Callable[[int], float]:
    """Return the same for a peer, which times itself."""

    def run(calls: int) -> float:
        times = max(1, round(calls / values))
        return peer.run(times) * calls / (times * values)

    return run


def start_peers(rows: int) -> tuple[dict[str, Running], dict[str, str]]:
    """Start every peer that can be had; what each is, or why it is absent."""
    running, notes = {}, {}
    for peer in PEERS:
        try:
            running[peer.name] = Running(peer, rows, FEATURES)
            notes[peer.name] = running[peer.name].version
        except Unavailable as error:
            notes[peer.name] = f"ABSENT: {error}"
            told(f"fold: !!! {peer.name} cannot be measured here: {error}")
    return running, notes


def main() -> None:
    """Measure, then print a table or one JSON object."""
    chosen = options(__doc__)
    quick: bool = chosen.quick
    fold = Fold(2_000 if quick else ROWS)
    peer_rows = 500 if quick else PEER_ROWS
    if not chosen.json and not quick:
        told("fold: the peers' environments are made on the first run, which takes a minute …")
    running, notes = ({}, {}) if quick else start_peers(peer_rows)
    matrix, values = fold.matrix, fold.matrix.size
    laps = {
        "numpy_sum": Lap(over(lambda: np.sum(matrix), values)),
        "mlobs": Lap(over(lambda: fold.count(matrix), values)),
        **{name: Lap(lap(peer, peer_rows * FEATURES)) for name, peer in running.items()},
    }
    rounds, seconds = (2, 0.002) if quick else (9, 0.15)
    try:
        taken = interleave(laps, rounds=rounds, seconds=seconds)
    finally:
        for peer in running.values():
            peer.close()
    blocks = interleave(
        {
            str(rows): Lap(over(lambda part=matrix[:rows]: fold.count(part), part_size(rows, matrix)))  # type: ignore[misc]
            for rows in BLOCKS
        },
        rounds=rounds,
        seconds=seconds,
    )
    summaries = interleave(
        {
            f"{sign}, {rows} rows": Lap(
                over(lambda sign=sign, rows=rows: fold.summarise(sign, rows), part_size(rows, matrix))  # type: ignore[misc]
            )
            for sign in fold.sketches
            for rows in BLOCKS[1:]
        },
        rounds=rounds,
        seconds=seconds,
    )
    verdicts = interleave({"verdicts": Lap(over(fold.verdicts, 1))}, rounds=rounds, seconds=seconds)
    report: dict[str, Any] = {
        "ns_per_value": {name: median(slices) * 1e9 for name, slices in taken.items()},
        "times": {name: ratio(slices, taken["mlobs"]) for name, slices in taken.items() if name != "mlobs"},
        "blocks_ns_per_value": {name: median(slices) * 1e9 for name, slices in blocks.items()},
        "no_reference_ns_per_value": {name: median(slices) * 1e9 for name, slices in summaries.items()},
        "verdicts_ms": median(verdicts["verdicts"]) * 1e3,
        "rows": len(matrix),
        "features": FEATURES,
        "bins": EDGES + 2,
        "peers": notes,
        "environment": environment(),
    }
    print(json.dumps(report) if chosen.json else tables(report))


def part_size(rows: int, matrix: npt.NDArray[np.float64]) -> int:
    """Return how many values the first rows hold."""
    return min(rows, len(matrix)) * FEATURES


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    notes = {
        "mlobs": "counts in 12 bins, exact",
        "numpy_sum": "numpy's sum: reads every value once",
        **report["peers"],
    }
    return "\n".join(
        [
            header(report["environment"]),
            table(
                f"Rows to counts, {report['rows']:,} × {report['features']} (goal: ≤ 4 ns,"
                " ≥ 8× less than KLL, ≥ 200× less than whylogs)",
                ["", "ns a value", "× mlobs", "what it is"],
                [
                    [name, figure, report["times"].get(name, 1.0), notes[name]]
                    for name, figure in report["ns_per_value"].items()
                ]
                + [
                    [name, None, None, note]
                    for name, note in report["peers"].items()
                    if name not in report["ns_per_value"]
                ],
            ),
            table(
                "The same in smaller blocks",
                ["rows", "ns a value"],
                report["blocks_ns_per_value"].items(),
            ),
            table(
                "Without a reference: exponential histograms",
                ["values", "ns a value"],
                report["no_reference_ns_per_value"].items(),
            ),
            table(
                f"Raw {report['rows']:,} × {report['features']} to PSI, KS and verdicts (goal: ≤ 20 ms)",
                ["", "ms"],
                [["count and judge", report["verdicts_ms"]]],
            ),
        ]
    )


if __name__ == "__main__":
    main()
