"""BentoML: a batch is predicted for all its requests, not for the one that came first."""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tests import told
from tests.serving.loopback import callers, counted, free_port, serving, spans
from tests.sink import Sink, running

import mlobs
from mlobs.api import runtime
from mlobs.core.callers import Caller
from mlobs.testing import Telemetry, capture

pytest.importorskip("bentoml")
dispatching: Any = pytest.importorskip("bentoml._internal.marshal.dispatcher")

APPS = Path(__file__).parent / "apps"
EXAMPLE = Path(__file__).parents[2] / "examples" / "bentoml"
KEY = secrets.token_hex(32)
BATCHED = ("batch", "batch_soon")
ALONE = ("single", "soon")
BODIES = [{"rows": [[float(number), float(row)] for row in range(1 + number % 3)]} for number in range(24)]
SUMS = [[number + float(row) for row in range(1 + number % 3)] for number in range(24)]
ROWS = sum(map(len, SUMS))


def serve(sink: Sink, folder: Path, *before: str, cwd: Path = APPS, service: str, **environ: str) -> Any:
    port = free_port()
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    words = (*before, bentoml, "serve", service, "--host", "127.0.0.1", "--port", str(port))
    own = {"BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True", "MLOBS_TICKET_KEYS": KEY}
    return serving(sink, cwd, port, *words, log=folder / "server.log", **own, **environ)


def number_of(span: Any) -> int:
    return int.from_bytes(span.span_id, "big")


class Ledger(NamedTuple):
    """What a server was asked and answered, by API."""

    sink: Sink
    answers: dict[str, list[httpx.Response]]

    def requests(self, path: str) -> list[Any]:
        return spans(self.sink, f"POST /{path}")

    def predictions(self, *paths: str) -> list[Any]:
        """Spans of the model whose prediction these APIs asked for."""
        ids = {span.span_id for path in paths for span in self.requests(path)}
        found = spans(self.sink, "predict sums")
        return [span for span in found if ids & {span.parent_span_id, *(link.span_id for link in span.links)}]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Two workers with `mlobs.instrument()` in the service's file, traced by BentoML, after they have served."""
    with running() as sink:
        folder = tmp_path_factory.mktemp("bentoml")
        with serve(sink, folder, service="bentoml_service:Sums", TRACED="1") as server:
            server.ready("/readyz")
            answers = {path: server.ask(f"/{path}", BODIES, at_once=12) for path in (*BATCHED, *ALONE)}
            answers["stream"] = server.ask("/stream", BODIES, at_once=4)
            answers["none"] = server.ask("/none", [{}])
            answers["wrong"] = [server.ask(f"/{path}", [{"rows": [[1.0]]}])[0] for path in (*BATCHED, *ALONE)]
            asked = sum(map(len, answers.values()))

            def arrived(sink: Sink) -> bool:
                return len([span for span in sink.spans if span.name.startswith("POST /") and span.kind == 2]) == asked

            assert sink.wait(arrived), server.said
            assert server.end(signal.SIGTERM) == 0, server.said
        yield Ledger(sink, answers)


def test_the_answers_are_the_services_own(ledger: Ledger) -> None:
    """Each request is answered its own rows, whatever batch they were in."""
    for path in (*BATCHED, *ALONE):
        assert [answer.json() for answer in ledger.answers[path]] == SUMS
    assert [answer.text.split() for answer in ledger.answers["stream"]] == [list(map(str, sums)) for sums in SUMS]
    assert ledger.answers["none"][0].text == "none"


def test_errors_pass_through_as_they_would_and_are_counted_by_type(ledger: Ledger) -> None:
    """Rows of the wrong width are scikit-learn's ValueError and BentoML's 500."""
    assert [answer.status_code for answer in ledger.answers["wrong"]] == [500] * 4
    found = counted(ledger.sink, "mlobs.prediction.duration", "model.name", "error.type")
    assert {key: count for key, count in found.items() if key[1]} == {("sums", "ValueError"): 4}


def test_predictions_and_rows_are_counted_exactly(ledger: Ledger) -> None:
    """Summed over the workers: every row once, a call a request where nothing is batched, fewer where it is."""
    rows = counted(ledger.sink, "mlobs.prediction.rows", "model.name", "model.version")
    assert rows == {("sums", "7"): 4 * ROWS + 4, ("stream", "1"): ROWS}
    calls = counted(ledger.sink, "mlobs.prediction.duration", "model.name", "error.type")
    batches = len([span for span in ledger.predictions(*BATCHED) if not span.status.code])
    assert calls["sums", ""] == batches + 2 * len(BODIES)
    assert calls["stream", ""] == len(BODIES)


def test_a_batch_is_one_root_with_links_both_ways(ledger: Ledger) -> None:
    """It names the span of each request in it, each of these names it, and a batch of one is its request's child."""
    for path in BATCHED:
        found = [span for span in ledger.predictions(path) if not span.status.code]
        requests = {number_of(span): span for span in ledger.requests(path) if span.status.code != 2}
        assert set(callers(found)) == set(requests)
        batches = [span for span in found if span.links]
        assert batches
        for span in batches:
            for link in span.links:
                back = requests[int.from_bytes(link.span_id, "big")]
                assert span.span_id in [one.span_id for one in back.links]


def test_without_batching_a_prediction_is_a_child_of_the_requests_span(ledger: Ledger) -> None:
    """BentoML's span, whose parent is the caller's, is current in its threads, on its loop and while it streams."""
    for path in ALONE:
        found = [span for span in ledger.predictions(path) if not span.status.code]
        assert [span.links for span in found] == [[]] * len(BODIES)
        requests = {number_of(span): span for span in ledger.requests(path)}
        assert set(callers(found)) < set(requests)
    streamed = callers(spans(ledger.sink, "pieces stream"))
    assert streamed == sorted(map(number_of, ledger.requests("stream")))
    assert {len(span.parent_span_id) for span in ledger.requests("single")} == {8}


def test_the_queue_is_a_stage(ledger: Ledger) -> None:
    """Whoever waited for a batch, once for each batch that it had rows in."""
    waited = counted(ledger.sink, "mlobs.stage.duration", "model.name", "stage")
    assert waited == {("sums", "queue"): len(callers(ledger.predictions(*BATCHED)))}


def test_each_answer_carries_the_tickets_of_its_own_rows(ledger: Ledger) -> None:
    """One a row, in their order, also of rows that were predicted in a batch with others'."""
    with capture(ticket_keys=[KEY]) as telemetry:
        mlobs.objective(model="sums", task="regression")
        for path in (*BATCHED, *ALONE):
            for answer in ledger.answers[path]:
                tickets = answer.headers["mlobs-ticket"].split(",")
                for ticket, actual in zip(tickets, answer.json(), strict=True):
                    assert mlobs.outcome(ticket, actual=actual)
        assert telemetry.total("mlobs.outcome.unjoined") == 0
        assert mlobs.quality()["sums"].mae == pytest.approx(0.0, abs=1e-8)
    for path in ("none", "wrong"):
        assert "mlobs-ticket" not in ledger.answers[path][0].headers


def test_under_the_agent_and_untraced_predictions_are_in_their_callers_traces(sink: Sink, tmp_path: Path) -> None:
    """`opentelemetry-instrument bentoml serve`: in every worker, no line of code; BentoML sends no spans by itself."""
    agent = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    with serve(sink, tmp_path, agent, service="bentoml_service:Sums", AGENT="1") as server:
        server.ready("/readyz")
        for path in ("batch", "single"):
            assert [answer.json() for answer in server.ask(f"/{path}", BODIES, at_once=12)] == SUMS
        sink.wait(lambda sink: len(named(spans(sink, "predict sums"))) == 2 * len(BODIES))
        assert server.end() == 0, server.said
    assert named(spans(sink, "predict sums")) == set(range(1, 2 * len(BODIES) + 1))
    assert counted(sink, "mlobs.prediction.rows", "model.name") == {("sums",): 2 * ROWS}


def named(predictions: Sequence[Any]) -> set[int]:
    """The traces of those whose predictions these are: a client's request has the trace of its number."""
    found = [[link.trace_id for link in span.links] or [span.trace_id] for span in predictions]
    return {int.from_bytes(trace, "big") for traces in found for trace in traces}


def test_the_example_serves(sink: Sink, tmp_path: Path) -> None:
    """Its client prints what its README says, and all that it asked for is counted over two workers."""
    with serve(sink, tmp_path, cwd=EXAMPLE, service="service:Churn") as server:
        server.ready("/readyz")
        words = [sys.executable, "client.py", server.url.rpartition(":")[2]]
        done = subprocess.run(words, cwd=EXAMPLE, capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout in (EXAMPLE / "README.md").read_text("utf-8")
        assert server.end() == 0, server.said
    assert counted(sink, "mlobs.prediction.rows", "model.name", "model.version") == {("churn", "7"): 400}


# ── in this process ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _hooked() -> Iterator[None]:
    mlobs.instrument("bentoml")
    yield
    mlobs.uninstrument("bentoml")


def places() -> list[tuple[Any, str]]:
    cork = dispatching.CorkDispatcher
    return [(dispatching, "Job"), (cork, "split_job"), (cork, "outbound_call")]


def dispatched(work: Callable[[Any], Any], sizes: Sequence[int], most: int = 4) -> tuple[list[Any], list[Any]]:
    """What a dispatcher answers to requests that come at once, and the spans of these requests."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("requests")
    requests: list[Any] = []

    async def main() -> list[Any]:
        cork = dispatching.CorkDispatcher(20_000, most, fallback=lambda: None, get_batch_size=len)

        async def infer(batches: Any) -> Any:
            answer = work(np.concatenate(batches))
            return np.split(answer, np.cumsum([len(one) for one in batches])[:-1])

        ask = cork(infer)

        async def request(size: int) -> Any:
            with tracer.start_as_current_span("request", context=otel_context.Context()) as span:
                requests.append(span)
                return await ask(np.ones((size, 2)))

        answers = await asyncio.gather(*map(request, sizes), return_exceptions=True)
        cork.shutdown()
        return answers

    return asyncio.run(main()), requests


def test_uninstrument_puts_everything_back(telemetry: Telemetry) -> None:
    """The very objects; without them the first request's span would be everybody's."""
    before = told.standing(*places())
    mlobs.instrument("bentoml")
    hooked = told.standing(*places())
    assert all(hooked[key] is not before[key] for key in before)
    mlobs.uninstrument("bentoml")
    assert told.standing(*places()) == before
    predict = mlobs.observe(model="m")(lambda rows: rows[:, 0])
    _, requests = dispatched(predict, [1] * 6)
    parents = {span.parent.span_id for span in telemetry.spans if span.parent}
    assert parents == {requests[0].get_span_context().span_id}


@pytest.mark.usefixtures("_hooked")
def test_a_request_that_is_split_is_the_caller_of_both_parts(telemetry: Telemetry) -> None:
    """Six rows in batches of four: each batch is predicted for its request, and together they are its answer."""
    predict = mlobs.observe(model="m")(lambda rows: rows[:, 0])
    answers, [request] = dispatched(predict, [6])
    assert [list(answer) for answer in answers] == [[1.0] * 6]
    assert [span.parent.span_id for span in telemetry.spans if span.parent] == [request.get_span_context().span_id] * 2
    assert told.rows(telemetry) == {("m", "<lambda>"): 6}
    assert told.stages(telemetry) == {"queue": 2}


@pytest.mark.usefixtures("_hooked")
def test_an_error_is_every_requests_own(telemetry: Telemetry) -> None:
    """What the model raises is what each request of the batch sees, the very object."""
    error = LookupError("theirs")

    @mlobs.observe(model="m")
    def predict(rows: Any) -> Any:
        raise error

    answers, _ = dispatched(predict, [1] * 3)
    assert all(answer is error for answer in answers)
    assert set(told.errors(telemetry)) == {"LookupError"}


@pytest.mark.usefixtures("_hooked")
@pytest.mark.parametrize("name", ["now", "nobody"])
def test_a_batch_is_predicted_whatever_happens_to_us(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trouble of ours while a request is queued is counted, and nobody's answer changes."""
    runtime.guard.strict = False
    monkeypatch.setattr(Caller, "now", lambda: 1 / 0)
    if name == "nobody":
        monkeypatch.setattr(Caller, "nobody", lambda: 1 / 0)
    answers, _ = dispatched(lambda rows: rows[:, 0], [1, 2, 3])
    assert [list(answer) for answer in answers] == [[1.0], [1.0] * 2, [1.0] * 3]
    assert trace.get_current_span() is trace.INVALID_SPAN
