"""Flats that are for sale, made up: what the models learn from, what the traffic asks about, and which of them sold."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

Flat = dict[str, Any]

# District: what a square metre costs there, and what share of the flats is there.
DISTRICTS: Final = {"centre": (7_200, 0.2), "harbour": (6_100, 0.25), "north": (4_300, 0.35), "hills": (5_200, 0.2)}


def flats(rng: np.random.Generator, rows: int) -> list[Flat]:
    """So many flats as they come on the market: area in m², rooms, age in years, asking price, district."""
    names = list(DISTRICTS)
    where = rng.choice(len(names), rows, p=[share for _, share in DISTRICTS.values()])
    area = 25 + rng.gamma(4.0, 14.0, rows)
    age = rng.gamma(1.5, 22.0, rows)
    fair = area * np.array([price for price, _ in DISTRICTS.values()])[where] * np.exp(-age / 400)
    price = fair * rng.lognormal(0.0, 0.18, rows)
    return [
        {
            "area": round(float(area[row]), 1),
            "rooms": max(1, round(float(area[row]) / 28)),
            "age": int(age[row]),
            "price": round(float(price[row]), -3),
            "district": names[where[row]],
        }
        for row in range(rows)
    ]


def numbers(flat: Flat) -> list[float]:
    """What a model sees of a flat. Raises KeyError, TypeError and ValueError for what is none."""
    names = list(DISTRICTS)
    age = flat.get("age")
    return [
        float(flat["area"]),
        float(flat["rooms"]),
        float("nan") if age is None else float(age),
        float(flat["price"]) / float(flat["area"]) / DISTRICTS[flat["district"]][0],
        *(float(flat["district"] == name) for name in names),
    ]


def sells(flat: Flat) -> float:
    """How likely a flat really is to sell within a month: the dearer for its district, and the older, the less."""
    price, _ = DISTRICTS[flat["district"]]
    dear = math.log(flat["price"] / flat["area"] / price)
    return 1 / (1 + math.exp(-(0.6 - 6.0 * dear - flat["age"] / 60)))
