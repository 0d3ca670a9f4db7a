"""LitServe: what its workers predict is counted once, under the span of the request that waits in another process."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pickle
import queue
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
from tests import told
from tests.serving.loopback import callers, counted, free_port, serving, spans
from tests.sink import Sink, running

import mlobs
import mlobs_litserve
from mlobs.api import runtime
from mlobs.core.callers import Caller
from mlobs.testing import Telemetry, capture

ls: Any = pytest.importorskip("litserve")

APPS = Path(__file__).parent / "apps"
EXAMPLE = Path(__file__).parents[2] / "examples" / "litserve"
KEY = secrets.token_hex(32)
ROWS = [[float(number), 1.0] for number in range(12)]


def litserve(sink: Sink, folder: Path, *words: str) -> Any:
    port = free_port()
    command = [str(port) if word == "PORT" else word for word in words]
    return serving(sink, APPS, port, *command, log=folder / "server.log", MLOBS_TICKET_KEYS=KEY)


class Ledger(NamedTuple):
    """What a server was asked and answered, by path; the requests of a path are numbered from `first` on."""

    sink: Sink
    answers: dict[str, list[httpx.Response]]
    first: dict[str, int]

    def asked(self, path: str) -> list[int]:
        return list(range(self.first[path], self.first[path] + len(self.answers[path])))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A server of every kind of loop, with `mlobs.instrument()` in its program, after it has served and stopped."""
    bodies: dict[str, list[Any]] = {
        path: [{"row": row} for row in ROWS] for path in ("single", "batch", "soon", "stream", "stream-soon")
    }
    bodies["stream-batch"] = [{"row": row} for row in ROWS]
    bodies["numbers"] = [{"number": float(number)} for number in range(12)]
    answers: dict[str, list[httpx.Response]] = {}
    first: dict[str, int] = {}
    with running() as sink:
        folder = tmp_path_factory.mktemp("litserve")
        with litserve(sink, folder, sys.executable, "litserve_loops.py", "PORT", "by-hand") as server:
            server.ready("/health")
            for path, given in bodies.items():
                first[path] = sum(len(one) for one in answers.values()) + 1
                answers[path] = server.ask(f"/{path}", given, at_once=6)
            for path in ("single", "batch", "soon"):
                for kind in ("value", "http"):
                    [answers[f"{path} {kind}"]] = [server.ask(f"/{path}", [{"row": kind}])]
            assert server.end() == 0, server.said
        yield Ledger(sink, answers, first)


def test_the_answers_are_the_services_own(ledger: Ledger) -> None:
    """Every loop answers what it would without mlobs."""
    for path in ("single", "batch", "soon"):
        assert [answer.json()["score"] for answer in ledger.answers[path]] == [sum(row) for row in ROWS]
    for path in ("stream", "stream-soon", "stream-batch"):
        assert [answer.text.split() for answer in ledger.answers[path]] == [
            [str(2 * one) for one in row] for row in ROWS
        ]
    assert [answer.json()["score"] for answer in ledger.answers["numbers"]] == [2.0 * number for number in range(12)]
    assert all(answer.json()["seen"] for answer in ledger.answers["single"])


def test_errors_pass_through_as_they_would_and_are_counted_by_type(ledger: Ledger) -> None:
    """A ValueError is LitServe's 500, an HTTPException of the model keeps its status."""
    statuses = {path: answer[0].status_code for path, answer in ledger.answers.items() if " " in path}
    assert statuses == {
        f"{path} {kind}": status
        for path in ("single", "batch", "soon")
        for kind, status in (("value", 500), ("http", 418))
    }
    failed = counted(ledger.sink, "mlobs.prediction.duration", "model.name", "error.type")
    assert {key: count for key, count in failed.items() if key[1]} == {
        (name, kind): 1
        for name in ("single", "Batch", "Soon")
        for kind in ("ValueError", "fastapi.exceptions.HTTPException")
    }


def test_predictions_and_rows_are_counted_exactly(ledger: Ledger) -> None:
    """Summed over the workers: a prediction a request or batch, and of every loop as many rows as were asked for."""
    rows = counted(ledger.sink, "mlobs.prediction.rows", "model.name", "model.operation")
    names = ("single", "Batch", "Numbers", "Soon", "Stream", "StreamSoon", "StreamBatch")
    failed = {"single": 2, "Batch": 2, "Soon": 2}
    assert {key: count - failed.get(key[0], 0) for key, count in rows.items()} == {
        (name, "predict"): 12 for name in names
    }
    calls = counted(ledger.sink, "mlobs.prediction.duration", "model.name", "error.type")
    alone = ("single", "Soon", "Stream", "StreamSoon")
    assert {name: calls[name, ""] for name in alone} == dict.fromkeys(alone, 12)
    for name in ("Batch", "Numbers", "StreamBatch"):
        assert 3 <= calls[name, ""] < 12


@pytest.mark.parametrize(
    ("path", "name"), [("single", "single"), ("soon", "Soon"), ("stream", "Stream"), ("stream-soon", "StreamSoon")]
)
def test_a_prediction_is_a_child_of_its_caller(path: str, name: str, ledger: Ledger) -> None:
    """The span that the request's headers name is the parent, in another process, of coroutines and streams too."""
    found = [span for span in spans(ledger.sink, f"predict {name}") if not span.status.code]
    assert [span.links for span in found] == [[]] * 12
    assert callers(found) == ledger.asked(path)


@pytest.mark.parametrize(
    ("path", "name"), [("batch", "Batch"), ("numbers", "Numbers"), ("stream-batch", "StreamBatch")]
)
def test_a_batch_is_one_root_with_a_link_to_each_caller(path: str, name: str, ledger: Ledger) -> None:
    """Each request is in one batch; a batch of one is its caller's child."""
    found = [span for span in spans(ledger.sink, f"predict {name}") if not span.status.code]
    assert callers(found) == ledger.asked(path)
    assert any(len(span.links) > 1 for span in found)


def test_the_queue_is_a_stage(ledger: Ledger) -> None:
    """Each request has waited once, also one that failed."""
    asked = {"single": 14, "Batch": 14, "Soon": 14, "Numbers": 12, "Stream": 12, "StreamSoon": 12, "StreamBatch": 12}
    waited = counted(ledger.sink, "mlobs.stage.duration", "model.name", "stage")
    assert waited == {(name, "queue"): count for name, count in asked.items()}


def test_a_worker_gives_the_tickets_of_its_predictions(ledger: Ledger) -> None:
    """`mlobs.ticket()` in encode_response, `mlobs.tickets()` in unbatch: each opens elsewhere as that very prediction."""
    with capture(ticket_keys=[KEY]) as telemetry:
        mlobs.objective(model="single", task="regression")
        mlobs.objective(model="Batch", task="regression")
        for path in ("single", "batch"):
            for answer in ledger.answers[path]:
                assert mlobs.outcome(answer.json()["ticket"], actual=answer.json()["score"])
        assert telemetry.total("mlobs.outcome.unjoined") == 0
        assert {name: quality.mae for name, quality in mlobs.quality().items()} == {"single": 0.0, "Batch": 0.0}


def test_the_answer_has_them_in_its_header(ledger: Ledger) -> None:
    """Of every loop but streams, whose headers leave first; a ticket that is in the body too is the same, and expected once."""
    header = "mlobs-ticket"
    for path in ("single", "batch"):
        assert all(answer.headers[header] == answer.json()["ticket"] for answer in ledger.answers[path])
    with capture(ticket_keys=[KEY]) as telemetry:
        for name in ("Soon", "Numbers"):
            mlobs.objective(model=name, task="regression")
            for answer in ledger.answers[name.lower()]:
                assert mlobs.outcome(answer.headers[header], actual=answer.json()["score"])
        assert telemetry.total("mlobs.outcome.unjoined") == 0
        assert {name: quality.mae for name, quality in mlobs.quality().items()} == {"Soon": 0.0, "Numbers": 0.0}
    for path, answers in ledger.answers.items():
        if "stream" in path or " " in path:
            assert not any(header in answer.headers for answer in answers), path
    expected = counted(ledger.sink, "mlobs.outcome.expected", "model.name")
    assert expected == {(name,): 12 for name in ("single", "Batch", "Soon", "Numbers")}


def test_under_the_agent_a_prediction_hangs_under_the_requests_span(sink: Sink, tmp_path: Path) -> None:
    """`opentelemetry-instrument`, no line of code: spawned workers have it too, and requests are traced by FastAPI's."""
    pytest.importorskip("opentelemetry.instrumentation.fastapi")
    agent = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    with litserve(sink, tmp_path, agent, sys.executable, "litserve_loops.py", "PORT", "agent") as server:
        server.ready("/health")
        server.ask("/single", [{"row": row} for row in ROWS], at_once=6)
        server.ask("/batch", [{"row": row} for row in ROWS], at_once=6)

        def arrived(sink: Sink) -> bool:
            requests = [*spans(sink, "POST /single"), *spans(sink, "POST /batch")]
            links = sum(len(span.links) or 1 for span in spans(sink, "predict Batch"))
            return (len(requests), len(spans(sink, "predict single")), links) == (24, 12, 12)

        assert sink.wait(arrived), server.said
        assert server.end() == 0, server.said
    for path, name in (("single", "single"), ("batch", "Batch")):
        requests = spans(sink, f"POST /{path}")
        assert callers(spans(sink, f"predict {name}")) == sorted(
            int.from_bytes(span.span_id, "big") for span in requests
        )
    batches = {link.span_id: span.span_id for span in spans(sink, "predict Batch") for link in span.links}
    assert batches
    for span in spans(sink, "POST /batch"):  # and back, of those that are in one with others
        assert [link.span_id for link in span.links] == [batches[one] for one in [span.span_id] if one in batches]
    assert counted(sink, "mlobs.prediction.rows", "model.name") == {("single",): 12, ("Batch",): 12}


def test_the_example_serves(sink: Sink, tmp_path: Path) -> None:
    """Its client prints what its README says, and all that it asked for is counted over two workers."""
    port = free_port()
    command = (sys.executable, "server.py", str(port))
    with serving(sink, EXAMPLE, port, *command, log=tmp_path / "log", MLOBS_TICKET_KEYS=KEY) as server:
        server.ready("/health")
        said = printed(EXAMPLE, port)
        assert said in (EXAMPLE / "README.md").read_text("utf-8")
        assert server.end() == 0, server.said
    assert counted(sink, "mlobs.prediction.rows", "model.name", "model.version") == {("churn", "7"): 200}
    assert counted(sink, "mlobs.stage.duration", "stage") == {("queue",): 200}


def printed(folder: Path, port: int) -> str:
    done = subprocess.run(
        [sys.executable, "client.py", str(port)], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


# ── in this process ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _hooked() -> Iterator[None]:
    mlobs.instrument("litserve")
    yield
    mlobs.uninstrument("litserve")


def places() -> list[tuple[Any, str]]:
    from litserve.loops import simple_loops, streaming_loops

    return [
        (ls.LitAPI, "predict"),
        (ls.LitAPI, "__init_subclass__"),
        (ls.LitServer, "_get_request_queue"),
        (simple_loops.SingleLoop, "run_single_loop"),
        (simple_loops.SingleLoop, "_process_single_request"),
        (simple_loops.BatchedLoop, "get_batch_requests"),
        (streaming_loops.StreamingLoop, "run_streaming_loop"),
        (streaming_loops.StreamingLoop, "_process_streaming_request"),
        (streaming_loops, "collate_requests"),
    ]


def test_uninstrument_puts_everything_back() -> None:
    """The very objects, in users' classes too, whether they were made before or meanwhile."""

    class Before(ls.LitAPI):
        def predict(self, x: Any, context: Any = None) -> Any:
            """Say one."""
            return 1

    original = Before.predict
    before = told.standing(*places())
    mlobs.instrument("litserve")

    class Meanwhile(Before):
        def predict(self, x: Any, context: Any = None) -> Any:
            return 2

    hooked = told.standing(*places())
    assert all(hooked[key] is not before[key] for key in before)
    assert inspect.signature(Before.predict) == inspect.signature(original)
    assert Before.predict.__doc__ == "Say one."
    mlobs.uninstrument("litserve")
    assert told.standing(*places()) == before
    assert Before.predict is original
    assert not hasattr(Meanwhile.predict, "__mlobs__")


@pytest.mark.usefixtures("_hooked")
def test_one_call_counts_once(telemetry: Telemetry) -> None:
    """What is predicted inside, by the class above or an observed function, is part of it, and errors are their own."""
    inner = mlobs.observe(model="inner")(lambda x: 0.5)

    class Above(ls.LitAPI):
        def predict(self, x: Any) -> Any:
            return inner(x)

    class Below(Above):
        def predict(self, x: Any) -> Any:
            return super().predict(x)

    assert Below().predict([1.0, 2.0]) == 0.5
    with pytest.raises(NotImplementedError):
        ls.LitAPI().predict([1.0])
    assert told.calls(telemetry) == {("Below", "predict"): 1, ("LitAPI", "predict"): 1}
    assert told.errors(telemetry) == {"NotImplementedError": 1}


@pytest.mark.usefixtures("_hooked")
@pytest.mark.parametrize(
    "batch", [[1.0, 2.0, 3.0], ["a", "b", "c"], [[1.0, 2.0]] * 3, [{"a": 1.0}] * 3, np.ones((3, 2)), [np.ones(2)] * 3]
)
def test_a_batch_has_a_row_for_each_request(batch: Any, telemetry: Telemetry) -> None:
    """Whatever a request is, a number or a text too, and however predict is called; without batching it is one."""

    class Api(ls.LitAPI):
        def predict(self, x: Any) -> Any:
            return [0.5] * len(x)

    batched = Api(max_batch_size=4)
    batched.predict(batch)
    batched.predict(x=batch)
    assert told.rows(telemetry) == {("Api", "predict"): 6}
    Api().predict([1.0, 2.0])
    assert told.rows(telemetry) == {("Api", "predict"): 7}


class Queue:
    """A queue that can be pickled, as a manager's can."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def put(self, item: Any) -> None:
        self.items.append(item)


@pytest.mark.usefixtures("_hooked")
@pytest.mark.parametrize("broken", [False, True])
def test_a_request_is_queued_whatever_happens_to_us(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What LitServe put on its queue is there, the end of a worker too; a worker is given the queue itself."""
    if broken:
        runtime.guard.strict = False
        monkeypatch.setattr(Caller, "now", lambda: 1 / 0)
    server = ls.LitServer.__new__(ls.LitServer)
    server.litapi_request_queues = {"/": Queue()}
    requests = server._get_request_queue("/")
    requests.put((0, "uid", 1.5, {"row": [1.0]}))
    requests.put((None, None, None, None))
    request, end = pickle.loads(pickle.dumps(requests.items))
    assert request == (0, "uid", 1.5, {"row": [1.0]})
    assert type(request[2].caller) is Caller
    assert end == (None, None, None, None)
    assert type(pickle.loads(pickle.dumps(requests))) is Queue
    assert pickle.loads(pickle.dumps(requests)).items == requests.items


@pytest.mark.usefixtures("_hooked")
def test_a_worker_serves_what_an_uninstrumented_server_has_queued(telemetry: Telemetry) -> None:
    """Requests that bring no caller are worked on as they are."""
    from litserve.callbacks import CallbackRunner
    from litserve.loops.simple_loops import SingleLoop

    class One(ls.LitAPI):
        def predict(self, x: Any) -> Any:
            return 2 * x

    class Transport:
        def __init__(self) -> None:
            self.sent: list[Any] = []

        def send(self, item: Any, consumer_id: int) -> None:
            self.sent.append(item)

    requests: Any = queue.Queue()
    requests.put((0, "uid", time.monotonic(), 4.0))
    requests.put((None, None, None, None))
    transport = Transport()
    SingleLoop().run_single_loop(One(), requests, transport, CallbackRunner())
    assert [item[1][0] for item in transport.sent] == [8.0]
    assert told.calls(telemetry) == {("One", "predict"): 1}
    assert told.stages(telemetry) == {}


@pytest.mark.usefixtures("_hooked")
def test_a_batch_of_streams_gives_no_tickets_out() -> None:
    """Its headers have left: nothing is sealed for them that nobody would ever see."""
    loops = importlib.import_module("litserve.loops.streaming_loops")
    api = ls.LitAPI.__new__(ls.LitAPI)
    api.max_batch_size, api.batch_timeout, api.request_timeout = 2, 0.01, 30
    since = time.monotonic()
    for began in (mlobs_litserve._Since.of(since, Caller.nobody()), since):  # the second ends what the first began
        requests: Any = queue.Queue()
        requests.put((0, "uid", began, 4.0))
        loops.collate_requests(loop=Mock(), lit_api=api, request_queue=requests, transport=None)
        assert requests.empty()
        assert mlobs_litserve._WORK.get() is None


@pytest.mark.parametrize("kind", [str, lambda name: SimpleNamespace(name=name)], ids=["text", "member"])
def test_that_a_worker_has_begun_is_no_answer(kind: Any) -> None:
    """One that may be started again says so first, under a name or a member of an enumeration."""
    from mlobs_litserve import _Receiving

    said = [("uid", ("", kind("START"))), ("uid", ("answer", kind("OK"))), "something else"]
    answered: list[str] = []

    async def areceive() -> Any:
        return said.pop(0)

    waiting: Any = SimpleNamespace(answered=answered.append, hooks=SimpleNamespace(guarded=nullcontext))
    receiving = _Receiving(SimpleNamespace(areceive=areceive), waiting)
    for expected in ([], ["uid"], ["uid"]):
        asyncio.run(receiving.areceive())
        assert answered == expected
