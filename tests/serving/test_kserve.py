"""KServe: every prediction of a model of one's own counts once, under the caller's span, in whatever worker it ran."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from tests import told
from tests.serving.started import (
    EXAMPLES,
    KEY,
    Started,
    caller,
    calls,
    failures,
    free_ports,
    parents,
    rows,
    stages,
    started,
)
from tests.sink import Sink

import mlobs
from mlobs.testing import Telemetry

kserve = pytest.importorskip("kserve")
Base: Any = kserve.Model

HERE = EXAMPLES / "kserve"
V1, V2 = "/v1/models/flats:predict", "/v2/models/flats/infer"
FLATS = [[50.0, 2.0], [80.0, 3.0]]
PRICES = [600.0, 950.0]


def v2(flats: Any) -> Any:
    """The body of a v2 request, flat as the protocol has it."""
    data = [value for flat in flats for value in flat]
    return {"inputs": [{"name": "flat", "shape": [len(flats), len(flats[0])], "datatype": "FP64", "data": data}]}


def serve(sink: Sink, folder: Path, *more: str) -> Any:
    """The example, on a port of its own."""
    [port] = free_ports(1)
    command = [*(more or ["serve.py"]), "--http_port", str(port), "--enable_grpc", "false"]
    return started(
        sink, folder, HERE, command, port=port, ready="/v2/health/ready", MLOBS_TICKET_KEYS=KEY, PYTHONUNBUFFERED="1"
    )


@pytest.fixture
def server(sink: Sink, tmp_path: Path) -> Iterator[Started]:
    with serve(sink, tmp_path) as running:
        yield running


def test_a_server(server: Started, sink: Sink) -> None:
    """v1 and v2: counts, rows, stages, errors, tickets, and each span under its caller's."""
    callers = [caller() for _ in range(48)]
    bodies = [v2(FLATS) if number % 2 else {"instances": FLATS} for number in range(40)]
    answers = [
        server.request(V2 if number % 2 else V1, body, one.headers)
        for number, (body, one) in enumerate(zip(bodies, callers[:40], strict=True))
    ]
    assert [answer.status for answer in answers] == [200] * 40, server.said[-3000:]
    for number, answer in enumerate(answers):
        said = answer.body["outputs"][0]["data"] if number % 2 else answer.body["predictions"]
        assert said == pytest.approx(PRICES)
        assert len(answer.headers["mlobs-ticket"].split(",")) == 2
    failed = server.load(V1, [{"instances": [[1.0]]}] * 5, callers[40:45])
    assert [answer.status for answer in failed] == [500] * 5
    refused = server.load(V1, [{"instances": []}] * 3, callers[45:])
    assert [answer.status for answer in refused] == [400] * 3
    server.stop()
    assert calls(sink) == {
        ("flats", "unversioned", "predict", ""): 40,
        ("flats", "unversioned", "predict", "ValueError"): 5,
    }, server.said[-2000:]
    assert rows(sink) == 85
    assert stages(sink) == {("preprocess",): 45, ("postprocess",): 40}
    assert failures(sink) == {}
    found = parents(sink)
    assert [len(found.get(one, ())) for one in callers] == [1] * 45 + [0] * 3


RUNNER = """
import runpy
from kserve.protocol.rest.multiprocess.server import RESTServerProcess
RESTServerProcess.is_alive.__defaults__ = (120,)  # a worker that imports for longer than 5 s is killed, and CI is slow
runpy.run_path("serve.py", run_name="__main__")
"""


def test_two_workers(sink: Sink, tmp_path: Path) -> None:
    """Each counts what it served, and the sum is what was asked."""
    runner = tmp_path / "runner.py"
    runner.write_text(RUNNER)
    callers = [caller() for _ in range(60)]
    with serve(sink, tmp_path, str(runner), "--workers", "2") as server:
        answers = server.load(V1, [{"instances": FLATS}] * 60, callers, threads=8)
        server.stop()
    assert [answer.status for answer in answers] == [200] * 60
    assert calls(sink) == {("flats", "unversioned", "predict", ""): 60}, server.said[-2000:]
    assert rows(sink) == 120
    found = parents(sink)
    assert [len(found.get(one, ())) for one in callers] == [1] * 60


# ── in this process ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("kserve", "sklearn")
    yield
    mlobs.uninstrument()


MODEL = LinearRegression().fit([[1.0, 1.0], [2.0, 1.0], [3.0, 2.0]], [1.0, 2.0, 3.0])


class Kind(Base):  # type: ignore[misc]
    def predict(self, payload: Any, headers: Any = None) -> Any:
        """Its own words."""
        return {"predictions": MODEL.predict(payload["instances"]).tolist()}


class Soon(Base):  # type: ignore[misc]
    async def preprocess(self, payload: Any, headers: Any = None) -> Any:
        return {"instances": payload["raw"]}

    async def predict(self, payload: Any, headers: Any = None) -> Any:
        return {"predictions": MODEL.predict(payload["instances"]).tolist()}

    def postprocess(self, result: Any, headers: Any = None) -> Any:
        return result

    def explain(self, payload: Any, headers: Any = None) -> Any:
        return {"explanations": [MODEL.predict([row]).tolist() for row in payload["instances"]]}


class Sooner(Soon):
    def postprocess(self, result: Any, headers: Any = None) -> Any:
        return super().postprocess(result, headers)


class Tensors(Base):  # type: ignore[misc]
    def predict(self, payload: Any, headers: Any = None) -> Any:
        return kserve.InferResponse("1", self.name, [kserve.InferOutput("y", [2], "FP64", data=[0.5, 1.5])])


def ask(model: Any, body: Any, *more: Any) -> Any:
    return asyncio.run(model(body, {}, *more))[0]


def test_the_answer_is_the_same_and_counts_once(telemetry: Telemetry) -> None:
    """Plain and coroutine, an estimator inside, one event each; an explanation is none; the transformer's base is none."""
    mlobs.uninstrument()
    bare = ask(Kind("kind"), {"instances": [[1.0, 1.0]]})
    mlobs.instrument("kserve", "sklearn")
    assert ask(Kind("kind"), {"instances": [[1.0, 1.0]]}) == bare
    assert ask(Soon("soon"), {"raw": [[1.0, 1.0]] * 3}) == {"predictions": bare["predictions"] * 3}
    assert ask(Sooner("sooner"), {"raw": [[1.0, 1.0]]}) == bare
    explained = ask(Soon("soon"), {"raw": [[1.0, 1.0]] * 2}, kserve.model.InferenceVerb.EXPLAIN)
    assert explained == {"explanations": [bare["predictions"]] * 2}
    with pytest.raises(NotImplementedError):
        ask(kserve.Model("asks"), {"instances": []})
    assert told.rows(telemetry) == {("kind", "predict"): 1, ("soon", "predict"): 3, ("sooner", "predict"): 1}
    assert sum(told.calls(telemetry).values()) == 3
    assert told.stages(telemetry) == {"preprocess": 2, "postprocess": 2}


def test_tensors_are_columns(telemetry: Telemetry) -> None:
    """Inputs of one value a row are columns by name; a lone matrix is the rows; the lone output the prediction."""
    named = [
        kserve.InferInput("age", [2], "FP32", [20.0, 30.0]),
        kserve.InferInput("plan", [2, 1], "BYTES", ["free", "paid"]),
    ]
    raw = kserve.InferInput("X", [2, 3], "FP64")
    raw.set_data_from_numpy(np.ones((2, 3)))
    for _ in range(10):
        ask(Tensors("named"), kserve.InferRequest("named", named))
        ask(Tensors("matrix"), kserve.InferRequest("matrix", [raw]))
    features = {
        (of["model.name"], of["role"], of["feature"])
        for points in telemetry.histograms("mlobs.feature.value")
        for of in [dict(points.attributes.items())]
    }
    assert features == {
        ("named", "input", "age"),
        ("matrix", "input", "f0"),
        ("matrix", "input", "f1"),
        ("matrix", "input", "f2"),
        ("named", "output", "prediction"),
        ("matrix", "output", "prediction"),
    }
    assert told.rows(telemetry) == {("named", "predict"): 20, ("matrix", "predict"): 20}


def test_errors_pass_through(telemetry: Telemetry) -> None:
    """Whatever predict raises is what the server sees, counted by its type."""
    model = Kind("kind")
    for body, error in (({}, KeyError), ({"instances": [[1.0]]}, ValueError), ({"instances": []}, ValueError)):
        with pytest.raises(error):
            ask(model, body)
    assert told.errors(telemetry) == {"KeyError": 1, "ValueError": 2}


def test_uninstrument_restores(telemetry: Telemetry) -> None:
    """Each class has the objects that it had, its methods their signature, words and kind all the while."""
    places = [(cls, name) for cls in (Kind, Soon, Sooner, Tensors, kserve.Model)
              for name in ("predict", "preprocess", "postprocess", "explain", "__init_subclass__")]  # fmt: skip
    hooked = told.standing(*places)
    assert inspect.signature(Kind.predict) == inspect.signature(inspect.unwrap(Kind.predict))
    assert (Kind.predict.__doc__, inspect.iscoroutinefunction(Soon.predict)) == ("Its own words.", True)
    mlobs.uninstrument()
    before = told.standing(*places)
    changed = {key for key in before if before[key] is not hooked[key]}
    assert changed == {
        (id(Kind), "predict"), (id(Soon), "predict"), (id(Tensors), "predict"),
        (id(Soon), "preprocess"), (id(Soon), "postprocess"), (id(Sooner), "postprocess"), (id(Soon), "explain"),
        (id(kserve.Model), "__init_subclass__"),
    }  # fmt: skip
    mlobs.instrument("kserve")
    mlobs.uninstrument("kserve")
    assert told.standing(*places) == before
    assert ask(Kind("kind"), {"instances": [[1.0, 1.0]]}) == {"predictions": [pytest.approx(1.0)]}
    assert told.calls(telemetry) == {}
