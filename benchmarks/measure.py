"""Timing that survives a shared machine: short slices in turn, medians, ratios within one run."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import repeat
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any


def nothing() -> None:
    """Settle a lap that leaves no work behind."""


@dataclass(frozen=True)
class Lap:
    """One contestant: `run(calls)` makes that many calls and returns the seconds they took.

    `settle` runs untimed after each slice, so that what one contestant left for its background
    threads is not paid by the next.
    """

    run: Callable[[int], float]
    settle: Callable[[], object] = nothing


def loop(function: Callable[..., object], *arguments: object) -> Callable[[int], float]:
    """Return a lap that calls `function(*arguments)` in a plain loop with the collector left on."""
    if len(arguments) == 1:
        (argument,) = arguments

        def run(calls: int) -> float:
            started = perf_counter()
            for _ in repeat(None, calls):
                function(argument)
            return perf_counter() - started
    else:

        def run(calls: int) -> float:
            started = perf_counter()
            for _ in repeat(None, calls):
                function(*arguments)
            return perf_counter() - started

    return run


def calibrate(run: Callable[[int], float], seconds: float) -> int:
    """Return how many calls of `run` take about `seconds`; warms it up on the way."""
    calls = 1
    while (took := run(calls)) < seconds / 8:
        calls *= 4
    return max(1, round(calls * seconds / took))


def interleave(laps: Mapping[str, Lap], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Run every lap in slices of about `seconds`, in rotating order; seconds per call, by round."""
    calls = {name: calibrate(lap.run, seconds) for name, lap in laps.items()}
    for lap in laps.values():
        lap.settle()
    order = list(laps)
    taken: dict[str, list[float]] = {name: [] for name in laps}
    for _ in range(rounds):
        for name in order:
            taken[name].append(laps[name].run(calls[name]) / calls[name])
            laps[name].settle()
        order.append(order.pop(0))
    return taken


def difference(more: Sequence[float], less: Sequence[float]) -> float:
    """Return the median of the round-by-round differences."""
    return median(a - b for a, b in zip(more, less, strict=True))


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Return the median of the round-by-round ratios."""
    return median(a / b for a, b in zip(numerator, denominator, strict=True))


def quiet(figures: Iterable[float]) -> float:
    """Return the median of the lower half: a tail on a shared machine is mostly the neighbours'."""
    ordered = sorted(figures)
    return median(ordered[: (len(ordered) + 1) // 2])


def environment(*packages: str) -> dict[str, str]:
    """Say what the figures were measured on: interpreter, processor, and package versions."""
    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpu": processor(),
        "cores": str(os.cpu_count()),
    }
    for package in ("numpy", *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def processor() -> str:
    """Return the processor's model name where the system tells it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def options(description: str | None) -> argparse.Namespace:
    """Read the two options every script here has: `--json` and `--quick`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    parser.add_argument("--quick", action="store_true", help="tiny slices: shows that it runs, tells no speed")
    return parser.parse_args()


def header(found: Mapping[str, str]) -> str:
    """Return the environment as one line."""
    return " · ".join(f"{key} {value}" for key, value in found.items())


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a plain text table: floats get three significant digits, columns of text align left."""
    rows = [tuple(row) for row in rows]
    numbers = [all(not isinstance(row[index], str) for row in rows) for index in range(len(columns))]
    cells = [[text(cell) for cell in row] for row in rows]
    lines = [list(columns), *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    body = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join(["", title, body[0], "-" * len(body[0]), *body[1:]])


def text(cell: object) -> str:
    """Return a cell's text; a missing figure is an en dash."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


def told(message: str) -> None:
    """Tell the reader something on stderr, so that `--json` stays clean."""
    print(message, file=sys.stderr, flush=True)
