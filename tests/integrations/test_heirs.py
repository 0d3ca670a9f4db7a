"""What `mlobs.integration.Hooks` promises an integration, with classes instead of a framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.told import calls, errors, rows

import mlobs
from mlobs import api
from mlobs.hooks.patching import Patches
from mlobs.integration import Reading
from mlobs.testing import Telemetry


@pytest.fixture
def hooks() -> Iterator[Patches]:
    patches = Patches(api.runtime, api.registry)
    yield patches
    patches.restore()


class Base:
    def predict(self, x: Any) -> Any:
        return x


def test_what_is_inherited_is_looked_up_in_each_call(hooks: Patches, telemetry: Telemetry, monkeypatch: Any) -> None:
    """Whoever replaces a method in the class that defines it, above the hooked one, is called; the hook stays."""

    class Below(Base):
        pass

    hooks.observe(Below, "predict", inherited=True)
    assert Below().predict([1.0]) == [1.0]
    original = Base.predict
    monkeypatch.setattr(Base, "predict", lambda self, x: [*original(self, x), 2.0])
    assert Below().predict([1.0]) == [1.0, 2.0]
    assert Base().predict([1.0]) == [1.0, 2.0]
    assert calls(telemetry) == {("Below", "predict"): 2}
    hooks.restore()
    assert "predict" not in vars(Below)


def test_a_wrapper_is_called_by_the_name_of_its_model(hooks: Patches, telemetry: Telemetry) -> None:
    """Its own registration, else the model's, else the model's class."""

    class Wrapper:
        def __init__(self, model: Any) -> None:
            self.model = model

        def predict(self, x: Any) -> Any:
            return self.model.predict(x)

    hooks.observe(Wrapper, "predict", Reading(model=lambda wrapper: wrapper.model))
    model = Base()
    first, second = Wrapper(model), Wrapper(model)
    first.predict([1.0])
    mlobs.register(model, name="churn")
    first.predict([1.0])
    mlobs.register(second, name="fraud")
    second.predict([1.0])
    assert calls(telemetry) == {("Base", "predict"): 1, ("churn", "predict"): 1, ("fraud", "predict"): 1}


@pytest.mark.parametrize("spans", ["always", "never"])
def test_an_iterator_at_its_end(hooks: Patches, spans: str) -> None:
    """`StopIteration` of an `__next__` is neither a call nor an error, and nothing stays active; another error is both."""

    class Items:
        def __init__(self, items: list[float]) -> None:
            self.items = items

        def __iter__(self) -> Items:
            return self

        def __next__(self) -> float:
            if not self.items:
                raise StopIteration
            return 1 / self.items.pop()

    with mlobs.testing.capture(spans=spans) as telemetry:
        hooks.observe(Items, "__next__", Reading(operation="stream", inputs=lambda _: [[]]))
        assert list(Items([1, 2, 4])) == [0.25, 0.5, 1]
        items = Items([0])
        with pytest.raises(ZeroDivisionError):
            next(items)
        assert list(items) == []
        assert calls(telemetry) == {("Items", "stream"): 4}
        assert rows(telemetry) == {("Items", "stream"): 4}
        assert errors(telemetry) == {"ZeroDivisionError": 1}
        assert telemetry.total("mlobs.prediction.active") == 0
        assert len(telemetry.spans) == (4 if spans == "always" else 0)


def test_reports_go_to_the_call_that_runs(hooks: Patches, telemetry: Telemetry) -> None:
    """Inside of an observed call its report is there, outside there is none, and where nothing counts neither."""

    class Trained:
        def fit(self) -> None:
            tell()

    def tell() -> None:
        report = hooks.report()
        if report is not None:
            report.stage("told", 0.5)

    @mlobs.observe(model="outer")
    def predict(x: Any) -> Any:
        tell()
        return x

    hooks.suppress(Trained, "fit")
    tell()
    predict([1.0])
    Trained().fit()
    assert telemetry.total("mlobs.stage.duration") == 1
    assert telemetry.total("mlobs.stage.duration", model_name="outer", stage="told") == 1
