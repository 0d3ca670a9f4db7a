"""A program with an observed model of every kind of feature: a line of its input says what it is to do."""

from __future__ import annotations

import random
import sys
import time
from contextlib import suppress
from typing import Any

import mlobs
from mlobs.sketch.scores import MIDDLES

ROWS = 200
NAMES = ("age", "count", "flag", "plan", "word", "when")


def table(rows: int = ROWS, seed: int = 0) -> dict[str, list[Any]]:
    """Columns of every kind."""
    chance = random.Random(seed)
    return {
        "age": [chance.uniform(20, 60) for _ in range(rows)],
        "count": [chance.randint(0, 9) for _ in range(rows)],
        "flag": [chance.random() < 0.3 for _ in range(rows)],
        "plan": [chance.choice(["free", "pro", "team"]) for _ in range(rows)],
        "word": ["x" * chance.randint(1, 9) for _ in range(rows)],
        "when": [f"2024-01-{chance.randint(1, 28):02d}" for _ in range(rows)],
    }


def reference() -> mlobs.Profile:
    """Of such a table; its first two rows are the extremes, so that all others lie within."""
    data = table(5000, 1)
    data["age"][:2] = [20.0, 60.0]
    scores = [0.01, 0.99, *(random.Random(2).uniform(0.01, 0.99) for _ in range(4998))]
    return mlobs.Profile.build(data, outputs=scores, kinds={"word": "text", "when": "datetime"}, model="m", version="1")


def messy() -> list[dict[str, list[Any]]]:
    """Every violation of every kind, one column or table at a time."""
    good = table(20)
    wrong: dict[str, list[Any]] = {
        "age": [None, "x", float("inf"), 1e9, *good["age"][4:]],
        "count": [None, "x", float("inf"), 10**6, *good["count"][4:]],
        "flag": [None, "x", float("inf"), 7, *good["flag"][4:]],
        "plan": [None, ["free"], "unheard of", *good["plan"][3:]],
        "word": [None, 5, "x" * 500, *good["word"][3:]],
        "when": [None, 5, "2099-01-01", *good["when"][3:]],
    }
    tables = [{**good, name: column} for name, column in wrong.items()]
    tables.append({**good, "age": ["x"] * 20})  # dtype
    tables.append({name: good[name] for name in NAMES[1:]})  # missing_column
    tables.append({**good, "more": good["age"]})  # extra_column
    tables.append({name: good[name] for name in reversed(NAMES)})  # order
    return tables


def main() -> None:
    """``calm``: ordinary rows, a ticket for each call. ``messy``: all that can be wrong. ``truths``: outcomes of a prediction of every score bin."""
    mlobs.configure(export_interval=600.0, spans="never", cpu_price=1.0)
    mlobs.objective(model="m", task="binary", costs={(True, False): -5.0, (True, True): 10.0})
    scores = random.Random(3)
    wanted: list[float] = []

    @mlobs.observe(model="m", version="1", reference=sys.argv[1])
    def predict(rows: Any) -> list[float]:
        if rows is None:
            raise ValueError("no rows")
        time.sleep(0.001)
        return [float(wanted.pop()) if wanted else scores.uniform(0.02, 0.98) for _ in rows["plan"]]

    for line in sys.stdin:
        what = line.strip()
        if what == "calm":
            for seed in range(5):
                predict(table(seed=seed))
                mlobs.ticket()
        elif what == "messy":
            for rows in messy():
                predict(rows)
            with suppress(ValueError):
                predict(None)
        elif what == "truths":
            for number, score in enumerate(MIDDLES):  # of every bin
                wanted.append(score)
                predict(table(1, number))
                mlobs.outcome(mlobs.ticket(), actual=number % 3 == 0)
        print(mlobs.flush(timeout=20), flush=True)


if __name__ == "__main__":
    main()
