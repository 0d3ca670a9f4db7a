"""Edges between reference quantiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.sketch import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINITE = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)


def cut_of(values: list[float], bins: int = 10) -> NDArray[np.float64]:
    distinct, counts = np.unique(np.array(values, dtype=np.float64) + 0.0, return_counts=True)
    return cut(distinct, counts.astype(np.int64), bins)


@given(st.lists(FINITE | st.integers(-5, 5).map(float), max_size=60), st.integers(1, 20))
def test_edges_are_always_good(values: list[float], bins: int) -> None:
    """Edges increase strictly, are finite, make at most 20 bins, and up to `bins` values get one bin each."""
    edges = cut_of(values, bins)
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all() if len(edges) < 2 else (edges[1:] > edges[:-1]).all()
    assert len(edges) < 20
    distinct = {value + 0.0 for value in values}
    if len(distinct) <= bins:
        assert len(set(np.searchsorted(edges, sorted(distinct)).tolist())) == len(distinct)


def test_about_equal_shares() -> None:
    """Many different values fall into ten bins of a tenth each."""
    values = np.random.default_rng(0).normal(size=10_000)
    edges = cut_of(values.tolist())
    shares = np.diff(np.searchsorted(np.sort(values), edges, side="right"), prepend=0, append=10_000)
    assert shares.tolist() == [1000] * 10


def test_integers_are_separated_in_the_middle() -> None:
    """Edges between integers end in .5, and the outer bins of single values are closed at .5 as well."""
    assert cut_of([0, 1, 1, 2]).tolist() == [-0.5, 0.5, 1.5, 2.5]


def test_float32_copies_stay_on_their_side() -> None:
    """No value of a float32 data set changes its bin when it arrives as float64 or the other way round."""
    values = np.random.default_rng(0).gamma(2, size=5_000)
    copies = values.astype(np.float32).astype(np.float64)
    for edges in (cut_of(values.tolist()), cut_of(copies.tolist())):
        assert (np.searchsorted(edges, values) == np.searchsorted(edges, copies)).all()


@pytest.mark.parametrize("value", [0.0, 5.0, -2013.0, 1e-300, 5e-324, 1.7976931348623157e308])
def test_a_constant_has_a_bin_of_its_own(value: float) -> None:
    """Anything but the constant falls outside its bin, unless float64 ends there."""
    edges = cut_of([value] * 3)
    assert np.searchsorted(edges, value) == 1
    assert np.searchsorted(edges, value - max(abs(value), 1) * 1e-3) == 0
    if value < 1e308:
        assert np.searchsorted(edges, value + max(abs(value), 1) * 1e-3) == 2


def test_a_heavy_end_is_closed() -> None:
    """Where most values are one and the least, a value below it is new, and seen as that."""
    edges = cut_of([0.0] * 380 + list(np.linspace(0.1, 2, 20)))
    assert np.searchsorted(edges, [-0.2, 0.0, 0.1, 5.0]).tolist() == [0, 1, 2, 2]


def test_never_more_than_twenty_bins() -> None:
    """Twenty values fill the twenty bins; there is no room to close the outer ones."""
    assert cut_of([float(value) for value in range(20)], 20).tolist() == [value + 0.5 for value in range(19)]


def test_no_values() -> None:
    """Nothing to cut is no edge."""
    assert cut_of([]).tolist() == []


def test_values_next_to_each_other() -> None:
    """Neighbours in float64 are separated, though nothing lies between them."""
    one, two = 1.0, math.nextafter(1.0, 2.0)
    assert np.searchsorted(cut_of([one, two]), [one, two]).tolist() == [1, 2]


@pytest.mark.parametrize("bins", [0, 21])
def test_bins_have_bounds(bins: int) -> None:
    """Fewer than one and more than twenty bins are refused."""
    with pytest.raises(ValueError, match="from 1 to 20"):
        cut_of([1.0], bins)
