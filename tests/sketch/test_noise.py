"""What chance makes of a distance, checked against chance."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlobs.sketch import (
    Quantiles,
    Tally,
    benjamini_hochberg,
    judge,
    ks_noise,
    minimum_count,
    psi,
    psi_expected,
    psi_noise,
    psi_pvalue,
    psi_smoothing,
)

Counts = NDArray[np.int64]
SHARES = np.full(10, 0.1)


def draw(rng: np.random.Generator, rows: int, shares: NDArray[np.float64] = SHARES) -> Counts:
    return rng.multinomial(rows, shares).astype(np.int64)


def test_psi_of_no_drift_follows_the_noise_law() -> None:
    """Without drift, PSI has the expected mean, and passes its noise floor about once in a thousand times."""
    rng = np.random.default_rng(0)
    found = np.array([psi(draw(rng, 4000), draw(rng, 1000)) for _ in range(5000)])
    assert found.mean() == pytest.approx(psi_expected(10, 1000, 4000), rel=0.03)
    assert 0 < np.count_nonzero(found > psi_noise(10, 1000, 4000)) < 15
    pvalues = np.array([psi_pvalue(value, 10, 1000, 4000) for value in found])
    assert [np.mean(pvalues < level) for level in (0.5, 0.1, 0.01)] == pytest.approx([0.5, 0.1, 0.01], rel=0.25)


@pytest.mark.parametrize("bins", [2, 3, 11, 22])
def test_the_noise_floor_is_the_thousandth(bins: int) -> None:
    """Noise floor and p-value are two views of one law."""
    assert psi_pvalue(psi_noise(bins, 500, 900), bins, 500, 900) == pytest.approx(0.001, rel=0.001)


def test_known_quantiles() -> None:
    """Wilson and Hilferty's quantiles are those of the tables to within 4%."""
    assert psi_noise(11, 1, math.inf) == pytest.approx(29.588, rel=0.01)
    assert psi_noise(2, 1, math.inf) == pytest.approx(10.828, rel=0.035)
    assert ks_noise(100, math.inf) == pytest.approx(0.19495)


def test_nothing_counted() -> None:
    """Without rows there is no p-value, and no floor low enough."""
    assert math.isnan(psi_pvalue(0.1, 10, 0, 100))
    assert math.isnan(psi_pvalue(math.nan, 10, 100, 100))
    assert psi_noise(10, 0, 100) == ks_noise(100, 0) == math.inf


@given(st.lists(st.floats(0, 1) | st.floats(0, 1e-4) | st.just(math.nan), max_size=30))
def test_benjamini_hochberg_is_its_definition(pvalues: list[float]) -> None:
    """Rejected are the smallest k p-values, k the last whose p-value is at most alpha k / tests; never a NaN."""
    tested = sorted(value for value in pvalues if not math.isnan(value))
    last = max((k for k, value in enumerate(tested, 1) if value <= 0.001 * k / len(tested)), default=0)
    limit = tested[last - 1] if last else -1.0
    assert benjamini_hochberg(pvalues).tolist() == [value <= limit for value in pvalues]


def test_minimum_count() -> None:
    """About 430 rows for ten bins; more where the reference is small, and none suffice where it is too small."""
    assert 400 <= minimum_count(10) <= minimum_count(11) <= minimum_count(12) <= 440
    assert minimum_count(11, m=100_000) == pytest.approx(minimum_count(11), rel=0.01)
    assert minimum_count(11, m=600) > 1000
    assert minimum_count(11, m=300) == math.inf
    assert minimum_count(11, m=0) == math.inf


def test_the_minimum_count_has_its_power() -> None:
    """At that many rows a true PSI of 0.1 is found significant about 95 times in a hundred."""
    rng = np.random.default_rng(0)
    tilt = np.linspace(-1, 1, 10)
    shares = next(
        shares
        for size in np.linspace(0, 1, 10_000)
        if float(((shares := SHARES * (1 + size * tilt)) - SHARES) @ np.log(shares / SHARES)) >= 0.1
    )
    rows = int(minimum_count(10, m=100_000))
    floor = psi_noise(10, rows, 100_000)
    found = [psi(draw(rng, 100_000), draw(rng, rows, shares)) > floor for _ in range(1000)]
    assert 0.92 < np.mean(found) < 0.99


@pytest.mark.parametrize("reference", [1_000_000, 10_000_000, 100_000_000])
def test_rare_bins_of_a_large_reference_are_no_drift(reference: int) -> None:
    """Where nearly all rows are alike, smoothing the empty bins is not taken for drift, and real drift is seen later."""
    rng = np.random.default_rng(0)
    shares = np.array([1 - 180 / reference, *[10 / reference] * 18, 0, 0])
    known = rng.multinomial(reference, shares)
    moved = np.array([0.8, 0.2, *[0] * 19])
    for rows in (450, 525, 800, 1500, 5000):
        same = [judge([("a", "input", 0, known, rng.multinomial(rows, shares))])[0].verdict for _ in range(50)]
        assert {*same} <= {"stable", "insufficient"}, rows
        assert rows < 1500 or {*same} == {"stable"}
        assert rows < 1500 or judge([("a", "input", 0, known, rng.multinomial(rows, moved))])[0].verdict == "drifted"
    assert (
        psi_smoothing(11, 450, 1_000_000) - psi_expected(11, 450, 1_000_000) < 0.1
    )  # ten bins need no more rows for it


def test_verdicts() -> None:
    """Too few rows are insufficient, noise is stable, a small and a large shift are drifting and drifted."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=50_000)
    quantiles = Quantiles()
    quantiles.add(values)
    cuts = quantiles.edges()
    reference = quantiles.counts(cuts)

    def current(rows: int, shift: float) -> Counts:
        into = np.zeros(cuts.size, dtype=np.int64)
        cuts.count(rng.normal(shift, size=rows), into)
        return into

    cases = [("few", 100, 3.0), ("none", 0, 0.0), ("same", 5000, 0.0), ("tiny", 100_000, 0.05), ("some", 5000, 0.4)]
    drifts = judge(
        [(name, "input", cuts.ordered, reference, current(rows, by)) for name, rows, by in (*cases, ("far", 5000, 1.0))]
    )
    assert {drift.name: drift.verdict for drift in drifts} == {
        "few": "insufficient",
        "none": "insufficient",
        "same": "stable",
        "tiny": "stable",
        "some": "drifting",
        "far": "drifted",
    }
    tiny = drifts[3]
    assert tiny.pvalue < 1e-6
    assert tiny.count == 100_000
    assert math.isnan(drifts[1].psi)


def test_categories_have_no_ks() -> None:
    """Without an order there is no KS, and PSI decides."""
    drift = judge([("carrier", "input", 0, np.array([500, 500, 0, 0]), np.array([100, 900, 0, 0]))])[0]
    assert math.isnan(drift.ks)
    assert drift.verdict == "drifted"


def test_a_small_reference() -> None:
    """Against 150 rows nothing can be called stable, yet plain drift is seen."""
    rng = np.random.default_rng(0)
    reference = draw(rng, 150)
    shifted = np.array([0.01] * 5 + [0.19] * 5)
    drifts = judge(
        [("same", "input", 10, reference, draw(rng, 5000)), ("far", "input", 10, reference, draw(rng, 5000, shifted))]
    )
    assert [drift.verdict for drift in drifts] == ["insufficient", "drifted"]


def test_false_alarms() -> None:
    """Over a thousand undrifted features, next to none is accused, whatever the number of rows."""
    rng = np.random.default_rng(0)
    for rows in (450, 5_000):
        features = [(str(index), "input", 10, draw(rng, 20_000), draw(rng, rows)) for index in range(1000)]
        verdicts = Counter(drift.verdict for drift in judge(features))
        assert verdicts["stable"] >= 998


@pytest.mark.parametrize(("rows", "many"), [(600, 300), (800, 400), (1500, 800)])
def test_named_categories_that_were_frequent_by_chance_accuse_nobody(rows: int, many: int) -> None:
    """Of hundreds that are equally frequent, the named ones are those that the reference happened to have most of."""
    verdicts: Counter[str] = Counter()
    for seed in range(100):
        rng = np.random.default_rng(seed)
        reference = Tally()
        reference.add(rng.integers(0, many, rows))
        categories = reference.categories()
        current = np.zeros(categories.size, np.int64)
        categories.count(rng.integers(0, many, 5000), current)
        verdicts[judge([("shop", "input", 0, reference.count(categories), current)])[0].verdict] += 1
    assert verdicts.keys() <= {"stable", "insufficient"}


def test_drift_of_categories_that_are_really_frequent_is_seen() -> None:
    """Where ranks are no chance, nothing is taken off, also of a reference that is small."""
    shares = 1 / np.arange(1, 101)
    reference, moved = Tally(), Tally()
    reference.add(np.repeat(np.arange(100), (200 * shares).astype(np.int64)))
    moved.add(np.repeat(np.arange(100)[::-1], (200 * shares).astype(np.int64)))
    categories = reference.categories()
    drift = judge([("shop", "input", 0, reference.count(categories), moved.count(categories))])[0]
    assert drift.verdict == "drifted"


def test_no_features() -> None:
    """Nothing to judge is no verdict."""
    assert judge([]) == []
