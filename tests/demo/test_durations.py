"""The latency histogram: sums, differences and quantiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.demo.durations import Durations

BOUNDS = (0.001, 0.01, 0.1)
counts = st.tuples(*[st.integers(0, 1000)] * 4)


def test_a_quantile_is_linear_inside_its_bucket() -> None:
    """Half of ten durations between 1 and 10 ms stay under 5.5 ms."""
    assert Durations(BOUNDS, (0, 10, 0, 0)).quantile(0.5) == pytest.approx(0.0055)


def test_the_first_bucket_begins_at_zero() -> None:
    """Durations below the first bound are spread from zero."""
    assert Durations(BOUNDS, (10, 0, 0, 0)).quantile(0.5) == pytest.approx(0.0005)


def test_above_the_last_bound_nothing_is_invented() -> None:
    """A quantile beyond the last bound is the last bound."""
    assert Durations(BOUNDS, (0, 0, 0, 10)).quantile(0.5) == 0.1


def test_nothing_has_no_quantile() -> None:
    """No durations, no quantile."""
    assert Durations().quantile(0.5) is None
    assert Durations(BOUNDS, (0, 0, 0, 0)).quantile(0.5) is None


@given(counts, counts)
def test_a_difference_undoes_a_sum(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """What two histograms are together, less one, is the other."""
    a, b = Durations(BOUNDS, first), Durations(BOUNDS, second)
    assert Durations.sum([a, b]).since(a) == b
    assert Durations.sum([a, Durations(), b]).total == a.total + b.total


@given(counts, st.floats(0.01, 0.5), st.floats(0.5, 1.0))
def test_quantiles_do_not_fall(filled: tuple[int, ...], low: float, high: float) -> None:
    """A larger share never stays under a smaller duration."""
    durations = Durations(BOUNDS, filled)
    below, above = durations.quantile(low), durations.quantile(high)
    assert below is None or (above is not None and below <= above)


def test_other_bounds_do_not_add() -> None:
    """Histograms of different bounds are refused."""
    with pytest.raises(ValueError, match="different bounds"):
        Durations.sum([Durations(BOUNDS, (1, 0, 0, 0)), Durations((1.0,), (1, 0))])
