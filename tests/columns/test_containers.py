"""The same rows give the same counts, whatever they come in; and what the caller changes afterwards is not seen."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import tracemalloc
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
import scipy.sparse

import mlobs
from mlobs import UnreadableError
from mlobs.columns import LARGE, blocks, kind_of, read
from mlobs.sketch import instants, lengths, numbers
from mlobs.testing import Telemetry, capture

RNG = np.random.default_rng(11)
ROWS = 400
FRAME = pd.DataFrame(
    {
        "age": RNG.normal(40, 10, ROWS),
        "children": RNG.integers(0, 5, ROWS),
        "city": RNG.choice(["Rome", "Oslo", "Lima"], ROWS, p=[0.6, 0.3, 0.1]),
    }
)
NUMBERS = np.where(RNG.random((ROWS, 4)) < 0.5, 0.0, RNG.normal(size=(ROWS, 4)))
PROFILE = mlobs.Profile.build(FRAME)
MATRIX = mlobs.Profile.build(NUMBERS)


@dataclasses.dataclass
class Person:
    age: float
    children: int
    city: str


@dataclasses.dataclass(slots=True)
class Slotted:
    age: float
    children: int
    city: str


class Tuple(NamedTuple):
    age: float
    children: int
    city: str


class Model(pydantic.BaseModel):
    age: float
    children: int
    city: str


class People(pydantic.BaseModel):
    age: list[float]
    children: list[int]
    city: list[str]


@dataclasses.dataclass
class Arrays:
    age: Any
    children: Any
    city: Any


def of_people(cls: Any) -> Callable[[pd.DataFrame], Any]:
    def people(frame: pd.DataFrame) -> Any:
        found = [cls(age=float(a), children=int(b), city=str(c)) for a, b, c in frame.itertuples(index=False)]
        return found[0] if len(found) == 1 else found

    return people


def columns_of(frame: pd.DataFrame) -> dict[str, Any]:
    return {name: frame[name].to_numpy(str if name == "city" else None) for name in frame}


def structured(frame: pd.DataFrame) -> Any:
    found = np.empty(len(frame), [("age", "f8"), ("children", "i4"), ("city", "U8")])
    for name in frame:
        found[name] = frame[name].to_numpy(str if name == "city" else None)
    return found


def halves(make: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
    return lambda frame: [make(frame.iloc[: len(frame) // 2]), make(frame.iloc[len(frame) // 2 :])]


def polars(frame: pd.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({name: frame[name].tolist() for name in frame})


def arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.table({name: frame[name].tolist() for name in frame})


def encoded(frame: pd.DataFrame) -> pa.Table:
    return pa.table({**columns_of(frame), "city": pa.array(frame["city"].tolist()).dictionary_encode()})


def sparse(form: str, kind: str) -> Callable[[Any], Any]:
    return getattr(scipy.sparse, f"{form}_{kind}")  # type: ignore[no-any-return]


NAMED: dict[str, Callable[[pd.DataFrame], Any]] = {
    "records": lambda frame: frame.to_dict("records"),
    "mappings": lambda frame: [types.MappingProxyType(row) for row in frame.to_dict("records")],
    "columns": lambda frame: {name: frame[name].tolist() for name in frame},
    "columns of arrays": columns_of,
    "columns of a matrix": lambda frame: {name: frame[[name]].to_numpy().view(np.matrix) for name in frame},
    "columns of series": lambda frame: {name: frame[name] for name in frame},
    "columns of polars": lambda frame: {name: polars(frame)[name] for name in frame},
    "columns of arrow": lambda frame: {name: arrow(frame)[name] for name in frame},
    "a mapping of columns": lambda frame: types.MappingProxyType(columns_of(frame)),
    "dataclasses": of_people(Person),
    "with slots": of_people(Slotted),
    "named tuples": of_people(Tuple),
    "models": of_people(Model),
    "a model of lists": lambda frame: People(**{name: frame[name].tolist() for name in frame}),
    "a dataclass of arrays": lambda frame: Arrays(**columns_of(frame)),
    "pandas": lambda frame: frame,
    "categorical": lambda frame: frame.astype({"city": "category", "children": "Int64", "age": "Float64"}),
    "arrow in pandas": lambda frame: frame.astype({"city": "string[pyarrow]", "age": "double[pyarrow]"}),
    "objects in pandas": lambda frame: frame.astype(object),
    "itertuples": lambda frame: list(frame.itertuples(index=False)),
    "frames": halves(lambda frame: frame),
    "polars": polars,
    "polars with categories": lambda frame: polars(frame).with_columns(pl.col("city").cast(pl.Categorical)),
    "polars frames": halves(polars),
    "arrow": arrow,
    "arrow batch": lambda frame: arrow(frame).to_batches()[0],
    "arrow in chunks": lambda frame: pa.concat_tables([arrow(frame).slice(0, 3), arrow(frame).slice(3)]),
    "arrow with a dictionary": encoded,
    "structured": structured,
    "recarray": lambda frame: structured(frame).view(np.recarray),
    "list of records": lambda frame: list(structured(frame)),
}

UNNAMED: dict[str, Callable[[Any], Any]] = {
    "array": lambda rows: rows,
    "masked": np.ma.array,
    "matrix": lambda rows: rows.view(np.matrix),
    "a matrix in a list": lambda rows: [rows.view(np.matrix)],
    "lists": lambda rows: rows.tolist(),
    "tuples": lambda rows: [tuple(row) for row in rows.tolist()],
    "arrays": list,
    "batches": lambda rows: [rows[: len(rows) // 2], rows[len(rows) // 2 :]],
    "side by side": lambda rows: (rows[:, :1], rows[:, 1:]),
    "columns in a tuple": lambda rows: tuple(rows.T),
    "unlabelled series": lambda rows: [pd.Series(row) for row in rows],
    **{
        f"{form} {kind}": sparse(form, kind)
        for form in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
        for kind in ("matrix", "array")
    },
    "sparse in parts": lambda rows: [scipy.sparse.csr_matrix(rows[:7]), scipy.sparse.csr_matrix(rows[7:])],
}


def counts(send: Callable[[Any], Any], reference: mlobs.Profile) -> tuple[dict[str, list[float]], float, float]:
    """The counts of every feature, the rows, and what was dropped."""
    with capture() as telemetry:
        send(mlobs.observe(model="m", reference=reference)(lambda x: None))
        found = {
            feature.name: list(telemetry.numbers("mlobs.feature.observations", feature=feature.name).values())
            for feature in reference.inputs
        }
        return found, telemetry.total("mlobs.prediction.rows"), telemetry.total("mlobs.sdk.dropped")


@pytest.mark.parametrize("size", [1, 20, ROWS])
@pytest.mark.parametrize("name", NAMED)
def test_named_rows_count_alike(name: str, size: int) -> None:
    """Rows with names, one, few or more than may be kept unasked: the counts are those of plain dicts."""
    make = NAMED[name]
    batches = [FRAME.iloc[start : start + size] for start in range(0, ROWS if size > 1 else 30, size)]
    expected = counts(lambda predict: [predict(batch.to_dict("records")) for batch in batches], PROFILE)
    assert counts(lambda predict: [predict(make(batch)) for batch in batches], PROFILE) == expected
    assert expected[1:] == (ROWS if size > 1 else 30, 0)


@pytest.mark.filterwarnings("ignore:Constructing a DIA")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        (name, size)
        for name in UNNAMED
        for size in (1, 20, ROWS)
        if size > 1 or name not in {"batches", "columns in a tuple", "sparse in parts"}  # one row has no parts
    ],
)
def test_unnamed_rows_count_alike(name: str, size: int) -> None:
    """Rows without names likewise: the counts are those of an array, zeros of sparse rows included."""
    make = UNNAMED[name]
    batches = [NUMBERS[start : start + size] for start in range(0, ROWS if size > 1 else 30, size)]
    expected = counts(lambda predict: [predict(batch) for batch in batches], MATRIX)
    assert counts(lambda predict: [predict(make(batch)) for batch in batches], MATRIX) == expected
    assert expected[1:] == (ROWS if size > 1 else 30, 0)


@pytest.mark.parametrize("name", NAMED)
def test_a_profile_is_built_of_the_same(name: str) -> None:
    """`Profile.build` reads every container as calls do."""
    for built, want in zip(mlobs.Profile.build(NAMED[name](FRAME)).inputs, PROFILE.inputs, strict=True):
        assert (built.name, built.kind, built.counts.tolist()) == (want.name, want.kind, want.counts.tolist())


@pytest.mark.filterwarnings("ignore:Constructing a DIA")
@pytest.mark.parametrize("name", [name for name in UNNAMED if name not in {"columns in a tuple", "batches"}])
def test_a_profile_is_built_of_unnamed_rows(name: str) -> None:
    """Likewise where columns have no names."""
    built = mlobs.Profile.build(UNNAMED[name](NUMBERS))
    assert [one.counts.tolist() for one in built.inputs] == [one.counts.tolist() for one in MATRIX.inputs]


# ── out of the caller's reach ───────────────────────────────────────────────────────────────────────────────────────


def _set(container: Any, key: Any, value: Any) -> None:
    container[key] = value


def _polars_in_place(frame: Any) -> None:
    frame[0, "a"] = 9.0
    frame.insert_column(0, pl.Series("z", [9.0] * frame.height))


def _polars_column(column: Any) -> None:
    column[0] = 9.0


BUFFER = np.zeros(1000)


def _refill(_: Any) -> None:
    BUFFER[:] = 9.0


CHANGES: dict[str, tuple[Callable[[int], Any], Callable[[Any], None]]] = {
    "polars": (lambda n: pl.DataFrame({"a": [0.0] * n, "b": ["x"] * n}), _polars_in_place),
    "polars over numpy": (lambda n: pl.DataFrame({"a": BUFFER[:n]}), _refill),
    "polars series": (lambda n: pl.Series("a", [0.0] * n), _polars_column),
    "polars series over numpy": (lambda n: pl.Series("a", BUFFER[:n]), _refill),
    "polars text": (lambda n: pl.DataFrame({"a": ["0.0"] * n}), lambda frame: _set(frame, (0, "a"), "9.0")),
    "arrow over numpy": (lambda n: pa.table({"a": pa.array(BUFFER[:n])}), _refill),
    "arrow array over numpy": (lambda n: pa.array(BUFFER[:n]), _refill),
    "sparse": (lambda n: scipy.sparse.csr_matrix(np.ones((n, 1))), lambda matrix: matrix.data.fill(9.0)),
    "lil": (lambda n: scipy.sparse.lil_matrix(np.ones((n, 1))), lambda matrix: _set(matrix, (0, 0), 9.0)),
    "structured": (lambda n: np.zeros(n, [("a", "f8")]), lambda array: array["a"].fill(9.0)),
    "a record": (lambda n: np.zeros(n, [("a", "f8")])[0], lambda record: _set(record, "a", 9.0)),
    "dict of arrays": (lambda n: {"a": np.zeros(n)}, lambda columns: columns["a"].fill(9.0)),
    "dict of lists": (lambda n: {"a": [0.0] * n}, lambda columns: _set(columns["a"], 0, 9.0)),
    "dict of series": (lambda n: {"a": pd.Series(np.zeros(n))}, lambda columns: _set(columns["a"].iloc, 0, 9.0)),
    "dict in a dict": (lambda n: {"u": {"a": 0.0}}, lambda row: _set(row["u"], "a", 9.0)),
    "dicts in dicts": (lambda n: [{"u": {"a": 0.0}}] * n, lambda rows: _set(rows[0]["u"], "a", 9.0)),
    "list of arrays": (lambda n: [np.zeros((n, 1)), np.zeros((n, 1))], lambda parts: parts[0].fill(9.0)),
    "tuple of arrays": (lambda n: (np.zeros(n), np.zeros(n)), lambda parts: parts[0].fill(9.0)),
    "tuple of a label and an array": (lambda n: ("x", np.zeros(3)), lambda parts: parts[1].fill(9.0)),
    "list of frames": (
        lambda n: [pd.DataFrame({"a": np.zeros(n)})] * 2,
        lambda parts: _set(parts[0].iloc, (0, 0), 9.0),
    ),
    "dataclass": (lambda n: Arrays(np.zeros(n), np.zeros(n), ["x"] * n), lambda one: one.age.fill(9.0)),
    "dataclasses": (lambda n: [Person(0.0, 0, "x")] * n, lambda people: setattr(people[0], "age", 9.0)),
    "mapping": (lambda n: collections.UserDict(a=0.0), lambda row: _set(row, "a", 9.0)),
}


@pytest.mark.parametrize("rows", [1, 3, 600])
@pytest.mark.parametrize("name", CHANGES)
def test_later_changes_are_not_seen(name: str, rows: int) -> None:
    """What the caller changes in place after the call, also in memory that a container merely borrowed, is not read."""
    BUFFER[:] = 0.0
    make, change = CHANGES[name]
    value = make(rows)
    kind = kind_of(type(value))
    kept = kind.keep(value)
    kept = kind.part(value, 1) if kept is LARGE else kept
    change(value)
    found = [block.column(index) for block in blocks([kept]) for index in range(block.width)]
    assert found
    assert not any(item in (9.0, "9.0") for column in found for item in column)


# ── columns of every type ───────────────────────────────────────────────────────────────────────────────────────────

DAY = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001 - without a zone, as most tables have them
TYPES: dict[str, tuple[list[Any], Callable[[Any], Any]]] = {
    "integers": ([1, None, 3], numbers),
    "floats": ([1.5, None, float("nan")], numbers),
    "booleans": ([True, None, False], numbers),
    "spans": ([dt.timedelta(1), None, dt.timedelta(2)], numbers),
    "decimals": ([decimal.Decimal("1.5"), None, decimal.Decimal("2.5")], numbers),
    "instants": ([DAY, None, DAY], instants),
    "days": ([DAY.date(), None, DAY.date()], instants),
    "text": (["a", None, "bb"], lengths),
}
MAKERS: dict[str, Callable[[list[Any]], Any]] = {
    "polars": lambda values: pl.DataFrame({"a": values}),
    "arrow": lambda values: pa.table({"a": values}),
    "polars series": lambda values: pl.Series("a", values),
    "arrow array": pa.array,
    "pandas": lambda values: pd.DataFrame({"a": values}),
    "pandas with nulls": lambda values: pd.DataFrame({"a": values}).convert_dtypes(),
    "pandas with arrow": lambda values: pd.DataFrame({"a": pd.array(values, pd.ArrowDtype(pa.array(values).type))}),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", TYPES)
def test_columns_of_every_type(name: str, maker: str, large: bool) -> None:
    """Numbers, text, dates and gaps come out as what they are, whoever holds them."""
    values, convert = TYPES[name]
    values = values * 200 if large else values
    container = MAKERS[maker](values)
    kind = kind_of(type(container))
    [block] = blocks([kind.part(container, 1) if large else kind.keep(container)])
    found, bad = convert(block.column(0))
    assert bad == 0
    np.testing.assert_array_equal(found, convert(values)[0])


@pytest.mark.parametrize(
    "column",
    [
        pd.period_range("2024-01", periods=3, freq="M"),
        pd.interval_range(0, 3),
        pd.date_range("2024-01-01", periods=3, tz="Europe/Rome"),
        pd.Categorical([1, 2, None]),
        pd.arrays.SparseArray([0.0, 0.0, 1.0]),
        pd.array([b"a", None, "b"], dtype=object),
        pl.Series([[1, 2], [3], None]),
        pl.Series([{"x": 1}, {"x": 2}, None]),
        pl.Series([object(), None, object()], dtype=pl.Object),
        pl.Series([dt.time(1), None, dt.time(2)]),
        pl.Series([None, None, None]),
        pa.array([[1, 2], [3], None]),
        pa.array([{"x": 1}, {"x": 2}, None]),
        pa.array([b"a", None, b"b"]),
        pa.nulls(3),
    ],
    ids=str,
)
def test_strange_columns_are_counted_or_violations(telemetry: Telemetry, column: Any) -> None:
    """A column of a type that nobody can count raises nothing, and leaves the others as they are."""
    module = type(column).__module__.partition(".")[0]
    make: Any = {"polars": pl.DataFrame, "pyarrow": pa.table}.get(module, pd.DataFrame)
    frame = make({"age": [1.0, 2.0, 3.0], "city": column})
    for reference in (PROFILE, None):
        model = "known" if reference else "unknown"
        predict = mlobs.observe(model=model, reference=reference)(lambda x: None)
        predict(frame)
        predict({"age": [1.0] * 3, "city": column})
    assert telemetry.total("mlobs.feature.observations", model_name="known", feature="age") == 6
    assert telemetry.total("mlobs.sdk.dropped") == 0
    assert telemetry.total("mlobs.prediction.rows") == 2 * 6


# ── nested rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Address(pydantic.BaseModel):
    city: str = "Rome"


class Customer(pydantic.BaseModel):
    age: int = 30
    address: Address = Address()


def test_nested_rows_are_named_by_their_path() -> None:
    """Dicts, models and dataclasses inside rows are spread; a list inside a row is one value that is no number."""
    wanted = (("age", "address.city"), [[30], ["Rome"]])
    for value in (
        Customer(),
        {"age": 30, "address": {"city": "Rome"}},
        {"age": 30, "address": Address()},
        [Customer()],
        [{"age": 30, "address": {"city": "Rome"}}],
    ):
        block = read(value)
        assert (block.names, [list(block.column(index)) for index in range(block.width)]) == wanted
    block = read({"id": 1, "tags": ["a", "b"], "vector": np.ones(3)})
    assert [list(column) for column in block.columns] == [[1], [[]], [[]]]
    block = read({"p": [[0.1, 0.9], [0.2, 0.8]], "v": np.ones((2, 500)), "w": 1})
    assert block.names == ("p_0", "p_1", "v", "w")
    assert list(block.column(3)) == [1, 1]


def test_a_dict_that_holds_itself_is_bounded() -> None:
    """Neither depth nor breadth of nested rows goes on for ever."""
    own: dict[str, Any] = {"a": 1}
    own["self"] = own
    assert read(own).width == 10
    broad: Any = {"x": 1.0}
    for _ in range(12):
        broad = {f"k{index}": broad for index in range(20)}
    assert read(broad).width < 10_000


@pytest.mark.parametrize("values", [["x", 0.3], [0.3, "x"], ["x", None, 0.3], ["x", 1, 2.0, True]])
def test_a_flat_list_of_text_and_numbers_is_one_row(values: list[Any]) -> None:
    """Whichever comes first; only where all is text, it is many rows."""
    assert (read(values).rows, read(values).width) == (1, len(values))
    assert read(["x", None, "y"]).rows == 3


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LABELS = np.array(["a", "b", "a", "a"] * 5)
SCORES = np.linspace(0, 1, 20)
PROBA = np.column_stack([1 - SCORES, SCORES])


class Prediction(pydantic.BaseModel):
    label: str
    score: float


@dataclasses.dataclass
class Predictions:
    label: Any
    score: Any


ANSWERS: dict[str, Any] = {
    "tuple of arrays": (LABELS, SCORES),
    "tuple of lists": (LABELS.tolist(), SCORES.tolist()),
    "tuple of series": (pd.Series(LABELS), pd.Series(SCORES)),
    "dict of arrays": {"label": LABELS, "score": SCORES},
    "dict of lists": {"label": LABELS.tolist(), "score": SCORES.tolist()},
    "dicts": [{"label": label, "score": score} for label, score in zip(LABELS.tolist(), SCORES.tolist(), strict=True)],
    "models": [Prediction(label=label, score=score) for label, score in zip(LABELS, SCORES, strict=True)],
    "tuples": list(zip(LABELS.tolist(), SCORES.tolist(), strict=True)),
    "dataclass": Predictions(LABELS, SCORES),
    "frame": pd.DataFrame({"label": LABELS, "score": SCORES}),
    "polars": pl.DataFrame({"label": LABELS.tolist(), "score": SCORES}),
    "list of columns": [LABELS, SCORES],
}


# without a reference a list of arrays is a list of rows
@pytest.mark.parametrize("built", [built for built in ANSWERS if built != "list of columns"])
@pytest.mark.parametrize("given", ANSWERS)
def test_labels_and_scores_in_any_form(given: str, built: str) -> None:
    """Answers of two columns count the same in any form, against a reference built of any other."""
    with capture() as telemetry:
        reference = mlobs.Profile.build(np.zeros((20, 1)), outputs=ANSWERS[built])
        mlobs.observe(model="m", reference=reference)(lambda x: ANSWERS[given])([0.0])
        label, score = reference.outputs
        found = [
            list(telemetry.numbers("mlobs.feature.observations", feature=one.name, role="output").values())
            for one in (label, score)
        ]
        assert found == [label.counts.tolist(), score.counts.tolist()]
        assert telemetry.total("mlobs.sdk.dropped") == 0


@pytest.mark.parametrize(
    ("answer", "names", "rows"),
    [
        (0.5, ["prediction"], 1),
        (SCORES, ["prediction"], 20),
        (SCORES.tolist(), ["prediction"], 20),
        (pl.Series("y", SCORES), ["prediction"], 20),
        (pa.array(SCORES), ["prediction"], 20),
        (PROBA, ["score_0", "score_1"], 20),
        ([PROBA, PROBA[:, :1]], ["score_0", "score_1", "score_2"], 20),
        ([PROBA[:1], PROBA[:1, :1]], ["score_0", "score_1", "score_2"], 1),
        ((SCORES, SCORES), ["score_0", "score_1"], 20),
        ((0.5, 0.1), ["score_0", "score_1"], 1),
        (("a", PROBA[0]), ["score_1", "score_2"], 1),
        (("a", [0.1, 0.9]), ["score_1", "score_2"], 1),
        ({"label": "a", "score": 0.3}, ["score"], 1),
        ({"probabilities": PROBA.tolist()}, ["probabilities_0", "probabilities_1"], 20),
        ({"probabilities": PROBA, "label": LABELS}, ["probabilities_0", "probabilities_1"], 20),
        (Prediction(label="a", score=0.5), ["score"], 1),
        ([np.float64(1), np.float64(2)], ["prediction"], 2),
        ([np.array(1.0), np.array(2.0)], ["prediction"], 2),
    ],
    ids=str,
)
def test_answers_without_a_reference(answer: Any, names: list[str], rows: int) -> None:
    """Their numbers are summarised under the names that a reference would give them."""
    with capture() as telemetry:
        predict = mlobs.observe(model="m")(lambda x: answer)
        for _ in range(5):
            assert predict([0.0]) is answer
        found = telemetry.histograms("mlobs.feature.value", role="output")
        assert sorted(dict(one.attributes.items())["feature"] for one in found) == names
        assert telemetry.total("mlobs.feature.value", role="output", feature=names[0]) == 5 * rows
        assert telemetry.total("mlobs.sdk.dropped") == 0


# ── picked arguments, and what cannot be read ───────────────────────────────────────────────────────────────────────


def test_arguments_are_picked_by_name_or_callable(telemetry: Telemetry) -> None:
    """`inputs=` works with containers of every kind."""
    table = arrow(FRAME.iloc[:5])
    mlobs.observe(model="name", reference=PROFILE, inputs="table")(lambda key, table: None)("k", table=table)
    mlobs.observe(model="callable", reference=PROFILE, inputs=lambda body: body["rows"])(lambda body: None)(
        {"rows": of_people(Model)(FRAME.iloc[:5])}
    )
    mlobs.observe(model="several", reference=PROFILE, inputs=("age", "children", "city"))(
        lambda age, children, city: None
    )(*columns_of(FRAME.iloc[:5]).values())
    for model in ("name", "callable", "several"):
        assert telemetry.total("mlobs.feature.observations", model_name=model, feature="city") == 5


class Device:
    """An array that lies on another device, as DLPack tells."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("nobody may read this")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise AssertionError("nobody may read this")


class Capsule:
    """An array that only DLPack can read."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __dlpack__(self, **how: Any) -> Any:
        return self._array.__dlpack__(**how)


@pytest.mark.parametrize(
    ("value", "reason", "says"),
    [
        (pl.LazyFrame({"a": [1]}), "unreadable", "collect"),
        (Device(), "unreadable", "not in the CPU's memory"),
        ({"a": Device(), "b": Device()}, "unreadable", "not in the CPU's memory"),
        ([Device(), Device()], "unreadable", "not in the CPU's memory"),
        ([np.ones((3, 2)), np.ones((4, 3))], "ragged", "beside"),
        ([np.ones((3, 2, 2))], "not_tabular", "rows and columns"),
        ([FRAME, 3], "ragged", "several kinds"),
        ((FRAME, NUMBERS), "ragged", "several kinds"),
        ({"a": [1, 2], "b": [1, 2, 3]}, "ragged", "one length"),
        ({1, 2}, "unreadable", "it reads arrays"),
    ],
    ids=str,
)
def test_what_cannot_be_read_says_why(value: Any, reason: str, says: str) -> None:
    """Each error has its reason; in a call it is a drop, and later rows are counted."""
    with pytest.raises(UnreadableError, match=says) as raised:
        read(value)
    assert raised.value.reason == reason
    with capture() as telemetry:
        predict = mlobs.observe(model="m", reference=MATRIX)(lambda x: None)
        predict(value)
        predict(NUMBERS)
        assert telemetry.total("mlobs.sdk.dropped", reason=reason) > 0
        assert telemetry.total("mlobs.feature.observations", feature="f0") == ROWS


def test_dlpack_alone_is_enough() -> None:
    """An object that hands its memory over through DLPack is read as an array."""
    if np.__version__ < "2":
        pytest.skip("numpy 1 gives its capsules no version")
    np.testing.assert_array_equal(read(Capsule(NUMBERS)).matrix, NUMBERS)


def test_a_wide_sparse_row_is_never_made_dense(telemetry: Telemetry) -> None:
    """A row of 100,000 columns without a reference is dropped, and costs what its entries do."""
    row = scipy.sparse.random(1, 100_000, density=0.0005, format="csr", random_state=1)
    kept = kind_of(type(row)).keep(row)
    assert kept.data.nbytes + kept.indices.nbytes + kept.pointers.nbytes < 1000
    predict = mlobs.observe(model="m")(lambda x: None)
    for _ in range(100):
        predict(row)
    assert telemetry.total("mlobs.sdk.dropped", reason="feature_limit") == 100
    assert telemetry.total("mlobs.prediction.rows") == 100
    tall = scipy.sparse.random(200_000, 50, density=0.01, format="csr", random_state=1)
    found = list(blocks([kind_of(type(tall)).part(tall, 1)]))
    assert sum(block.rows for block in found) == 200_000
    assert max(block.rows * block.width for block in found) <= 2**19
    np.testing.assert_array_equal(np.concatenate([block.column(7) for block in found]), tall.toarray()[:, 7])


def test_large_containers_are_taken_in_part() -> None:
    """What does not fit the ring is taken in evenly spaced rows, whatever it comes in."""
    frame = pd.concat([FRAME] * 100, ignore_index=True)
    for name, make in NAMED.items():
        value = make(frame)
        kind = kind_of(type(value))
        assert kind.keep(value) is LARGE, name
        rows, width = kind.shape(value)
        assert rows == len(frame), name
        assert 3 <= width <= 8, name
        part = kind.part(value, 10)
        assert kind_of(type(part)).rows([part], None) == [len(frame) // 10], name


def test_polars_panics_are_ours(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What polars raises beside Exception does not reach the caller."""

    def panic(_: Any) -> Any:
        raise pl.exceptions.PanicException("a bug in polars")

    monkeypatch.setattr(pl.DataFrame, "rows", panic)
    mlobs.observe(model="m", reference=PROFILE)(lambda x: None)(polars(FRAME.iloc[:1]))
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 1


def test_attrs_and_other_records() -> None:
    """Classes of attrs, models of pydantic's first version and root models are rows, too."""
    attrs = pytest.importorskip("attrs")
    point = attrs.make_class("Point", ["x", "y"])
    assert read([point(1, 2), point(3, 4)]).names == ("x", "y")
    assert read(point(1, 2)).rows == 1
    if pydantic.VERSION >= "2":
        root: Any = pydantic.RootModel[list[Address]]
        assert read(root([Address(), Address()])).rows == 2
        open_ended = pydantic.create_model("Open", __config__=pydantic.ConfigDict(extra="allow"), a=(int, 1))
        assert read(open_ended(b=2)).names == ("a", "b")


@pytest.mark.parametrize(
    "of",
    [
        lambda text: text,
        lambda text: {"text": text, "age": 3.0},
        lambda text: [text, 3.0],
        lambda text: ["short", text, "short"],
        lambda text: [[text, "de"], ["short", "en"]],
        lambda text: (["short", text], ["de", "en"]),
        lambda text: [{"text": text, "tags": [text, "short"]}],
    ],
)
def test_one_long_text_takes_its_own_room_only(of: Callable[[str], object], telemetry: Telemetry) -> None:
    """Text is never handed to numpy, which would give each value of a fold the room of the longest."""
    predict = mlobs.observe(model="m")(lambda x: 0.5)
    tracemalloc.start()
    try:
        for number in range(300):
            predict(of("x" * (1_000_000 if number == 200 else 20)))
        telemetry.collect()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert telemetry.total("mlobs.prediction.rows") >= 300
    assert peak < 50e6


@pytest.mark.skipif(not hasattr(pl, "Int128"), reason="this polars has no integers of 128 bits")
def test_a_column_that_numpy_has_no_room_for_keeps_no_other(telemetry: Telemetry) -> None:
    """Integers of 128 bits in a large polars frame are read one by one, and the other columns as ever."""
    reference = mlobs.Profile.build({"x": list(range(100)), "y": list(range(100))})
    frame = pl.DataFrame({"x": range(600), "y": pl.Series([5] * 600, dtype=pl.Int128)})
    mlobs.observe(model="m", reference=reference)(lambda x: None)(frame)
    for feature in "xy":
        assert telemetry.total("mlobs.feature.observations", feature=feature) == 600
    assert telemetry.total("mlobs.sdk.dropped") == 0
