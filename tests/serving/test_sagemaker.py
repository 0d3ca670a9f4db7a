"""SageMaker's inference toolkit: predict_fn is observed, in a real service over HTTP and in the toolkit's own handler."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.serving.loopback import CALLER, counted, serving, spans
from tests.sink import Sink
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry

pytest.importorskip("sagemaker_inference")
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

EXAMPLE = Path(__file__).parents[2] / "examples" / "sagemaker"
HOOKED = (Transformer, "_validate_user_module_and_set_functions")
X, Y = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 4.0]], [0, 0, 1, 1]


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", "")
    mlobs.instrument("sagemaker", "sklearn")
    yield
    mlobs.uninstrument()


class Context:
    """What the model server tells of a request."""

    def __init__(self, folder: str = "/opt/ml/model", body: Any = None) -> None:
        self.system_properties = {"model_dir": folder}
        self.request_processor = [self]
        self.status = 200

    def get_request_properties(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Accept": "application/json"}

    def set_response_content_type(self, _: int, value: str) -> None:
        assert value == "application/json"

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code


def script(monkeypatch: pytest.MonkeyPatch, name: str = "inference", **functions: Any) -> None:
    """A script of these functions, where the toolkit finds it."""
    module = ModuleType(name)
    module.__spec__ = inspect.getmodule(json).__spec__  # type: ignore[union-attr]
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("SAGEMAKER_PROGRAM", f"{name}.py")


def fitted(_: str) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)


def predict_fn(data: Any, model: Any) -> Any:
    """Answer."""
    return model.predict(data)


def ask(data: Any, context: Context | None = None, service: Any = None) -> Any:
    """One request to the toolkit's service; its status and answer."""
    context = context or Context()
    service = service or DefaultHandlerService()
    service.initialize(context)
    [answer] = service.handle([{"body": json.dumps(data).encode()}], context)
    return context.status, json.loads(answer) if context.status == 200 else answer


def test_a_service_is_observed(sink: Sink, tmp_path: Path) -> None:
    """The example over HTTP: every request counts, also failed ones; spans under the caller, tickets, stages."""
    command = (sys.executable, "local.py", "PORT", str(tmp_path / "model"))
    with serving(sink, tmp_path / "log", EXAMPLE, "/ping", *command) as server:
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(lambda n: server.ask("/invocations", [[65.0, 3.0], [25.0, 0.0]], trace=n), range(1, 41))
            )
        failed = server.ask("/invocations", [[65.0]], trace=99)
        assert {(answer.status, tuple(answer.body)) for answer in answers} == {(200, (1, 0))}
        assert {len(answer.headers["mlobs-ticket"].split(",")) for answer in answers} == {2}
        assert failed.status == 500
        assert b"ValueError" in failed.body
        assert "mlobs-ticket" not in failed.headers
        server.end()
    model = ("model.name", "model.version", "model.operation", "error.type")
    assert counted(sink, "mlobs.prediction.duration", *model) == {
        ("churn", "7", "predict", ""): 40,
        ("churn", "7", "predict", "ValueError"): 1,
    }
    assert counted(sink, "mlobs.stage.duration", "stage") == {("preprocess",): 41, ("postprocess",): 40}
    for number in range(1, 41):
        found = spans(sink, number)
        assert sorted(found) == ["postprocess", "predict churn", "preprocess"]
        assert {span.parent_span_id.hex() for span in found.values()} == {CALLER}


def test_a_pipeline_counts_once_and_the_answer_is_the_same(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """predict_fn is the outermost call, with the toolkit's own input and output functions or the script's."""
    script(monkeypatch, model_fn=fitted, predict_fn=predict_fn)
    found = ask(X)
    assert found == (200, [0, 0, 1, 1])
    assert (calls(telemetry), rows(telemetry)) == ({("Pipeline", "predict"): 1}, {("Pipeline", "predict"): 4})
    assert telemetry.total("mlobs.sdk.dropped") == 0
    mlobs.uninstrument()
    assert ask(X) == found
    assert calls(telemetry) == {("Pipeline", "predict"): 1}


def test_a_request_of_several_and_a_script_that_wants_the_context(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each body the model server hands over is a call; the toolkit still counts the script's parameters."""
    seen = []

    def with_context(data: Any, model: Any, context: Any) -> Any:
        seen.append(context)
        return model.predict(data)

    script(monkeypatch, model_fn=fitted, predict_fn=with_context)
    context, service = Context(), DefaultHandlerService()
    service.initialize(context)
    answers = service.handle([{"body": json.dumps([row]).encode()} for row in X], context)
    assert answers == ["[0]", "[0]", "[1]", "[1]"]
    assert seen == [context] * 4
    assert calls(telemetry) == {("Pipeline", "predict"): 4}


@pytest.mark.parametrize(
    ("folder", "program", "named", "name"),
    [
        ("/opt/ml/model", "inference", "", "Pipeline"),
        ("/opt/ml/model", "churn_script", "", "churn_script"),
        ("/opt/ml/models/fraud", "churn_script", "", "fraud"),
        ("/opt/ml/models/fraud", "churn_script", "named", "named"),
    ],
)
def test_names_come_from_the_environment_the_folder_the_script_or_the_class(
    folder: str, program: str, named: str, name: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order, where they say anything."""
    if named:
        monkeypatch.setenv("SAGEMAKER_MODEL_NAME", named)
    script(monkeypatch, program, model_fn=fitted, predict_fn=predict_fn)
    ask(X, Context(folder))
    assert calls(telemetry) == {(name, "predict"): 1}


def test_a_registered_model_goes_by_its_name(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mlobs.register` in model_fn has the first word; a decorated predict_fn has the only one."""
    script(monkeypatch, model_fn=lambda d: mlobs.register(fitted(d), name="churn", version="7"), predict_fn=predict_fn)
    ask(X)
    script(monkeypatch, model_fn=fitted, predict_fn=mlobs.observe(model="mine")(predict_fn))
    ask(X)
    script(monkeypatch, model_fn=lambda _: {"no": "weak reference"}, predict_fn=lambda data, model: [0.5] * len(data))
    ask(X)
    assert calls(telemetry) == {("churn", "predict"): 1, ("mine", "predict_fn"): 1, ("dict", "predict"): 1}


def test_an_error_is_the_toolkits_to_answer(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong shape, an empty batch, a predict_fn that is missing or takes too much: as without mlobs, and counted."""
    script(monkeypatch, model_fn=fitted, predict_fn=predict_fn)
    bad: list[Any] = [[[1.0]], [], "text"]
    found = [ask(data) for data in bad]
    assert errors(telemetry) == {"ValueError": 3}
    script(monkeypatch, model_fn=fitted)
    found.append(ask(X))
    script(monkeypatch, model_fn=fitted, predict_fn=lambda data: data)
    found.append(ask(X))
    mlobs.uninstrument()
    script(monkeypatch, model_fn=fitted, predict_fn=predict_fn)
    bare = [ask(data) for data in bad]
    script(monkeypatch, model_fn=fitted)
    bare.append(ask(X))
    script(monkeypatch, model_fn=fitted, predict_fn=lambda data: data)
    bare.append(ask(X))
    for (status, answer), (same_status, same_answer) in zip(found, bare, strict=True):
        assert status == same_status != 200
        assert answer.splitlines()[0] == same_answer.splitlines()[0]
        assert answer.splitlines()[-1] == same_answer.splitlines()[-1]


def test_transform_fn_is_left_to_what_it_calls(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that does everything itself is observed by its model's framework."""

    def transform_fn(model: Any, data: str, content_type: str, accept: str) -> Any:
        return json.dumps(model.predict(json.loads(data)).tolist()), accept

    script(monkeypatch, model_fn=fitted, transform_fn=transform_fn)
    assert ask(X) == (200, [0, 0, 1, 1])
    assert calls(telemetry) == {("Pipeline", "predict"): 1}


def test_uninstrumenting_restores_the_original(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very function; a service that has its handlers already works on and counts no more."""
    script(monkeypatch, model_fn=fitted, predict_fn=predict_fn)
    service = DefaultHandlerService()
    assert ask(X, service=service) == (200, [0, 0, 1, 1])
    hooked = standing(HOOKED)
    mlobs.uninstrument()
    before = standing(HOOKED)
    assert hooked != before
    assert ask(X, service=service) == (200, [0, 0, 1, 1])
    assert calls(telemetry) == {("Pipeline", "predict"): 1}
    mlobs.instrument("sagemaker")
    mlobs.uninstrument("sagemaker")
    assert standing(HOOKED) == before


def test_signature_and_documentation_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the script's function, and of the toolkit's."""
    script(monkeypatch, model_fn=fitted, predict_fn=predict_fn)
    service = Transformer()
    service.validate_and_initialize("/opt/ml/model", Context())
    assert service._predict_fn is not predict_fn
    assert inspect.signature(service._predict_fn) == inspect.signature(predict_fn)
    assert (service._predict_fn.__name__, service._predict_fn.__doc__) == ("predict_fn", "Answer.")
    assert inspect.signature(getattr(*HOOKED)) == inspect.signature(inspect.unwrap(getattr(*HOOKED)))
