"""What score bins say is what the raw scores say, within the stated bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from mlobs.sketch import scores

ROWS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=200).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def split(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return scores.count_scores(values[~labels])[0], scores.count_scores(values[labels])[0]


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from([0.1, 0.33, 0.5, 0.8]))
def test_every_figure_holds_its_bound(rows: list[tuple[float, bool]], threshold: float) -> None:
    """AUC, log-loss, Brier score, accuracy and F1 of scikit-learn lie within the bound of ours."""
    values, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = scores.realized(*split(values, labels), threshold=threshold)
    assert found is not None
    assert found.auc is not None
    assert found.f1 is not None
    predicted = values >= threshold
    for mine, theirs in (
        (found.auc, roc_auc_score(labels, values)),
        (found.log_loss, log_loss(labels, values)),
        (found.brier, brier_score_loss(labels, values)),
        (found.accuracy, accuracy_score(labels, predicted)),
        (found.f1, f1_score(labels, predicted, zero_division=0)),
    ):
        assert abs(mine.value - theirs) <= mine.bound + 1e-9


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_the_calibration_error_holds_its_bound(rows: list[tuple[float, bool]]) -> None:
    """The expected calibration error over the same bins, of the raw scores, lies within the bound."""
    values, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = scores.realized(*split(values, labels))
    bins = np.searchsorted(scores.EDGES, values)
    raw = sum(abs(values[bins == one].sum() - labels[bins == one].sum()) for one in set(bins.tolist())) / len(values)
    assert found is not None
    assert abs(found.calibration_error.value - raw) <= found.calibration_error.bound + 1e-9


@given(st.lists(st.floats(), max_size=50))
def test_one_score_and_many_are_counted_alike(values: list[float]) -> None:
    """`score_bin` and `count_scores` agree, and what is no score is counted as bad."""
    counts, bad = scores.count_scores(values)
    one_by_one = [scores.score_bin(value) for value in values]
    assert bad == one_by_one.count(None)
    assert counts.tolist() == [one_by_one.count(index) for index in range(scores.SIZE)]


def test_edges_are_forty_mirrored_bins() -> None:
    """Edges rise, mirror each other, and an edge belongs left."""
    assert len(scores.KEYS) == 40
    assert list(scores.EDGES) == sorted(set(scores.EDGES))
    assert np.allclose(np.array(scores.EDGES) + np.array(scores.EDGES)[::-1], 1)
    assert [scores.score_bin(edge) for edge in scores.EDGES] == list(range(39))


def test_nothing_counted_says_nothing() -> None:
    """Without a count there is no figure, and without both classes no AUC."""
    empty = np.zeros(scores.SIZE)
    assert scores.realized(empty, empty) is None
    assert scores.expected(empty) is None
    assert scores.expected_confidence(empty) is None
    one = empty.copy()
    one[3] = 5
    found = scores.realized(one, empty)
    assert found is not None
    assert found.auc is None


def promised(values: np.ndarray, rates: np.ndarray, threshold: float) -> dict[str, float]:
    """Expected accuracy, F1 and AUC of raw scores by scikit-learn: each row once as positive and once not, by its share."""
    truth = np.repeat([True, False], len(values))
    twice, weights = np.concatenate([values, values]), np.concatenate([rates, 1 - rates])
    predicted = twice >= threshold
    return {
        "accuracy": accuracy_score(truth, predicted, sample_weight=weights),
        "f1": f1_score(truth, predicted, sample_weight=weights, zero_division=0),
        "auc": roc_auc_score(truth, twice, sample_weight=weights),
    }


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.floats(0.001, 0.999), st.sampled_from([*scores.EDGES])), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.1, 0.33, 0.5, 0.8, 1.0]),
    st.booleans(),
)
def test_expected_figures_hold_their_bound(rows: list[float], threshold: float, measured: bool) -> None:
    """What the raw scores promise, each its own share or its bin's measured one, lies within the bound of ours."""
    values = np.array(rows)
    counts, _ = scores.count_scores(values)
    rates = np.sqrt(scores.MIDDLES) if measured else None
    shares = values if rates is None else rates[np.searchsorted(scores.EDGES, values)]
    found = scores.expected(counts, threshold=threshold, rates=rates)
    raw = promised(values, shares, threshold)
    assert found is not None
    for name, mine in found._asdict().items():
        assert mine is not None
        assert abs(mine.value - raw[name]) <= mine.bound + 1e-9


def test_expected_bounds_are_of_use() -> None:
    """Of scores all over the interval the bounds of what they promise are some hundredths, not the whole interval."""
    counts, _ = scores.count_scores(np.random.default_rng(8).random(10_000))
    found = scores.expected(counts)
    assert found is not None
    assert all(one is not None and one.bound < 0.04 for one in found)


@settings(max_examples=100, deadline=None)
@given(ROWS, ROWS)
def test_figures_of_added_counts_are_those_of_all_rows(
    one: list[tuple[float, bool]], other: list[tuple[float, bool]]
) -> None:
    """Two processes' counts, added, give exactly the figures of one process that saw every row."""

    def counts(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
        return split(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))

    added = [mine + theirs for mine, theirs in zip(counts(one), counts(other), strict=True)]
    assert scores.realized(*added) == scores.realized(*counts(one + other))
    assert scores.expected(sum(added)) == scores.expected(sum(counts(one + other)))


def test_a_positive_in_the_lowest_bin_bounds_the_log_loss_widely() -> None:
    """A surprise at a score near 0 costs between 9 and 36, and nobody knows how much from its bin."""
    found = scores.realized(*split(np.array([1e-9]), np.array([True])))
    assert found is not None
    assert 13 < found.log_loss.bound < 14
    assert math.isfinite(found.log_loss.value)


def test_expected_quality_holds_under_covariate_shift_and_fails_under_concept_drift() -> None:
    """Calibrated scores promise what comes true whatever the inputs do; not when the same scores mean something else."""
    random = np.random.default_rng(5)
    shifted = random.beta(5, 2, 50_000)  # far from the even spread on which a model was made
    truth = random.random(len(shifted)) < shifted
    hoped = scores.expected(scores.count_scores(shifted)[0])
    real = scores.realized(*split(shifted, truth))
    assert hoped is not None and real is not None  # noqa: PT018 - for the type checker
    assert hoped.auc is not None and real.auc is not None and hoped.f1 is not None and real.f1 is not None  # noqa: PT018
    for one, other in ((hoped.accuracy, real.accuracy), (hoped.auc, real.auc), (hoped.f1, real.f1)):
        assert abs(one.value - other.value) < 0.01
    drifted = random.random(len(shifted)) < 1 - shifted
    real = scores.realized(*split(shifted, drifted))
    assert real is not None
    assert hoped.accuracy.value - real.accuracy.value > 0.3


def test_calibration_mends_overconfident_scores() -> None:
    """Scores that overstate promise too much as they are, and the truth after calibration on held-out rows."""
    random = np.random.default_rng(6)
    share = random.random(60_000)
    truth = random.random(len(share)) < share
    pressed = 1 / (1 + np.exp(-3 * np.log(share / (1 - share))))
    rates = scores.calibration(pressed[:30_000], truth[:30_000])
    assert (np.diff(rates) >= 0).all()
    later = scores.count_scores(pressed[30_000:])[0]
    real = accuracy_score(truth[30_000:], pressed[30_000:] >= 0.5)
    plain, mended = scores.expected(later), scores.expected(later, rates=rates)
    assert plain is not None and mended is not None  # noqa: PT018 - for the type checker
    assert plain.accuracy.value - real > 0.05
    assert math.isclose(mended.accuracy.value, real, abs_tol=0.01)


def test_counts_add_up() -> None:
    """Figures of two parts' summed counts are those of all rows at once."""
    random = np.random.default_rng(7)
    values = random.random(1000)
    counts = [scores.count_scores(part)[0] for part in (values[:300], values[300:])]
    assert (counts[0] + counts[1]).tolist() == scores.count_scores(values)[0].tolist()


def test_labels_as_many_as_scores() -> None:
    """A calibration of other lengths is refused."""
    with pytest.raises(ValueError, match="as many labels as scores"):
        scores.calibration([0.5], [True, False])
