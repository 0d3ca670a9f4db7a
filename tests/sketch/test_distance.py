"""Distances: their formulas, their symmetries, and their agreement with the values that were counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlobs.sketch import Quantiles, chi_squared, jensen_shannon, ks, psi, wasserstein

Counts = NDArray[np.int64]


def counts(*values: int) -> Counts:
    return np.array(values, dtype=np.int64)


PAIR = st.integers(2, 12).flatmap(
    lambda bins: st.tuples(
        *[st.lists(st.integers(0, 1000), min_size=bins, max_size=bins).map(lambda c: counts(*c))] * 2
    )
)


@given(PAIR)
def test_nothing_between_equals_and_something_between_others(pair: tuple[Counts, Counts]) -> None:
    """Distances are symmetric, from 0 up, 0 for equal counts, and NaN exactly where a side is empty."""
    one, other = pair
    for distance in (psi, jensen_shannon, lambda a, b: ks(a, b).distance, lambda a, b: chi_squared(a, b).statistic):
        value = distance(one, other)
        if not one.sum() or not other.sum():
            assert math.isnan(value)
            continue
        assert value >= 0
        assert value == pytest.approx(distance(other, one))
        assert distance(one, one) == pytest.approx(0, abs=1e-12)


def test_psi_smooths_with_half_a_count_on_both_sides() -> None:
    """PSI is the formula over (count + 0.5) / (total + 0.5 bins)."""
    p, q = np.array([10.5, 0.5]) / 11, np.array([3.5, 7.5]) / 11
    assert psi(counts(10, 0), counts(3, 7)) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))


def test_jensen_shannon_ends_at_one() -> None:
    """Counts that share no bin approach 1 and never pass it."""
    assert 0.99 < jensen_shannon(counts(10**9, 0), counts(0, 10**9)) <= 1


def test_ks_bounds_the_distance_of_the_values() -> None:
    """The distance of the values lies between the one at the bins and its bound."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=3000), rng.normal(0.2, 1.1, size=2000)
    quantiles = Quantiles()
    quantiles.add(one)
    cuts = quantiles.edges()
    reference, current = quantiles.counts(cuts), np.zeros(cuts.size, dtype=np.int64)
    cuts.count(other, current)
    everything = np.sort(np.concatenate((one, other)))
    below = [np.searchsorted(np.sort(side), everything, side="right") / len(side) for side in (one, other)]
    exact = float(np.abs(below[0] - below[1]).max())
    found = ks(reference[: cuts.ordered], current[: cuts.ordered])
    assert 0.05 < found.distance <= exact <= found.bound
    assert found.bound - found.distance < 0.15


def test_chi_squared_is_pearsons() -> None:
    """The statistic is that of the two-row contingency table, over the bins that occur."""
    table = np.array([[20, 30, 0, 50], [60, 30, 0, 110]])
    expected = table.sum(axis=0) * table.sum(axis=1)[:, np.newaxis] / table.sum()
    met = expected > 0
    found = chi_squared(table[0], table[1])
    assert found.statistic == pytest.approx(float((((table - expected)[met]) ** 2 / expected[met]).sum()))
    assert found.freedom == 2


def test_wasserstein_of_a_shift() -> None:
    """Everything moved by one unit is one unit of distance, also where distribution functions cross."""
    edges = np.array([1.0, 2.0, 3.0])
    assert wasserstein(counts(5, 5, 0, 0), counts(0, 5, 5, 0), edges, 0.0, 4.0) == pytest.approx(1.0)
    assert wasserstein(counts(0, 2, 0, 0), counts(1, 0, 1, 0), edges, 0.0, 4.0) == pytest.approx(0.75)
    assert wasserstein(counts(5, 5, 0, 0), counts(5, 5, 0, 0), edges, 0.0, 4.0) == 0.0


def test_wasserstein_of_uniform_values() -> None:
    """Against the values themselves it is right to a fraction of a bin."""
    rng = np.random.default_rng(0)
    one, other = rng.uniform(0, 10, 20_000), rng.uniform(0, 10, 20_000) ** 2 / 10
    edges = np.arange(1.0, 10.0)
    binned = [np.histogram(side, np.arange(0.0, 11.0))[0].astype(np.int64) for side in (one, other)]
    exact = float(np.abs(np.sort(one) - np.sort(other)).mean())
    assert wasserstein(binned[0], binned[1], edges, 0.0, 10.0) == pytest.approx(exact, abs=0.1)


def test_wasserstein_without_edges() -> None:
    """One bin has no distance to itself; no values have none at all."""
    assert wasserstein(counts(3), counts(4), np.zeros(0), -math.inf, math.inf) == 0.0
    assert math.isnan(wasserstein(counts(0), counts(4), np.zeros(0), 0.0, 1.0))
