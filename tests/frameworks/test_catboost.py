"""CatBoost under `mlobs.instrument()`: its models, which are no scikit-learn estimators, and its pools."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import catboost
import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from catboost import CatBoost, CatBoostClassifier, CatBoostRanker, CatBoostRegressor, Pool
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.frameworks.boosting import X, Y, bare, features, imported_later, judged, outcome
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.columns import read
from mlobs.errors import UnreadableError
from mlobs.testing import Telemetry

PLAIN = {"iterations": 3, "depth": 2, "verbose": False, "allow_writing_files": False, "thread_count": 1}
THREE = np.digitize(X[:, 0], [-0.5, 0.5])


@pytest.fixture(params=[("catboost",), ("sklearn", "catboost")], ids="+".join, autouse=True)
def _hooked(
    request: pytest.FixtureRequest, telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # CatBoost leaves files where it runs
    mlobs.instrument(*request.param)
    yield
    mlobs.uninstrument()


def classifier(labels: Any = Y, **more: Any) -> CatBoostClassifier:
    return CatBoostClassifier(**PLAIN, **more).fit(X, labels)


def places() -> list[tuple[Any, str]]:
    classes = (CatBoost, CatBoostClassifier, CatBoostRegressor, CatBoostRanker)
    names = ("predict", "predict_proba", "virtual_ensembles_predict", "fit", "score", "eval_metrics", "load_model")
    modules = (catboost, catboost.core)
    return [
        *((cls, name) for cls in classes for name in (*names, "grid_search", "__init_subclass__")),
        *((module, name) for module in modules for name in ("train", "cv")),
    ]


# ── predictions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cls", [CatBoost, CatBoostClassifier, CatBoostRegressor, CatBoostRanker])
def test_models_answer_the_same_and_count_once(cls: Any, telemetry: Telemetry) -> None:
    """Every operation that a model has gives what it gives without mlobs, and counts once; fitting counts nothing."""
    groups = {"group_id": np.repeat([0, 1], 60)} if cls is CatBoostRanker else {}
    data = Pool(X, Y, **groups)
    model = cls({"iterations": 3, "allow_writing_files": False}) if cls is CatBoost else cls(**PLAIN)
    model.fit(data, verbose=False, eval_set=data)
    assert calls(telemetry) == {}
    operations = [name for name in ("predict", "predict_proba", "predict_log_proba") if hasattr(model, name)]
    answers = {name: getattr(model, name)(X[:7]) for name in operations}
    assert rows(telemetry) == {(cls.__name__, name): 7 for name in operations}
    assert calls(telemetry) == {(cls.__name__, name): 1 for name in operations}
    assert features(telemetry, cls.__name__) == {f"f{index}": 7 * len(operations) for index in range(4)}
    mlobs.uninstrument()
    for name, answer in answers.items():
        np.testing.assert_array_equal(getattr(model, name)(X[:7]), answer)


def test_frames_with_categories_are_read_as_they_are(telemetry: Telemetry) -> None:
    """Names, numbers and categories of a frame; classes that are text."""
    frame = pd.DataFrame({"age": X[:, 0], "plan": ["free", "pro", "team"] * 40})
    labels = np.where(Y > 0, "yes", "no")
    model = CatBoostClassifier(cat_features=["plan"], **PLAIN).fit(frame, labels)
    reference = mlobs.Profile.build(frame, outputs=model.predict(frame), model="plans")
    mlobs.register(model, name="plans", reference=reference)
    model.predict(frame)
    found = mlobs.drift()["plans"]
    assert {name: one.count for name, one in found.items()} == {"age": 120, "plan": 120, "prediction": 120}
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_a_single_object_is_one_row(telemetry: Telemetry) -> None:
    """One list of features is a row, and the scores of its classes are those of one row."""
    model = classifier(THREE)
    for row in X[:6]:
        model.predict_proba(row)
        model.predict_proba(X=row.tolist())
        model.predict_log_proba(row)
    model.predict(X[0])
    assert rows(telemetry) == {
        ("CatBoostClassifier", "predict_proba"): 12,
        ("CatBoostClassifier", "predict_log_proba"): 6,
        ("CatBoostClassifier", "predict"): 1,
    }
    told = features(telemetry, "CatBoostClassifier", "output")
    assert {name: told[name] for name in ("score_0", "score_1", "score_2")} == dict.fromkeys(
        ["score_0", "score_1", "score_2"], 18
    )


def test_pools_tell_their_rows(telemetry: Telemetry) -> None:
    """Of a Pool, and of CatBoost's own FeaturesData, the rows are counted; the values are left out, and that is told."""
    model = CatBoostRegressor(**PLAIN).fit(X, Y)
    pool, own = Pool(X), catboost.FeaturesData(X.astype(np.float32))
    answers = [model.predict(pool), model.predict(own)]
    assert rows(telemetry) == {("CatBoostRegressor", "predict"): 240}
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 240
    assert features(telemetry, "CatBoostRegressor", "output") == {"prediction": 240}
    mlobs.uninstrument()
    np.testing.assert_array_equal(answers, [model.predict(pool), model.predict(own)])
    for data in (pool, own):
        with pytest.raises(UnreadableError, match="frame or an array"):
            read(data)


def test_ensembles_count_and_stages_do_not(telemetry: Telemetry) -> None:
    """Uncertainty over virtual ensembles is a call without predictions; predictions of every stage are analysis."""
    model = CatBoostRegressor(**{**PLAIN, "iterations": 20, "posterior_sampling": True}).fit(X, Y)
    answer = model.virtual_ensembles_predict(X[:8], virtual_ensembles_count=2)
    stages = [list(model.staged_predict(X[:3])), list(classifier().staged_predict_proba(X[:3]))]
    assert rows(telemetry) == {("CatBoostRegressor", "virtual_ensembles_predict"): 8}
    assert features(telemetry, "CatBoostRegressor", "output") == {}
    mlobs.uninstrument()
    np.testing.assert_array_equal(model.virtual_ensembles_predict(X[:8], virtual_ensembles_count=2), answer)
    np.testing.assert_array_equal(list(model.staged_predict(X[:3])), stages[0])


def test_the_users_own_classes(telemetry: Telemetry) -> None:
    """A class made later counts as itself, and what its method calls does not."""

    class Mine(CatBoostRegressor):  # type: ignore[misc]
        def predict(self, data: Any, **more: Any) -> Any:
            return super().predict(data, **more) + 1

    mine = Mine(**PLAIN).fit(X, Y)
    np.testing.assert_array_equal(mine.predict(X[:3]), CatBoostRegressor.predict(mine, X[:3]) + 1)
    assert rows(telemetry) == {("Mine", "predict"): 6}


# ── what is no prediction ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:Failed to import numba:UserWarning")
def test_training_and_evaluation_count_nothing(telemetry: Telemetry) -> None:
    """Metrics and callbacks of the user's predict as they like; cv, search, importances and scores are no serving."""
    helper = classifier()

    class Metric:
        def get_final_error(self, error: float, weight: float) -> float:
            return error

        def is_max_optimal(self) -> bool:
            return True

        def evaluate(self, approxes: Any, target: Any, weight: Any) -> tuple[float, float]:
            helper.predict(X[:1])
            return 1.0, 1.0

    class Looks:
        def after_iteration(self, info: Any) -> bool:
            seen.append(helper.predict(X[:1]))
            return True

    seen: list[Any] = []
    pool = Pool(X, Y)
    model = CatBoostClassifier(**PLAIN, eval_metric=Metric()).fit(pool, eval_set=pool, callbacks=[Looks()])
    catboost.train(pool, {**PLAIN, "loss_function": "Logloss"}, eval_set=pool)
    catboost.cv(pool, {**PLAIN, "loss_function": "Logloss"}, fold_count=2, logging_level="Silent")
    helper.eval_metrics(pool, ["Logloss"])
    helper.score(X, Y)
    helper.get_feature_importance(pool)
    CatBoostClassifier(**PLAIN).grid_search({"depth": [1, 2]}, pool, cv=2, verbose=False, refit=False)
    assert len(seen) == 3
    assert model.tree_count_ > 0
    assert calls(telemetry) == {}


def test_model_selection_counts_nothing(telemetry: Telemetry) -> None:
    """scikit-learn's scorers, searches and cross-validation, where its integration is off too."""
    search = GridSearchCV(CatBoostClassifier(**PLAIN), {"depth": [1, 2]}, cv=2, scoring="roc_auc").fit(X, Y)
    cross_val_predict(CatBoostClassifier(**PLAIN), X, Y, cv=2)
    search.score(X, Y)
    assert calls(telemetry) == {}


# ── once ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inside_others_it_counts_once(telemetry: Telemetry, request: pytest.FixtureRequest) -> None:
    """In a pipeline of scikit-learn's, where that is hooked, and in a function that was decorated."""
    pipeline = make_pipeline(StandardScaler(), CatBoostClassifier(**PLAIN)).fit(X, Y)
    pipeline.predict(X[:3])
    model = classifier()

    @mlobs.observe(model="served")
    def serve(data: Any) -> Any:
        return model.predict(data) + pipeline.predict(data)

    serve(X[:4])
    outer = "Pipeline" if "sklearn" in request.node.callspec.id else "CatBoostClassifier"
    assert rows(telemetry) == {(outer, "predict"): 3, ("served", "serve"): 4}


def test_threads_count_each(telemetry: Telemetry) -> None:
    """One model in several threads: every call counts, and gives the same."""
    model = classifier()
    expected = model.predict(X[:2])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model.predict, [X[:2]] * 50))
    assert all(np.array_equal(answer, expected) for answer in answers)
    assert rows(telemetry) == {("CatBoostClassifier", "predict"): 102}


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def test_names_come_from_register_then_from_the_profile_beside(telemetry: Telemetry, tmp_path: Path) -> None:
    """As registered; as the profile beside the model's file says; else the class."""
    many = np.random.default_rng(2).normal(size=(1000, 4))
    trained = classifier()
    file = tmp_path / "fraud.cbm"
    trained.save_model(str(file))
    mlobs.Profile.build(many, model="fraud", version="9").save(tmp_path / "fraud.profile.json")
    for loaded in (CatBoostClassifier().load_model(str(file)), CatBoost().load_model(fname=file, format="cbm")):
        loaded.predict(many)
    from_memory = CatBoostClassifier().load_model(blob=file.read_bytes())
    from_memory.predict(X[:2])
    mlobs.register(from_memory, name="own", version="2")
    from_memory.predict(X[:3])
    assert rows(telemetry) == {
        ("fraud", "predict"): 2000,
        ("CatBoostClassifier", "predict"): 2,
        ("own", "predict"): 3,
    }
    assert mlobs.drift()["fraud"]["f0"].count == 2000


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bad_input_raises_what_catboost_raises_and_is_counted_by_type(telemetry: Telemetry) -> None:
    """Wrong shape, wrong type, no rows, not fitted: the framework's own error."""
    model = classifier()
    bad = [X[:, :2], X[:0], np.zeros((2, 3, 4)), np.array([["a", "b", "c", "d"]]), X.astype(complex), "nowhere", None]
    cases: list[Callable[[], Any]] = [
        *(lambda one=one: model.predict(one) for one in bad),
        *(lambda one=one: model.predict_proba(one) for one in bad),
        lambda: model.predict(X, prediction_type="Nothing"),
        lambda: model.predict(Pool(X[:, :2])),
        lambda: CatBoostClassifier().predict(X),
    ]
    hooked = [outcome(case) for case in cases]
    files = [
        lambda: CatBoostClassifier().load_model("nowhere.cbm"),
        lambda: CatBoostClassifier().load_model(),
        lambda: CatBoostClassifier().load_model(7),
    ]
    unloaded = [outcome(case) for case in files]
    failed = [one for one in hooked if isinstance(one, tuple)]
    counted = errors(telemetry)
    assert sum(counted.values()) == len(failed)
    assert len(failed) >= 12
    assert "_catboost.CatBoostError" in counted
    mlobs.uninstrument()
    again = [outcome(case) for case in cases]
    for one, other in zip(hooked, again, strict=True):
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    assert [outcome(case) for case in files] == unloaded
    assert all(issubclass(kind, Exception) for kind, _ in unloaded)


# ── nothing is left behind ──────────────────────────────────────────────────────────────────────────────────────────


def test_uninstrument_restores_the_very_objects() -> None:
    """Before and after, classes and modules have the objects they had; meanwhile they look the same."""
    shown = lambda: (catboost.train, CatBoost.predict, CatBoostClassifier.predict_proba, CatBoost.load_model)  # noqa: E731 - asked twice
    signatures = [inspect.signature(one) for one in shown()]
    hooked = standing(*places())
    assert catboost.train is catboost.core.train
    mlobs.uninstrument()
    before = standing(*places())
    assert [inspect.signature(one) for one in shown()] == signatures
    assert sum(hooked[key] is not before[key] for key in before) > 15
    mlobs.instrument()
    mlobs.uninstrument()
    assert standing(*places()) == before


@pytest.mark.parametrize("_hooked", [("catboost",)], ids="+".join, indirect=True)
def test_what_is_imported_later_is_hooked_and_put_back() -> None:
    """Turned on first, nothing is imported for it; turned off, no class or module keeps anything of it."""
    imported_later(
        """
        import numpy, catboost
        model = catboost.CatBoostClassifier(iterations=2, verbose=False, allow_writing_files=False)
        model.fit(numpy.eye(4), [0, 1, 0, 1])
        with capture() as telemetry:
            model.predict(numpy.eye(4))
            assert telemetry.total("mlobs.prediction.rows") == 4
        hooked = catboost.train
        mlobs.uninstrument("catboost")
        assert catboost.train is catboost.core.train is hooked.__wrapped__
        """
    )


def test_pickles_copies_and_clones() -> None:
    """By every pickler, copies and clones: models like any other, functions by name."""
    model = classifier()
    for dump in (pickle.dumps, cloudpickle.dumps):
        again, bound, train = pickle.loads(dump([model, model.predict, catboost.train]))
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        np.testing.assert_array_equal(bound(X), model.predict(X))
        assert train is catboost.train
    for other in (copy.copy(model), copy.deepcopy(model), model.copy()):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert clone(CatBoostClassifier(**PLAIN)).get_params() == CatBoostClassifier(**PLAIN).get_params()


def test_joblib_files(telemetry: Telemetry, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A file of joblib's is read as ever; where scikit-learn's integration is on, the profile beside it counts."""
    joblib.dump(classifier(), tmp_path / "native.joblib")
    mlobs.Profile.build(X, model="native").save(tmp_path / "native.profile.json")
    joblib.load(tmp_path / "native.joblib").predict(X[:6])
    name = "native" if "sklearn" in request.node.callspec.id else "CatBoostClassifier"
    assert rows(telemetry) == {(name, "predict"): 6}


@pytest.mark.parametrize("_hooked", [("catboost",), ("sklearn", "catboost")], ids="+".join, indirect=True)
@pytest.mark.parametrize("cls", [CatBoostClassifier])
def test_no_check_of_scikit_learn_fails_only_under_mlobs(cls: Any) -> None:
    """Each check of an estimator ends under mlobs as it does without."""
    hooked = judged(cls(**PLAIN))
    without = bare(cls, **PLAIN)
    assert len(without) > 30
    assert {name for name, status in hooked.items() if status == "failed" and without.get(name) != "failed"} == set()
    assert hooked.keys() == without.keys()
