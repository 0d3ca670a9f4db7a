"""Keras under `mlobs.instrument()`, on TensorFlow, jax and torch: the same answers, each prediction once, graphs and files as they are."""

from __future__ import annotations

import inspect
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytestmark = pytest.mark.filterwarnings("ignore")  # frameworks warn of each other
BACKEND = os.environ["KERAS_BACKEND"]
keras: Any = pytest.importorskip("keras")

X = np.random.default_rng(4).normal(size=(40, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    if BACKEND == "torch":
        mlobs.instrument("torch")  # which is imported before Keras, and hooks first
    mlobs.instrument("keras")
    yield
    mlobs.uninstrument()


def linear(name: str | None = None) -> Any:
    """A model of one layer whose answers are the sums of its rows."""
    layer = keras.layers.Dense(1, kernel_initializer="ones")
    return keras.Sequential([keras.Input((3,)), layer], name=name)


def functional() -> Any:
    """A model of two inputs by name, and of two outputs."""
    age, income = keras.Input((1,), name="age"), keras.Input((1,), name="income")
    return keras.Model([age, income], [keras.layers.Add()([age, income]), keras.layers.Multiply()([age, income])])


@keras.saving.register_keras_serializable("tests")
class Own(keras.Model):  # type: ignore[misc]
    """A model of the user's own, whose predict is overridden and whose call looks at its values."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.dense(inputs) + (100.0 if training else 0.0)

    def predict(self, x: Any, **words: Any) -> Any:
        """Twice what others say."""
        return 2 * super().predict(x, **words)


def array(tensor: Any) -> Any:
    return keras.ops.convert_to_numpy(tensor)


def values(telemetry: Telemetry, role: str) -> dict[str, int]:
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role=role)
    }


# ── what is counted ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_predictions_are_the_same_and_count_once(telemetry: Telemetry) -> None:
    """In batches, of one batch, and by a call of the model, with arrays and tensors of the backend."""
    model = linear("churn")
    np.testing.assert_allclose(model.predict(X, batch_size=16, verbose=0), Y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predict_on_batch(X), Y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(array(model(X)), Y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(array(model(keras.ops.convert_to_tensor(X))), Y, rtol=1e-4, atol=1e-5)
    assert rows(telemetry) == {("churn", "predict"): 40, ("churn", "predict_on_batch"): 40, ("churn", "call"): 80}
    assert calls(telemetry) == {("churn", "predict"): 1, ("churn", "predict_on_batch"): 1, ("churn", "call"): 2}
    assert values(telemetry, "input") == {"f0": 160, "f1": 160, "f2": 160}
    assert values(telemetry, "output") == {"prediction": 160}


def test_several_inputs_have_the_models_names(telemetry: Telemetry) -> None:
    """Given as a list, a tuple or by name."""
    model = functional()
    mlobs.register(model, name="two")
    age, income = X[:, :1], X[:, 1:2]
    for given in ([age, income], (age, income), {"age": age, "income": income}):
        total, product = model.predict(given, verbose=0)
        np.testing.assert_allclose(total, age + income, rtol=1e-5)
        np.testing.assert_allclose(product, age * income, rtol=1e-5)
    model([age, income])
    assert rows(telemetry) == {("two", "predict"): 120, ("two", "call"): 40}
    assert values(telemetry, "input") == {"age": 160, "income": 160}
    assert values(telemetry, "output") == {"score_0": 160, "score_1": 160}


def test_a_dataset_is_not_run_twice(telemetry: Telemetry) -> None:
    """A generator or a dataset: its answers count, its rows are not known."""
    model = linear("churn")

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        asked = 0

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            Batches.asked += 1
            return (X[index * 10 : index * 10 + 10],)

    given: list[Any] = [Batches(), ((X[:10],) for _ in range(4))]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        given.append(tf.data.Dataset.from_tensor_slices(X).batch(10))
    for data in given:
        assert len(model.predict(data, verbose=0, steps=4)) == 40
    asked, Batches.asked = Batches.asked, 0
    mlobs.uninstrument()
    model.predict(Batches(), verbose=0, steps=4)
    assert Batches.asked == asked
    assert calls(telemetry) == {("churn", "predict"): len(given)}
    assert rows(telemetry) == {}
    assert values(telemetry, "output") == {"prediction": 40 * len(given)}
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_training_counts_nothing(telemetry: Telemetry) -> None:
    """Fitting, evaluating and their callbacks, batches, calls that train, and models in the making."""
    model = linear()

    class Looks(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.predict(X[:2], verbose=0)
            self.model(X[:2])

    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[Looks()])
    model.evaluate(X, Y, verbose=0)
    model.train_on_batch(X, Y)
    model.test_on_batch(X, Y)
    own = Own()
    np.testing.assert_allclose(array(own(X, training=True)), Y + 100, rtol=1e-4)
    keras.Model(inputs := keras.Input((3,)), model(inputs))
    keras.models.clone_model(model)
    assert rows(telemetry) == {}
    assert calls(telemetry) == {}


def test_models_of_the_users_own(telemetry: Telemetry) -> None:
    """A subclass with a predict of its own counts once, by its name; one inside another is part of it."""
    own = Own()
    np.testing.assert_allclose(own.predict(X, verbose=0), 2 * Y, rtol=1e-4, atol=1e-5)
    outer = keras.Sequential([keras.Input((3,)), linear("inner")], name="outer")
    outer(X)
    outer.predict(X, verbose=0)

    class Late(Own):
        pass

    Late()(X[:5])
    assert rows(telemetry) == {
        ("Own", "predict"): 40,
        ("outer", "call"): 40,
        ("outer", "predict"): 40,
        ("Late", "call"): 5,
    }
    assert Own.predict.__doc__ == "Twice what others say."


def test_a_model_in_the_making_counts_nothing(telemetry: Telemetry) -> None:
    """A model, one that has predicted too, that becomes a part of another one."""
    part = linear("part")
    part.predict(X, verbose=0)
    given = keras.Input((3,))
    whole = keras.Model(given, part(given), name="whole")
    np.testing.assert_allclose(array(whole(X)), Y, rtol=1e-4, atol=1e-5)
    whole(X, training=True)
    assert calls(telemetry) == {("part", "predict"): 1, ("whole", "call"): 1}
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_names(telemetry: Telemetry) -> None:
    """A registration, else the name that somebody gave, else the class: what Keras makes up is none."""
    linear()(X[:1])
    linear()(X[:1])
    linear("mine")(X[:1])
    functional().predict([X[:, :1], X[:, :1]], verbose=0)
    mlobs.register(linear("mine"), name="churn", version="3")(X[:1])
    assert {name for name, _ in rows(telemetry)} == {"Sequential", "mine", "Functional", "churn"}


# ── files, copies, graphs ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_are_what_they_are_without(suffix: str, tmp_path: Path, telemetry: Telemetry) -> None:
    """Saved and loaded with and without mlobs, either way; a file's stem and the profile beside it say who the model is."""
    model = linear()
    model.save(tmp_path / f"fraud{suffix}")
    mlobs.uninstrument()
    expected = model.predict(X, verbose=0)
    bare = keras.saving.load_model(tmp_path / f"fraud{suffix}")
    np.testing.assert_array_equal(bare.predict(X, verbose=0), expected)
    model.save(tmp_path / f"bare{suffix}")
    mlobs.instrument("keras")
    for name in ("fraud", "bare"):
        loaded = keras.models.load_model(str(tmp_path / f"{name}{suffix}"))
        assert loaded.get_config() == bare.get_config()
        np.testing.assert_array_equal(loaded.predict(X, verbose=0), expected)
    assert rows(telemetry) == {("fraud", "predict"): 40, ("bare", "predict"): 40}
    mlobs.Profile.build(X, outputs=expected[:, 0], model="known", version="2").save(tmp_path / "fraud.profile.json")
    keras.saving.load_model(tmp_path / f"fraud{suffix}")(X)
    assert rows(telemetry)["known", "call"] == 40
    assert {verdict.count for verdict in mlobs.drift()["known"].values()} == {40}
    with pytest.raises((ValueError, OSError)):
        keras.saving.load_model(tmp_path / f"none{suffix}")


def test_copies_and_pickles(telemetry: Telemetry) -> None:
    """Clones and pickles are models like any other."""
    model = linear("churn")
    for other in (
        keras.models.clone_model(model),
        pickle.loads(pickle.dumps(model)),
        Own.from_config(Own().get_config()),
    ):
        assert other(X).shape == (40, 1)
    assert sum(rows(telemetry).values()) == 120


def test_functions_of_tensorflow_are_traced_as_without(
    telemetry: Telemetry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A model inside tf.function has the same graph; a tape has the same gradient; what is exported answers the same."""
    import tensorflow as tf

    class Branches(Own):
        def call(self, inputs: Any, training: bool = False) -> Any:
            answer = self.dense(inputs)
            return tf.cond(tf.reduce_sum(answer) > 0, lambda: answer, lambda: -answer)

    for model in (linear(), Branches()):

        def graph(model: Any = model) -> tuple[Any, ...]:
            function = tf.function(lambda x: model(x))  # noqa: PLW0108 - traced as a function, below as a model
            concrete = function.get_concrete_function(tf.TensorSpec((None, 3), tf.float32))
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(function(tf.constant(X)))
            gradient = tape.gradient(loss, model.trainable_variables)
            names = [operation.type for operation in concrete.graph.get_operations()]
            wrapped = tf.function(model)(tf.constant(X)).numpy()
            return (
                names,
                function(tf.constant(X)).numpy().tolist(),
                [each.numpy().tolist() for each in gradient],
                wrapped,
            )

        model(X)
        mlobs.uninstrument()
        expected = graph()
        mlobs.instrument("keras")
        before = calls(telemetry)
        for found, wanted in zip(graph(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted) if isinstance(found, np.ndarray) else None
            assert isinstance(found, np.ndarray) or found == wanted
        assert calls(telemetry) == before
    assert "AutoGraph could not" not in caplog.text
    model = linear("churn")
    model.export(tmp_path / "exported")
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(X), Y, rtol=1e-4, atol=1e-5)
    assert ("churn", "call") not in rows(telemetry)


def test_functions_of_jax_are_traced_as_without(telemetry: Telemetry) -> None:
    """A model inside jit, grad and vmap is no prediction, and the same program."""
    import jax

    model = linear()

    def loss(x: Any) -> Any:
        return model(x).sum()

    programs = []
    for on in (False, True):
        (mlobs.instrument if on else mlobs.uninstrument)("keras")
        programs.append(str(jax.make_jaxpr(loss)(X)))
        np.testing.assert_allclose(jax.jit(loss)(X), Y.sum(), rtol=1e-3)
        np.testing.assert_allclose(jax.grad(loss)(X), np.ones_like(X))
        assert jax.vmap(model)(X[:, None]).shape == (40, 1, 1)
    assert programs[0] == programs[1]
    assert calls(telemetry) == {}


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────

BAD: list[Any] = [X[:, :2], np.array([["a", "b", "c"]]), X[:0], None, [X, X]]


@pytest.mark.parametrize("data", BAD, ids=["wrong width", "wrong dtype", "empty batch", "nothing", "too many"])
@pytest.mark.parametrize("method", ["predict", "__call__"])
def test_errors_are_keras_own(method: str, data: Any, telemetry: Telemetry) -> None:
    """The same type and words as without mlobs, or the same answer; counted by type."""

    def outcome() -> tuple[Any, ...]:
        model = linear("churn")  # a new one: on jax a call that failed leaves its traces
        try:
            answer = getattr(model, method)(data, **({"verbose": 0} if method == "predict" else {}))
        except Exception as error:  # noqa: BLE001 - compared with what comes without mlobs
            return type(error), re.sub(r"(dense|keras_tensor)_?\d*", "", str(error)).partition("0x")[0]
        return type(answer), getattr(answer, "shape", None)

    mlobs.uninstrument()
    expected = outcome()
    mlobs.instrument("keras")
    assert outcome() == expected
    kind = expected[0]
    if issubclass(kind, Exception):
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        assert errors(telemetry) == {name: 1}
    assert telemetry.total("mlobs.prediction.duration") == 1


# ── beside others ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_observed_function_around_it_has_the_word(telemetry: Telemetry) -> None:
    """One prediction, the outer one's; in threads each counts."""
    model = linear("churn")

    @mlobs.observe(model="outer")
    def serve(x: Any) -> Any:
        return model.predict(x, verbose=0)

    serve(X)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(model, [X[:2]] * 20))
    assert rows(telemetry) == {("outer", "serve"): 40, ("churn", "call"): 40}


def test_everything_is_put_back(telemetry: Telemetry) -> None:
    """The very objects stand where they stood; a model that was there before is seen."""
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.saving import saving_lib

    names = (
        "predict",
        "predict_on_batch",
        "fit",
        "evaluate",
        "train_on_batch",
        "test_on_batch",
        "__call__",
        "__init_subclass__",
    )
    classes = [*keras.Model.__mro__[:-1], keras.Sequential, Own]
    places = [(cls, name) for cls in classes for name in names]
    places += [(legacy_h5_format, "load_model_from_hdf5"), (saving_lib, "load_model")]
    mlobs.uninstrument()
    before = standing(*places)
    signatures = [inspect.signature(getattr(keras.Model, name)) for name in names[:-1]]
    model = linear("churn")
    mlobs.instrument("keras")
    assert [inspect.signature(getattr(keras.Model, name)) for name in names[:-1]] == signatures
    hooked = standing(*places)
    assert sum(hooked[key] is not before[key] for key in before) > 10
    model(X)
    mlobs.uninstrument()
    assert standing(*places) == before
    model(X)
    assert rows(telemetry) == {("churn", "call"): 40}


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_of_this_holds_on(backend: str) -> None:
    """The same tests, in a process in which Keras runs on another backend, which is hooked too where it can be."""
    pytest.importorskip(backend)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environ = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout


# each on its own backend
if BACKEND != "tensorflow":
    del test_functions_of_tensorflow_are_traced_as_without, test_all_of_this_holds_on
if BACKEND != "jax":
    del test_functions_of_jax_are_traced_as_without
