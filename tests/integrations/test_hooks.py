"""What integrations ask of `Hooks`, on classes of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.told import rows, standing

import mlobs
from mlobs import api
from mlobs.hooks.patching import Patches
from mlobs.integration import Named, Reading
from mlobs.testing import Telemetry

X = [[1.0, 2.0], [3.0, 4.0]]


class Model:
    """A framework's."""

    def predict(self, x: Any, *, training: bool = False) -> Any:
        return [0.5 for _ in x]

    @classmethod
    def score(cls, x: Any) -> Any:
        """Judge."""
        return cls().predict(x)

    @staticmethod
    def check(x: Any) -> Any:
        return Model().predict(x)


@pytest.fixture
def hooks() -> Iterator[Patches]:
    patches = Patches(api.runtime, api.registry)
    yield patches
    patches.restore()


def test_class_methods_and_static_ones_are_suppressed(hooks: Patches, telemetry: Telemetry) -> None:
    """They stay what they are, and what they predict counts nothing."""
    before = standing((Model, "score"), (Model, "check"))
    hooks.observe(Model, "predict")
    hooks.suppress(Model, "score")
    hooks.suppress(Model, "check")
    assert Model.score(X) == Model().check(X) == [0.5, 0.5]
    assert (Model.score.__doc__, Model.score.__self__) == ("Judge.", Model)  # type: ignore[attr-defined]
    assert rows(telemetry) == {}
    Model().predict(X)
    assert rows(telemetry) == {("Model", "predict"): 2}
    hooks.restore()
    assert standing((Model, "score"), (Model, "check")) == before


def test_arguments_decide_whether_a_call_is_a_prediction(hooks: Patches, telemetry: Telemetry) -> None:
    """`when` is given all of them; what happens inside a call that is none counts nothing."""

    class Outer(Model):
        def predict(self, x: Any, *, training: bool = False) -> Any:
            return super().predict(x)

    reading = Reading(when=lambda _, x, training=False: not training)
    hooks.observe(Model, "predict", reading)
    hooks.observe(Outer, "predict", reading)
    Outer().predict(X, training=True)
    assert rows(telemetry) == {}
    Outer().predict(X)
    assert rows(telemetry) == {("Outer", "predict"): 2}
    with pytest.raises(TypeError, match="missing 1 required"):
        Outer().predict()  # type: ignore[call-arg]


def test_a_profile_found_while_a_model_is_asked_for_its_name(
    hooks: Patches, telemetry: Telemetry, tmp_path: Path
) -> None:
    """It has the word; what it does not say is what the model says."""
    mlobs.Profile.build(X * 20, model="known").save(tmp_path / "a.profile.json")
    mlobs.Profile.build(X * 20, version="4").save(tmp_path / "b.profile.json")
    files = iter("abc")

    def identity(model: Any) -> Named:
        named = Named("told", "3")
        hooks.loaded(model, tmp_path / f"{next(files)}.bin", named)
        return named

    hooks.observe(Model, "predict", Reading(identity=identity))
    models = [Model() for _ in range(3)]
    for model in models * 2:
        model.predict(X)
    found = telemetry.numbers("mlobs.prediction.rows")
    counted = {(dict(key)["model.name"], dict(key)["model.version"]): value for key, value in found.items()}
    assert counted == {("known", "3"): 4, ("told", "4"): 4, ("told", "3"): 4}


def test_another_file_in_the_same_object(hooks: Patches, telemetry: Telemetry, tmp_path: Path) -> None:
    """A model that is loaded anew has that file's names, or its class' where that has no profile; what a person said stays."""
    for name in "ab":
        mlobs.Profile.build(X * 20, model=name).save(tmp_path / f"{name}.profile.json")
    hooks.observe(Model, "predict")
    model = Model()
    for name in "abc":
        hooks.loaded(model, tmp_path / f"{name}.bin")
        hooks.loaded(model, tmp_path / f"{name}.bin")  # a loader within a loader
        model.predict(X)
    mlobs.register(model, name="mine")
    hooks.loaded(model, tmp_path / "a.bin")
    model.predict(X)
    assert {name: count for (name, _), count in rows(telemetry).items()} == {"a": 2, "b": 2, "Model": 2, "mine": 2}


def test_a_reference_that_is_none_is_told(
    hooks: Patches, telemetry: Telemetry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The model goes without one, and is observed."""
    (tmp_path / "bad.json").write_text("{")
    hooks.observe(Model, "predict", Reading(identity=lambda _: Named("told", None, tmp_path / "bad.json")))
    Model().predict(X)
    assert rows(telemetry) == {("told", "predict"): 2}
    assert "bad.json" in caplog.text
