"""What is counted of truths equals scikit-learn's numbers on the same labels."""

from __future__ import annotations

import enum
import itertools
import math
import tracemalloc
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    recall_score,
    roc_auc_score,
)
from tests.release.objectives import objective

from mlobs.otel.points import NO_ATTRIBUTES, Histogram, Numbers
from mlobs.release.prediction import Prediction
from mlobs.release.tally import Tally

NOW = 1_800_000_000.0


def made(label: Any = None, score: float | None = None, *, at: float = NOW, task: str = "") -> Prediction:
    return Prediction(b"0" * 12, "m", "1", "champion", at, None, task, label, score)


def points(tally: Tally) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for one in tally.collect():
        if isinstance(one, Numbers):
            for each, value in zip(one.each, one.values, strict=True):
                found[(one.instrument.name, *(pair[1] for pair in each.items()))] = value
    return found


def test_binary_equals_scikit_learn() -> None:
    """Confusion, accuracy, precision, recall, F1 exactly; AUC within its bound; money by the cost matrix."""
    random = np.random.default_rng(1)
    scores = random.random(5000)
    labels = random.random(5000) < scores
    worth = {(1, 1): 40.0, (True, False): -15.0, (0, 1): -60.0}
    judged = objective(task="binary", threshold=0.4, costs=worth)
    tally = Tally(NO_ATTRIBUTES)
    for score, label in zip(scores.tolist(), labels, strict=True):
        assert tally.add(made(None, score), label, NOW + 5, judged) is None  # labels are numpy's
    tally.expected(10_000)
    quality = tally.quality(None, None, judged)
    predicted = scores >= 0.4
    (tn, fp), (fn, tp) = confusion_matrix(labels, predicted)
    assert quality.confusion == {("0", "0"): tn, ("1", "0"): fp, ("0", "1"): fn, ("1", "1"): tp}
    assert quality.accuracy == accuracy_score(labels, predicted)
    assert quality.precision == precision_score(labels, predicted)
    assert quality.recall == recall_score(labels, predicted)
    assert math.isclose(quality.f1 or 0, f1_score(labels, predicted))
    assert quality.auc is not None
    assert abs(quality.auc.value - roc_auc_score(labels, scores)) <= quality.auc.bound < 0.02
    assert quality.coverage == 0.5
    assert quality.value == {"EUR": 40.0 * tp - 15.0 * fp - 60.0 * fn}
    found = points(tally)
    assert found["mlobs.business.value", "prediction", "EUR", "gain"] == 40.0 * tp
    assert sum(value for key, value in found.items() if key[0] == "mlobs.outcome.score") == 5000


def test_classes_and_regressions_equal_scikit_learn() -> None:
    """Accuracy of several classes; MAE, RMSE and bias of a regression."""
    random = np.random.default_rng(2)
    actual, predicted = random.choice(["a", "b", "c"], 500), random.choice(["a", "b", "c"], 500)
    tally = Tally(NO_ATTRIBUTES)
    for one, other in zip(predicted.tolist(), actual.tolist(), strict=True):
        tally.add(made(one, 0.6), other, NOW, None)
    assert tally.quality(None, None, None).accuracy == accuracy_score(actual, predicted)
    truth, guess = random.normal(size=700), random.normal(size=700)
    tally = Tally(NO_ATTRIBUTES)
    for value, real in zip(guess.tolist(), truth.tolist(), strict=True):
        tally.add(made(value), real, NOW, None)
    quality = tally.quality(None, None, None)
    assert math.isclose(quality.mae or 0, mean_absolute_error(truth, guess))
    assert math.isclose(quality.rmse or 0, mean_squared_error(truth, guess) ** 0.5)
    assert math.isclose(quality.bias or 0, float((guess - truth).mean()))


class Hostile:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError


def test_what_is_no_truth_is_refused() -> None:
    """Each bad truth has its reason, nothing is raised, and nothing is counted."""
    tally = Tally(NO_ATTRIBUTES)
    for actual in (None, math.nan, math.inf, [1], 10**4000, Hostile(), np.datetime64("NaT", "s"), b"1", 1j):
        assert tally.add(made(None, 0.5), actual, NOW, None) == "invalid"
    assert tally.quality(None, None, None).joined == 0


def test_other_refusals_have_their_reasons() -> None:
    """A class that nobody named, a truth before its prediction, text or too large a number for a regression."""
    tally = Tally(NO_ATTRIBUTES)
    assert tally.add(made("a"), "z", NOW, objective(task="multiclass", classes=["a", "b"])) == "unknown_class"
    assert tally.add(made("a", at=NOW + 61), "a", NOW, None) == "early"
    assert tally.add(made(1.0), "late", NOW, objective(task="regression")) == "invalid"
    assert tally.add(made(1e200), 1.0, NOW, None) == "invalid"
    assert tally.add(made(1.0), 10**400, NOW, None) == "invalid"


def test_times_choose_by_the_prediction() -> None:
    """`since` and `until` take the hours in which predictions were made, whenever their truth came; hours are bounded."""
    tally = Tally(NO_ATTRIBUTES)
    for hour in range(300):
        tally.add(made("a", at=NOW - 3600.0 * hour), "a", NOW, None)
    assert tally.quality(NOW - 3600.0 * 9, None, None).joined == 10
    assert tally.quality(None, NOW - 3600.0 * 10, None).joined == 289  # not the hour that begins then
    assert tally.quality(None, None, None).joined == 300
    assert len(tally._hours) <= 202


def test_classes_are_bounded() -> None:
    """Beyond twenty classes the names are one, no truth is lost, and the accuracy is still that of all classes."""
    tally = Tally(NO_ATTRIBUTES)
    for number in range(100):
        tally.add(made(f"c{number}"), f"c{number}", NOW, None)
    assert tally.add(made("c98"), "c99", NOW, None) is None
    quality = tally.quality(None, None, None)
    confusion = quality.confusion
    assert quality.accuracy == 100 / 101
    assert sum(confusion.values()) == 101
    assert len(confusion) == 21
    told = {key[1:]: value for key, value in points(tally).items() if key[0] == "mlobs.outcome.confusion"}
    assert told["_OTHER", "_OTHER"] == 80  # what is right, so that the diagonal is all that is
    assert told["_OTHER", "_ANOTHER"] == 1


def test_business_events_and_money() -> None:
    """Gains and losses are counted apart, currencies too, and what is none has its reason."""
    tally = Tally(NO_ATTRIBUTES)
    assert tally.business("conversion", 39.9, "EUR") is None
    assert tally.business("conversion", -9.9, "EUR") is None
    assert tally.business("conversion", 5, "USD") is None
    assert tally.business("visit", None, None) is None
    refused = [("", 1.0, "EUR"), ("k", math.inf, "EUR"), ("k", 10**400, "EUR"), ("k", "9", "EUR"), ("k", 1.0, "euro")]
    assert [tally.business(*event) for event in refused] == ["kpi", "value", "value", "value", "currency"]
    assert tally.business(Hostile(), Hostile(), Hostile()) == "kpi"
    found = points(tally)
    assert found["mlobs.business.events", "conversion"] == 3
    assert found["mlobs.business.value", "conversion", "EUR", "gain"] == 39.9
    assert found["mlobs.business.value", "conversion", "EUR", "loss"] == 9.9
    assert tally.quality(None, None, None).value == {"EUR": 30.0, "USD": 5.0}


class Contrary:
    """Every question to it fails."""

    def _fail(self, *_: object) -> Any:
        raise RuntimeError

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = __float__ = __int__ = __index__ = __bool__ = _fail
    __str__ = __repr__ = __iter__ = __len__ = __getitem__ = _fail
    __class__ = property(_fail)


class Text(str):
    """A text that hides behind its own methods."""

    __slots__ = ()
    __eq__ = __hash__ = __str__ = __len__ = Contrary._fail


class Whole(int):
    """A whole number that does."""

    __eq__ = __hash__ = __str__ = __index__ = __int__ = __float__ = __bool__ = Contrary._fail


class Colour(enum.Enum):
    RED = 1


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.datetimes(),
    st.lists(st.integers(), max_size=3),
)
STRANGE: tuple[Any, ...] = (
    Contrary(), Contrary, Hostile(), Text("a"), Whole(1), Colour.RED, 10**400, 10**5000, -(10**400), "\ud800",
    "x" * 10_000, pd.NA, pd.NaT, pd.Timestamp(0), np.float16(1), np.float32("nan"), np.bool_(True), np.int8(1),
    np.str_("a"), np.bytes_(b"a"), np.datetime64("NaT", "s"), np.timedelta64(1, "s"), np.array(1), np.array([1, 2]),
    np.longdouble("1e400"), np.ma.masked, Decimal("sNaN"), Decimal(1), object(), type, print, ...,
)  # fmt: skip
LABELS = (None, True, 1, 3, 0.4, -7.5, math.nan, math.inf, "a", "", 10**300)
SCORES = (None, 0.0, 0.7, 1.0, 1.5, math.nan)
JUDGED: tuple[dict[str, Any] | None, ...] = (
    None, {"task": "binary"}, {"classes": ["a", "b"], "positive": "b"}, {"costs": {(1, 0): 5}}, {"task": "regression"},
)  # fmt: skip


def join(actual: Any, label: Any, score: float | None, task: str, judged: dict[str, Any] | None) -> str | None:
    """Add a truth to a new tally, and check that it was counted whole or not at all."""
    tally = Tally(NO_ATTRIBUTES)
    aim = None if judged is None else objective(**judged)
    reason = tally.add(made(label, score, task=task), actual, NOW, aim)
    quality = tally.quality(None, None, aim)
    assert quality.joined == (reason is None)
    assert (reason is None) or (quality.confusion, quality.mae, quality.auc, quality.value) == ({}, None, None, {})
    assert all(math.isfinite(value) for value in points(tally).values())
    assert str(quality)
    return reason


@settings(max_examples=500, deadline=None)
@given(
    ANYTHING,
    st.sampled_from(LABELS),
    st.sampled_from(SCORES),
    st.sampled_from(["", "binary", "multiclass", "regression"]),
    st.sampled_from(JUDGED),
)
def test_nothing_is_raised_and_all_is_counted_or_refused(
    actual: Any, label: Any, score: float | None, task: str, judged: dict[str, Any] | None
) -> None:
    """Whatever comes as truth, of whatever prediction: it is joined, or refused for one of two reasons."""
    assert join(actual, label, score, task, judged) in (None, "invalid", "unknown_class")


@pytest.mark.parametrize("index", range(len(STRANGE)))
def test_strange_objects_do_not_raise(index: int) -> None:
    """Objects that answer no question, whole numbers beyond floats, half a surrogate pair, scalars of numpy and pandas."""
    for label, judged in itertools.product(LABELS, JUDGED):
        assert join(STRANGE[index], label, 0.7, "", judged) in (None, "invalid", "unknown_class")
    for event in itertools.product((STRANGE[index], "k"), (STRANGE[index], 1.0, None), (STRANGE[index], "EUR")):
        tally = Tally(NO_ATTRIBUTES)
        assert tally.business(*event) in (None, "kpi", "value", "currency")
        assert all(math.isfinite(value) for value in points(tally).values())


@settings(max_examples=300, deadline=None)
@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_event_raises(kpi: Any, value: Any, currency: Any) -> None:
    """Whatever comes as an event: it is counted, or one of three reasons is told; money stays finite."""
    tally = Tally(NO_ATTRIBUTES)
    assert tally.business(kpi, value, currency) in (None, "kpi", "value", "currency")
    assert all(math.isfinite(value) for value in points(tally).values())


def test_a_label_that_hides_is_still_no_harm() -> None:
    """A prediction that a program made with a label of its own kind does not raise when its truth comes."""
    for label in (Contrary(), Text("a"), Whole(1)):
        tally = Tally(NO_ATTRIBUTES)
        assert tally.add(made(label, 0.5), "a", NOW, None) is None


def test_truths_of_numpy_and_python_are_one() -> None:
    """True, 1, 1.0 and numpy's scalars of them are one class; pandas' missing values are no truth."""
    tally = Tally(NO_ATTRIBUTES)
    for actual in (True, 1, 1.0, np.bool_(True), np.int64(1), np.float32(1)):
        assert tally.add(made(None, 0.9, task="binary"), actual, NOW, None) is None
    assert tally.quality(None, None, None).confusion == {("1", "1"): 6}
    assert [tally.add(made(None, 0.9), one, NOW, None) for one in (pd.NA, pd.NaT, np.nan)] == ["invalid"] * 3


def test_a_binary_truth_is_one_of_two_classes() -> None:
    """What is neither the positive class nor the other one is unknown, not a negative; the other one may have a name."""
    tally = Tally(NO_ATTRIBUTES)
    aim = objective(task="binary")
    assert [tally.add(made(None, 0.9), one, NOW, aim) for one in (2, -1, 0.7, "no")] == ["unknown_class"] * 4
    assert tally.add(made(None, 0.9, task="binary"), "fraud", NOW, None) == "unknown_class"
    named = objective(task="binary", positive="fraud", classes=["fraud", "legit"])
    assert tally.add(made(None, 0.1), "legit", NOW, named) is None
    assert tally.add(made(None, 0.9), "fraud", NOW, named) is None
    quality = tally.quality(None, None, named)
    assert quality.confusion == {("legit", "legit"): 1, ("fraud", "fraud"): 1}
    assert quality.joined == 2


def test_without_an_objective_named_classes_are_compared() -> None:
    """Where truths arrive nobody may have said what the positive class is called: labels still tell right from wrong."""
    tally = Tally(NO_ATTRIBUTES)
    assert tally.add(made("fraud", 0.9, task="binary"), "legit", NOW, None) is None
    quality = tally.quality(None, None, None)
    assert quality.confusion == {("fraud", "legit"): 1}
    assert quality.auc is None


def test_what_is_no_score_predicts_nothing() -> None:
    """NaN, or a number beyond 1, does not count as a predicted negative."""
    tally = Tally(NO_ATTRIBUTES)
    for score in (math.nan, 1.5, -0.1):
        assert tally.add(made(None, score), True, NOW, objective(task="binary")) is None
    assert tally.quality(None, None, None).confusion == {}


def test_numbers_of_many_classes_are_no_scores_of_two() -> None:
    """Of class 7 with its probability a truth of 1 is another class, not a positive."""
    tally = Tally(NO_ATTRIBUTES)
    tally.add(made(7, 0.8), 1, NOW, None)
    quality = tally.quality(None, None, None)
    assert (quality.auc, quality.confusion) == (None, {("7", "1"): 1})


def test_what_is_refused_leaves_no_trace() -> None:
    """Refused truths take no hour from those that count."""
    tally = Tally(NO_ATTRIBUTES)
    tally.add(made("a", at=NOW - 3600.0 * 300), "a", NOW, None)
    for hour in range(250):
        assert tally.add(made(1.0, at=NOW - 3600.0 * hour), "no number", NOW, objective(task="regression")) == "invalid"
    assert tally.quality(None, NOW - 3600.0 * 299, None).joined == 1
    assert tally.quality(NOW - 3600.0 * 298, None, None).joined == 0


def test_older_hours_are_one() -> None:
    """Times that overlap what is no longer kept apart take all of it, others nothing of it."""
    tally = Tally(NO_ATTRIBUTES)
    for hour in reversed(range(300)):
        tally.add(made("a", at=NOW - 3600.0 * hour), "a", NOW, None)
    kept = len(tally._hours) - 1
    assert tally.quality(NOW - 3600.0 * (kept - 1), None, None).joined == kept
    assert tally.quality(NOW - 3600.0 * 290, NOW - 3600.0 * 280, None).joined == 300 - kept
    assert tally.quality(NOW - 3600.0 * 400, NOW - 3600.0 * 301, None).joined == 0


def test_counters_only_grow() -> None:
    """Whatever comes, gains and losses, errors on both sides: no counter ever falls."""
    random = np.random.default_rng(4)
    aim = objective(task="binary", costs={(1, 0): -3, (1, 1): 2})
    tally, before = Tally(NO_ATTRIBUTES), dict[tuple[str, ...], float]()
    for step in range(300):
        tally.add(made(None, float(random.random())), bool(random.integers(2)), NOW, aim)
        tally.add(made(float(random.normal())), float(random.normal()), NOW, objective(task="regression"))
        tally.add(made(f"c{random.integers(30)}"), f"c{random.integers(30)}", NOW, None)
        tally.business("k", float(random.normal()), "EUR")
        if step % 20 == 0:
            now = points(tally)
            assert all(now[key] >= value for key, value in before.items())
            before = now


def test_money_stays_a_number() -> None:
    """Amounts that would add up to infinity are refused; Decimals are money, texts and truth values are none."""
    tally = Tally(NO_ATTRIBUTES)
    assert tally.business("k", 1e200, "EUR") == "value"
    assert tally.business("k", Decimal("39.90"), "EUR") is None
    assert [tally.business("k", one, "EUR") for one in (True, "9", Decimal("NaN"), math.nan)] == ["value"] * 4
    assert tally.business("k", 1.0, None) == "currency"
    assert tally.quality(None, None, None).value == {"EUR": 39.9}


def test_kinds_and_currencies_are_bounded() -> None:
    """The 51st kind of event and the 21st currency are refused, those known go on."""
    tally = Tally(NO_ATTRIBUTES)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert [tally.business("k", 1.0, f"A{one}{one}") for one in letters] == [None] * 20 + ["currency"] * 6
    assert [tally.business(f"k{number}", None, None) for number in range(60)] == [None] * 49 + ["kpi"] * 11
    assert tally.business("k", 1.0, "AAA") is None


def test_exemplars_are_of_sampled_traces() -> None:
    """The delay points at a span where one was sampled, and only there."""
    tally = Tally(NO_ATTRIBUTES)
    tally.add(made("a")._replace(trace=(5, 6, 1)), "a", NOW + 30, None)
    tally.add(made("a")._replace(trace=(7, 8, 0)), "a", NOW + 3000, None)
    (delay,) = (one for one in tally.collect() if isinstance(one, Histogram))
    assert [(one.value, one.trace_id, one.span_id) for one in delay.exemplars] == [(30.0, 5, 6)]
    assert (sum(delay.counts), delay.total) == (2, 3030.0)


def test_memory_is_flat() -> None:
    """After the first hundred thousand truths of all kinds, hours and classes the next ones take no memory."""
    tally = Tally(NO_ATTRIBUTES)
    aims = (objective(task="binary", costs={(1, 0): -3}), None, objective(task="regression"))

    def add(first: int, last: int) -> None:
        for number in range(first, last):
            at = NOW - 3600.0 * (number % 700)
            tally.add(made(None, number % 97 / 97, at=at), number % 2, NOW, aims[0])
            tally.add(made(f"c{number % 50}", 0.5, at=at), f"c{number % 49}", NOW, aims[1])
            tally.add(made(float(number), at=at), 1.0, NOW, aims[2])
            tally.business(f"k{number % 60}", 1.0, "EUR")
        list(tally.collect())

    add(0, 30_000)
    tracemalloc.start()
    try:
        add(30_000, 31_000)
        before = tracemalloc.get_traced_memory()[0]
        add(31_000, 45_000)
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
