"""One row of thirty features in every container a caller holds it in, and what predicts it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

FEATURES = 30
NAMES = tuple(f"f{index}" for index in range(FEATURES))
CITIES = ("Amsterdam", "Berlin", "Copenhagen", "Dublin", "Espoo")
PLANS = ("basic", "plus", "pro")
ANSWER = np.array([0.5])


def predict(_: object) -> npt.NDArray[np.float64]:
    """Answer at once: a stand-in model, so that everything else in the time is telemetry."""
    return ANSWER


class Case(NamedTuple):
    """A container with one row in it, and training data of the same columns for a reference."""

    name: str
    row: Any
    training: Any


def cases(rows: int = 10_000) -> list[Case]:
    """Return the five cases; the training data has `rows` rows, from a fixed seed."""
    random = np.random.default_rng(7)
    matrix = random.lognormal(size=(rows, FEATURES))  # positive: the SDK refuses the rest
    floats = pd.DataFrame(matrix, columns=list(NAMES))
    mixed = floats.iloc[:, :27].copy()
    mixed["city"] = random.choice(CITIES, rows)
    mixed["plan"] = random.choice(PLANS, rows)
    mixed["visits"] = random.poisson(4, rows)
    first = matrix[:1].copy()
    return [
        Case("ndarray", first, floats),
        Case("list", first.tolist(), floats),
        Case("dict", dict(zip(NAMES, first[0].tolist(), strict=True)), floats),
        Case("dataframe", floats.iloc[:1].copy(), floats),
        Case("dataframe_mixed", mixed.iloc[:1].copy(), mixed),
    ]
