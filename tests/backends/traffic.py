"""A service that scores rows and learns their truths, on a schedule: ``python -m tests.backends.traffic LIFE FILE``.

It says ``ready`` when it has exported zeros, reads the time at which the schedule began, works along it, and says ``done``
when it is over and exported. Each batch that it works on is named in the file, so that its rows can be made again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

import mlobs

Floats = NDArray[np.float64]

MODEL: Final = "credit"
VERSION: Final = "7"
ROWS: Final = 20  # a batch
STEP: Final = 0.02  # seconds between two batches
BATCHES: Final = 2100  # 42 seconds
DRIFT: Final = BATCHES // 2  # from this batch on
EXPORT: Final = 0.15
COSTS: Final[dict[tuple[str | float | bool, str | float | bool], float]] = {
    (True, True): 12.5,
    (True, False): -4.0,
    (False, True): -7.5,
    (False, False): 0.25,
}
CURRENCY: Final = "EUR"
WEIGHTS: Final = np.array([1.1, -0.6, 0.4])


class Batch(NamedTuple):
    """Rows, shape (20, 3), their scores, and what turned out to be true."""

    rows: Floats
    scores: Floats
    truths: NDArray[np.bool_]


def score(rows: Floats) -> Floats:
    """The model: what it says of rows."""
    return np.asarray(1 / (1 + np.exp(0.3 - rows @ WEIGHTS)), np.float64)


def batch(life: int, number: int) -> Batch:
    """What comes in one process' life as its batch of that number; from the drift on otherwise than before."""
    rng = np.random.default_rng([life, number])
    rows = rng.normal(size=(ROWS, 3)) * [1.0, 2.0, 0.5]
    if number >= DRIFT:
        rows = rows * [1.0, 1.6, 1.0] + [0.7, 0.0, 0.0]
    rows[rng.random(ROWS) < 0.02, 2] = np.nan
    scores = score(np.nan_to_num(rows))
    return Batch(rows, scores, rng.random(ROWS) < scores**1.4)


def past() -> Floats:
    """The rows that the model learned from."""
    rows = np.random.default_rng(2024).normal(size=(20_000, 3)) * [1.0, 2.0, 0.5]
    rows[::50, 2] = np.nan
    return rows


def reference() -> mlobs.Profile:
    """Of these rows and of their scores."""
    rows = past()
    return mlobs.Profile.build(rows, outputs=score(np.nan_to_num(rows)))


def worked(files: Sequence[tuple[int, Path]]) -> Batch:
    """All that these lives did, as one."""
    batches = [
        batch(life, number) for life, file in files for number in np.frombuffer(file.read_bytes(), np.int64).tolist()
    ]
    return Batch(*(np.concatenate([one[index] for one in batches]) for index in range(3)))


def main() -> None:
    """Live."""
    life, file = int(sys.argv[1]), sys.argv[2]
    mlobs.configure(
        service_name="bank", export_interval=EXPORT, fold_interval=0.1, spans="never", ticket_keys=["5b" * 32]
    )
    mlobs.objective(model=MODEL, version=VERSION, task="binary", costs=COSTS, currency=CURRENCY)
    predict = mlobs.observe(model=MODEL, version=VERSION, reference=reference())(
        lambda rows: score(np.nan_to_num(rows))
    )
    predict(np.empty((0, 3)))
    assert mlobs.ticket(label=False, score=0.5), "no ticket"
    assert mlobs.flush(timeout=20), "not exported"
    print("ready", flush=True)
    begun = float(sys.stdin.readline())
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(max(0, int((time.time() - begun) / STEP) + 1), BATCHES):
        time.sleep(max(0.0, begun + number * STEP - time.time()))
        one = batch(life, number)
        os.write(log, np.int64(number).tobytes())
        predict(one.rows)
        for ticket, truth in zip(mlobs.tickets(), one.truths.tolist(), strict=True):
            assert mlobs.outcome(ticket, actual=truth)
    os.close(log)
    assert mlobs.flush(timeout=20), "not exported"
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
