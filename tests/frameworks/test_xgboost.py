"""xgboost under `mlobs.instrument()`: boosters and estimators, with scikit-learn's integration and without."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.frameworks.boosting import X, Y, bare, features, imported_later, judged, outcome
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.columns import kind_of, read
from mlobs.errors import UnreadableError
from mlobs.testing import Telemetry

PLAIN = {"verbosity": 0, "nthread": 1, "max_depth": 2}
CHECKED = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1, "verbosity": 0}
BARE = xgboost.train(PLAIN, xgboost.DMatrix(X, Y), 3)


@pytest.fixture(params=[("xgboost",), ("sklearn", "xgboost"), ("xgboost", "sklearn")], ids="+".join, autouse=True)
def _hooked(request: pytest.FixtureRequest, telemetry: Telemetry) -> Iterator[None]:
    for name in request.param:
        mlobs.instrument(name)
    yield
    mlobs.uninstrument()


def booster(names: list[str] | None = None) -> xgboost.Booster:
    return xgboost.train(PLAIN, xgboost.DMatrix(X, Y, feature_names=names), 3)


def estimator(cls: Any = xgboost.XGBClassifier, **more: Any) -> Any:
    return cls(**CHECKED, **more)


def places() -> list[tuple[Any, str]]:
    classes = [cls for name, cls in vars(xgboost).items() if inspect.isclass(cls)]
    owners = {owner for cls in classes for owner in cls.__mro__ if owner is not object}
    names = ("predict", "predict_proba", "inplace_predict", "fit", "score", "apply", "load_model", "update", "eval_set")
    functions = [(module, name) for module in (xgboost, xgboost.training, xgboost.sklearn) for name in ("train", "cv")]
    return [*((owner, name) for owner in owners for name in (*names, "__init_subclass__")), *functions]


# ── predictions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cls", [xgboost.XGBClassifier, xgboost.XGBRegressor])
def test_estimators_answer_the_same_and_count_once(cls: Any, telemetry: Telemetry) -> None:
    """Whichever integrations are on, each prediction of an estimator counts once, and its answer is the same."""
    model = estimator(cls).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    model.score(X, Y)
    model.apply(X)
    assert calls(telemetry) == {}
    operations = [name for name in ("predict", "predict_proba") if hasattr(model, name)]
    answers = {name: getattr(model, name)(X[:7]) for name in operations}
    assert rows(telemetry) == {(cls.__name__, name): 7 for name in operations}
    assert calls(telemetry) == {(cls.__name__, name): 1 for name in operations}
    assert features(telemetry, cls.__name__) == {f"f{index}": 7 * len(operations) for index in range(4)}
    mlobs.uninstrument()
    bare = estimator(cls).fit(X, Y)
    for name, answer in answers.items():
        np.testing.assert_array_equal(getattr(bare, name)(X[:7]), answer)


def test_rankers_and_the_users_own_classes(telemetry: Telemetry) -> None:
    """A ranker, and a class of the user's made later, whose own method counts, and not what it calls."""

    class Mine(xgboost.XGBRegressor):  # type: ignore[misc]
        def predict(self, X: Any, **more: Any) -> Any:  # noqa: N803 - as xgboost calls it
            return super().predict(X, **more) + 1

    mine = Mine(n_estimators=2, n_jobs=1).fit(X, Y)
    np.testing.assert_array_equal(mine.predict(X[:3]), xgboost.XGBRegressor.predict(mine, X[:3]) + 1)
    ranker = estimator(xgboost.XGBRanker).fit(X, Y, qid=np.repeat([0, 1], 60))
    ranker.predict(X[:5])
    assert rows(telemetry) == {("Mine", "predict"): 6, ("XGBRanker", "predict"): 5}


def test_a_booster_predicts_from_a_dmatrix(telemetry: Telemetry) -> None:
    """Names and values of a DMatrix are read, on mlobs' own thread, and the answer is the same."""
    model = booster(["a", "b", "c", "d"])
    data = xgboost.DMatrix(X[:50], feature_names=["a", "b", "c", "d"])
    answer = model.predict(data)
    np.testing.assert_array_equal(answer, BARE.predict(xgboost.DMatrix(X[:50])))
    assert rows(telemetry)["Booster", "predict"] == 50 + 50
    assert features(telemetry, "Booster")["a"] == 50
    assert features(telemetry, "Booster", "output") == {"prediction": 100}
    assert telemetry.total("mlobs.sdk.dropped") == 0


@pytest.mark.parametrize(
    "make",
    [np.asarray, lambda rows: rows.tolist(), pd.DataFrame, scipy.sparse.csr_matrix],
    ids=["array", "list", "frame", "sparse"],
)
def test_inplace_predict(make: Callable[[Any], Any], telemetry: Telemetry) -> None:
    """A booster predicts from what is no DMatrix, with the same answer."""
    data = make(X[:9])
    answer = booster().inplace_predict(data)
    assert rows(telemetry) == {("Booster", "inplace_predict"): 9}
    assert set(features(telemetry, "Booster").values()) == {9}
    mlobs.uninstrument()
    np.testing.assert_array_equal(BARE.inplace_predict(data), answer)


def test_a_reference_meets_the_values_of_a_dmatrix(telemetry: Telemetry) -> None:
    """Drift is told of what a DMatrix holds; a missing value is missing, a zero is a zero."""
    many = np.random.default_rng(1).normal(size=(3000, 2))
    many[:, 1] = np.round(many[:, 1])
    model = xgboost.train(PLAIN, xgboost.DMatrix(many, many[:, 0] > 0), 2)
    mlobs.register(model, name="native", reference=mlobs.Profile.build(many))
    later = many.copy()
    later[::10, 0] = np.nan
    model.predict(xgboost.DMatrix(later))
    found = mlobs.drift()["native"]
    assert {name: one.count for name, one in found.items()} == {"f0": 3000, "f1": 3000}
    assert found["f1"].verdict == "stable"
    assert telemetry.total("mlobs.feature.violations", kind="missing") == 300


def test_the_values_of_a_dmatrix_are_those_it_was_made_from() -> None:
    """Read as 32-bit floats, NaN where the DMatrix has none: its missing marker, holes of a sparse matrix; by name."""
    values = np.array([[1.5, 0.0, -1.0], [np.nan, 2.0, 3.0]])
    np.testing.assert_array_equal(read(xgboost.DMatrix(values)).matrix, values.astype(np.float32))
    expected = np.where(values == -1, np.nan, values)
    np.testing.assert_array_equal(read(xgboost.DMatrix(values, missing=-1)).matrix, expected)
    holes = read(xgboost.DMatrix(scipy.sparse.csr_matrix([[1.0, 0.0], [0.0, 2.0]]))).matrix
    np.testing.assert_array_equal(holes, [[1.0, np.nan], [np.nan, 2.0]])
    named = read(xgboost.DMatrix(pd.DataFrame({"age": [1, 2], "paid": [0.5, 0.25]})))
    assert (named.names, named.rows) == (("age", "paid"), 2)


def test_a_large_dmatrix_is_read_in_part(telemetry: Telemetry) -> None:
    """Beyond what may wait, evenly spaced rows are read, groups or not, and all of them counted."""
    many = np.zeros((400_000, 4), np.float32)
    data = xgboost.DMatrix(many, qid=np.zeros(len(many), int))
    model = booster()
    model.predict(data)
    assert rows(telemetry) == {("Booster", "predict"): 400_000}
    told = features(telemetry, "Booster")["f0"]
    assert 50_000 < told < 400_000
    assert telemetry.total("mlobs.sdk.dropped", reason="ring_full") >= 400_000 - told


class Pages(xgboost.DataIter):  # type: ignore[misc]
    """Rows that lie on disk."""

    def __init__(self, folder: Path) -> None:
        self.page = 0
        super().__init__(cache_prefix=str(folder / "cache"))

    def next(self, input_data: Callable[..., None]) -> bool:
        self.page += 1
        if self.page <= 3:
            input_data(data=X[:10], label=Y[:10])
        return self.page <= 3

    def reset(self) -> None:
        self.page = 0


def test_a_matrix_that_does_not_hand_out_its_values_tells_its_rows(telemetry: Telemetry, tmp_path: Path) -> None:
    """Quantiles, codes of categories, external memory: answers as without mlobs, rows counted, values left out as such."""
    model = booster()
    colours = pd.DataFrame({"colour": pd.Categorical(["red", "blue"] * 60)})
    coloured = xgboost.DMatrix(colours, Y, enable_categorical=True)
    painter = xgboost.train(PLAIN, coloured, 2)
    cases = [(model, xgboost.QuantileDMatrix(X)), (painter, coloured), (model, xgboost.DMatrix(Pages(tmp_path)))]
    answers = [one.predict(data) for one, data in cases]
    assert rows(telemetry) == {("Booster", "predict"): 120 + 120 + 30}
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 270
    mlobs.uninstrument()
    for (one, data), answer in zip(cases, answers, strict=True):
        np.testing.assert_array_equal(one.predict(data), answer)
        with pytest.raises(UnreadableError):
            read(data)


def test_a_small_dmatrix_weighs_what_it_takes() -> None:
    """A matrix of one row is accounted for with its 8 KB, so that few enough wait to be read; a large one by its values."""
    shape = kind_of(xgboost.DMatrix).shape
    assert shape(xgboost.DMatrix(X[:1])) == (1, 1024)
    assert shape(xgboost.DMatrix(X[:3])) == (3, 342)
    assert shape(xgboost.DMatrix(np.zeros((400, 4)))) == (400, 4)


def test_what_may_lie_on_a_gpu_is_not_touched(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a library of arrays on GPUs was imported, only the rows of a DMatrix are told."""
    monkeypatch.setitem(sys.modules, "numba.cuda", types.ModuleType("numba.cuda"))
    model = booster()
    for size in (3, 4):
        model.predict(xgboost.DMatrix(X[:size]))
    assert rows(telemetry) == {("Booster", "predict"): 7}
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 7


# ── what is no prediction ───────────────────────────────────────────────────────────────────────────────────────────


def test_training_and_evaluation_count_nothing(telemetry: Telemetry) -> None:
    """Objectives, metrics and callbacks of the user's predict as they like; so do cv, update and eval."""
    seen = []

    class Looks(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            seen.append(model.predict(data))
            return False

    def objective(scores: Any, data: Any) -> Any:
        return scores - data.get_label(), np.ones(len(scores))

    def metric(scores: Any, data: Any) -> Any:
        return "off", float(np.abs(scores - data.get_label()).mean())

    data = xgboost.DMatrix(X, Y)
    own = {"obj": objective, "custom_metric": metric}
    evals = [(data, "train")]
    model = xgboost.train(PLAIN, data, 2, evals=evals, verbose_eval=False, callbacks=[Looks()], **own)
    xgboost.cv(PLAIN, data, 2, nfold=2, **own)
    model.update(data, 3, fobj=objective)
    model.eval(data)
    model.eval_set(evals, 1, metric)
    assert len(seen) == 2
    assert calls(telemetry) == {}


def test_model_selection_counts_nothing(telemetry: Telemetry) -> None:
    """Scorers, searches and cross-validation, where scikit-learn's integration is off too."""
    search = GridSearchCV(estimator(), {"max_depth": [1, 2]}, cv=2, scoring="roc_auc").fit(X, Y)
    cross_val_score(estimator(), X, Y, cv=2)
    cross_val_predict(estimator(), X, Y, cv=2)
    search.score(X, Y)
    assert calls(telemetry) == {}


# ── once ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inside_others_it_counts_once(telemetry: Telemetry, request: pytest.FixtureRequest) -> None:
    """In a pipeline of scikit-learn's, where that is hooked, and in a function that was decorated."""
    pipeline = make_pipeline(StandardScaler(), estimator()).fit(X, Y)
    pipeline.predict(X[:3])
    model = booster()

    @mlobs.observe(model="served")
    def serve(data: Any) -> Any:
        return model.predict(xgboost.DMatrix(data)) + pipeline.predict_proba(data)[:, 1]

    serve(X[:4])
    outer = "Pipeline" if "sklearn" in request.node.callspec.id else "XGBClassifier"
    assert rows(telemetry) == {(outer, "predict"): 3, ("served", "serve"): 4}


def test_estimators_are_taken_over_from_sklearn(telemetry: Telemetry) -> None:
    """Whichever of the two is turned off, in whatever order, the other one observes, and once."""
    model = estimator().fit(X, Y)
    for change, names in [
        (mlobs.instrument, ("sklearn", "xgboost")),
        (mlobs.uninstrument, ("sklearn",)),
        (mlobs.instrument, ("sklearn",)),
        (mlobs.uninstrument, ("xgboost",)),
        (mlobs.instrument, ("xgboost",)),
        (mlobs.uninstrument, ("sklearn",)),
    ]:
        change(*names)
        before = sum(calls(telemetry).values())
        model.predict(X[:1])
        assert sum(calls(telemetry).values()) == before + 1, (change, names)
        model.score(X, Y)
        assert sum(calls(telemetry).values()) == before + 1, (change, names)
    mlobs.uninstrument("xgboost")
    model.predict(X[:1])
    assert sum(calls(telemetry).values()) == 6


def test_threads_count_each(telemetry: Telemetry) -> None:
    """One booster in several threads, one DMatrix shared by all: every call counts, every value is read."""
    model, shared = booster(), xgboost.DMatrix(X[:5])
    expected = model.predict(shared)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: model.predict(shared), range(60)))
    assert all(np.array_equal(answer, expected) for answer in answers)
    assert rows(telemetry) == {("Booster", "predict"): 305}
    assert features(telemetry, "Booster")["f0"] == 305


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def test_names_come_from_register_then_from_the_profile_beside(telemetry: Telemetry, tmp_path: Path) -> None:
    """As registered; as the profile beside the file says, whichever way it is loaded; else the class."""
    many = np.random.default_rng(2).normal(size=(1000, 4))
    trained = estimator().fit(many, many[:, 0] > 0)
    file = tmp_path / "fraud.json"
    trained.save_model(file)
    mlobs.Profile.build(many, model="fraud", version="9").save(tmp_path / "fraud.profile.json")
    by_init = xgboost.Booster(model_file=file)
    by_call = xgboost.Booster()
    by_call.load_model(fname=str(file))
    loaded = estimator()
    loaded.load_model(file)
    for one in (by_init, by_call):
        one.predict(xgboost.DMatrix(many))
    loaded.predict(many)
    from_memory = xgboost.Booster()
    from_memory.load_model(by_init.save_raw())
    from_memory.inplace_predict(X[:2])
    mlobs.register(from_memory, name="own", version="2")
    from_memory.inplace_predict(X[:3])
    assert rows(telemetry) == {
        ("fraud", "predict"): 3000,
        ("Booster", "inplace_predict"): 2,
        ("own", "inplace_predict"): 3,
    }
    assert mlobs.drift()["fraud"]["f0"].count == 3000


def test_what_cannot_be_loaded_raises_as_without_mlobs(tmp_path: Path) -> None:
    """A file that is not there, one that is no model, an argument that is no file."""
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    (tmp_path / "broken.profile.json").write_text("{")
    cases = [
        lambda: xgboost.Booster(model_file=tmp_path / "none.json"),
        lambda: xgboost.Booster(model_file=broken),
        lambda: xgboost.Booster().load_model(7),
        lambda: xgboost.Booster().load_model(),
        lambda: estimator().load_model(broken),
    ]
    hooked = [outcome(case) for case in cases]
    mlobs.uninstrument()
    assert [outcome(case) for case in cases] == hooked
    assert all(issubclass(kind, Exception) for kind, _ in hooked)


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bad_input_raises_what_xgboost_raises_and_is_counted_by_type(telemetry: Telemetry) -> None:
    """Wrong shape, wrong type, not fitted: the framework's own error; an empty batch is an answer of no rows."""
    model, fitted = booster(), estimator().fit(X, Y)
    bad = [X[:, :2], X[0], np.zeros((2, 3, 4)), np.array([["a", "b", "c", "d"]]), X.astype(complex)]
    cases: list[Callable[[], Any]] = [
        *(lambda one=one: fitted.predict(one) for one in bad),
        *(lambda one=one: fitted.predict_proba(one) for one in bad),
        *(lambda one=one: model.inplace_predict(one) for one in bad),
        lambda: model.predict(X),
        lambda: model.predict(
            xgboost.DMatrix(X, feature_names=["a", "b", "c", "d"]), pred_leaf=True, output_margin=True
        ),
        lambda: estimator().predict(X),
        lambda: xgboost.Booster().predict(xgboost.DMatrix(X)),
    ]
    hooked = [outcome(case) for case in cases]
    counted = errors(telemetry)
    empty = [fitted.predict(X[:0]), model.predict(xgboost.DMatrix(X[:0])), model.inplace_predict(X[:0])]
    assert sum(counted.values()) == len(cases)
    assert sum(errors(telemetry).values()) == len(cases)
    assert counted.keys() == {
        *("ValueError", "TypeError", "sklearn.exceptions.NotFittedError"),
        f"{xgboost.core.XGBoostError.__module__}.XGBoostError",
    }
    mlobs.uninstrument()
    assert [outcome(case) for case in cases] == hooked
    assert all(issubclass(kind, Exception) for kind, _ in hooked)
    bare = [fitted.predict(X[:0]), model.predict(xgboost.DMatrix(X[:0])), model.inplace_predict(X[:0])]
    assert [one.shape for one in empty] == [one.shape for one in bare]


# ── nothing is left behind ──────────────────────────────────────────────────────────────────────────────────────────


def test_uninstrument_restores_the_very_objects(request: pytest.FixtureRequest) -> None:
    """Before and after, classes and modules have the objects they had; meanwhile they look the same."""
    hooked = standing(*places())
    signatures = [
        inspect.signature(one) for one in (xgboost.train, xgboost.Booster.predict, xgboost.Booster.load_model)
    ]
    assert xgboost.train is xgboost.training.train is xgboost.sklearn.train
    mlobs.uninstrument()
    before = standing(*places())
    assert [
        inspect.signature(one) for one in (xgboost.train, xgboost.Booster.predict, xgboost.Booster.load_model)
    ] == signatures
    assert sum(hooked[key] is not before[key] for key in before) > 15
    for order in (("sklearn", "xgboost"), ("xgboost", "sklearn")):
        for first in order:
            mlobs.instrument("xgboost")
            mlobs.instrument("sklearn")
            mlobs.uninstrument(first)
            mlobs.uninstrument()
            assert standing(*places()) == before


@pytest.mark.parametrize("_hooked", [("xgboost",)], ids="+".join, indirect=True)
def test_what_is_imported_later_is_hooked_and_put_back() -> None:
    """Turned on first, nothing is imported for it; turned off, no class or module keeps anything of it."""
    imported_later(
        """
        import numpy, xgboost
        model = xgboost.XGBClassifier(n_estimators=2).fit(numpy.eye(4), [0, 1, 0, 1])
        with capture() as telemetry:
            model.predict(numpy.eye(4))
            model.get_booster().predict(xgboost.DMatrix(numpy.eye(4)))
            xgboost.train({"verbosity": 0}, xgboost.DMatrix(numpy.eye(4), [0, 1, 0, 1]), 2)
            assert telemetry.total("mlobs.prediction.rows") == 8
            assert telemetry.total("mlobs.prediction.duration") == 2
        assert xgboost.train.__code__.co_filename.endswith("hooked.py")
        hooked = xgboost.train
        mlobs.uninstrument("xgboost")
        assert xgboost.train is xgboost.training.train is xgboost.sklearn.train is hooked.__wrapped__
        """
    )


def test_pickles_copies_and_clones(telemetry: Telemetry) -> None:
    """By every pickler, deep copies and clones: models like any other, functions by name."""
    fitted, model = estimator().fit(X, Y), booster()
    for dump in (pickle.dumps, cloudpickle.dumps):
        again, bound, native, train = pickle.loads(dump([fitted, fitted.predict, model, xgboost.train]))
        np.testing.assert_array_equal(again.predict(X), bound(X))
        np.testing.assert_array_equal(native.inplace_predict(X), model.inplace_predict(X))
        assert train is xgboost.train
    assert clone(fitted).get_params() == fitted.get_params()
    np.testing.assert_array_equal(copy.deepcopy(fitted).predict(X), fitted.predict(X))
    np.testing.assert_array_equal(copy.deepcopy(model).inplace_predict(X), model.inplace_predict(X))
    state = pickle.dumps(fitted)
    mlobs.uninstrument()
    assert pickle.dumps(fitted) == state


def test_joblib_files_and_the_profile_beside(
    telemetry: Telemetry, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A file of joblib's is read as ever; where scikit-learn's integration is on, the profile beside it counts."""
    joblib.dump(booster(), tmp_path / "native.joblib")
    mlobs.Profile.build(X, model="native").save(tmp_path / "native.profile.json")
    joblib.load(tmp_path / "native.joblib").predict(xgboost.DMatrix(X[:6]))
    name = "native" if "sklearn" in request.node.callspec.id else "Booster"
    assert rows(telemetry) == {(name, "predict"): 6}


def test_a_dmatrix_is_let_go_once_it_was_read(telemetry: Telemetry) -> None:
    """What was kept of a call is forgotten with the next fold: the memory is the user's again."""
    data = xgboost.DMatrix(X)
    gone = weakref.ref(data)
    booster().predict(data)
    assert telemetry.total("mlobs.prediction.rows") == 120
    del data
    assert gone() is None


# ── scikit-learn's own checks ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("_hooked", [("xgboost",), ("sklearn", "xgboost")], ids="+".join, indirect=True)
@pytest.mark.parametrize("cls", [xgboost.XGBClassifier, xgboost.XGBRegressor])
def test_no_check_of_scikit_learn_fails_only_under_mlobs(cls: Any) -> None:
    """Each check of an estimator ends under mlobs as it does without."""
    hooked = judged(cls(**CHECKED))
    without = bare(cls, **CHECKED)
    assert len(without) > 30
    assert {name for name, status in hooked.items() if status == "failed" and without.get(name) != "failed"} == set()
    assert hooked.keys() == without.keys()
