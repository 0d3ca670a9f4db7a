"""MLflow's loaded models under `mlobs.instrument()`: by their registered names, each prediction counted once."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry

mlflow: Any = pytest.importorskip("mlflow")

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and its stores warn of their own

COLUMNS = ["age", "income", "debt"]
X = pd.DataFrame(np.random.default_rng(4).normal(size=(300, 3)), columns=COLUMNS)
Y = (X["age"] + X["debt"] > 0).astype(int)
MODEL = LogisticRegression().fit(X, Y)
ANSWERS = MODEL.predict(X)
ON = ("mlflow", "sklearn")


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument(*ON)
    yield
    mlobs.uninstrument()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of its own, in SQLite and files, with one registered model: churn, twice."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        for _ in range(2):
            with mlflow.start_run():
                mlflow.sklearn.log_model(
                    MODEL,
                    name="churn",
                    signature=mlflow.models.infer_signature(X),
                    pip_requirements=["scikit-learn"],
                    registered_model_name="churn",
                )
        yield folder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model that was saved to a folder."""
    folder = tmp_path / "fraud"
    save(MODEL, folder, signature=mlflow.models.infer_signature(X))
    return folder


def save(model: Any, folder: Path, **words: Any) -> None:
    mlflow.sklearn.save_model(model, folder, pip_requirements=["scikit-learn"], **words)


def load(place: object) -> Any:
    return mlflow.pyfunc.load_model(str(place), suppress_warnings=True)


def identities(telemetry: Telemetry) -> set[tuple[str, str]]:
    return {(dict(key)["model.name"], dict(key)["model.version"]) for key in telemetry.numbers("mlobs.prediction.rows")}


def features(telemetry: Telemetry) -> dict[str, int]:
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role="input")
    }


# ── what is counted ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_prediction_counts_once_and_is_the_same(saved: Path, telemetry: Telemetry) -> None:
    """The flavour's own predict is inner; frames, lists and dicts give what they give without mlobs."""
    model = load(saved)
    given = [X[:20], X[:20].to_dict("list"), X[:20].to_dict("records")]
    for data in given:
        if isinstance(data, dict):
            data = {name: np.array(column) for name, column in data.items()}  # noqa: PLW2901 - as MLflow takes them
        np.testing.assert_array_equal(model.predict(data), ANSWERS[:20])
    assert rows(telemetry) == {("fraud", "predict"): 20 * len(given)}
    assert calls(telemetry) == {("fraud", "predict"): len(given)}
    assert features(telemetry) == dict.fromkeys(COLUMNS, 20 * len(given))


def test_a_model_without_signature_has_columns_by_position(tmp_path: Path, telemetry: Telemetry) -> None:
    """An array stays an array; nobody knows its names."""
    save(LogisticRegression().fit(X.to_numpy(), Y), tmp_path / "bare")
    load(tmp_path / "bare").predict(X[:20].to_numpy())
    assert features(telemetry) == {"f0": 20, "f1": 20, "f2": 20}


def test_a_stream_is_one_call(tmp_path: Path, telemetry: Telemetry) -> None:
    """From the first piece to the last; a model that has none says so as it always did."""

    class Talker(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return ["all"]

        def predict_stream(self, context: Any, model_input: Any, params: Any = None) -> Iterator[str]:
            yield from ("a", "b", "c")

    mlflow.pyfunc.save_model(tmp_path / "talker", python_model=Talker(), pip_requirements=["mlflow"])
    model = load(tmp_path / "talker")
    stream = model.predict_stream("hello")
    assert next(stream) == "a"
    assert calls(telemetry) == {}
    assert list(stream) == ["b", "c"]
    assert calls(telemetry) == {("talker", "predict_stream"): 1}
    save(MODEL, tmp_path / "silent")
    with pytest.raises(mlflow.exceptions.MlflowException, match="does not support predict_stream"):
        list(load(tmp_path / "silent").predict_stream("hello"))
    assert errors(telemetry) == {"mlflow.exceptions.MlflowException": 1}


def test_logging_and_evaluating_count_nothing(store: Path, telemetry: Telemetry) -> None:
    """What MLflow predicts to learn a signature, or to judge a model, is no serving."""
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(MODEL, name="other", input_example=X[:3], pip_requirements=["scikit-learn"])
        data = X[:50].assign(label=Y[:50])
        mlflow.models.evaluate(
            info.model_uri, data, targets="label", model_type="regressor", evaluator_config={"log_explainer": False}
        )
    assert rows(telemetry) == {}
    load(info.model_uri).predict(X[:2])
    assert rows(telemetry) == {("LogisticRegression", "predict"): 2}


def boosted() -> Any:
    xgboost: Any = pytest.importorskip("xgboost")
    return xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, Y), 2)


def gradients() -> Any:
    lightgbm: Any = pytest.importorskip("lightgbm")
    return lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, Y), 2)


TRAINED: list[tuple[str, Callable[[], Any]]] = [
    ("sklearn", lambda: LogisticRegression().fit(X, Y)),
    ("sklearn", lambda: LinearRegression().fit(X, Y)),
    ("sklearn", lambda: GridSearchCV(LogisticRegression(), {"C": [0.5, 1]}, cv=2).fit(X, Y)),
    ("xgboost", boosted),
    ("xgboost", lambda: pytest.importorskip("xgboost").XGBClassifier(n_estimators=2).fit(X, Y)),
    ("lightgbm", gradients),
    ("lightgbm", lambda: pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)),
]


@contextmanager
def instrumented(*names: str) -> Iterator[None]:
    mlobs.instrument(*names)
    try:
        yield
    finally:
        mlobs.uninstrument()


@contextmanager
def autologged(flavour: str) -> Iterator[None]:
    autolog = getattr(mlflow, flavour).autolog
    autolog(silent=True)
    try:
        yield
    finally:
        autolog(disable=True)


@pytest.mark.parametrize("first", ["autolog", "instrument"])
@pytest.mark.parametrize(("flavour", "train"), TRAINED)
def test_autologging_counts_nothing(
    flavour: str,
    train: Callable[[], Any],
    first: str,
    store: Path,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of training, and of what MLflow predicts once that has ended; a prediction afterwards counts, whoever was on first."""
    monkeypatch.setattr(mlflow.models, "infer_pip_requirements", lambda *_, fallback: fallback)  # for that takes long
    mlobs.uninstrument()
    blocks = [autologged(flavour), instrumented(*{*ON, flavour})]
    with ExitStack() as stack:
        for block in blocks if first == "autolog" else blocks[::-1]:
            stack.enter_context(block)
        with mlflow.start_run() as run:
            model = train()
        assert calls(telemetry) == {}
        [logged, *_] = mlflow.search_logged_models(
            filter_string=f"source_run_id = '{run.info.run_id}'", output_format="list"
        )
        assert mlflow.models.get_model_info(logged.model_uri).signature is not None
        model.predict(pytest.importorskip("xgboost").DMatrix(X) if train is boosted else X)
    assert list(calls(telemetry).values()) == [1]


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_registered_model_has_its_name_and_version(store: Path, telemetry: Telemetry) -> None:
    """From the registry, by version or alias; and from the folder that it was taken into, as servers load it."""
    mlflow.MlflowClient().set_registered_model_alias("churn", "live", "1")
    load("models:/churn/2").predict(X[:1])
    load("models:/churn@live").predict(X[:1])
    assert identities(telemetry) == {("churn", "1"), ("churn", "2")}
    folder = mlflow.artifacts.download_artifacts("models:/churn/2", dst_path=str(store))
    load(folder).predict(X[:3])
    assert sum(rows(telemetry).values()) == 5
    assert identities(telemetry) == {("churn", "1"), ("churn", "2")}
    known = mlobs.register(load("models:/churn/2"), name="mine", version="5")
    known.predict(X[:1])
    assert ("mine", "5") in identities(telemetry)


def test_others_go_by_their_metadata_folder_or_class(tmp_path: Path, telemetry: Telemetry) -> None:
    """And by the first of their own id, so that two of them are told apart."""
    folder = tmp_path / "fraud"
    save(MODEL, folder)
    save(MODEL, tmp_path / "model")
    save(MODEL, tmp_path / "x", metadata={"model_name": "risk", "model_version": 4})
    models = [load(folder), load(tmp_path / "model"), load(tmp_path / "x")]
    for model in models:
        model.predict(X[:1])
    begin = [model.metadata.model_uuid.removeprefix("m-")[:8] for model in models]
    assert identities(telemetry) == {("fraud", begin[0]), ("LogisticRegression", begin[1]), ("risk", "4")}


def test_a_profile_in_the_models_folder_is_its_reference(saved: Path, store: Path, telemetry: Telemetry) -> None:
    """Saved into the folder, or logged to the model: it brings the reference, and a name where the registry has none."""
    profile = mlobs.Profile.build(X, outputs=ANSWERS, model="trained", version="3")
    profile.save(saved / "mlobs.profile.json")
    load(saved).predict(X)
    mlflow.MlflowClient().log_model_artifact(model_id("churn", "1"), str(saved / "mlobs.profile.json"))
    load("models:/churn/1").predict(X[:200])
    assert identities(telemetry) == {("trained", "3"), ("churn", "1")}
    drift = mlobs.drift()
    counts = {name: {verdict.count for verdict in found.values()} for name, found in drift.items()}
    assert counts == {"trained": {300}, "churn": {200}}
    (saved / "mlobs.profile.json").write_text("{")
    load(saved).predict(X)
    assert "fraud" in {name for name, _ in identities(telemetry)}


def test_a_damaged_profile_of_a_registered_model_is_told(store: Path, telemetry: Telemetry) -> None:
    """The model goes without, and is observed."""
    folder = Path(mlflow.artifacts.download_artifacts("models:/churn/2", dst_path=str(store / "damaged")))
    (folder / "x.profile.json").write_text("{")
    load(folder).predict(X[:4])
    assert rows(telemetry) == {("churn", "predict"): 4}
    assert mlobs.drift() == {} or "churn" not in mlobs.drift()


def model_id(name: str, version: str) -> str:
    return str(load(f"models:/{name}/{version}").model_id)


# ── errors and copies ───────────────────────────────────────────────────────────────────────────────────────────────

BAD: list[tuple[str, Any]] = [
    ("missing column", X[["age", "debt"]]),
    ("wrong dtype", X.astype(str) + "?"),
    ("wrong width", X.to_numpy()[:, :2]),
    ("nothing", None),
    ("empty", X[:0]),
]


@pytest.mark.parametrize("data", [data for _, data in BAD], ids=[name for name, _ in BAD])
def test_errors_are_mlflows_own(data: Any, saved: Path, telemetry: Telemetry) -> None:
    """What MLflow or the model says of bad input it says with mlobs, too; counted by type."""
    model = load(saved)

    def outcome() -> tuple[Any, ...]:
        try:
            model.predict(data)
        except Exception as error:  # noqa: BLE001 - compared with what comes without mlobs
            return type(error), error.args
        return ()

    mlobs.uninstrument()
    kind, said = outcome()
    mlobs.instrument(*ON)
    assert outcome() == (kind, said)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    assert errors(telemetry) == {name: 1}


def test_copies_and_pickles(saved: Path, telemetry: Telemetry) -> None:
    """The objects carry nothing of ours."""
    model = load(saved)
    before = set(vars(model)), set(vars(model.metadata))
    model.predict(X[:1])
    assert set(vars(model.metadata)) == before[1]
    assert model.metadata.to_dict() == load(saved).metadata.to_dict()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(X[:5]), ANSWERS[:5])
    assert sum(rows(telemetry).values()) == 11


def test_an_observed_function_around_it_has_the_word(saved: Path, telemetry: Telemetry) -> None:
    """One prediction, the outer one's; threads count each."""
    model = load(saved)

    @mlobs.observe(model="outer")
    def serve(frame: Any) -> Any:
        return model.predict(frame)

    serve(X[:7])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(model.predict, [X[:2]] * 20))
    assert rows(telemetry) == {("outer", "serve"): 7, ("fraud", "predict"): 40}


def test_everything_is_put_back(saved: Path, telemetry: Telemetry) -> None:
    """The very objects stand where they stood; signatures were the same all the while."""
    owner = mlflow.pyfunc.PyFuncModel
    places = [
        *((owner, name) for name in ("predict", "predict_stream")),
        *((mlflow.models.Model, name) for name in ("load", "log")),
        (mlflow.models.signature, "_infer_signature_from_input_example"),
        (mlflow.models.evaluation.base, "_evaluate"),
        (importlib.import_module("mlflow.sklearn.utils"), "_log_specialized_estimator_content"),
        *(
            (importlib.import_module(f"mlflow.{name}"), "resolve_input_example_and_signature")
            for name in ("lightgbm", "sklearn", "xgboost")
        ),
    ]
    model = load(saved)
    hooked = standing(*places)
    signatures = [inspect.signature(getattr(place, name)) for place, name in places]
    model.predict(X[:1])
    mlobs.uninstrument()
    before = standing(*places)
    assert all(hooked[key] is not before[key] for key in before)
    assert [inspect.signature(getattr(place, name)) for place, name in places] == signatures
    model.predict(X[:1])
    assert rows(telemetry) == {("fraud", "predict"): 1}
    mlobs.instrument(*ON)
    mlobs.uninstrument()
    assert standing(*places) == before
