"""scikit-learn under `mlobs.instrument()`: the same answers, each prediction counted once, and nothing left behind."""

from __future__ import annotations

import asyncio
import copy
import inspect
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn import inspection
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - without it there is none
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import mlobs
from mlobs.testing import Telemetry

generator = np.random.default_rng(4)
X = generator.normal(size=(120, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "fit", "score")


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("sklearn")
    yield
    mlobs.uninstrument("sklearn")


def calls(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Rows by model and operation."""
    found = telemetry.numbers("mlobs.prediction.rows")
    return {(dict(key)["model.name"], dict(key)["model.operation"]): rows for key, rows in found.items()}


def all_methods() -> dict[tuple[type, str], Any]:
    """Whatever stands in a class under the names that are hooked."""
    from sklearn.utils import parallel

    classes: set[type] = {parallel._FuncWrapper}
    waiting: list[type] = [BaseEstimator]
    while waiting:
        cls = waiting.pop()
        classes.update(cls.__mro__[:-1])
        waiting.extend(cls.__subclasses__())
    names = (*METHODS, "partial_fit", "fit_predict", "fit_transform", "__call__", "__init_subclass__")
    found = {(cls, name): vars(cls)[name] for cls in classes for name in names if name in vars(cls)}
    found[joblib.numpy_pickle, "load"] = joblib.numpy_pickle.load
    found[joblib, "load"] = joblib.load
    return found


MODELS = [
    LogisticRegression(),
    LinearRegression(),
    SVC(),
    KMeans(2, n_init=1, random_state=0),
    IsolationForest(n_estimators=5, random_state=0),
    RandomForestClassifier(5, max_depth=2, random_state=0),
    RandomForestRegressor(5, random_state=0, n_jobs=2),
    BaggingClassifier(LogisticRegression(), 3, n_jobs=2, random_state=0),
    VotingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(3, random_state=0))], voting="soft"),
    StackingClassifier([("a", LogisticRegression()), ("b", SGDClassifier(random_state=0))], cv=2),
    GridSearchCV(LogisticRegression(), {"C": [0.5, 1]}, cv=2),
    make_pipeline(StandardScaler(), GridSearchCV(LogisticRegression(), {"C": [0.5, 1]}, cv=2)),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_the_answers_are_the_same_and_each_counts_once(model: Any, telemetry: Telemetry) -> None:
    """Every operation a model has gives what it gives without mlobs; fitting and scoring count nothing."""
    operations = METHODS[:5]
    mlobs.uninstrument()
    bare = clone(model).fit(X, Y)
    expected = {name: getattr(bare, name)(X[:7]) for name in operations if hasattr(bare, name)}
    score = bare.score(X, Y) if hasattr(bare, "score") else None
    mlobs.instrument("sklearn")

    model = clone(model).fit(X, Y)
    assert calls(telemetry) == {}
    for name in operations:
        assert hasattr(model, name) == (name in expected)
    for name, answer in expected.items():
        np.testing.assert_array_equal(getattr(model, name)(X[:7]), answer)
    if score is not None:
        assert model.score(X, Y) == score
    assert calls(telemetry) == {(type(model).__name__, name): 7 for name in expected}
    assert telemetry.total("mlobs.prediction.duration") == len(expected)


def test_model_selection_counts_nothing(telemetry: Telemetry) -> None:
    """Cross-validation, search and scorers are no serving, with workers of either kind or none."""
    for jobs in (None, 2):
        cross_val_score(LogisticRegression(), X, Y, cv=2, n_jobs=jobs)
        cross_val_predict(LogisticRegression(), X, Y, cv=2, n_jobs=jobs)
    with joblib.parallel_config("threading", n_jobs=2):
        search = GridSearchCV(LogisticRegression(), {"C": [0.5, 1]}, cv=2).fit(X, Y)
    get_scorer("roc_auc")(search, X, Y)
    assert calls(telemetry) == {}


STAGED = [
    AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=4),
    AdaBoostRegressor(n_estimators=4),
    GradientBoostingClassifier(n_estimators=4),
    GradientBoostingRegressor(n_estimators=4),
]


@pytest.mark.filterwarnings("ignore:The SAMME.R algorithm:FutureWarning")  # what 1.4 takes by default
@pytest.mark.parametrize("model", STAGED, ids=lambda model: type(model).__name__)
def test_stages_count_nothing(model: Any, telemetry: Telemetry) -> None:
    """Neither they nor what they begin with; what their consumer predicts between two of them counts."""
    other = LogisticRegression().fit(X, Y)
    model = clone(model).fit(X, Y)
    mlobs.uninstrument()
    expected = list(model.staged_predict(X))
    mlobs.instrument("sklearn")
    np.testing.assert_array_equal(list(model.staged_predict(X)), expected)
    between = 0
    for name in filter(lambda name: name.startswith("staged_"), dir(model)):
        assert inspect.isgeneratorfunction(getattr(type(model), name))
        for _ in getattr(model, name)(*(X, Y) if name == "staged_score" else (X,)):
            other.predict(X[:1])
            between += 1
    left = model.staged_predict(X)
    next(left)
    left.close()
    with pytest.raises(AttributeError):
        next(clone(model).staged_predict(X))
    other.predict(X[:1])
    assert between >= len(expected) > 1
    assert calls(telemetry) == {("LogisticRegression", "predict"): between + 1}


TRANSFORMERS = [
    StackingClassifier([("a", LogisticRegression()), ("b", SGDClassifier())], cv=2),
    StackingRegressor([("a", LinearRegression())], cv=2),
    VotingClassifier([("a", LogisticRegression())], voting="soft"),
    VotingRegressor([("a", LinearRegression())]),
    IterativeImputer(max_iter=2),
]


@pytest.mark.parametrize("model", TRANSFORMERS, ids=lambda model: type(model).__name__)
def test_a_transform_is_no_prediction(model: Any, telemetry: Telemetry) -> None:
    """Of those neither that predict within it."""
    mlobs.uninstrument()
    data = np.where(X > 2, np.nan, X) if isinstance(model, IterativeImputer) else X
    model = clone(model).fit(data, Y)
    expected = model.transform(data)
    mlobs.instrument("sklearn")
    np.testing.assert_array_equal(model.transform(data), expected)
    assert calls(telemetry) == {}


@pytest.mark.parametrize("before", [True, False])
def test_inspection_counts_nothing(before: bool, telemetry: Telemetry) -> None:
    """Whether its functions were imported before or are afterwards, and whatever scores."""
    importance, dependence = inspection.permutation_importance, inspection.partial_dependence
    if before:
        mlobs.uninstrument()
        importance, dependence = inspection.permutation_importance, inspection.partial_dependence
        mlobs.instrument("sklearn")
    model = LogisticRegression().fit(X, Y)
    for scoring in (None, "accuracy", ["accuracy", "roc_auc"], lambda model, x, y: np.mean(model.predict(x) == y)):
        importance(model, X, Y, scoring=scoring, n_repeats=2)
    dependence(model, X, [0])
    dependence(GradientBoostingClassifier(n_estimators=2).fit(X, Y), X, [0], method="brute", kind="both")
    assert calls(telemetry) == {}
    model.predict(X[:3])
    assert calls(telemetry) == {("LogisticRegression", "predict"): 3}


def test_methods_without_an_instance_are_left_alone(telemetry: Telemetry) -> None:
    """A static method and one of the class have no model to tell; a coroutine and a generator have one."""

    class Static(BaseEstimator):  # type: ignore[misc]
        @staticmethod
        def predict(rows: Any) -> Any:
            return np.zeros(len(rows))

        @classmethod
        def predict_proba(cls, rows: Any) -> Any:
            return np.zeros((len(rows), 2))

        async def decision_function(self, rows: Any) -> Any:
            return np.zeros(len(rows))

        def score_samples(self, rows: Any) -> Iterator[float]:
            yield from np.zeros(len(rows))

    for predict in (Static.predict, Static().predict):
        assert predict(X[:3]).tolist() == [0, 0, 0]
    for predict in (Static.predict_proba, Static().predict_proba):
        assert predict(X[:3]).shape == (3, 2)
    assert calls(telemetry) == {}
    asyncio.run(Static().decision_function(X[:3]))
    assert len(list(Static().score_samples(X[:4]))) == 4
    assert calls(telemetry) == {("Static", "decision_function"): 3, ("Static", "score_samples"): 4}


def test_user_classes_made_before_and_after(telemetry: Telemetry) -> None:
    """An estimator of the user's own counts, whether its class was there first or is made later, keywords and all."""

    class Constant(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __init_subclass__(cls, **kwargs: Any) -> None:
            cls.made_with = kwargs.pop("flavour", None)
            super().__init_subclass__(**kwargs)

        def fit(self, X: Any, y: Any) -> Constant:  # noqa: N803 - as scikit-learn calls it
            self.classes_ = np.unique(y)
            self.predict(X)
            return self

        def predict(this, rows: Any) -> Any:  # noqa: N805 - the first argument after the instance, whatever its name
            """Say zero."""
            return np.zeros(len(rows))

    class Louder(Constant, flavour="hot"):
        def predict(self, rows: Any) -> Any:
            return super().predict(rows) + 1

    assert Louder.made_with == "hot"
    Constant().fit(X, Y).predict(rows=X[:3])
    Louder().predict(X[:4])
    Constant.predict(Constant(), X[:2])
    assert calls(telemetry) == {("Constant", "predict"): 5, ("Louder", "predict"): 4}
    assert Constant.predict.__doc__ == "Say zero."


def test_names_come_from_register_then_from_the_profile_beside_then_from_the_class(
    telemetry: Telemetry, tmp_path: Path
) -> None:
    """Who the model is: as registered; as its profile's file says; its class and `unversioned`."""
    model = LogisticRegression().fit(X, Y)
    model.predict(X[:1])
    mlobs.register(model, name="churn", version="3", variant="canary")
    model.predict(X[:2])

    file = tmp_path / "fraud.joblib"
    joblib.dump(model, file)
    reference = mlobs.Profile.build(X, outputs=model.predict_proba(X), model="fraud", version="9")
    reference.save(tmp_path / "fraud.profile.json")
    loaded = joblib.load(file)
    loaded.predict_proba(X[:100])
    mlobs.register(loaded, name="fraud", version="10")
    loaded.predict(X[:5])

    rows = {
        tuple(dict(key)[f"model.{part}"] for part in ("name", "version", "variant", "operation")): value
        for key, value in telemetry.numbers("mlobs.prediction.rows").items()
    }
    assert rows == {
        ("LogisticRegression", "unversioned", "champion", "predict"): 1,
        ("churn", "3", "canary", "predict"): 2,
        ("churn", "3", "canary", "predict_proba"): 120,
        ("fraud", "9", "champion", "predict_proba"): 100,
        ("fraud", "10", "champion", "predict"): 5,
    }
    assert {feature: verdict.count for feature, verdict in mlobs.drift()["fraud"].items()} == dict.fromkeys(
        ["f0", "f1", "f2", "f3", "score_0", "score_1"], 100
    )


def test_a_bad_profile_beside_a_model_is_told_and_the_model_loads(
    telemetry: Telemetry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged profile, a file object: the model is loaded and observed by its class."""
    model = LogisticRegression().fit(X, Y)
    joblib.dump(model, tmp_path / "m.joblib")
    (tmp_path / "m.profile.json").write_text("{")
    joblib.load(tmp_path / "m.joblib").predict(X[:1])
    joblib.load(str(tmp_path / "m.joblib")).predict(X[:1])
    with (tmp_path / "m.joblib").open("rb") as opened:
        joblib.load(opened).predict(X[:1])
    assert calls(telemetry) == {("LogisticRegression", "predict"): 3}
    assert "m.profile.json" in caplog.text
    with pytest.raises(FileNotFoundError):
        joblib.load(tmp_path / "none.joblib")


def test_a_dict_beside_a_profile_is_told(
    telemetry: Telemetry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A profile is not used for what cannot be followed; the log says what that is, and what to do about the model inside."""
    file, beside = tmp_path / "m.joblib", tmp_path / "m.profile.json"
    joblib.dump({"model": LogisticRegression().fit(X, Y)}, file)
    mlobs.Profile.build(X, model="fraud").save(beside)
    model = joblib.load(file)["model"]
    [told] = [record.getMessage() for record in caplog.records]
    assert told == (
        f"mlobs does without the profile {beside}: what was loaded beside it is a dict, which cannot be followed. "
        f"Try: mlobs.register(…, name=…, reference='{beside}') for the model inside."
    )
    model.predict(X[:1])
    mlobs.register(model, name="fraud", reference=str(beside)).predict(X[:1])
    assert calls(telemetry) == {("LogisticRegression", "predict"): 1, ("fraud", "predict"): 1}


def test_errors_pass_through_and_are_counted(telemetry: Telemetry) -> None:
    """What the model raises is what the caller sees, counted by its class; a method that is not there still is not."""
    with pytest.raises(NotFittedError):
        LogisticRegression().predict(X)
    with pytest.raises(ValueError, match="4 features"):
        LogisticRegression().fit(X, Y).predict(X[:, :2])
    with pytest.raises(TypeError, match="predict"):
        LogisticRegression.predict()
    bare = make_pipeline(StandardScaler())
    assert not hasattr(bare, "predict")
    with pytest.raises(AttributeError, match="predict"):
        bare.predict(X)
    with pytest.raises(AttributeError, match="predict"):
        Pipeline.predict(bare, X)
    failed = [
        dict(one.attributes.items()).get("error.type") for one in telemetry.histograms("mlobs.prediction.duration")
    ]
    assert sorted(filter(None, failed)) == ["ValueError", "sklearn.exceptions.NotFittedError"]


def test_signatures_and_documentation_are_kept() -> None:
    """Whoever looks at a hooked method sees the original: its signature, its source, a function in a class."""
    hooked = LogisticRegression.predict_proba
    mlobs.uninstrument()
    original = LogisticRegression.predict_proba
    assert hooked is not original
    assert inspect.isfunction(hooked)
    for look in (inspect.signature, inspect.getsource, inspect.getdoc, lambda f: (f.__name__, f.__qualname__)):
        assert look(hooked) == look(original)


def test_uninstrument_restores_the_very_objects(telemetry: Telemetry) -> None:
    """Before and after, every class has the objects it had; what was bound meanwhile works on and counts no more."""
    mlobs.uninstrument()
    before = all_methods()
    mlobs.instrument()
    hooked = all_methods()
    model = LogisticRegression().fit(X, Y)
    bound = model.predict
    bound(X[:1])
    mlobs.instrument()  # again changes nothing
    assert {key: id(value) for key, value in all_methods().items()} == {key: id(value) for key, value in hooked.items()}
    mlobs.uninstrument()
    assert {key: id(value) for key, value in all_methods().items()} == {key: id(value) for key, value in before.items()}
    assert sum(hooked[key] is not before[key] for key in before if key in hooked) > 100
    np.testing.assert_array_equal(bound(X[:9]), model.predict(X[:9]))
    assert calls(telemetry) == {("LogisticRegression", "predict"): 1}


def test_what_somebody_patched_above_us_stays(telemetry: Telemetry) -> None:
    """A later patch by somebody else is not undone; ours beneath it stops observing."""
    ours = LogisticRegression.predict_proba

    def theirs(self: Any, X: Any) -> Any:  # noqa: N803 - as scikit-learn calls it
        return ours(self, X)

    LogisticRegression.predict_proba = theirs
    model = LogisticRegression().fit(X, Y)
    model.predict_proba(X[:1])
    mlobs.uninstrument()
    try:
        assert vars(LogisticRegression)["predict_proba"] is theirs
        model.predict_proba(X[:1])
    finally:
        LogisticRegression.predict_proba = inspect.unwrap(ours)
    assert calls(telemetry) == {("LogisticRegression", "predict_proba"): 1}


def test_a_decorator_has_the_word(telemetry: Telemetry) -> None:
    """A method or function that is decorated is observed as the decorator says, and only so."""

    class Mine(BaseEstimator):  # type: ignore[misc]
        @mlobs.observe(model="mine", version="2")
        def predict(self, rows: Any) -> Any:
            return model.predict(rows)

    @mlobs.observe(model="outer")
    def serve(rows: Any) -> Any:
        return model.predict(rows)

    model = LogisticRegression().fit(X, Y)
    Mine().predict(X[:2])
    serve(X[:3])
    assert calls(telemetry) == {("mine", "predict"): 2, ("outer", "serve"): 3}


# ── copies and pickles ──────────────────────────────────────────────────────────────────────────────────────────────


def dumped(how: str, thing: Any) -> bytes:
    """The bytes of a thing, by one of the three picklers."""
    if how == "joblib":
        file = io.BytesIO()
        joblib.dump(thing, file)
        return file.getvalue()
    return {"pickle": pickle, "cloudpickle": cloudpickle}[how].dumps(thing)  # type: ignore[no-any-return]


LOADER = """
import io, pickle, sys
sys.modules.update(dict.fromkeys(["mlobs", "mlobs_sklearn", "wrapt", "opentelemetry"]))  # importing these fails
import joblib, numpy
things = joblib.load(io.BytesIO(sys.stdin.buffer.read())) if sys.argv[1] == "joblib" else pickle.load(sys.stdin.buffer)
for thing in things:
    predict = getattr(thing, "predict", thing)
    print(predict(numpy.zeros((2, 4))).tolist())
"""


@pytest.mark.parametrize("how", ["pickle", "cloudpickle", "joblib"])
def test_what_is_pickled_under_instrumentation_loads_without_mlobs(how: str, telemetry: Telemetry) -> None:
    """Models, bound methods, and with cloudpickle classes of the main program: loaded where mlobs is not installed."""
    models = [
        LogisticRegression().fit(X, Y),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
        RandomForestClassifier(3, random_state=0).fit(X, Y),
    ]
    things = [*models, *[model.predict for model in models]]
    data = dumped(how, things)
    done = subprocess.run([sys.executable, "-c", LOADER, how], input=data, capture_output=True, check=True)
    expected = [f"{model.predict(np.zeros((2, 4))).tolist()}\n" for model in models] * 2
    assert done.stdout.decode() == "".join(expected)
    again = pickle.loads(data) if how != "joblib" else joblib.load(io.BytesIO(data))
    for thing in again:
        getattr(thing, "predict", thing)(X[:1])
    assert telemetry.total("mlobs.prediction.duration") == 9


MAIN = """
import sys, cloudpickle, mlobs, numpy
mlobs.instrument("sklearn")
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.metaestimators import available_if

class Own(RegressorMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.mean_ = numpy.mean(y)
        return self
    @available_if(lambda self: True)
    def decision_function(self, X):
        return numpy.full(len(X), self.mean_)
    def predict(self, X):
        return numpy.full(len(X), self.mean_)

model = Own().fit(None, [2.0, 4.0])
sys.stdout.buffer.write(cloudpickle.dumps([model, model.predict, model.decision_function, Own.predict.__get__(model)]))
sys.stdout.flush()
model.predict([1])
assert mlobs.api.runtime.models, "not observed"
"""


def test_classes_of_the_main_program_travel_by_value(tmp_path: Path) -> None:
    """Cloudpickle takes a hooked class with it as the original: the other side needs no mlobs."""
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    quiet = {**os.environ, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    made = subprocess.run([sys.executable, str(script)], capture_output=True, env=quiet, check=False)
    assert (made.returncode, made.stderr) == (0, b"")
    done = subprocess.run([sys.executable, "-c", LOADER, "pickle"], input=made.stdout, capture_output=True, check=True)
    assert done.stdout.decode() == "[3.0, 3.0]\n" * 4


def test_clone_and_copies(telemetry: Telemetry) -> None:
    """clone, copy and deepcopy give models like any other; a registration stays with the object it was made for."""
    model = mlobs.register(LogisticRegression(C=2).fit(X, Y), name="one")
    assert clone(model).get_params() == model.get_params()
    for other in (copy.copy(model), copy.deepcopy(model)):
        assert vars(other).keys() == vars(model).keys()
        other.predict(X[:1])
    model.predict(X[:2])
    assert calls(telemetry) == {("LogisticRegression", "predict"): 2, ("one", "predict"): 2}


# ── workers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_threads_of_the_users_own_count_each(telemetry: Telemetry) -> None:
    """A pool whose workers predict: every prediction counts, by joblib's threads too."""
    model = RandomForestClassifier(3, n_jobs=2, random_state=0).fit(X, Y)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(model.predict, [X[:2]] * 50))
    joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(model.predict)(X[:2]) for _ in range(20))
    assert calls(telemetry) == {("RandomForestClassifier", "predict"): 140}


def test_one_prediction_over_worker_processes_counts_once(telemetry: Telemetry) -> None:
    """Bagging over processes is one call, and its answer is the same."""
    model = BaggingClassifier(LogisticRegression(), 4, n_jobs=2, random_state=0).fit(X, Y)
    alone = model.predict(X)
    with joblib.parallel_config("loky"):
        np.testing.assert_array_equal(model.predict(X), alone)
    assert calls(telemetry) == {("BaggingClassifier", "predict"): 240}


def test_multioutput(telemetry: Telemetry) -> None:
    """Several answers a row: two columns of labels, and a list of probability matrices."""
    model = MultiOutputClassifier(LogisticRegression()).fit(X, np.column_stack([Y, 1 - Y]))
    mlobs.register(model, name="two")
    assert np.shape(model.predict(X[:6])) == (6, 2)
    assert len(model.predict_proba(X[:6])) == 2
    assert calls(telemetry) == {("two", "predict"): 6, ("two", "predict_proba"): 6}
    assert telemetry.total("mlobs.sdk.dropped") == 0
    outputs = {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role="output")
    }
    assert outputs == {"score_0": 12, "score_1": 12, "score_2": 6, "score_3": 6}
