"""Ordered bins: every value counted once, where the edges say, whichever path counts it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mlobs.sketch import Cuts, Found
from mlobs.sketch.bins import FEW, ROWS

Floats = NDArray[np.float64]

ANY = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
NICE = st.sampled_from([-math.inf, -3.0, -1.0, -0.0, 0.0, 5e-324, 1.0, 1.5, 2.0, 3.0, 1e308, math.inf, math.nan])
EDGES = st.lists(st.floats(-4, 4) | NICE.filter(math.isfinite), unique=True, max_size=19).map(
    lambda edges: np.unique(np.array(edges, dtype=np.float64))
)


def counted(cuts: Cuts, values: Floats) -> tuple[list[int], Found]:
    into = np.zeros(cuts.size, dtype=np.int64)
    found = cuts.count(values, into)
    return into.tolist(), found


def expected(cuts: Cuts, values: Floats) -> tuple[list[int], Found]:
    """What the definition says, one value at a time."""
    into, missing, infinite, outside = [0] * cuts.size, 0, 0, 0
    for value in values.tolist():
        if math.isnan(value):
            into[-1] += 1
            missing += 1
            continue
        into[sum(value > edge for edge in cuts.edges.tolist())] += 1
        infinite += math.isinf(value)
        slack = 2.0**-22
        inside = cuts.low - abs(cuts.low) * slack <= value <= cuts.high + abs(cuts.high) * slack
        outside += math.isfinite(value) and not inside
    return into, Found(missing=missing, infinite=infinite, range=outside)


@given(EDGES, arrays(np.float64, st.integers(0, 3 * FEW), elements=ANY | NICE), st.booleans())
def test_every_value_is_counted_once_where_the_edges_say(edges: Floats, values: Floats, bounded: bool) -> None:
    """Counts and violations are those of the definition, for few values and for many."""
    cuts = Cuts(edges, -2.0, 2.5) if bounded else Cuts(edges)
    assert counted(cuts, values) == expected(cuts, values)


def test_longer_than_a_chunk() -> None:
    """A column longer than one chunk is counted like its parts."""
    values = np.random.default_rng(0).normal(size=2 * ROWS + 5)
    values[[3, ROWS + 1]] = np.nan
    values[ROWS - 1] = np.inf
    cuts = Cuts(np.array([-1.0, 0.0, 1.0]), -3.0, 3.0)
    assert counted(cuts, values) == expected(cuts, values)


def test_counts_are_added() -> None:
    """Counting twice into the same array adds up."""
    cuts = Cuts(np.array([0.5]))
    into = np.zeros(3, dtype=np.int64)
    cuts.count(np.array([0.0, 1.0, np.nan]), into)
    cuts.count(np.array([0.0, 1.0, np.nan]), into)
    assert into.tolist() == [2, 2, 2]


def test_the_float32_copy_of_an_end_is_no_violation() -> None:
    """Rounding the reference's own extremes to float32 does not take them out of range."""
    low, high = -0.1, 0.1
    copies = np.array([low, high], dtype=np.float32).astype(np.float64)
    assert not low <= copies[0]
    assert copies[1] > high
    assert counted(Cuts(np.array([0.0]), low, high), copies)[1] == Found()


def test_keys_and_labels() -> None:
    """Keys are positions; labels are the shortest texts that tell the edges apart."""
    cuts = Cuts(np.array([1.0, 3.5]))
    assert cuts.keys == ("00", "01", "02", "missing")
    assert cuts.labels == ("≤ 1", "≤ 3.5", "> 3.5", "missing")
    assert (cuts.size, cuts.ordered) == (4, 3)
    assert Cuts(np.array([1.0, 1.0000000001])).labels[:2] == ("≤ 1", "≤ 1.0000000001")
    assert Cuts(np.zeros(0)).labels == ("any", "missing")
    assert Cuts(np.array([0.5]), names=("false", "true")).labels == ("false", "true", "missing")


def test_equal_by_edges() -> None:
    """Cuts are the same bins when their edges are, whatever the range and the labels."""
    one, same = Cuts(np.array([0.5]), 0, 1), Cuts(np.array([0.5]), names=("false", "true"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Cuts(np.array([0.25]))


def test_edges_cannot_change() -> None:
    """The edges are a copy, and frozen."""
    edges = np.array([1.0, 2.0])
    cuts = Cuts(edges)
    edges[0] = 0.0
    assert cuts.edges[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        cuts.edges[0] = 0.0


@pytest.mark.parametrize(
    ("edges", "more"),
    [
        ([2.0, 1.0], {}),
        ([1.0, 1.0], {}),
        ([np.nan], {}),
        ([np.inf], {}),
        ([[1.0]], {}),
        ([1.0], {"names": ("only one",)}),
        ([1.0], {"low": 2.0, "high": 1.0}),
        ([1.0], {"low": np.nan}),
    ],
)
def test_what_cannot_be_cuts(edges: Any, more: dict[str, Any]) -> None:
    """Edges out of order or not finite, labels of the wrong number and an empty range are refused."""
    with pytest.raises(ValueError):
        Cuts(np.array(edges), **more)
