"""SageMaker's inference toolkit, under the model server that it runs in."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests import told
from tests.serving import loopback, started
from tests.serving.started import EXAMPLES, Started, caller, parents, rows, stages
from tests.sink import Sink

import mlobs
from mlobs.testing import Telemetry

toolkit: Any = pytest.importorskip("sagemaker_inference.transformer")
pytest.importorskip("mms")

FOLDER = EXAMPLES / "sagemaker"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's model, trained."""
    folder = tmp_path_factory.mktemp("sagemaker") / "model"
    done = subprocess.run(
        [sys.executable, str(FOLDER / "train.py"), str(folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return folder


def low_port() -> int:
    """A port that was free a moment ago; the server takes none above 32767."""
    for _ in range(100):
        port = random.randrange(20_000, 32_767)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@pytest.fixture
def server(model: Path, sink: Sink, tmp_path: Path) -> Iterator[Started]:
    """The example's server with two workers."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed")
    inference, management = low_port(), low_port()
    said = (FOLDER / "server.properties").read_text("utf-8")
    said = said.replace(":8080", f":{inference}").replace(":8081", f":{management}")
    config = tmp_path / "server.properties"
    config.write_text(said + "vmargs=-Xmx256m\n", encoding="utf-8")
    scripts = Path(sys.executable).parent
    command = [str(scripts / "multi-model-server"), "--start", "--foreground", "--mms-config", str(config)]
    command += ["--model-store", "/", "--models", f"model={model}"]
    environ = {
        "MLOBS_TICKET_KEYS": started.KEY,
        "PYTHONPATH": str(model / "code"),
        "PATH": os.pathsep.join((str(scripts), os.environ["PATH"])),
        "LOG_LOCATION": str(tmp_path / "logs"),
        "METRICS_LOCATION": str(tmp_path / "logs"),
    }
    with started.started(sink, tmp_path, tmp_path, command, port=inference, ready="/ping", **environ) as running:
        yield running


def test_every_prediction_of_the_server_counts(server: Started, sink: Sink) -> None:
    """Two workers: each request once, rows, the reference's name, stages around it, a span under the caller's; errors by type."""
    callers = [caller() for _ in range(12)]
    bodies = [np.ones((1 + index % 3, 3)).tolist() for index in range(12)]
    answers = server.load("/predictions/model", bodies, callers)
    assert [answer.status for answer in answers] == [200] * 12, server.said
    assert all(len(answer.body) == len(body) for answer, body in zip(answers, bodies, strict=True))
    # the server takes no header of more than 255 characters, which is one ticket
    assert ["mlobs-ticket" in answer.headers for answer in answers] == [len(body) == 1 for body in bodies]
    refused = server.request("/predictions/model", [[1.0, 2.0]])
    assert refused.status == 500
    assert "mlobs-ticket" not in refused.headers
    sent = sum(map(len, bodies))
    assert sink.wait(lambda sink: sum(started.calls(sink).values()) == 13), server.said
    assert sink.wait(lambda sink: all((one.trace, one.span) in parents(sink) for one in callers)), server.said
    assert started.calls(sink) == {
        ("churn", "3", "predict", ""): 12,
        ("churn", "3", "predict", "ValueError"): 1,
    }
    assert rows(sink) == sent + 1
    assert stages(sink) == Counter({("preprocess",): 13, ("inference",): 12, ("postprocess",): 12})
    for one in callers:
        (span,) = parents(sink)[one.trace, one.span]
        assert span.name == "predict churn"
    assert started.failures(sink) == {}
    assert loopback.counted(sink, "mlobs.sdk.dropped", "reason") == {
        ("ticket_header",): 4 * 2 + 4 * 3,
        ("width",): 1,
    }


# ── in this process ─────────────────────────────────────────────────────────────────────────────────────────────────


class Context:
    """What the model server hands a worker beside the data."""

    model_name = "fraud"

    def __init__(self, folder: Path | None) -> None:
        self.system_properties = {"model_dir": None if folder is None else str(folder)}
        properties = {"Content-Type": "application/json", "Accept": "application/json"}
        self.request_processor = [SimpleNamespace(get_request_properties=lambda: properties)]
        self.status: list[int] = []

    def set_response_content_type(self, index: int, value: str) -> None:
        """As the server's."""

    def set_response_status(self, code: int, phrase: str) -> None:
        """As the server's."""
        self.status.append(code)


class Model:
    """What `model_fn` loads."""

    weight = 2.0


class Handlers:
    """Handlers as containers bring them: the toolkit falls back on these."""

    def default_model_fn(self, model_dir: str) -> Any:
        return Model()

    def default_input_fn(self, input_data: str, content_type: str) -> Any:
        return np.asarray(json.loads(input_data))

    def default_predict_fn(self, data: Any, model: Any) -> Any:
        return data[:, 0] * model.weight

    def default_output_fn(self, prediction: Any, accept: str) -> str:
        return json.dumps(prediction.tolist())


BODY = [{"body": json.dumps([[1.0, 2.0], [3.0, 4.0]]).encode()}]


@pytest.fixture
def _hooked() -> Iterator[None]:
    mlobs.instrument("sagemaker")
    yield
    mlobs.uninstrument("sagemaker")


@pytest.mark.usefixtures("_hooked")
def test_handlers_of_a_container_count_and_answer_as_before(telemetry: Telemetry) -> None:
    """The name is the one the server knows the model by; answers and errors are what they are without mlobs."""
    context = Context(None)
    transformer = toolkit.Transformer(Handlers())
    assert transformer.transform(BODY, context) == ["[2.0, 6.0]"]
    assert told.calls(telemetry) == {("fraud", "predict"): 1}
    assert told.rows(telemetry) == {("fraud", "predict"): 2}
    (said,) = transformer.transform([{"body": b"[1.0]"}], context)
    assert "IndexError" in said
    assert context.status == [500]
    assert told.errors(telemetry) == {"IndexError": 1}
    assert told.stages(telemetry) == {"preprocess": 2, "inference": 1, "postprocess": 1}


@pytest.mark.usefixtures("_hooked")
def test_a_registered_model_keeps_its_name(telemetry: Telemetry) -> None:
    """What `model_fn` registers is the predictions' name and version."""

    class Registers(Handlers):
        def default_model_fn(self, model_dir: str) -> Any:
            return mlobs.register(super().default_model_fn(model_dir), name="mine", version="9")

    toolkit.Transformer(Registers()).transform(BODY, Context(None))
    found = {tuple(dict(key).values())[:2] for key in telemetry.numbers("mlobs.prediction.rows", model_name="mine")}
    assert found == {("mine", "9")}


@pytest.mark.usefixtures("_hooked")
def test_a_decorated_handler_keeps_its_name(telemetry: Telemetry) -> None:
    """A `predict_fn` that is observed already counts once, as what its decorator says."""

    class Decorated(Handlers):
        @mlobs.observe(model="own", version="2", operation="score")
        def default_predict_fn(self, data: Any, model: Any) -> Any:
            return super().default_predict_fn(data, model)

    toolkit.Transformer(Decorated()).transform(BODY, Context(None))
    assert told.calls(telemetry) == {("own", "score"): 1}


def test_uninstrumenting_restores_the_toolkit() -> None:
    """Both methods are the toolkit's own again."""
    places = [(toolkit.Transformer, "transform"), (toolkit.Transformer, "_run_handler_function")]
    before = told.standing(*places)
    mlobs.instrument("sagemaker")
    assert told.standing(*places) != before
    mlobs.uninstrument("sagemaker")
    assert told.standing(*places) == before
