"""What `import mlobs` costs beside what it needs anyway, and what a feature costs in memory.

python benchmarks/import_time.py [--json] [--quick]
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from measure import environment, header, options, table

NEEDED = "import numpy; import opentelemetry.context; import opentelemetry.trace"
CLOCKED = """
from time import perf_counter
started = perf_counter()
{needed}
middle = perf_counter()
{extra}
print(middle - started, perf_counter() - middle)
"""
FEW, MANY = 10, 210
WINDOW = 2.4  # seconds


def fresh(extra: str) -> tuple[float, float]:
    """Import in a new process: seconds for what is needed anyway, then for `extra`."""
    needed, added = map(float, run(CLOCKED.format(needed=NEEDED, extra=extra)).split())
    return needed, added


def memory() -> float:
    """Return the bytes one more feature adds: the same model with few features and with many."""
    few, many = (int(run(f"import import_time; print(import_time.held({width}))")) for width in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def run(code: str) -> str:
    """Run code in a new process, in this folder; what it printed."""
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    ).stdout


def held(features: int) -> int:
    """Return the bytes that Python holds for a model of so many features once it has run a while.

    Called in a process of its own. The window is seconds long, so that all its tiles are filled;
    the rows of the calls are folded, and several exports were made.
    """
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from sink import Sink

    import mlobs

    names = [f"f{index}" for index in range(features)]
    training = pd.DataFrame(np.random.default_rng(7).lognormal(size=(1_000, features)), columns=names)
    row = training.to_numpy()[:1].copy()
    with Sink() as sink:
        mlobs.configure(endpoint=sink.endpoint, spans="never", windows=[WINDOW], fold_interval=WINDOW / 24)
        tracemalloc.start()
        profile = mlobs.Profile.build(training)

        @mlobs.observe(model="memory", version="1", reference=profile)
        def predict(rows: npt.NDArray[np.float64]) -> float:
            return float(len(rows))

        ends = perf_counter() + 1.5 * WINDOW
        while perf_counter() < ends:
            predict(row)
            sleep(0.001)
        mlobs.flush()
        mlobs.drift()
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        mlobs.shutdown()
    return size


def main() -> None:
    """Measure, then print a table or one JSON object."""
    chosen = options(__doc__)
    rounds = 2 if chosen.quick else 15
    taken: dict[str, list[tuple[float, float]]] = {"nothing": [], "mlobs": []}
    for _ in range(rounds):
        taken["nothing"].append(fresh("pass"))
        taken["mlobs"].append(fresh("import mlobs"))
    report = {
        "import_ms": {
            "needed_anyway": median(first for first, _ in taken["nothing"]) * 1e3,
            "mlobs_adds": median(second for _, second in taken["mlobs"]) * 1e3,
        },
        "bytes_a_feature": memory(),
        "environment": environment("opentelemetry-api"),
    }
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    return "\n".join(
        [
            header(report["environment"]),
            table(
                "Import in a fresh process (goal: mlobs adds ≤ 50 ms)",
                ["", "ms"],
                [
                    ["numpy and opentelemetry-api", report["import_ms"]["needed_anyway"]],
                    ["mlobs adds", report["import_ms"]["mlobs_adds"]],
                ],
            ),
            table(
                "Memory held for one more feature with a reference (goal: ≤ 5,000)",
                ["", "bytes"],
                [["a feature", report["bytes_a_feature"]]],
            ),
        ]
    )


if __name__ == "__main__":
    main()
