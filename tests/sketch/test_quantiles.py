"""One pass, merged in any way, exact at its own edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mlobs.sketch import Cuts, Quantiles, cut

Floats = NDArray[np.float64]

VALUES = arrays(np.float64, st.integers(0, 60), elements=st.floats() | st.integers(-9, 9).map(float))
LIMITS = st.sampled_from([2, 5, 16, 65_536])


def quantiles(*parts: Floats, limit: int = 65_536) -> Quantiles:
    made = Quantiles(limit)
    for part in parts:
        made.add(part)
    return made


def counted(cuts: Cuts, values: Floats) -> list[int]:
    into = np.zeros(cuts.size, dtype=np.int64)
    cuts.count(values, into)
    return into.tolist()


@given(VALUES, VALUES, LIMITS)
def test_merging_is_adding(one: Floats, other: Floats, limit: int) -> None:
    """merge(a, b), merge(b, a) and add(a + b) are the same, also where codes had to be coarsened."""
    both = quantiles(np.concatenate((one, other)), limit=limit)
    for first, second in ((one, other), (other, one)):
        merged = quantiles(first, limit=limit)
        merged.merge(quantiles(second, limit=limit))
        assert merged == both
        assert quantiles(first, second, limit=limit) == both


@given(VALUES, LIMITS, st.integers(1, 20))
def test_counts_are_those_of_the_values(values: Floats, limit: int, bins: int) -> None:
    """At its own edges the summary knows the exact counts, however coarse it has become."""
    made = quantiles(values, limit=limit)
    cuts = made.edges(bins)
    assert made.counts(cuts).tolist() == counted(cuts, values)
    assert made.distinct <= limit


@given(VALUES, st.integers(1, 20))
def test_exact_edges(values: Floats, bins: int) -> None:
    """While values are few enough, edges are those of the sorted values."""
    distinct, counts = np.unique(values[np.isfinite(values)] + 0.0, return_counts=True)
    made = quantiles(values)
    assert made.exact
    assert made.edges(bins).edges.tolist() == cut(distinct, counts.astype(np.int64), bins).tolist()


def test_many_values() -> None:
    """A million different values need bounded memory, and every bin still holds a tenth to within 0.1%."""
    values = np.random.default_rng(0).normal(1000, 1, size=1_000_000)
    made = quantiles(*np.array_split(values, 16))
    cuts = made.edges()
    counts = made.counts(cuts)
    assert not made.exact
    assert made.distinct <= 65_536
    assert counts.tolist() == counted(cuts, values)
    assert counts[:-1] / len(values) == pytest.approx([0.1] * 10, abs=0.001)


def test_the_range_leaves_infinities_out() -> None:
    """Infinities are counted in the outer bins, and are neither edges nor ends of the range."""
    values = np.array([-np.inf, 1.0, 2.0, 3.0, np.inf, np.inf, np.nan])
    made = quantiles(values)
    cuts = made.edges()
    assert (cuts.low, cuts.high) == (1.0, 3.0)
    assert made.counts(cuts).tolist() == [1, 1, 1, 1, 2, 1]


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [np.inf, -np.inf]])
def test_nothing_finite(values: list[float]) -> None:
    """Without a finite value there is one bin for every number."""
    made = quantiles(np.array(values, dtype=np.float64))
    assert made.edges().edges.tolist() == []
    assert made.counts(made.edges()).sum() == len(values)


def test_negative_zero_is_zero() -> None:
    """-0.0 and 0.0 are one value."""
    assert quantiles(np.array([-0.0, 0.0])).distinct == 1


def test_the_array_may_change_afterwards() -> None:
    """What was added is kept, not referred to."""
    values = np.array([1.0, 2.0])
    made = quantiles(values)
    values[:] = 5.0
    assert made == quantiles(np.array([1.0, 2.0]))
