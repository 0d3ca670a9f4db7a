"""What is counted is what was there."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlobs
from mlobs.api import runtime
from mlobs.otel.points import Exponential
from mlobs.sketch import ks, psi
from mlobs.testing import Telemetry, capture

RNG = np.random.default_rng(7)
TRAINING = pd.DataFrame(
    {
        "age": RNG.normal(40, 10, 5000),
        "income": RNG.lognormal(10, 1, 5000),
        "children": RNG.poisson(1.5, 5000),
        "city": RNG.choice(["Rome", "Oslo", "Lima"], 5000, p=[0.6, 0.3, 0.1]),
    }
)
NUMBERS = ["age", "income", "children"]
PROFILE = mlobs.Profile.build(TRAINING, outputs=RNG.random(5000))
MATRIX = mlobs.Profile.build(TRAINING[NUMBERS].to_numpy())
COLUMN = mlobs.Profile.build(TRAINING[["age"]].to_numpy())


def recount(profile: mlobs.Profile, frame: pd.DataFrame) -> dict[str, Any]:
    """Counts of a frame's columns by numpy and pandas alone."""
    found = {}
    for feature in profile.inputs:
        values = frame[feature.name]
        partition: Any = feature.partition
        if feature.kind == "categorical":
            names = list(partition.names)
            counts = [int((values == name).sum()) for name in names]
            missing = int(values.isna().sum())
            found[feature.name] = [*counts, len(values) - sum(counts) - missing, missing]
        else:
            array = values.to_numpy(np.float64)
            ok = array[~np.isnan(array)]
            bins = np.bincount(np.searchsorted(partition.edges, ok, side="left"), minlength=partition.ordered)
            found[feature.name] = [*bins.tolist(), int(np.isnan(array).sum())]
    return found


def counted(telemetry: Telemetry, feature: str, role: str = "input") -> list[int]:
    return [int(v) for v in telemetry.numbers("mlobs.feature.observations", feature=feature, role=role).values()]


def traffic(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(
        {
            "age": rng.normal(45, 10, rows),
            "income": rng.lognormal(10, 1, rows),
            "children": rng.poisson(1.5, rows).astype(float),
            "city": rng.choice(["Rome", "Oslo", "Lima", "Bonn"], rows),
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "city"] = None
    return frame


@pytest.mark.parametrize("how", ["frame", "rows", "dicts", "columns", "series", "frames"])
def test_counts_and_drift_equal_a_recomputation_from_the_raw_rows(telemetry: Telemetry, how: str) -> None:
    """Whatever the container, the counts are numpy's, and PSI and KS are those of the counts."""
    frame = traffic(600)
    predict = mlobs.observe(model="m", reference=PROFILE)(lambda x: 0.5)
    if how == "frame":
        predict(frame)
    elif how == "frames":
        for start in range(0, 600, 50):
            predict(frame.iloc[start : start + 50])
    elif how == "rows":
        for row in frame.itertuples(index=False):
            predict(list(row))
    elif how == "dicts":
        predict(frame.to_dict("records"))
    elif how == "columns":
        predict({name: frame[name].tolist() for name in frame})
    else:
        for _, row in frame.iterrows():
            predict(row)
    expected = recount(PROFILE, frame)
    drift = mlobs.drift()["m"]
    for feature in PROFILE.inputs:
        counts = counted(telemetry, feature.name)
        assert counts == expected[feature.name], feature.name
        assert drift[feature.name].count == 600
        assert drift[feature.name].psi == pytest.approx(psi(feature.counts, np.array(counts)))
        ordered = feature.partition.ordered
        if ordered:
            assert drift[feature.name].ks == pytest.approx(ks(feature.counts[:ordered], np.array(counts)[:ordered])[0])
    assert drift["city"].verdict == "drifted"
    assert drift["income"].verdict == "stable"


def test_arrays_of_every_kind_count_alike(telemetry: Telemetry) -> None:
    """One row or many, any dtype or order of memory: the same counts, also for batches too large for one copy."""
    values = TRAINING[NUMBERS].to_numpy()[:4000]
    expected = {}
    for feature, column in zip(MATRIX.inputs, values.T, strict=True):
        bins: Any = feature.partition
        expected[feature.name] = np.bincount(np.searchsorted(bins.edges, column), minlength=bins.ordered).tolist()
    ways = {
        "whole": lambda f: f(values),
        "one by one": lambda f: [f(row.reshape(1, -1)) for row in values],
        "flat": lambda f: [f(row) for row in values],
        "lists": lambda f: [f(row.tolist()) for row in values],
        "fortran": lambda f: f(np.asfortranarray(values)),
        "float32": lambda f: f(values.astype(np.float32)),
        "objects": lambda f: f(values.astype(object)),
        "strided": lambda f: f(np.repeat(values, 2, axis=0)[::2]),
        "read-only": lambda f: f(np.broadcast_to(values, values.shape)),
        "batches": lambda f: [f(values[start : start + 37]) for start in range(0, 4000, 37)],
    }
    for way, send in ways.items():
        send(mlobs.observe(model=way, reference=MATRIX)(lambda x: 0.5))
        for feature in MATRIX.inputs:
            counts = telemetry.numbers("mlobs.feature.observations", model_name=way, feature=feature.name, role="input")
            assert list(counts.values())[:-1] == expected[feature.name], way
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_outputs_are_features_too(telemetry: Telemetry) -> None:
    """Labels, scores and probability matrices are counted against the outputs of the reference."""
    frame = TRAINING[NUMBERS].to_numpy()[:500]
    scores = np.random.default_rng(1).random(500)
    labels = np.where(scores > 0.5, "yes", "no")
    matrix = np.column_stack([1 - scores, scores])
    for name, outputs in {"score": scores, "label": labels, "proba": matrix}.items():
        profile = mlobs.Profile.build(frame, outputs=outputs)
        predict = mlobs.observe(model=name, reference=profile)(lambda x, outputs=outputs: outputs)
        predict(frame)
        for feature in profile.outputs:
            counts = telemetry.numbers(
                "mlobs.feature.observations", model_name=name, role="output", feature=feature.name
            )
            assert list(counts.values()) == feature.counts.tolist(), name
    one = mlobs.observe(model="one", reference=mlobs.Profile.build(frame, outputs=scores))(lambda x: 0.25)
    one(frame[:1])
    assert telemetry.total("mlobs.feature.observations", model_name="one", role="output") == 1


def test_outputs_that_are_not_there_are_counted(telemetry: Telemetry) -> None:
    """An answer without some of the reference's outputs tells the others, and that rows lack some; more than those is no matter."""
    profile = mlobs.Profile.build(np.ones((10, 2)), outputs={"p": list(range(10)), "q": list(range(10))})
    predict = mlobs.observe(model="m", reference=profile)(lambda x, answer: answer)
    for answer in ({"p": 1.0}, {"p": 1.0, "q": 2.0, "why": 3.0}):
        predict(np.ones((1, 2)), answer)
    assert telemetry.total("mlobs.feature.observations", role="output", feature="p") == 2
    assert telemetry.total("mlobs.feature.observations", role="output", feature="q") == 1
    assert telemetry.total("mlobs.sdk.dropped", reason="output_shape") == 1
    assert telemetry.total("mlobs.sdk.dropped") == 1


@pytest.mark.parametrize("reference", [False, True])
def test_a_series_labelled_by_rows_is_a_column(telemetry: Telemetry, reference: bool) -> None:
    """Scores that pandas labels by customers are as many predictions, not one of as many columns."""
    frame = pd.DataFrame({"a": np.arange(300.0), "b": 1.0}, index=[f"customer {index}" for index in range(300)])
    profile = mlobs.Profile.build(frame, outputs=frame["a"]) if reference else None
    predict = mlobs.observe(model="m", reference=profile)(lambda x: x["a"])
    predict(frame)
    predict(frame[:20])
    told = "mlobs.feature.observations" if reference else "mlobs.feature.value"
    assert telemetry.total(told, role="output", feature="prediction") == 320
    assert telemetry.total("mlobs.sdk.dropped") == 0


BAD: list[Any] = [
    [float("nan"), 1.0, 2],
    [float("inf"), -float("inf"), 10**400],
    [None, None, None],
    ["3.5", "x", b"y"],
    [object(), {}, []],
    [1.0, 2.0],
    [1.0, 2.0, 3.0, 4.0],
    [],
    np.zeros((0, 3)),
    np.zeros((3, 0)),
    np.zeros((2, 3, 4)),
    np.array([["a", None, 3j]], object),
    np.array([[1 + 2j, 3, 4]]),
    np.array(["2020-01-01"] * 3, "datetime64[D]"),
    {"age": 1.0},
    {"age": None, "income": "x", "children": [1, 2], "extra": 3},
    {1: 2, (3, 4): 5},
    [{"age": 1.0}, None, 3, {"age": {}}],
    pd.DataFrame(),
    pd.DataFrame({"age": [1.0], "nothing": ["x"]}),
    pd.DataFrame([[1, 2], [3, 4]], columns=["age", "age"]),
    pd.Series([], dtype=float),
    None,
    object(),
    iter([1, 2]),
    "text",
    3.5,
    2**70,
    np.float64("nan"),
]


class Lazy:
    """An array that fails when it is looked at."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        message = "not yet"
        raise RuntimeError(message)


@pytest.mark.parametrize("reference", [None, PROFILE, MATRIX])
def test_bad_input_is_never_raised_and_always_counted(telemetry: Telemetry, reference: Any) -> None:
    """Every kind of nonsense goes through: the call is counted, its loss has a reason, later rows are counted."""
    predict = mlobs.observe(model="m", reference=reference)(lambda x: x)
    inputs = [*BAD, Lazy()]
    for value in inputs:
        for _ in range(2):
            assert predict(value) is value
    assert telemetry.total("mlobs.prediction.duration") == 2 * len(inputs)
    reasons = {dict(pairs)["reason"] for pairs in telemetry.numbers("mlobs.sdk.dropped")}
    assert {"unreadable", "not_tabular"} <= reasons
    assert telemetry.total("mlobs.sdk.errors") == 0
    if reference is MATRIX:
        before = telemetry.total("mlobs.feature.observations", role="input", feature="f0")
        predict(np.ones((5, 3)))
        assert telemetry.total("mlobs.feature.observations", role="input", feature="f0") == before + 5


def test_violations_have_a_kind(telemetry: Telemetry) -> None:
    """Missing, infinite, of a wrong type, out of range, unseen: each counted under its own name."""
    predict = mlobs.observe(model="m", reference=PROFILE)(lambda x: 0.5)
    predict({"age": float("nan"), "income": float("inf"), "children": "three", "city": "Atlantis"})
    predict({"age": 1e9, "income": None, "children": 2, "city": None})
    kinds = {
        (dict(pairs)["feature"], dict(pairs)["kind"]): value
        for pairs, value in telemetry.numbers("mlobs.feature.violations").items()
    }
    assert kinds == {
        ("age", "missing"): 1,
        ("age", "range"): 1,
        ("income", "infinite"): 1,
        ("income", "missing"): 1,
        ("children", "type"): 1,
        ("city", "unseen"): 1,
        ("city", "missing"): 1,
    }


def test_schema_violations_are_told_once_and_the_rest_goes_on(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Columns missing, added or in another order are counted and told once; what matches is observed."""
    frame = TRAINING.iloc[:100]
    predict = mlobs.observe(model="m", reference=PROFILE)(lambda x: 0.5)
    predict(frame[["city", "age", "income"]].assign(extra=1))
    kinds = {dict(pairs)["kind"]: value for pairs, value in telemetry.numbers("mlobs.schema.violations").items()}
    assert kinds == {"missing_column": 100, "extra_column": 100, "order": 100}
    predict(frame[["city", "age"]])
    assert telemetry.total("mlobs.feature.observations", feature="city") == 200
    told = [record.message for record in caplog.records if "columns" in record.message]
    assert len(told) == 1
    assert "1 missing (children); 1 that the reference does not know; another order" in told[0]
    assert sum(counted(telemetry, "age")) == 200
    assert sum(counted(telemetry, "children")) == 0
    assert mlobs.drift()["m"]["children"].verdict == "insufficient"
    other = mlobs.observe(model="n", reference=MATRIX)(lambda x: 0.5)
    other(np.ones((10, 5)))
    other(np.ones((10, 3)))
    assert telemetry.total("mlobs.schema.violations", model_name="n", kind="extra_column") == 20
    assert telemetry.total("mlobs.sdk.dropped", reason="width") == 10
    assert telemetry.total("mlobs.feature.observations", model_name="n", feature="f0", role="input") == 10


def test_a_million_rows_are_bounded_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A batch beyond the ring is taken in evenly spaced rows; rows counted, rows left out counted, answer untouched.

    The log says that one call may be too large by itself.
    """
    with capture(ring_bytes=2**20) as telemetry:
        batch = np.random.default_rng(3).normal(size=(1_000_000, 3))
        predict = mlobs.observe(model="m", reference=mlobs.Profile.build(batch[:10_000]))(lambda x: x[:, 0])
        predict(batch)
        assert telemetry.total("mlobs.prediction.rows") == 1_000_000
        taken = telemetry.total("mlobs.feature.observations", role="input", feature="f0")
        assert 5_000 <= taken <= 2**20 / 8 / 3
        assert telemetry.total("mlobs.sdk.dropped", reason="ring_full") >= 1_000_000 - taken
        assert telemetry.total("mlobs.prediction.batch_size") == 1
        drift = mlobs.drift()["m"]
        assert {one.verdict for one in drift.values()} == {"stable"}
    assert "in one input or answer larger than a quarter of settings.ring_bytes" in caplog.text


def test_calls_are_never_dropped_where_data_is() -> None:
    """With a tiny ring and nobody folding, every call is counted and every row is either observed or dropped."""
    with capture(ring_calls=8, fold_interval=3600) as telemetry:
        predict = mlobs.observe(model="m", reference=MATRIX)(lambda x: 0.5)
        for _ in range(500):
            predict(np.ones((1, 3)))
        assert telemetry.total("mlobs.prediction.duration") == 500
        assert telemetry.total("mlobs.prediction.rows") == 500
        seen = telemetry.total("mlobs.feature.observations", role="input", feature="f0")
        answers = telemetry.total("mlobs.sdk.dropped", reason="ring_full") - (500 - seen)
        assert 0 < seen <= 500
        assert answers >= 0


@pytest.mark.parametrize(
    ("value", "reference", "rows"),
    [
        (["a", "b", "c"], None, 3),
        (np.ones(3), COLUMN, 3),
        ([1.0, 2.0, 3.0], COLUMN, 3),
        ([1.0, 2.0, 3.0], MATRIX, 1),
        (np.ones(3), MATRIX, 1),
        ([[1.0, 2.0, 3.0]] * 3, MATRIX, 3),
        ({"a": [1.0, 2.0, 3.0]}, None, 3),
    ],
)
def test_what_there_is_no_room_for_has_its_rows(
    value: Any, reference: Any, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a vector or a list of texts is one row or many says the model, there as well."""
    monkeypatch.setattr(runtime, "wake", lambda: None)  # nobody folds but the caller, once there is no room at all
    with capture(ring_calls=8, fold_interval=3600) as telemetry:
        predict = mlobs.observe(model="m", reference=reference)(lambda x: None)
        for _ in range(50):
            predict(value)
        assert telemetry.total("mlobs.prediction.rows") == 50 * rows
        left = telemetry.total("mlobs.sdk.dropped", reason="ring_full")
        assert left > 0
        assert left % rows == 0


TEXTS: dict[str, Any] = {
    "a text": lambda text: text,
    "bytes": lambda text: text.encode(),
    "a list": lambda text: [text],
    "several": lambda text: [text[start : start + 200] for start in range(0, len(text), 200)],
    "many": lambda text: [[text[start : start + 20], 1.0] for start in range(0, len(text), 20)],
    "a row": lambda text: {"text": text, "age": 41.0},
    "a row within": lambda text: {"customer": {"text": text, "age": 41.0}},
    "rows": lambda text: [{"text": text, "age": 41.0}],
    "a frame": lambda text: pd.DataFrame({"text": [text], "age": [41.0]}),
    "a series": lambda text: pd.Series({"text": text, "age": 41.0}),
    "an answer": len,
}


def test_the_first_texts_are_soon_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows yet how long they are; nor when what is decorated already is configured."""
    woken: list[int] = []
    with capture() as telemetry:
        predict = mlobs.observe(model="m")(lambda x: 0.5)
        (monitor,) = runtime.monitors.values()
        monitor.ring.resize(1000, 2**17)
        monkeypatch.setattr(monitor.ring, "_wake", lambda: woken.append(monitor.ring.waiting))
        for _ in range(20):
            predict("a text")
        assert 0 < woken[0] <= 16
        assert telemetry.total("mlobs.prediction.duration") == 20


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("spans", ["never", "always"])
def test_texts_take_the_room_that_they_have(kind: str, spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long they are and whatever holds them: once some have been seen, no more wait than there is room for. All calls count."""
    monkeypatch.setattr(runtime, "wake", lambda: None)  # nobody folds but the test
    with capture(ring_bytes=2**17, fold_interval=3600, spans=spans) as telemetry:
        predict = mlobs.observe(model="m")(lambda x: f"{x:020000}" if kind == "an answer" else 0.5)
        (monitor,) = runtime.monitors.values()
        for number in range(20):
            predict(TEXTS[kind](f"{number:020000}"))
        runtime.fold()
        most = 0
        for number in range(200):
            predict(TEXTS[kind](f"{number:020000}"))
            waiting = [*monitor.ring.kept, *monitor.ring.answers, *(rare[2:4] for rare in monitor.ring.rare)]
            most = max(most, len(pickle.dumps(waiting)))
        assert 10_000 < most < 1.5 * 2**17
        assert telemetry.total("mlobs.prediction.duration") == 220


def test_without_a_reference_numbers_are_summarised(telemetry: Telemetry) -> None:
    """Numeric features become exponential histograms whose counts are those of the values."""
    rows = np.random.default_rng(4).normal(5, 1, (300, 2))
    predict = mlobs.observe(model="m")(lambda x: x.sum(axis=1))
    for row in rows:
        predict(row.reshape(1, 2))
    [first] = telemetry.histograms("mlobs.feature.value", feature="f0")
    assert isinstance(first, Exponential)
    assert first.observed == 300
    base = 2.0 ** (2.0**-first.scale)
    counts = np.histogram(rows[:, 0], base ** (first.positive_offset + np.arange(len(first.positive) + 1.0)))[0]
    assert list(first.positive) == counts.tolist()
    assert telemetry.total("mlobs.feature.value", role="output", feature="prediction") == 300


@pytest.mark.parametrize("folds", [1, 10, 100])
def test_what_is_no_number_among_numbers_is_a_violation(telemetry: Telemetry, folds: int) -> None:
    """Without a reference the numbers beside it count, however calls are folded; a column of text is not summarised."""
    predict = mlobs.observe(model="m")(lambda x: None)
    for index in range(100):
        predict({"a": "n/a" if index in (7, 50) else index, "plan": None if index % 3 else "free"})
        if not index % (100 // folds):
            telemetry.collect()
    assert telemetry.total("mlobs.feature.value", feature="a") == 98
    assert telemetry.total("mlobs.feature.violations", feature="a", kind="type") == 2
    assert telemetry.total("mlobs.feature.violations", kind="type") == 2
    assert telemetry.total("mlobs.feature.value") == 98


def test_too_many_features_and_models_are_capped_and_told() -> None:
    """Cardinality has a limit below the SDK's; what is beyond it is counted, and models are folded into one."""
    with capture(max_features=5, max_models=2) as telemetry:
        predict = mlobs.observe(model="wide")(lambda x: 0.5)
        predict({f"k{i}": 1.0 for i in range(6)})
        for i in range(50):
            predict({f"key{i % 10}": 1.0})
        names = {
            dict(one.attributes.items())["feature"] for one in telemetry.histograms("mlobs.feature.value", role="input")
        }
        assert len(names) == 5
        assert telemetry.total("mlobs.sdk.dropped", reason="feature_limit") == 1 + 25
        for i in range(5):
            mlobs.observe(model=f"model{i}")(lambda x: x)(1.0)
        models = {dict(pairs)["model.name"] for pairs in telemetry.numbers("mlobs.model.info")}
        assert models == {"wide", "model0", "_OTHER"}
        assert telemetry.total("mlobs.prediction.duration", model_name="_OTHER") == 4


def test_too_many_operations_of_a_model_are_one(telemetry: Telemetry) -> None:
    """Names that requests bring do not pile up: a hundred of a model are told apart, and every call is counted."""
    for model in ("a", "b"):
        for index in range(103):
            mlobs.observe(model=model, operation=f"op{index}")(lambda x: x)(1.0)
    known = {
        (key["model.name"], key["model.operation"]) for key in map(dict, telemetry.numbers("mlobs.prediction.rows"))
    }
    assert len(known) == 2 * 101
    assert telemetry.total("mlobs.prediction.duration", model_operation="_OTHER") == 6
    assert telemetry.total("mlobs.prediction.duration") == 206
    assert telemetry.total("mlobs.sdk.dropped", reason="operation_limit") == 6


def test_the_window_forgets_and_the_total_does_not() -> None:
    """Drift over a window is of its rows only."""
    with capture(windows=(60.0, 600.0)) as telemetry:
        predict = mlobs.observe(model="m", reference=MATRIX)(lambda x: 0.5)
        drifted = MATRIX_ROWS + 100
        predict(drifted)
        mlobs.drift()
        for _ in range(30):
            telemetry.clock.advance(5)
            predict(MATRIX_ROWS[:200])
            mlobs.drift()
        assert mlobs.drift(window=60.0)["m"]["f0"].verdict == "stable"
        assert mlobs.drift(window=60.0)["m"]["f0"].count in range(12 * 200, 14 * 200 + 1)
        assert mlobs.drift(window=600.0)["m"]["f0"].verdict == "drifted"
        assert mlobs.drift()["m"]["f0"].count == 30 * 200 + 2000
        verdicts = telemetry.numbers("mlobs.drift.significant", feature="f0")
        assert {dict(pairs)["window"]: value for pairs, value in verdicts.items()} == {"1m": 0, "10m": 2}
    for window in (61.0, np.array([60.0, 600.0]), "1m"):
        with capture(), pytest.raises(mlobs.ConfigurationError, match="windows"):
            mlobs.drift(window=window)  # type: ignore[arg-type]


MATRIX_ROWS = TRAINING[NUMBERS].to_numpy()[:2000]


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3),
    st.complex_numbers(), st.dates(), st.datetimes(), st.decimals(), st.just(np.nan), st.just(pd.NA), st.just(pd.NaT),
)  # fmt: skip
rows = st.one_of(
    values,
    st.lists(values, max_size=6),
    st.lists(st.lists(values, max_size=4), max_size=4),
    st.dictionaries(st.one_of(st.sampled_from(list(TRAINING)), st.text(max_size=3), st.integers()), values, max_size=5),
    st.lists(st.dictionaries(st.sampled_from(list(TRAINING)), values), max_size=3),
    st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner), max_leaves=8),
)


@given(st.lists(rows, max_size=8), st.sampled_from([None, PROFILE, MATRIX]))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_value_can_make_a_call_raise(given_values: list[Any], reference: Any) -> None:
    """Whatever is handed in comes back, nothing is raised, and every call is counted."""
    with capture() as telemetry, warnings.catch_warnings():
        warnings.simplefilter("error")
        predict = mlobs.observe(model="m", reference=reference)(lambda x: x)
        for value in given_values:
            assert predict(value) is value
        assert telemetry.total("mlobs.prediction.duration") == len(given_values)
        assert telemetry.total("mlobs.sdk.errors") == 0
