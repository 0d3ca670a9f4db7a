"""The slowest calls of a predict while mlobs exports: two processes, one slice each in turn.

Each process runs the same predict in a tight loop, one bare, one observed: the bare one shares the machine with nothing
of ours. A percentile is taken per slice, and the median over the slices is compared.
"""

from __future__ import annotations

import contextlib
import sys
from array import array
from collections.abc import Callable
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt
from rows import ANSWER, cases
from turns import Runner, serve

TARGET = 36e-6
PERCENTILE = 99.9


def model(steps: int) -> Callable[[Any], npt.NDArray[np.float64]]:
    """Return a predict of `steps` small numpy steps, the way a small model spends its time."""
    room = np.empty(30)

    def predict(rows: Any) -> npt.NDArray[np.float64]:
        for _ in range(steps):
            np.tanh(rows[0], out=room)
        return ANSWER

    return predict


def calibrate() -> int:
    """Return how many steps make a predict of about 36 µs on this machine."""
    row = cases(100)[0].row
    taken = []
    for _ in range(15):
        started = perf_counter()
        model(50_000)(row)
        taken.append((perf_counter() - started) / 50_000)
    return max(1, round(TARGET / min(taken)))  # the quietest: a busy neighbour only adds


def slowest(predict: Callable[[Any], Any], row: Any, seconds: float) -> tuple[float, float]:
    """Return the median and the 99.9th percentile, in µs, of calls made for so many seconds."""
    durations = array("q")
    clock = perf_counter_ns
    now = clock()
    end = now + int(seconds * 1e9)
    while now < end:
        started = clock()
        predict(row)
        now = clock()
        durations.append(now - started)
    middle, tail = np.percentile(np.frombuffer(durations, dtype=np.int64), (50, PERCENTILE))
    return float(middle) / 1e3, float(tail) / 1e3


def compare(endpoint: str, *, rounds: int, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Run both in turn; (median, p99.9) in µs by kind, one pair a round."""
    steps = calibrate()
    with contextlib.ExitStack() as stack:
        runners = {
            kind: stack.enter_context(Runner(__file__, kind, str(steps), endpoint)) for kind in ("bare", "mlobs")
        }
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in runners}
        for turn in range(rounds):
            for kind in sorted(runners, reverse=bool(turn % 2)):
                middle, tail = runners[kind].slice(seconds)
                found[kind].append((middle, tail))
    return found


def main() -> None:
    """Be one of the two processes."""
    kind, steps, endpoint = sys.argv[1:]
    predict: Callable[[Any], Any] = model(int(steps))
    case = cases()[0]
    if kind == "mlobs":
        import observed

        observed.start(endpoint)
        predict = observed.observe(predict, model="tail", profile=observed.reference(case.training))
    slowest(predict, case.row, 0.5)
    serve(lambda seconds: slowest(predict, case.row, seconds))
    if kind == "mlobs":
        observed.stop()


if __name__ == "__main__":
    main()
