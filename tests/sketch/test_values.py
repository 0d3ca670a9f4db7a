"""Raw values: nothing raises, and what is no value of its kind is counted."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.sketch import instants, lengths, numbers


class Failing:
    """A value whose conversion fails, as a lazy one may."""

    def __float__(self) -> float:
        raise RuntimeError

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError


ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=3), st.binary(max_size=3),
    st.decimals(), st.fractions(), st.dates(), st.datetimes(), st.timedeltas(), st.lists(st.integers(), max_size=2),
    st.sampled_from([pd.NA, pd.NaT, 10**400, -(10**400), Failing(), object(), np.datetime64("NaT", "ns"), np.ma.masked]),
)  # fmt: skip


@given(st.lists(ANY, max_size=12), st.sampled_from([numbers, lengths, instants]))
def test_nothing_raises(values: list[Any], convert: Any) -> None:
    """Any list comes back as float64 of the same length, with no more bad values than NaNs."""
    column, bad = convert(values)
    assert column.dtype == np.float64
    assert column.shape == (len(values),)
    assert 0 <= bad <= np.count_nonzero(np.isnan(column))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.True_, 1.0),
        (-0.0, 0.0),
        (5e-324, 5e-324),
        (np.float32(1.5), 1.5),
        (np.uint64(2**64 - 1), 2.0**64),
        (Decimal("1.5"), 1.5),
        (Fraction(1, 2), 0.5),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (math.inf, math.inf),
        (np.array(2.5), 2.5),
        (dt.timedelta(minutes=1), 60.0),
        (np.timedelta64(1, "m"), 60.0),
        (pd.Timedelta(minutes=1), 60.0),
    ],
)
def test_numbers(value: Any, number: float) -> None:
    """What is a number becomes a float64, alone or among others."""
    assert numbers([value])[0].tolist() == [number]
    assert numbers([value, None, "x"])[0][0] == number
    assert numbers([value, None])[1] == 0


@pytest.mark.parametrize(
    "value", [None, math.nan, pd.NA, pd.NaT, np.datetime64("NaT", "ns"), Decimal("nan"), np.ma.masked]
)
def test_missing(value: Any) -> None:
    """Missing values are NaN and not bad, whatever they are looked for as."""
    for convert in (numbers, lengths, instants):
        column, bad = convert([value])
        assert math.isnan(column[0])
        assert bad == 0


@pytest.mark.parametrize(
    "value", ["3.5", "", b"1", 1j, np.complex64(1), [1], np.array([1.0]), {}, Failing(), dt.date(2020, 1, 1)]
)
def test_no_numbers(value: Any) -> None:
    """Strings, even of digits, complex numbers, containers and dates are no numbers."""
    column, bad = numbers([1.0, value])
    assert column[0] == 1.0
    assert math.isnan(column[1])
    assert bad == 1


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.uint64, np.float16, np.float32, np.float64, np.longdouble, object]
)
def test_number_arrays(dtype: Any) -> None:
    """Arrays of every numeric dtype become contiguous float64, strided ones too."""
    column, bad = numbers(np.array([0, 9, 1, 9], dtype=dtype)[::2])
    assert column.tolist() == [0.0, 1.0]
    assert column.flags.c_contiguous
    assert bad == 0


def test_other_arrays() -> None:
    """Arrays of text, of complex numbers and of datetimes hold no numbers; a masked number is missing."""
    assert numbers(np.array(["1", "2"]))[1] == 2
    assert numbers(np.array([1j]))[1] == 1
    assert numbers(np.array(["2020-01-01", "NaT"], dtype="M8[s]"))[1] == 1
    assert numbers(np.zeros((2, 2)))[1] == 2
    assert numbers(np.array([1, 2], dtype="m8[s]"))[0].tolist() == [1.0, 2.0]
    masked = numbers(np.ma.array([1.0, 2.0], mask=[False, True]))
    assert np.array_equal(masked[0], [1.0, math.nan], equal_nan=True)
    assert masked[1] == 0


def test_pandas_values() -> None:
    """Nullable and categorical pandas values are numbers where they are some."""
    assert np.array_equal(numbers(pd.array([1, None], dtype="Int64"))[0], [1.0, math.nan], equal_nan=True)
    assert numbers(pd.Series([1, 2], dtype="category").array)[0].tolist() == [1.0, 2.0]


def test_lengths() -> None:
    """Text has a length in characters, bytes in bytes, and nothing else has one."""
    column, bad = lengths(["", "née", b"ab", None, 5, ["x"]])
    assert column[:3].tolist() == [0.0, 3.0, 2.0]
    assert np.isnan(column[3:]).all()
    assert bad == 2
    assert lengths(np.array(["a", "bcd"]))[0].tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    "value",
    [
        "2020-01-01T01:00:00+01:00",
        "2020-01-01",
        "2020-01-01 00:00:00Z",
        dt.date(2020, 1, 1),
        dt.datetime(2020, 1, 1),  # noqa: DTZ001 - without a zone it is UTC
        dt.datetime(2020, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        np.datetime64("2020-01-01", "D"),
        np.datetime64("2020-01-01", "ns"),
        np.datetime64("2020", "Y"),
        pd.Timestamp("2020-01-01"),
        pd.Timestamp("2020-01-01", tz="UTC"),
        pd.Timestamp("2020-01-01 09:00", tz="Asia/Tokyo"),
    ],
)
def test_instants(value: Any) -> None:
    """Every way to write an instant is the same second, and no time zone is UTC."""
    assert instants([value]) == (np.array([1577836800.0]), 0)


@pytest.mark.parametrize("value", [0, 1.5, "yesterday", "", dt.time(1), object()])
def test_no_instants(value: Any) -> None:
    """A bare number and other text are no instants."""
    assert instants([value])[1] == 1


def test_instant_arrays() -> None:
    """Datetime arrays of every unit become seconds, and NaT becomes NaN."""
    for unit in ("D", "s", "ms", "us", "ns"):
        column, bad = instants(np.array(["1970-01-02", "NaT"], dtype=f"M8[{unit}]"))
        assert np.array_equal(column, [86400.0, math.nan], equal_nan=True)
        assert bad == 0
    masked: Any = np.ma.array(np.array([1, 2], dtype="M8[s]"), mask=[False, True])
    assert np.array_equal(instants(masked)[0], [1.0, math.nan], equal_nan=True)


@pytest.mark.parametrize("unit", ["W", "D", "3h", "s", "ms", "ns", "as"])
def test_times_of_every_unit_at_the_ends_of_their_range(unit: str) -> None:
    """The largest and least numbers of any unit are finite seconds, in order, and NaT is missing."""
    raw = np.array([-(2**62), -1, 0, 1, 2**62, -(2**63)], np.int64)
    for read, kind in ((numbers, "m8"), (instants, "M8")):
        seconds, bad = read(raw.view(f"{kind}[{unit}]"))
        assert bad == 0
        assert np.isfinite(seconds[:-1]).all()
        assert (np.diff(seconds[:-1]) > 0).all()
        assert np.isnan(seconds[-1])
