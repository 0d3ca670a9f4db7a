"""Columns counted side by side are counted as they are one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlobs.sketch import CutMatrix, Cuts

PARTITIONS = [
    Cuts(np.array([0.5])),
    Cuts(np.linspace(-2, 2, 11), -1, 1),
    Cuts(np.zeros(0)),
    Cuts(np.array([-1e300, 0.0, 1e300]), -1e300, 1e300),
]


def check(matrix: Any) -> None:
    into = [np.zeros(cuts.size, np.int64) for cuts in PARTITIONS]
    found = CutMatrix(PARTITIONS).count(matrix, into)
    for index, cuts in enumerate(PARTITIONS):
        counts = np.zeros(cuts.size, np.int64)
        alone = cuts.count(np.ascontiguousarray(matrix[:, index], np.float64), counts)
        assert into[index].tolist() == counts.tolist()
        assert found[index] == alone


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 1023, 1024, 1025, 8191, 8192, 8193, 20_001])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, np.bool_])
def test_every_length_order_and_dtype(rows: int, order: Any, dtype: Any) -> None:
    """Around the sizes of chunks, words and lanes nothing is lost and nothing counted twice."""
    matrix = np.abs(np.random.default_rng(1).normal(0, 3, size=(rows, 4)))
    check(np.asarray(matrix.astype(dtype), order=order))


@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(0, 40), st.just(4)),
        elements=st.one_of(
            st.floats(),
            st.sampled_from([0.5, -2.0, 2.0, -1.0, 1.0, np.nextafter(1, 2), 1e300, -1e300, 1.7e308, -0.0, 5e-324]),
        ),
    )
)
def test_every_number(matrix: Any) -> None:
    """NaN, infinities, edges, the ends of the range and their neighbours land where one column alone puts them."""
    check(matrix)


def test_a_second_call_adds() -> None:
    """Counts are added to what is there."""
    into = [np.ones(cuts.size, np.int64) for cuts in PARTITIONS]
    counter = CutMatrix(PARTITIONS)
    for _ in range(2):
        counter.count(np.zeros((10, 4)), into)
    assert [int(counts.sum()) for counts in into] == [20 + cuts.size for cuts in PARTITIONS]


def test_numpys_buffer_size_is_left_as_it_was() -> None:
    """The setting the count needs is not left behind."""
    before = np.getbufsize()
    check(np.zeros((100, 4)))
    assert np.getbufsize() == before
