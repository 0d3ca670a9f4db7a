"""MLServer: each prediction counts once in whatever process it runs, under its caller's span or linked to all of its batch."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
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
from mlobs.testing import Telemetry, capture

mlserver = pytest.importorskip("mlserver")
pytest.importorskip("mlserver_sklearn")

from mlserver import MLModel, ModelSettings
from mlserver.batching import AdaptiveBatcher, BatchedRequests, load_batching
from mlserver.context import model_context
from mlserver.handlers import DataPlane
from mlserver.parallel.dispatcher import Dispatcher
from mlserver.parallel.worker import Worker
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput

INFER = "/v2/models/flats/infer"
PRICES = [600.0, 950.0]
REQUESTS = 60


def body(*flats: list[float]) -> Any:
    data = [value for flat in flats for value in flat]
    shape = [len(flats), len(flats[0])]
    return {"inputs": [{"name": "flat", "shape": shape, "datatype": "FP64", "data": data}]}


FLATS = body([50.0, 2.0], [80.0, 3.0])


@contextmanager
def served(sink: Sink, folder: Path, **environ: str) -> Iterator[Started]:
    """The example, as its page says it is started, without OpenTelemetry's own spans."""
    here = folder / "example"
    shutil.copytree(EXAMPLES / "mlserver", here)
    subprocess.run([sys.executable, "train.py"], cwd=here, check=True)
    http, grpc, metrics = free_ports(3)
    programs = Path(sys.executable).parent
    command = [str(programs / "opentelemetry-instrument"), str(programs / "mlserver"), "start", "."]
    with started(
        sink,
        folder,
        here,
        command,
        port=http,
        ready="/v2/health/ready",
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="fastapi,asgi,starlette,flask,system_metrics,threading,grpc_aio_server",
        MLSERVER_HTTP_PORT=str(http),
        MLSERVER_GRPC_PORT=str(grpc),
        MLSERVER_METRICS_PORT=str(metrics),
        MLOBS_TICKET_KEYS=KEY,
        **environ,
    ) as server:
        yield server


def redeemed(answers: list[Any]) -> dict[str, float | None]:
    """How far each answer is from what its own tickets say of it."""
    with capture(ticket_keys=[KEY]) as telemetry:
        mlobs.objective(model="flats", task="regression")
        for answer in answers:
            data = answer.body["outputs"][0]["data"]
            for ticket, price in zip(answer.headers["mlobs-ticket"].split(","), data, strict=True):
                assert mlobs.outcome(ticket, actual=price)
        assert telemetry.total("mlobs.outcome.unjoined") == 0
        return {name: quality.mae for name, quality in mlobs.quality().items()}


PREDICT = ("flats", "3", "predict", "")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_each_under_its_caller(sink: Sink, tmp_path: Path, workers: str) -> None:
    """Without batches: counts, rows, errors, and each span under its caller's, in worker processes too."""
    callers = [caller() for _ in range(REQUESTS + 5)]
    with served(sink, tmp_path, MLSERVER_PARALLEL_WORKERS=workers) as server:
        answers = server.load(INFER, [FLATS] * REQUESTS, callers[:REQUESTS])
        failed = server.load(INFER, [body([1.0])] * 5, callers[REQUESTS:])
        server.stop()
    assert [answer.status for answer in answers] == [200] * REQUESTS
    assert all(answer.body["outputs"][0]["data"] == pytest.approx(PRICES) for answer in answers)
    assert {answer.status for answer in failed} == {500}
    assert ("ValueError" in str(failed[0].body)) == (workers == "2")  # as MLServer says it
    assert calls(sink) == {PREDICT: REQUESTS, ("flats", "3", "predict", "ValueError"): 5}, server.said[-2000:]
    assert rows(sink) == 2 * REQUESTS + 5
    assert failures(sink) == {}
    found = parents(sink)
    assert [len(found.get(one, ())) for one in callers] == [1] * len(callers)
    assert redeemed(answers) == {"flats": 0.0}
    assert all(len(answer.headers["mlobs-ticket"].split(",")) == 2 for answer in answers)
    assert not any("mlobs-ticket" in answer.headers for answer in failed)
    if workers != "0":
        assert stages(sink) == {("queue",): REQUESTS + 5}
        assert sum(1 for metrics in sink.latest().values() if "mlobs.prediction.rows" in metrics) == 2


@pytest.mark.parametrize("workers", ["0", "2"])
def test_batches_have_links_to_all(sink: Sink, tmp_path: Path, workers: str) -> None:
    """With adaptive batching: one root span a batch with a link to each of its requests, and how long each has waited."""
    callers = [caller() for _ in range(REQUESTS)]
    with served(
        sink,
        tmp_path,
        MLSERVER_PARALLEL_WORKERS=workers,
        MLSERVER_MODEL_MAX_BATCH_SIZE="4",
        MLSERVER_MODEL_MAX_BATCH_TIME="0.2",
    ) as server:
        bodies = [body([50.0, 2.0]) if number % 2 else FLATS for number in range(REQUESTS)]
        answers = server.load(INFER, bodies, callers, threads=8)
        server.stop()
    assert [answer.status for answer in answers] == [200] * REQUESTS
    for number, answer in enumerate(answers):
        assert answer.body["outputs"][0]["data"] == pytest.approx(PRICES[:1] if number % 2 else PRICES)
        assert len(answer.headers["mlobs-ticket"].split(",")) == 2 - number % 2
    assert redeemed(answers) == {"flats": 0.0}
    [(key, batches)] = calls(sink).items()
    assert key == PREDICT
    assert REQUESTS / 4 <= batches < REQUESTS, server.said[-2000:]
    assert rows(sink) == REQUESTS * 3 // 2
    assert failures(sink) == {}
    assert stages(sink) == {("queue",): REQUESTS}
    spans = sink.spans
    assert len(spans) == batches
    served_for = [
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        or [(span.trace_id.hex(), span.parent_span_id.hex())]
        for span in spans
    ]
    assert sorted(one for some in served_for for one in some) == sorted(tuple(one) for one in callers)
    assert all(not span.parent_span_id for span in spans if span.links)
    assert max(map(len, served_for)) > 1


# ── in this process ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("mlserver", "sklearn")
    yield
    mlobs.uninstrument()


MODEL = LinearRegression().fit([[1.0, 1.0], [2.0, 1.0], [3.0, 2.0]], [1.0, 2.0, 3.0])


class Runtime(MLModel):  # type: ignore[misc]
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Its own words."""
        [first] = payload.inputs
        answers = MODEL.predict(np.array(first.data.root).reshape(first.shape))
        output = ResponseOutput(name="y", shape=[len(answers), 1], datatype="FP64", data=answers.tolist())
        return InferenceResponse(model_name=self.name, outputs=[output])


class Two(MLModel):  # type: ignore[misc]
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        count = payload.inputs[0].shape[0]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                ResponseOutput(name="label", shape=[count], datatype="BYTES", data=["a"] * count),
                ResponseOutput(name="sure", shape=[count], datatype="FP64", data=[0.5] * count),
            ],
        )


def runtime(kind: type, **settings: Any) -> Any:
    return kind(ModelSettings(name="mine", implementation=kind, parameters={"version": "2"}, **settings))


def request(*inputs: tuple[str, list[int], str, list[Any]]) -> InferenceRequest:
    return InferenceRequest(
        inputs=[RequestInput(name=name, shape=shape, datatype=kind, data=data) for name, shape, kind, data in inputs]
    )


ROWS = ("x", [2, 2], "FP64", [1.0, 1.0, 2.0, 1.0])


def test_the_answer_is_the_same_and_counts_once(telemetry: Telemetry) -> None:
    """An estimator inside is part of it; a stream that falls back on predict counts as that."""
    mlobs.uninstrument()
    bare = asyncio.run(runtime(Runtime).predict(request(ROWS)))
    mlobs.instrument("mlserver", "sklearn")
    model = runtime(Runtime)
    assert asyncio.run(model.predict(request(ROWS))) == bare

    async def stream() -> list[InferenceResponse]:
        async def payloads() -> AsyncIterator[InferenceRequest]:
            yield request(ROWS)

        return [one async for one in model.predict_stream(payloads())]

    assert asyncio.run(stream()) == [bare]
    assert told.rows(telemetry) == {("mine", "predict"): 4}
    [key] = telemetry.numbers("mlobs.prediction.rows")
    assert dict(key)["model.version"] == "2"


def test_tensors_are_columns(telemetry: Telemetry) -> None:
    """Inputs of one value a row are columns by name, None in numbers is missing; a lone matrix is the rows."""
    named = request(("age", [3], "FP32", [20.0, None, 30.0]), ("plan", [3, 1], "BYTES", ["free", "paid", "free"]))
    for _ in range(10):
        asyncio.run(runtime(Two).predict(named))
    features = {
        (of["role"], of["feature"])
        for points in telemetry.histograms("mlobs.feature.value")
        for of in [dict(points.attributes.items())]
    }
    assert features == {("input", "age"), ("output", "sure")}
    missing = {
        dict(key)["feature"]: value
        for key, value in telemetry.numbers("mlobs.feature.violations", kind="missing").items()
        if value
    }
    assert missing == {"age": 10}
    assert told.rows(telemetry) == {("mine", "predict"): 30}


def test_the_profile_beside_its_file_is_the_reference(telemetry: Telemetry, tmp_path: Path) -> None:
    """A file's by its name, a folder's by that of MLServer; where there is none the model has no reference."""
    rows_seen = np.column_stack([np.arange(100.0), np.ones(100)])
    reference = mlobs.Profile.build(rows_seen, outputs=MODEL.predict(rows_seen))
    reference.save(tmp_path / "flats.profile.json")
    reference.save(tmp_path / "model.profile.json")
    for name, uri in (("file", tmp_path / "flats.joblib"), ("folder", tmp_path), ("none", tmp_path / "other.joblib")):
        settings = ModelSettings(name=name, implementation=Runtime, parameters={"uri": str(uri)})
        asyncio.run(Runtime(settings).predict(request(ROWS)))
    found = {name: set(verdicts) for name, verdicts in mlobs.drift().items() if verdicts}
    assert found == {key: {"f0", "f1", "prediction"} for key in ("file", "folder")}


def test_errors_pass_through(telemetry: Telemetry) -> None:
    """Whatever predict raises is what the server sees, counted by its type: a wrong shape, no inputs, no method."""
    model = runtime(Runtime)
    with pytest.raises(ValueError, match="features"):
        asyncio.run(model.predict(request(("x", [1, 1], "FP64", [1.0]))))
    with pytest.raises(ValueError, match="reshape"):
        asyncio.run(model.predict(request(("x", [2, 2], "FP64", [1.0]))))
    with pytest.raises(ValueError, match="unpack"):
        asyncio.run(model.predict(request()))
    with pytest.raises(NotImplementedError):
        asyncio.run(runtime(MLModel).predict(request(ROWS)))
    assert told.errors(telemetry) == {"ValueError": 3}


def test_a_failed_batch_fails_all_of_it(telemetry: Telemetry) -> None:
    """Its error reaches every request as it is, counted once; the next batch is served."""

    async def main() -> list[Any]:
        model = await load_batching(runtime(Runtime, max_batch_size=3, max_batch_time=0.5))
        bad = ("x", [1, 1], "FP64", [1.0])
        with model_context(model.settings):
            failed = await asyncio.gather(*[model.predict(request(bad)) for _ in range(3)], return_exceptions=True)
            good = await asyncio.gather(*[model.predict(request(ROWS)) for _ in range(3)])
        return [*failed, *good]

    answers = asyncio.run(main())
    assert [type(one) for one in answers] == [ValueError] * 3 + [InferenceResponse] * 3
    assert [one.outputs[0].data.root for one in answers[3:]] == [pytest.approx([1.0, 2.0])] * 3
    assert told.errors(telemetry) == {"ValueError": 1}
    assert told.rows(telemetry) == {("mine", "predict"): 9}
    assert told.stages(telemetry) == {"queue": 6}


PLACES = [
    (Runtime, "predict"),
    (MLModel, "__init_subclass__"),
    (DataPlane, "infer"),
    (AdaptiveBatcher, "predict"),
    (AdaptiveBatcher, "_predict_fn"),
    (BatchedRequests, "_merge_requests"),
    (Dispatcher, "dispatch_request"),
    (Worker, "_process_request"),
]


def test_uninstrument_restores(telemetry: Telemetry) -> None:
    """Each class has the objects that it had; what batches already goes on, and counts no more."""
    hooked = told.standing(*PLACES)
    assert str(inspect.signature(Runtime.predict)) == "(self, payload: 'InferenceRequest') -> 'InferenceResponse'"
    assert (Runtime.predict.__doc__, inspect.iscoroutinefunction(Runtime.predict)) == ("Its own words.", True)

    async def main() -> list[InferenceResponse]:
        model = await load_batching(runtime(Runtime, max_batch_size=2, max_batch_time=0.5))
        with model_context(model.settings):
            await asyncio.gather(*[model.predict(request(ROWS)) for _ in range(2)])
            mlobs.uninstrument()
            return await asyncio.gather(*[model.predict(request(ROWS)) for _ in range(2)])

    answers = asyncio.run(main())
    assert [one.outputs[0].data.root for one in answers] == [pytest.approx([1.0, 2.0])] * 2
    before = told.standing(*PLACES)
    assert {key for key in before if before[key] is hooked[key]} == set()
    mlobs.instrument()
    mlobs.uninstrument()
    assert told.standing(*PLACES) == before
    assert told.rows(telemetry) == {("mine", "predict"): 4}
