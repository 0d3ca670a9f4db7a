"""LightGBM under `mlobs.instrument()`: boosters and estimators, with scikit-learn's integration and without."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.frameworks.boosting import X, Y, bare, features, imported_later, judged, outcome
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry

PLAIN = {"verbose": -1, "num_threads": 1, "num_leaves": 4, "objective": "binary"}
CHECKED = {"n_estimators": 3, "num_leaves": 4, "n_jobs": 1, "verbose": -1}


@pytest.fixture(params=[("lightgbm",), ("sklearn", "lightgbm"), ("lightgbm", "sklearn")], ids="+".join, autouse=True)
def _hooked(request: pytest.FixtureRequest, telemetry: Telemetry) -> Iterator[None]:
    for name in request.param:
        mlobs.instrument(name)
    yield
    mlobs.uninstrument()


def booster(names: list[str] | str = "auto") -> lightgbm.Booster:
    return lightgbm.train(PLAIN, lightgbm.Dataset(X, Y, feature_name=names), 3)


def estimator(cls: Any = lightgbm.LGBMClassifier, **more: Any) -> Any:
    return cls(**CHECKED, **more)


def places() -> list[tuple[Any, str]]:
    classes = [cls for cls in vars(lightgbm).values() if inspect.isclass(cls)]
    owners = {owner for cls in classes for owner in cls.__mro__ if owner is not object}
    names = ("__init__", "predict", "predict_proba", "fit", "score", "update", "eval", "refit", "__init_subclass__")
    modules = (lightgbm, lightgbm.engine, lightgbm.sklearn)
    return [*((owner, name) for owner in owners for name in names), *((one, "train") for one in modules)]


# ── predictions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cls", [lightgbm.LGBMClassifier, lightgbm.LGBMRegressor])
def test_estimators_answer_the_same_and_count_once(cls: Any, telemetry: Telemetry) -> None:
    """Whichever integrations are on, each prediction of an estimator counts once, and its answer is the same."""
    model = estimator(cls).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    model.score(pd.DataFrame(X, columns=list("abcd")), Y)
    assert calls(telemetry) == {}
    operations = [name for name in ("predict", "predict_proba") if hasattr(model, name)]
    frame = pd.DataFrame(X[:7], columns=list("abcd"))
    answers = {name: getattr(model, name)(frame) for name in operations}
    assert rows(telemetry) == {(cls.__name__, name): 7 for name in operations}
    assert calls(telemetry) == {(cls.__name__, name): 1 for name in operations}
    assert features(telemetry, cls.__name__) == dict.fromkeys("abcd", 7 * len(operations))
    mlobs.uninstrument()
    bare = estimator(cls).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    for name, answer in answers.items():
        np.testing.assert_array_equal(getattr(bare, name)(frame), answer)


def test_rankers_and_the_users_own_classes(telemetry: Telemetry) -> None:
    """A ranker, and a class of the user's made later, whose own method counts, and not what it calls."""

    class Mine(lightgbm.LGBMRegressor):  # type: ignore[misc]
        def predict(self, X: Any, **more: Any) -> Any:  # noqa: N803 - as LightGBM calls it
            return super().predict(X, **more) + 1

    mine = Mine(n_estimators=2, n_jobs=1, verbose=-1).fit(X, Y)
    np.testing.assert_array_equal(mine.predict(X[:3]), lightgbm.LGBMRegressor.predict(mine, X[:3]) + 1)
    estimator(lightgbm.LGBMRanker).fit(X, Y, group=[60, 60]).predict(X[:5])
    assert rows(telemetry) == {("Mine", "predict"): 6, ("LGBMRanker", "predict"): 5}


@pytest.mark.parametrize(
    "make",
    [np.asarray, lambda rows: rows.tolist(), pd.DataFrame, scipy.sparse.csr_matrix],
    ids=["array", "list", "frame", "sparse"],
)
def test_boosters(make: Callable[[Any], Any], telemetry: Telemetry) -> None:
    """A booster of its own, or of an estimator: the same answer, rows and values told; by keyword too."""
    data = make(X[:9])
    model, fitted = booster(), estimator().fit(X, Y)
    answers = [model.predict(data), model.predict(data=data, num_iteration=2), fitted.booster_.predict(data)]
    assert rows(telemetry) == {("Booster", "predict"): 27}
    assert set(features(telemetry, "Booster").values()) == {27}
    assert features(telemetry, "Booster", "output") == {"prediction": 27}
    assert telemetry.total("mlobs.sdk.dropped") == 0
    mlobs.uninstrument()
    bare = booster()
    again = [bare.predict(data), bare.predict(data, num_iteration=2), fitted.booster_.predict(data)]
    np.testing.assert_array_equal(again, answers)


def test_a_file_of_rows_is_no_row(telemetry: Telemetry, tmp_path: Path) -> None:
    """A booster that predicts from a file: the call counts, its name is no feature."""
    file = tmp_path / "rows.csv"
    np.savetxt(file, X[:5], delimiter=",")
    model = booster()
    answers = [model.predict(str(file)), model.predict(file)]
    for answer in answers:
        np.testing.assert_allclose(answer, model.predict(X[:5]))
    assert calls(telemetry) == {("Booster", "predict"): 4}
    assert rows(telemetry) == {("Booster", "predict"): 10}
    assert set(features(telemetry, "Booster")) == {"f0", "f1", "f2", "f3"}
    assert telemetry.total("mlobs.sdk.dropped") == 0


# ── what is no prediction ───────────────────────────────────────────────────────────────────────────────────────────


def test_training_and_evaluation_count_nothing(telemetry: Telemetry) -> None:
    """Objectives, metrics and callbacks of the user's predict as they like; so do cv, update, eval and refit."""
    seen: list[Any] = []

    def looks(environment: Any) -> None:
        models = getattr(environment.model, "boosters", [environment.model])
        seen.extend(model.predict(X) for model in models)

    def objective(scores: Any, data: Any) -> Any:
        helper.predict(X)
        return scores - data.get_label(), np.ones(len(scores))

    def metric(scores: Any, data: Any) -> Any:
        helper.predict(X)
        return "off", float(np.abs(scores - data.get_label()).mean()), False

    helper = booster()
    own = {**PLAIN, "objective": objective}
    data = lightgbm.Dataset(X, Y, free_raw_data=False)
    model = lightgbm.train(own, data, 2, valid_sets=[data], feval=metric, callbacks=[looks], keep_training_booster=True)
    lightgbm.cv(own, data, 2, nfold=2, feval=metric, callbacks=[looks], stratified=False)
    model.update(fobj=objective)
    model.eval_train(metric)
    model.eval(data, "train", metric)
    helper.refit(X, Y)
    assert len(seen) == 6
    assert calls(telemetry) == {}


def test_model_selection_counts_nothing(telemetry: Telemetry) -> None:
    """Scorers, searches and cross-validation, where scikit-learn's integration is off too."""
    search = GridSearchCV(estimator(), {"num_leaves": [3, 4]}, cv=2, scoring="roc_auc").fit(X, Y)
    cross_val_predict(estimator(), X, Y, cv=2)
    search.score(X, Y)
    assert calls(telemetry) == {}


# ── once ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inside_others_it_counts_once(telemetry: Telemetry, request: pytest.FixtureRequest) -> None:
    """In a pipeline of scikit-learn's, where that is hooked, and in a function that was decorated."""
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), estimator()).fit(X, Y)
    pipeline.predict(X[:3])
    model = booster()

    @mlobs.observe(model="served")
    def serve(data: Any) -> Any:
        return model.predict(data) + pipeline.predict_proba(data)[:, 1]

    serve(X[:4])
    outer = "Pipeline" if "sklearn" in request.node.callspec.id else "LGBMClassifier"
    assert rows(telemetry) == {(outer, "predict"): 3, ("served", "serve"): 4}


def test_estimators_are_taken_over_from_sklearn(telemetry: Telemetry) -> None:
    """Where scikit-learn's integration is turned off and this one is on, it observes, and once."""
    model = estimator().fit(X, Y)
    mlobs.instrument("sklearn", "lightgbm")
    mlobs.uninstrument("sklearn")
    model.predict(X[:1])
    mlobs.instrument("sklearn")
    mlobs.uninstrument("lightgbm")
    model.predict(X[:1])
    assert calls(telemetry) == {("LGBMClassifier", "predict"): 2}


def test_threads_count_each(telemetry: Telemetry) -> None:
    """One booster in several threads: every call counts."""
    model = booster()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(model.predict, [X[:2]] * 50))
    assert rows(telemetry) == {("Booster", "predict"): 100}


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def test_names_come_from_register_then_from_the_profile_beside(telemetry: Telemetry, tmp_path: Path) -> None:
    """As registered; as the profile beside the model's file says; else the class."""
    many = np.random.default_rng(2).normal(size=(1000, 4))
    file = tmp_path / "fraud.txt"
    trained = booster()
    trained.save_model(file)
    mlobs.Profile.build(many, model="fraud", version="9").save(tmp_path / "fraud.profile.json")
    lightgbm.Booster(model_file=file).predict(many)
    lightgbm.Booster(None, None, str(file)).predict(many)
    from_memory = lightgbm.Booster(model_str=trained.model_to_string())
    from_memory.predict(X[:2])
    mlobs.register(from_memory, name="own", version="2")
    from_memory.predict(X[:3])
    lightgbm.Booster(PLAIN, lightgbm.Dataset(X, Y), model_file=file).predict(X[:4])
    assert rows(telemetry) == {("fraud", "predict"): 2000, ("Booster", "predict"): 6, ("own", "predict"): 3}
    assert mlobs.drift()["fraud"]["f0"].count == 2000


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bad_input_raises_what_lightgbm_raises_and_is_counted_by_type(telemetry: Telemetry) -> None:
    """Wrong shape, wrong type, no rows, not fitted: the framework's own error."""
    model, fitted = booster(), estimator().fit(X, Y)
    text = pd.DataFrame({"a": ["x"], "b": [1], "c": [2], "d": [3]})
    bad = [X[:, :2], X[0], np.zeros((2, 3, 4)), np.array([["a", "b", "c", "d"]]), text]
    cases: list[Callable[[], Any]] = [
        *(lambda one=one: fitted.predict(one) for one in [*bad, X[:0], X.astype(complex)]),
        *(lambda one=one: fitted.predict_proba(one) for one in [*bad, X[:0], X.astype(complex)]),
        *(lambda one=one: model.predict(one) for one in [*bad, "nowhere.csv", lightgbm.Dataset(X)]),
        lambda: estimator().predict(X),
    ]
    hooked = [outcome(case) for case in cases]
    counted = errors(telemetry)
    assert sum(counted.values()) == len(cases)
    assert counted.keys() == {
        *("ValueError", "TypeError", "lightgbm.basic.LightGBMError", "sklearn.exceptions.NotFittedError")
    }
    no_file = [lightgbm.Booster, lambda: lightgbm.Booster(model_file="nowhere.txt")]
    unloaded = [outcome(case) for case in no_file]
    assert model.predict(X[:0]).shape == (0,)
    mlobs.uninstrument()
    assert [outcome(case) for case in cases] == hooked
    assert [outcome(case) for case in no_file] == unloaded
    assert all(issubclass(kind, Exception) for kind, _ in hooked + unloaded)


# ── nothing is left behind ──────────────────────────────────────────────────────────────────────────────────────────


def test_uninstrument_restores_the_very_objects() -> None:
    """Before and after, classes and modules have the objects they had; meanwhile they look the same."""
    shown = (lightgbm.train, lightgbm.Booster, lightgbm.Booster.predict, lightgbm.LGBMClassifier.predict)
    signatures = [inspect.signature(one) for one in shown]
    hooked = standing(*places())
    assert lightgbm.train is lightgbm.engine.train is lightgbm.sklearn.train
    mlobs.uninstrument()
    before = standing(*places())
    shown = (lightgbm.train, lightgbm.Booster, lightgbm.Booster.predict, lightgbm.LGBMClassifier.predict)
    assert [inspect.signature(one) for one in shown] == signatures
    assert sum(hooked[key] is not before[key] for key in before) > 15
    for first in ("sklearn", "lightgbm"):
        mlobs.instrument("lightgbm")
        mlobs.instrument("sklearn")
        mlobs.uninstrument(first)
        mlobs.uninstrument()
        assert standing(*places()) == before


@pytest.mark.parametrize("_hooked", [("lightgbm",)], ids="+".join, indirect=True)
def test_what_is_imported_later_is_hooked_and_put_back() -> None:
    """Turned on first, nothing is imported for it; turned off, no class or module keeps anything of it."""
    imported_later(
        """
        import numpy, lightgbm
        X = numpy.arange(100.0).reshape(-1, 1)
        model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, X[:, 0] > 50)
        with capture() as telemetry:
            model.predict(X[:4])
            model.booster_.predict(X[:4])
            lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, X[:, 0]), 2)
            assert telemetry.total("mlobs.prediction.rows") == 8
            assert telemetry.total("mlobs.prediction.duration") == 2
        assert lightgbm.train.__code__.co_filename.endswith("hooked.py")
        hooked = lightgbm.train
        mlobs.uninstrument("lightgbm")
        assert lightgbm.train is lightgbm.engine.train is hooked.__wrapped__
        """
    )


def test_pickles_copies_and_clones() -> None:
    """By every pickler, deep copies and clones: models like any other, functions by name."""
    fitted, model = estimator().fit(X, Y), booster()
    for dump in (pickle.dumps, cloudpickle.dumps):
        again, bound, native, train = pickle.loads(dump([fitted, fitted.predict, model, lightgbm.train]))
        np.testing.assert_array_equal(again.predict(X), bound(X))
        np.testing.assert_array_equal(native.predict(X), model.predict(X))
        assert train is lightgbm.train
    assert clone(fitted).get_params() == fitted.get_params()
    np.testing.assert_array_equal(copy.deepcopy(fitted).predict(X), fitted.predict(X))
    np.testing.assert_array_equal(copy.deepcopy(model).predict(X), model.predict(X))
    state = pickle.dumps(fitted)
    mlobs.uninstrument()
    assert pickle.dumps(fitted) == state


def test_joblib_files(telemetry: Telemetry, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A file of joblib's is read as ever; where scikit-learn's integration is on, the profile beside it counts."""
    joblib.dump(booster(), tmp_path / "native.joblib")
    mlobs.Profile.build(X, model="native").save(tmp_path / "native.profile.json")
    joblib.load(tmp_path / "native.joblib").predict(X[:6])
    name = "native" if "sklearn" in request.node.callspec.id else "Booster"
    assert rows(telemetry) == {(name, "predict"): 6}


# ── scikit-learn's own checks ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("_hooked", [("lightgbm",), ("sklearn", "lightgbm")], ids="+".join, indirect=True)
@pytest.mark.parametrize("cls", [lightgbm.LGBMClassifier, lightgbm.LGBMRegressor])
def test_no_check_of_scikit_learn_fails_only_under_mlobs(cls: Any) -> None:
    """Each check of an estimator ends under mlobs as it does without."""
    hooked = judged(cls(**CHECKED))
    without = bare(cls, **CHECKED)
    assert len(without) > 30
    assert {name for name, status in hooked.items() if status == "failed" and without.get(name) != "failed"} == set()
    assert hooked.keys() == without.keys()
