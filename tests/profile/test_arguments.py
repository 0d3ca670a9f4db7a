"""What a person gives `Profile.build` by mistake is told with its cure; what only looks like one is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mlobs.errors import ProfileError, UnreadableError
from mlobs.profile import Profile


class Person(NamedTuple):
    """A row of two columns."""

    age: int
    income: float


PEOPLE = [Person(age, age * 100.0) for age in range(18, 60)]
FRAME = pd.DataFrame(PEOPLE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {}}, "no rows"),
        ({"data": "train.csv"}, "a str is no data.* or try: mlobs profile"),
        ({"data": b"train.csv"}, "a bytes is no data"),
        ({"data": Path("train.csv")}, "Path is no data.* or try: mlobs profile"),
        ({"outputs": "age"}, "the columns themselves"),
        ({"bins": "10"}, "from 1 to 20"),
        ({"bins": None}, "from 1 to 20"),
        ({"bins": 10.5}, "from 1 to 20"),
        ({"bins": True}, "from 1 to 20"),
        ({"kinds": ["age"]}, "kinds= is a list.*Give a dict"),
        ({"kinds": []}, "kinds= is a list"),
        ({"kinds": {"size": "integer", 0: "integer"}}, r"columns that are not there: \['size', 0\]"),
        ({"like": "reference.json"}, r"like= is a str.*Profile\.load"),
        ({"model": 5}, "model=5 cannot be: give a text"),
        ({"version": 7}, "version=7 cannot be: give a text"),
        ({"version": ""}, "version='' cannot be"),
        ({"data": iter([(1, 2), (2, 4)])}, "both are single values: int and int. Let rows be dicts"),
    ],
)
def test_a_wrong_argument(settings: dict[str, Any], message: str) -> None:
    """A wrong argument is a ProfileError that names it and says what to give instead."""
    with pytest.raises(ProfileError, match=message):
        Profile.build(**{"data": FRAME, **settings})


def test_a_query_is_to_be_collected() -> None:
    """A LazyFrame says what a call says of it."""
    with pytest.raises(UnreadableError, match=r"collect\(\) it first"):
        Profile.build(pl.LazyFrame({"age": [1, 2]}))


def test_only_profiles_merge() -> None:
    """What is no profile, the path of one say, is told to be loaded."""
    with pytest.raises(ProfileError, match=r"is a str: expected a mlobs\.Profile.*Profile\.load"):
        Profile.build(FRAME).merge("reference.json")  # type: ignore[arg-type] # the mistake


def test_numpy_counts_bins_too() -> None:
    """A whole number of numpy's is a number of bins."""
    bins: Any = np.int64(5)
    assert Profile.build(FRAME, bins=bins) == Profile.build(FRAME, bins=5)


@pytest.mark.parametrize("rows", [iter(PEOPLE), FRAME.itertuples(index=False), (row for row in PEOPLE)])
def test_a_named_tuple_is_a_row(rows: Any) -> None:
    """Named tuples of two fields, one by one, are rows as in a list, no pairs of inputs and outputs."""
    assert Profile.build(rows) == Profile.build(PEOPLE)


def test_a_pair_may_hold_one_row() -> None:
    """A tuple of a row and its answer is a pair, whatever the answer is."""
    pairs = Profile.build((row._asdict(), row.age > 30) for row in PEOPLE)
    assert pairs == Profile.build(PEOPLE, outputs=[row.age > 30 for row in PEOPLE])


@pytest.mark.parametrize("plan", [1.0, "pro"])
def test_dicts_may_order_their_keys_differently(plan: Any) -> None:
    """Rows of the same columns are one table, however each orders them."""
    rows = [{"age": age, "plan": plan} for age in range(20)]
    turned = [dict(reversed(row.items())) if row["age"] % 3 else row for row in rows]
    assert Profile.build(turned) == Profile.build(rows)
