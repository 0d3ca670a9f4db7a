"""Categories: positional bins, one name for equal values, nothing rare written down."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.sketch import Categories, Found, Tally
from mlobs.sketch.categories import category

VALUE = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.floats(), st.text(max_size=2), st.just(pd.NA))
VALUES = st.lists(VALUE, max_size=40)


class Broken:
    """A value nobody can work with."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return 1

    def __str__(self) -> str:
        raise RuntimeError


class Colour(str, enum.Enum):
    """An enumeration whose members are strings."""

    RED = "red"


def tallied(*parts: list[Any], limit: int = 100_000) -> Tally:
    tally = Tally(limit)
    for part in parts:
        tally.add(part)
    return tally


def counted(categories: Categories, values: Any) -> tuple[list[int], Found]:
    into = np.zeros(categories.size, dtype=np.int64)
    found = categories.count(values, into)
    return into.tolist(), found


@given(VALUES, VALUES)
def test_merging_is_adding(one: list[Any], other: list[Any]) -> None:
    """merge(a, b), merge(b, a) and add(a + b) are the same."""
    both = tallied(one + other)
    for first, second in ((one, other), (other, one)):
        merged = tallied(first)
        merged.merge(tallied(second))
        assert merged == both
        assert tallied(first, second) == both


@given(VALUES, st.integers(0, 19), st.integers(1, 6))
def test_the_reference_counts_itself_alike(values: list[Any], named: int, private: int) -> None:
    """The tally's counts in its own bins are those of counting the values, and nothing is lost."""
    tally = tallied(values)
    categories = tally.categories(named, private)
    into, found = counted(categories, values)
    assert tally.count(categories).tolist() == into
    assert sum(into) == len(values)
    assert into[-1] == found.missing + found.type


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "a"),
        (np.str_("a"), "a"),
        (b"a", "a"),
        (Colour.RED, "red"),
        (True, "True"),
        (np.True_, "True"),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (np.float32(1), "1"),
        (np.int8(1), "1"),
        (Decimal("1.0"), "1"),
        (1.5, "1.5"),
        (np.float32(0.1), "0.1"),
        (math.inf, "inf"),
        (10**30, "1" + 30 * "0"),
        (1e300, "1e+300"),
        (dt.date(2020, 1, 2), "2020-01-02"),
        ((1, 2), "(1, 2)"),
    ],
)
def test_names(value: Any, name: str) -> None:
    """Equal values of different types have one name, whether they come in a list or an array."""
    assert counted(Categories((name,)), [value])[0] == [1, 0, 0]
    if np.array([value]).dtype != object and not isinstance(value, (tuple, Colour)):
        assert counted(Categories((name,)), np.array([value, value]))[0] == [2, 0, 0]


@pytest.mark.parametrize(
    "value", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "ns"), np.ma.masked]
)
def test_missing(value: Any) -> None:
    """Every way to say nothing is missing."""
    assert counted(Categories(("a",)), [value]) == ([0, 0, 1], Found(missing=1))


@pytest.mark.parametrize("value", [[], {}, np.array([1]), Broken(), 10**5000], ids=lambda value: type(value).__name__)
def test_what_has_no_name(value: Any) -> None:
    """What cannot be hashed or printed is missing, and a violation of type; the values beside it count."""
    assert counted(Categories(("a",)), ["a", value, "a"]) == ([2, 0, 1], Found(type=1))


def test_true_is_not_one() -> None:
    """True and 1 are equal in Python, and different categories."""
    assert counted(Categories(("True", "1", "False", "0")), [True, 1, 1.0, False, 0, "True"])[0] == [2, 2, 1, 1, 0, 0]


def test_keys_are_positions() -> None:
    """A category called like a bin is in the bin of its own name."""
    categories = Categories(("missing", "other", "c00", ""))
    assert categories.keys == ("c00", "c01", "c02", "c03", "other", "missing")
    assert categories.labels == ("missing", "other", "c00", "(empty)", "other", "missing")
    assert counted(categories, ["c00", "missing", None, "other", "x", ""])[0] == [1, 1, 1, 1, 1, 1]
    assert (categories.size, categories.ordered) == (6, 0)


def test_a_long_label_is_shortened() -> None:
    """Labels end after 80 characters; names do not."""
    assert Categories(("x" * 100,)).labels[0] == "x" * 79 + "…"


def test_unseen() -> None:
    """What the reference knows beyond the named is other; what it does not is unseen as well."""
    assert counted(Categories(("a",), frozenset({"b"})), ["a", "b", "z", "z"]) == ([1, 3, 0], Found(unseen=2))


def test_the_most_frequent_are_named() -> None:
    """Names come in order of falling counts, ties in order of the name, and the rest is known."""
    values = ["b"] * 6 + ["a"] * 6 + ["c"] * 9 + ["d"] * 5
    categories = tallied(values).categories(named=3)
    assert categories.names == ("c", "a", "b")
    assert categories.known == {"d"}


def test_the_rare_are_written_down_nowhere() -> None:
    """A category seen less than five times is in neither names nor known."""
    tally = tallied(["Ada"] * 4 + ["x"] * 5)
    categories = tally.categories()
    assert (categories.names, categories.known) == (("x",), frozenset())
    assert tally.count(categories).tolist() == [5, 4, 0]


def test_at_most_nineteen_names() -> None:
    """Nineteen named, other and missing make 21 bins at most."""
    values = [str(index) for index in range(40) for _ in range(5)]
    assert tallied(values).categories().size == 21
    with pytest.raises(ValueError, match="at most 19"):
        Categories(tuple(map(str, range(20))))


def test_memory_is_bounded() -> None:
    """Beyond its bound the tally folds the rarest; the frequent keep their exact counts and nothing is lost."""
    rare = [f"id {index}" for index in range(1000)]
    tally = tallied(*([*rare[start : start + 20], "a", "a", "b"] for start in range(0, 1000, 20)), limit=50)
    assert len(tally.counts) <= 50
    assert (tally.counts["a"], tally.counts["b"]) == (100, 50)
    assert tally.total == 1150
    assert tally.distinct == 1002


@given(st.lists(st.lists(st.integers(0, 60).map(str), max_size=30), max_size=6), st.integers(1, 40))
def test_different_ones_are_counted_once(parts: list[list[str]], limit: int) -> None:
    """However values are split, merged and folded, a category that comes again is none more."""
    whole = tallied(*parts, limit=limit)
    merged = Tally(limit)
    for part in reversed(parts):
        merged.merge(tallied(part, limit=limit))
    assert whole.distinct == merged.distinct == len({value for part in parts for value in part})


def test_arrays() -> None:
    """Arrays of any dtype count like the lists of their values."""
    categories = Categories(("1", "2", "True", "a"))
    assert counted(categories, np.array([1.0, 2.0, np.nan]))[0] == [1, 1, 0, 0, 0, 1]
    assert counted(categories, np.array([True, True]))[0] == [0, 0, 2, 0, 0, 0]
    assert counted(categories, np.array(["a", "1"]))[0] == [1, 0, 0, 1, 0, 0]
    assert counted(categories, np.array(["a", 1, None], dtype=object))[0] == [1, 0, 0, 1, 0, 1]
    assert counted(categories, np.ma.array([1, 2], mask=[False, True]))[0] == [1, 0, 0, 0, 0, 1]
    assert counted(categories, np.array(["2020-01-01", "NaT"], dtype="M8[ns]"))[0] == [0, 0, 0, 0, 1, 1]
    assert counted(categories, [])[0] == [0] * 6


def test_many_values_are_counted_by_their_distinct_ones() -> None:
    """A long list comes out like a plain Counter says."""
    values = np.random.default_rng(0).choice(["a", "b", "c"], size=10_000).tolist()
    assert counted(Categories(("a", "b", "c")), values)[0][:3] == [Counter(values)[name] for name in "abc"]


def test_an_instant_has_one_name_whatever_holds_it() -> None:
    """Numpy's datetimes, of any unit, pandas' and Python's are one category."""
    instant = dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001 - as data files have them
    names = {category(np.datetime64(instant, unit)) for unit in ("s", "ms", "us", "ns")}
    assert names == {category(instant), category(pd.Timestamp(instant))} == {"2024-01-01 12:00:00"}
    assert category(np.datetime64("2024-01-01")) == category(dt.date(2024, 1, 1)) == "2024-01-01"
