"""A service whose every number is known beforehand: ``python -m tests.backends.scoring ENDPOINT`` does as it is told.

On its input: ``work FIRST LAST`` predicts that many batches and books an order for each, ``flush`` exports, ``try``
tries to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import mlobs

ROOT: Final = Path(__file__).parents[2]
MODEL: Final = "credit"
VERSION: Final = "7"
ROWS: Final = 25  # a batch


def batch(number: int) -> NDArray[np.float64]:
    """The rows of a batch: two features, some values missing."""
    rng = np.random.default_rng(number)
    rows = rng.normal(size=(ROWS, 2)) * [1.0, 40.0]
    rows[rng.random(ROWS) < 0.05, 1] = np.nan
    return rows


def value(number: int) -> float:
    """What a batch brings, or, negative, costs; sums of these are exact."""
    return (number + 1) * (-0.25 if number % 3 == 0 else 0.5)


def reference() -> mlobs.Profile:
    """Of the rows that the model learned from."""
    return mlobs.Profile.build(np.random.default_rng(0).normal(size=(5000, 2)) * [1.0, 40.0])


def recount(numbers: range) -> dict[str, list[int]]:
    """By feature the counts of its bins over these batches, by numpy alone."""
    rows = np.concatenate([batch(number) for number in numbers])
    found = {}
    for index, feature in enumerate(reference().inputs):
        partition: Any = feature.partition
        column = rows[:, index]
        known = column[~np.isnan(column)]
        bins = np.bincount(np.searchsorted(partition.edges, known, side="left"), minlength=partition.ordered)
        found[feature.name] = [*bins.tolist(), int(np.isnan(column).sum())]
    return found


class Scoring:
    """The process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, what: str) -> None:
        """Tell it, and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer == "done\n", answer + self._process.communicate()[1]

    def end(self) -> None:
        """Let it export a last time and end."""
        _, err = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, err


@contextmanager
def scoring(endpoint: str, **environ: str) -> Iterator[Scoring]:
    """A service that exports to this endpoint when it is told to, and at its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.backends.scoring", endpoint],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Scoring(process)
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Serve."""
    mlobs.configure(service_name="shop", endpoint=sys.argv[1], export_interval=3600, flush_timeout=30, spans="always")
    predict = mlobs.observe(model=MODEL, version=VERSION, reference=reference())(lambda rows: [0.5] * len(rows))
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "work":
            for number in range(int(numbers[0]), int(numbers[1])):
                predict(batch(number))
                mlobs.business("order", value=value(number), currency="EUR", model=MODEL, version=VERSION)
        else:
            assert mlobs.flush(timeout=30 if verb == "flush" else 0.3) or verb == "try"
        print("done", flush=True)


if __name__ == "__main__":
    main()
