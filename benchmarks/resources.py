"""What one collection of resources costs, family by family, beside psutil asked for everything it knows.

    python benchmarks/resources.py [--json] [--quick]

GPUs are answers of NVML that were written down (two of them), behind the functions of the real nvidia-ml-py: the cost of
what mlobs does with answers, not of the driver that gives them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import psutil
from measure import environment, header, options, ratio, table, told

from mlobs.resource.container import Container
from mlobs.resource.garbage import Garbage
from mlobs.resource.gpu import Gpus
from mlobs.resource.growth import Growth
from mlobs.resource.process import Process
from mlobs.resource.resources import Resources

Collect = Callable[[], object]

BASELINE = "psutil"
NOTES = {
    BASELINE: "psutil.Process().as_dict(): every attribute once",
    "process": "process.*",
    "garbage": "cpython.gc.*",
    "container": "container.*, mlobs.capacity.*: this machine's control group",
    "gpu": "hw.*, mlobs.gpu.*: two recorded GPUs",
    "all": "one collection: all of these, this machine's GPUs if any",
}


def families() -> dict[str, Collect]:
    """Return what is measured, prepared and read once."""
    container = Container(Growth())
    process = Process(container.cpus)
    resources = Resources()
    for one in (container, process, resources):
        one.prepare()
    garbage = Garbage()
    bare = psutil.Process()
    found: dict[str, Collect] = {
        BASELINE: bare.as_dict,
        "process": lambda: list(process.collect()),
        "garbage": lambda: list(garbage.collect()),
        "container": lambda: list(container.collect()),
        "all": resources.collect,
    }
    gpus = recorded_gpus()
    if gpus is not None:
        found["gpu"] = lambda: list(gpus.collect())
    return found


def recorded_gpus() -> Gpus | None:
    """Return two recorded GPUs; None without nvidia-ml-py."""
    if importlib.util.find_spec("pynvml") is None:
        told("resources: !!! GPUs cannot be measured here: nvidia-ml-py is not installed")
        return None
    sys.path.append(str(Path(__file__).parents[1]))
    from tests.resource.recorded_nvml import Recording, h100

    gpus = Gpus(Growth())
    before = sys.modules.get("pynvml")
    sys.modules["pynvml"] = Recording(h100(), h100("GPU-0")).module
    gpus.prepare()
    if before is not None:
        sys.modules["pynvml"] = before
    return gpus


def sample(collect: dict[str, Collect], calls: int) -> dict[str, list[float]]:
    """Call each in turn, in rotating order; seconds of every call."""
    taken: dict[str, list[float]] = {name: [] for name in collect}
    order = list(collect)
    for one in collect.values():
        one()
    for _ in range(calls):
        for name in order:
            started = perf_counter()
            collect[name]()
            taken[name].append(perf_counter() - started)
        order.append(order.pop(0))
    return taken


def main() -> None:
    """Measure, then print a table or one JSON object."""
    chosen = options(__doc__)
    taken = sample(families(), 20 if chosen.quick else 1_000)
    report: dict[str, Any] = {
        "ms": {
            name: {"median": median(seconds) * 1e3, "p99": quantiles(seconds, n=100)[98] * 1e3}
            for name, seconds in taken.items()
        },
        "times_psutil": {name: ratio(seconds, taken[BASELINE]) for name, seconds in taken.items() if name != BASELINE},
        "environment": environment("psutil", "nvidia-ml-py"),
    }
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    return "\n".join(
        [
            header(report["environment"]),
            table(
                "One collection of resources (goal: all ≤ 2 ms)",
                ["", "ms", "p99 ms", "× psutil", "what it is"],
                [
                    [
                        name,
                        report["ms"][name]["median"],
                        report["ms"][name]["p99"],
                        report["times_psutil"].get(name),
                        note,
                    ]
                    if name in report["ms"]
                    else [name, None, None, None, f"ABSENT: {note}"]
                    for name, note in NOTES.items()
                ],
            ),
        ]
    )


if __name__ == "__main__":
    main()
