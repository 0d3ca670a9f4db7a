"""An answer is judged as what it says: labels are never probabilities, a bad row takes no other with it, and nothing is lost silently."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mlobs
from mlobs import testing
from mlobs.release import Quality
from mlobs.sketch.scores import KEYS, score_bin
from mlobs.testing import Telemetry

KEY = secrets.token_hex(32)
NAN = float("nan")
BINARY: dict[str, Any] = {"task": "binary"}
TEXT: dict[str, Any] = {"classes": ["no", "yes"], "positive": "yes"}
THREE: dict[str, Any] = {"classes": [0, 1, 2]}


class Word(str, Enum):
    """What many services answer with."""

    YES = "yes"
    NO = "no"


@pytest.fixture
def sealed() -> Iterator[Telemetry]:
    """Telemetry where tickets can be had."""
    with testing.capture(ticket_keys=(KEY,)) as captured:
        yield captured


def judged(answers: Sequence[Any], truths: Sequence[Any], **objective: Any) -> Quality:
    """The quality of calls that answer this, one truth a row."""
    if objective:
        mlobs.objective(model="m", **objective)
    predict = mlobs.observe(model="m")(lambda x, y: y)
    tickets: list[str] = []
    for answer in answers:
        predict([[1.0], [2.0]], answer)
        tickets += mlobs.tickets()
    assert all(mlobs.outcome(ticket, actual=truth) for ticket, truth in zip(tickets, truths, strict=True))
    return mlobs.quality()["m"]


def scored(telemetry: Telemetry) -> float:
    return telemetry.total("mlobs.prediction.score")


def dropped(telemetry: Telemetry, reason: str) -> float:
    return telemetry.total("mlobs.sdk.dropped", reason=reason)


def bin_of(score: float) -> str:
    index = score_bin(score)
    assert index is not None
    return KEYS[index]


# ── labels beside scores ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answers",
    [
        [(1, 0.93), (0, 0.2)],
        [(np.int64(1), np.float32(0.93)), (np.int64(0), np.float32(0.2))],
        [(True, 0.93), (False, 0.2)],
        [[(1, 0.93), (0, 0.2)]],
        [{"label": 1, "score": 0.93}, {"label": 0, "score": 0.2}],
        [{"label": 1, "score": 0.93, "model": "churn-7"}, {"label": 0, "score": 0.2, "model": "churn-7"}],
        [{"label": 1.0, "score": 0.93}, {"label": 0.0, "score": 0.2}],
        [[{"label": 1, "score": 0.93}, {"label": 0, "score": 0.2}]],
        [{"label": [1, 0], "score": [0.93, 0.2]}],
        [([1, 0], [0.93, 0.2])],
        [(np.array([1, 0]), np.array([0.93, 0.2]))],
        [(np.array([True, False]), np.array([0.93, 0.2]))],
        [(np.array([1, 0]), np.array([[0.07, 0.93], [0.8, 0.2]]))],
        [(1, [0.07, 0.93]), (0, [0.8, 0.2])],
        [pd.DataFrame({"label": [1, 0], "score": [0.93, 0.2]})],
        [pd.DataFrame({"churn": [1, 0], "p": [0.93, 0.2]})],
        [pd.DataFrame({"churn": pd.array([1, 0], "Int64"), "p": pd.array([0.93, 0.2], "Float64")})],
        [pl.DataFrame({"label": [1, 0], "score": [0.93, 0.2]})],
        [pl.DataFrame({"churn": [1, 0], "p": [0.93, 0.2]})],
        [pa.table({"churn": [1, 0], "p": [0.93, 0.2]})],
        [pa.table({"label": [True, False], "score": [0.93, 0.2]})],
    ],
)
def test_a_whole_number_beside_a_score_is_a_label(sealed: Telemetry, answers: list[Any]) -> None:
    """However the two are put together, by rows or by columns, both are known, and the score is the positive class'."""
    quality = judged(answers, [1, 0], **BINARY)
    assert quality.confusion == {("1", "1"): 1, ("0", "0"): 1}
    assert quality.auc is not None
    assert quality.auc.value == 1.0
    assert sealed.total("mlobs.outcome.score") == scored(sealed) == 2
    assert sealed.total("mlobs.outcome.score", bin=bin_of(0.93)) == 1
    assert sealed.total("mlobs.prediction.score", bin=bin_of(0.93)) == 1
    assert dropped(sealed, "score_unread") == 0


@pytest.mark.parametrize(
    "answers",
    [
        [Word.YES, Word.NO],
        [[Word.YES, Word.NO]],
        [np.array([Word.YES, Word.NO], object)],
        [pd.Series([Word.YES, Word.NO], dtype="object")],
        [(Word.YES, 0.93), (Word.NO, Decimal("0.2"))],
        [{"label": Word.YES, "score": Decimal("0.93")}, {"label": Word.NO, "score": Decimal("0.2")}],
        [Decimal("0.93"), Decimal("0.2")],
        [[[Decimal("0.07"), Decimal("0.93")], [Decimal("0.8"), Decimal("0.2")]]],
    ],
)
def test_enumerations_and_decimals_are_what_they_stand_for(sealed: Telemetry, answers: list[Any]) -> None:
    """As they are in truths: a member of text is that text, a Decimal a number."""
    quality = judged(answers, [Word.YES, "no"], **TEXT)
    assert quality.confusion == {("yes", "yes"): 1, ("no", "no"): 1}
    assert dropped(sealed, "score_unread") == 0


def test_a_regression_of_decimals_is_judged(sealed: Telemetry) -> None:
    """Money is often told so."""
    assert judged([Decimal("12.5"), [Decimal(3)]], [Decimal(12), 3], task="regression").mae == 0.25


def test_a_label_decides_whatever_its_score(sealed: Telemetry) -> None:
    """A zero with a score of one is the class 0, and no row of two probabilities."""
    quality = judged([(0, 1.0), (0, 1.0), (1, 0.9), (1, 0.8)], [0, 0, 1, 1], **BINARY)
    assert quality.accuracy == 1.0


def test_labels_of_several_classes_have_a_confidence(sealed: Telemetry) -> None:
    """The score beside a class of three is that class' probability, by which the accuracy is expected."""
    quality = judged([(np.array([0, 1, 2]), np.array([0.8, 0.7, 0.9]))], [0, 1, 1], **THREE)
    assert quality.confusion == {("0", "0"): 1, ("1", "1"): 1, ("2", "1"): 1}
    assert quality.expected_accuracy is not None
    assert quality.expected_accuracy.value == pytest.approx(0.8)
    assert scored(sealed) == 3


def test_a_label_without_an_objective_is_one_all_the_same(sealed: Telemetry) -> None:
    """Zeros and ones with a score are one of two; of text with its probabilities the largest is its confidence."""
    assert judged([(1, 0.93), (0, 0.2)], [1, 0]).confusion == {("1", "1"): 1, ("0", "0"): 1}
    quality = judged([("no", [0.93, 0.07])], ["no"])
    assert quality.accuracy == 1.0


def test_a_missing_label_leaves_its_score(sealed: Telemetry) -> None:
    """Whole numbers that became floats since one is missing are labels still, and its row is judged by the score."""
    frame = pd.DataFrame({"churn": [1, None, 0], "p": [0.93, 0.7, 0.2]})
    assert judged([frame, pl.from_pandas(frame)], [1, 1, 0] * 2, **BINARY).accuracy == 1.0
    masked = np.ma.masked_array([1, 0], [False, True]), np.ma.masked_array([0.9, 0.2], [True, False])
    assert judged([masked], [1, 0], **BINARY).accuracy == 1.0
    assert scored(sealed) == sealed.total("mlobs.outcome.score") == 7


def test_an_id_beside_a_score_is_no_label(sealed: Telemetry) -> None:
    """Of a binary task a whole number that is neither class leaves the decision to the score."""
    assert judged([{"customer": 17, "p": 0.93}, {"customer": 18, "p": 0.2}], [1, 0], **BINARY).accuracy == 1.0


# ── probabilities ───────────────────────────────────────────────────────────────────────────────────────────────────

P = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])


@pytest.mark.parametrize("answer", [P, P.astype(np.float32), P.tolist(), pd.DataFrame(P, columns=["a", "b"])])
def test_the_positive_class_has_its_own_column(sealed: Telemetry, answer: Any) -> None:
    """The columns are in the order of the classes, so that of the first class is the first one."""
    truths = ["bad", "good", "bad", "good"]
    quality = judged([answer], truths, classes=["bad", "good"], positive="bad")
    assert quality.accuracy == 1.0
    assert quality.auc is not None
    assert quality.auc.value == 1.0
    assert sealed.total("mlobs.prediction.score", bin=bin_of(0.9)) == 1  # of 0.9


def test_false_is_the_class_of_the_first_column(sealed: Telemetry) -> None:
    """Where nobody names classes they are 0 and 1, in this order; also of probabilities beside a label."""
    assert judged([P], [0, 1, 0, 1], task="binary", positive=False).accuracy == 1.0
    quality = judged([(0, [0.9, 0.1])], [0], task="binary", positive=False)
    assert quality.accuracy == 1.0
    assert sealed.total("mlobs.outcome.score", actual="1", bin=bin_of(0.9)) == 2


@pytest.mark.parametrize("bad", [[NAN, NAN], [0.5, NAN], [-0.1, 1.1], [0.5, 0.9]])
def test_a_bad_row_takes_no_other_with_it(sealed: Telemetry, bad: list[float]) -> None:
    """It is counted, and the others are judged."""
    rows = P.copy()
    rows[1] = bad
    quality = judged([rows], [0, 1, 0, 1], **BINARY)
    assert quality.joined == 4
    assert quality.confusion == {("0", "0"): 2, ("1", "1"): 1}
    assert scored(sealed) == sealed.total("mlobs.outcome.score") == 3
    assert dropped(sealed, "score_unread") == 1


def test_a_bad_row_of_several_classes(sealed: Telemetry) -> None:
    """The same of more than two."""
    rows = np.array([[0.7, 0.2, 0.1], [NAN, NAN, NAN], [0.1, 0.2, 0.7]])
    assert judged([rows], ["a", "b", "c"], classes=["a", "b", "c"]).accuracy == 1.0
    assert scored(sealed) == 2
    assert dropped(sealed, "score_unread") == 1


@pytest.mark.parametrize(
    ("objective", "width"), [({"classes": ["a", "b", "c"]}, 4), ({"classes": ["a", "b", "c"]}, 2), (BINARY, 3)]
)
def test_more_or_fewer_probabilities_than_classes_are_counted(
    sealed: Telemetry, objective: dict[str, Any], width: int
) -> None:
    """Nobody knows which column is which class: no figure is made up, and the cure is told."""
    quality = judged([np.full((5, width), 1 / width)], [objective.get("classes", [0])[0]] * 5, **objective)
    assert (quality.joined, quality.confusion) == (5, {})
    assert scored(sealed) == 0
    assert dropped(sealed, "class_width") == 5


def test_two_classes_may_be_a_multiclass_task(sealed: Telemetry) -> None:
    """Then the larger of two probabilities says the class and is its confidence."""
    quality = judged([P], ["ham", "spam", "ham", "ham"], task="multiclass", classes=["ham", "spam"])
    assert quality.confusion == {("ham", "ham"): 2, ("spam", "spam"): 1, ("spam", "ham"): 1}
    assert sealed.total("mlobs.quality.expected.ratio", measure="accuracy") == pytest.approx(0.75, abs=0.03)


def test_text_classes_are_judged_by_their_scores(sealed: Telemetry) -> None:
    """Two of them need no task, of one column of probabilities or of two."""
    assert judged([P, np.array([0.1, 0.9])], ["no", "yes", "no", "yes", "no", "yes"], **TEXT).accuracy == 1.0


# ── classes that are floats ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("objective", [{"task": "multiclass"}, THREE])
def test_whole_floats_are_classes_of_a_multiclass_task(sealed: Telemetry, objective: dict[str, Any]) -> None:
    """As xgboost's multi:softmax answers; they promise no accuracy."""
    quality = judged([np.array([0.0, 1.0, 2.0, 2.0], np.float32)], [0, 1, 2, 1], **objective)
    assert quality.confusion == {("0", "0"): 1, ("1", "1"): 1, ("2", "2"): 1, ("2", "1"): 1}
    assert scored(sealed) == 0
    assert sealed.numbers("mlobs.quality.expected.ratio") == {}
    assert dropped(sealed, "score_unread") == 0


def test_a_confidence_of_one_is_no_class(sealed: Telemetry) -> None:
    """Where the classes are texts, floats from 0 to 1 stay the probabilities of predicted ones."""
    quality = judged([np.array([0.5, 1.0, 0.9])], ["a", "b", "c"], classes=["a", "b", "c"])
    assert quality.confusion == {}
    assert scored(sealed) == 3


# ── what says nothing ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        np.array([-2.0, 3.0]),  # margins
        np.array([12.0, 93.0]),  # percentages
        np.array([[1, 0], [0, 1]]),
        np.array([[0.9, 0.8, 0.1], [0.3, 0.1, 0.2]]),
        [("a", "b"), ("a", "b")],
        [{"x": None}, {"x": None}],
    ],
)
def test_what_says_neither_is_counted(sealed: Telemetry, answer: Any) -> None:
    """A row of a classifier without score and label is in no figure, and that is told before any truth comes."""
    quality = judged([answer], [1, 0], **BINARY)
    assert (quality.joined, quality.confusion) == (2, {})
    assert dropped(sealed, "score_unread") == 2
    assert dropped(sealed, "truth_unjudged") == 2


@pytest.mark.parametrize("objective", [BINARY, TEXT, THREE, {"task": "multiclass"}, {"task": "regression"}, {}])
def test_nothing_strange_raises(sealed: Telemetry, objective: dict[str, Any]) -> None:
    """Numbers beyond floats and digits, times, masked and missing values: a row says what it can, and the rest is counted."""
    strange: list[Any] = [
        10**400, 10**6000, (10**6000, 0.5), (0.5, 10**400), [(0.5, 10**400), (0.3, 0.7)], (object(), 0.5), b"yes",
        {"label": object(), "score": 0.3}, {"label": 10**6000, "score": "a"}, {"label": NAN, "score": NAN},
        np.datetime64("2026-01-01", "ns"), (np.timedelta64(3, "ns"), 0.5), (pd.Timestamp(0), pd.NaT), (pd.NA, 0.5),
        np.array([1 + 2j, 0.5]), np.array([np.inf, -np.inf]), np.zeros((2, 0)), np.array(["a", None], object),
        (np.ma.masked_array([1, 0], [True, False]), np.ma.masked_array([0.3, 0.7], [False, True])),
        pd.DataFrame({"label": [1, None], "score": [None, 0.5]}), {"label": "a"}, {"label": [[1.0, 2.0]]}, [None, 0.5],
        np.float16(0.5), np.longdouble(0.5), np.array([[np.nan, 1e308], [1e308, 1e308]]), 1e308, -0.0, [[]], [{}],
    ]  # fmt: skip
    if objective:
        mlobs.objective(model="m", **objective)
    predict = mlobs.observe(model="m")(lambda x, y: y)
    for answer in strange:
        predict([[1.0], [2.0]], answer)
        for ticket in mlobs.tickets():
            mlobs.outcome(ticket, actual=1)
    assert sealed.numbers("mlobs.sdk.errors") == {}


@pytest.mark.parametrize(
    ("objective", "answer", "truth"),
    [
        ({"task": "regression"}, (12.5, 0.7), 12.0),
        ({"task": "regression"}, np.array([[10.0, 2.0]]), 10.0),
        (BINARY, None, 1),
        ({"task": "multiclass"}, np.array([0.7]), 1),
        ({}, np.array([[1, 0]]), 1),
        ({}, None, "a"),
    ],
)
def test_a_truth_without_a_figure_is_counted(
    sealed: Telemetry, objective: dict[str, Any], answer: Any, truth: Any
) -> None:
    """Nothing was predicted that it could judge: it is joined, and that it is in no figure is told."""
    quality = judged([answer], [truth], **objective)
    assert (quality.joined, quality.confusion, quality.mae) == (1, {}, None)
    assert dropped(sealed, "truth_unjudged") == 1


def test_a_truth_in_a_figure_is_not(sealed: Telemetry) -> None:
    """Of a label, a score, a confidence or a value; nor one that is refused."""
    judged([("yes", 0.9), "no", np.array([0.3])], ["yes", "no", "yes"], **TEXT)
    mlobs.objective(model="n", task="regression")
    mlobs.observe(model="n")(lambda row: 1.5)([1.0])
    assert mlobs.outcome(mlobs.ticket(), actual=2.0)
    mlobs.observe(model="n")(lambda row: None)([1.0])
    assert not mlobs.outcome(mlobs.ticket(), actual=None)
    assert dropped(sealed, "truth_unjudged") == 0


# ── one row's probabilities ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", [np.array, np.float32, list])
@pytest.mark.parametrize("row", [{"x": 1.0}, np.array([1.0, 2.0]), np.array([[1.0, 2.0]])])
@pytest.mark.parametrize("aim", [BINARY, {"classes": ["a", "b", "c"]}])
def test_the_probabilities_of_one_row_are_one_prediction(sealed: Telemetry, form: Any, row: Any, aim: Any) -> None:
    """As `predict_proba(x)[0]` answers: one ticket, and one score where there is one row of input; its columns stay two values."""
    mlobs.objective(model="m", **aim)
    width = len(aim.get("classes", (0, 1)))
    predict = mlobs.observe(model="m")(lambda x, y: np.float32(y) if form is np.float32 else form(y))
    for index in range(200):  # of which some are folded as rare ones, and most as bytes
        said = np.full(width, 0.2 / (width - 1))
        said[index % width] = 0.8
        predict(row, said)
        assert len(mlobs.tickets()) == 1
        assert mlobs.outcome(mlobs.ticket(), actual=aim.get("classes", (0, 1))[index % width])
        if index % 50 == 0:
            mlobs.flush()
    quality = mlobs.quality()["m"]
    assert (quality.expected, quality.joined, quality.accuracy) == (200, 200, 1.0)
    assert scored(sealed) == 200


def test_two_scores_of_two_rows_stay_two(sealed: Telemetry) -> None:
    """Also where they happen to add up to one; and what does not add up to one is no row."""
    assert judged([np.array([0.3, 0.7])], [0, 1], **BINARY).confusion == {("0", "0"): 1, ("1", "1"): 1}
    predict = mlobs.observe(model="m")(lambda row: np.array([0.3, 0.8]))
    predict({"x": 1.0})
    assert len(mlobs.tickets()) == 2
    assert scored(sealed) == 4


def test_labels_that_are_floats_are_no_scores_beside_a_missing_one(telemetry: Telemetry) -> None:
    """Values of 0 and 1 only are labels, also where one is missing; with a fraction among them they are scores."""
    mlobs.objective(model="m", task="binary")
    predict = mlobs.observe(model="m")(np.array)
    predict([0.0, 1.0, float("nan")])
    assert telemetry.total("mlobs.prediction.score") == 0
    predict([0.0, 1.0, 0.5])
    assert telemetry.total("mlobs.prediction.score") == 3
