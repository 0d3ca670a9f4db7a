"""The exponential histogram of OTLP."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mlobs.sketch import Exponential, add_columns

Floats = NDArray[np.float64]

VALUES = arrays(np.float64, st.integers(0, 60), elements=st.floats() | st.floats(0.5, 2) | st.just(0.0))
SIZES = st.sampled_from([3, 4, 20, 160])


def histogram(*parts: Floats, size: int = 160) -> Exponential:
    made = Exponential(size)
    for part in parts:
        made.add(part)
    return made


def state(made: Exponential) -> tuple[object, ...]:
    sides = [(side.offset, side.counts.tolist()) for side in (made.positive, made.negative)]
    return (made.scale, sides, made.zero_count, made.missing, made.infinite, made.min, made.max, made.count)


@given(VALUES, VALUES, SIZES)
def test_merging_is_adding(one: Floats, other: Floats, size: int) -> None:
    """merge(a, b), merge(b, a) and add(a + b) leave the same buckets."""
    both = histogram(np.concatenate((one, other)), size=size)
    for first, second in ((one, other), (other, one)):
        merged = histogram(first, size=size)
        merged.merge(histogram(second, size=size))
        assert state(merged) == state(both)
        assert state(histogram(first, second, size=size)) == state(both)


@given(VALUES, SIZES)
def test_every_value_is_in_its_bucket(values: Floats, size: int) -> None:
    """Bounds are powers of the base, the upper one inside; no side has too many buckets; nothing is lost."""
    made = histogram(values, size=size)
    finite = values[np.isfinite(values)]
    assert made.count == len(finite)
    assert made.missing + made.infinite == len(values) - len(finite)
    assert made.zero_count == np.count_nonzero(finite == 0)
    for side, part in ((made.positive, finite[finite > 0]), (made.negative, -finite[finite < 0])):
        assert len(side.counts) <= size
        assert side.counts.sum() == len(part)
        exact = np.log2(part) * 2.0**made.scale
        indexes = np.repeat(np.arange(len(side.counts)), side.counts) + side.offset
        slack = 1e-12 * 2.0**made.scale * 1100
        assert (indexes <= np.sort(exact) + slack).all()
        assert (np.sort(exact) <= indexes + 1 + slack).all()


@pytest.mark.parametrize("exponent", [-1074, -1022, -1, 0, 1, 10, 1023])
def test_a_power_of_two_is_the_upper_bound_of_its_bucket(exponent: int) -> None:
    """2**k ends its bucket at every scale, exactly; the next float begins another."""
    value = math.ldexp(1.0, exponent)
    made = histogram(np.array([value]))
    assert made.positive.offset == exponent * 2**20 - 1
    if value < 1e300 and exponent > -1022:
        above = histogram(np.array([math.nextafter(value, math.inf)]))
        assert above.positive.offset == exponent * 2**20


def test_resolution_is_halved_only_as_needed() -> None:
    """160 buckets over a factor of a thousand leave a base below 1.05."""
    made = histogram(np.array([0.001, 1.0]))
    assert made.scale == 4
    assert histogram(np.array([1.0, 1.0])).scale == 20


def test_the_whole_range_of_floats() -> None:
    """From the smallest subnormal to the largest float, three buckets a sign are enough."""
    made = histogram(np.array([5e-324, sys.float_info.max, -5e-324, -sys.float_info.max]), size=3)
    assert made.count == 4
    assert made.scale == -10
    assert (made.min, made.max) == (-sys.float_info.max, sys.float_info.max)


def test_sum() -> None:
    """The sum is that of the finite values, and stays finite."""
    made = histogram(np.array([1.0, 2.5, -0.5, math.nan, math.inf]))
    assert made.total == 3.0
    assert histogram(np.array([1e308, 1e308, 1e308])).total == sys.float_info.max
    made.merge(histogram(np.array([1.0])))
    assert made.total == 4.0


def test_nothing() -> None:
    """An empty histogram has no buckets and merges without a trace."""
    made = histogram(np.array([]), np.array([math.nan]))
    other = histogram(np.array([1.0, 2.0]))
    before = state(other)
    other.merge(Exponential())
    assert state(other) == before
    assert (made.count, made.missing, len(made.positive.counts), made.total) == (0, 1, 0, 0.0)


def test_at_least_three_buckets() -> None:
    """Two buckets could not hold every float at a scale that OTLP consumers know."""
    with pytest.raises(ValueError, match="at least 3"):
        Exponential(2)


MATRICES = arrays(
    np.float64,
    st.tuples(st.integers(0, 40), st.integers(0, 5)),
    elements=st.floats() | st.floats(0.5, 2) | st.floats(-3, 3) | st.sampled_from((0.0, -0.0)),
)


@given(st.lists(MATRICES, max_size=3), SIZES)
def test_columns_side_by_side_are_as_one_by_one(parts: list[Floats], size: int) -> None:
    """NaN, infinities, zeros, both signs, sums that overflow: every histogram is what `add` makes of its column."""
    parts = [part for part in parts if part.shape[1] == parts[0].shape[1]]
    width = parts[0].shape[1] if parts else 2
    together = [Exponential(size) for _ in range(width)]
    alone = [Exponential(size) for _ in range(width)]
    for part in parts:
        add_columns(together, part)
        for made, column in zip(alone, part.T, strict=True):
            made.add(column)
    assert [state(made) for made in together] == [state(made) for made in alone]
    for column, (made, other) in enumerate(zip(together, alone, strict=True)):
        values = [abs(value) for part in parts for value in part[:, column].tolist() if math.isfinite(value)]
        assert abs(made.total - other.total) <= 1e-12 * sum(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, np.bool_])
def test_columns_of_every_dtype_and_size(dtype: type) -> None:
    """More rows than are taken at once, not contiguous; a histogram may have two columns."""
    rows: Any = np.random.default_rng(3).integers(-3, 100, (300_000, 4)).astype(dtype)[::2, ::-1]
    one, two, both = Exponential(finest=10), Exponential(finest=10), Exponential(finest=10)
    add_columns([one, both, two, both], rows)
    expected = [Exponential(finest=10) for _ in range(3)]
    for made, columns in zip(expected, ([0], [2], [1, 3]), strict=True):
        for column in columns:
            made.add(rows[:, column].astype(np.float64))
    assert [state(made) for made in (one, two, both)] == [state(made) for made in expected]
    assert both.total == expected[2].total
