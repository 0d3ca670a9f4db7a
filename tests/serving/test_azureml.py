"""Azure ML's inference server: a scoring script is observed by what it calls, in the workers of its gunicorn."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.serving.asked import CALLER, Server, serving, spans
from tests.serving.loopback import counted
from tests.sink import Sink

pytest.importorskip("azureml_inference_server_http")

EXAMPLE = Path(__file__).parents[2] / "examples" / "azureml"
BIN = Path(sys.executable).parent
RUN = (str(BIN / "azmlinfsrv"), "--entry_script", "score.py", "--port", "PORT", "--worker_count", "2")
AGENT = (str(BIN / "opentelemetry-instrument"),)
GOOD = {"data": [[65.0, 3.0], [25.0, 0.0]]}
WRONG_SHAPE = {"data": [[65.0]]}

OBSERVED = """
import json, time
import mlobs

def init():
    pass

@mlobs.observe(model="rule", version="2")
def predict(rows):
    return [float(row[0]) for row in rows]

def run(data):
    rows = json.loads(data)["data"]
    if not rows:
        time.sleep(30)
    return predict(rows)
"""


@pytest.fixture(params=[(), AGENT], ids=["instrument", "agent"])
def server(request: pytest.FixtureRequest, sink: Sink, tmp_path: Path) -> Iterator[Server]:
    """The example, by its own line alone and under OpenTelemetry's agent, which traces requests too."""
    with serving(sink, tmp_path / "log", EXAMPLE, "/", *request.param, *RUN) as started:
        yield started


def test_a_scoring_script_is_observed(server: Server, sink: Sink, request: pytest.FixtureRequest) -> None:
    """Every request counts, an error by its type; spans hang under the caller's trace, tickets come back one a row."""
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: server.ask("/score", GOOD, trace=number), range(1, 61)))
    failed = server.ask("/score", WRONG_SHAPE, trace=99)
    malformed = server.ask("/score", b"{", trace=100)
    untraced = server.ask("/score", GOOD)
    assert {(answer.status, tuple(answer.body)) for answer in [*answers, untraced]} == {(200, (1, 0))}
    assert {len(answer.headers["mlobs-ticket"].split(",")) for answer in [*answers, untraced]} == {2}
    for bad in (failed, malformed):
        assert (bad.status, bad.headers["x-ms-run-function-failed"]) == (500, "True")
        assert "mlobs-ticket" not in bad.headers
    assert server.end() == 0, server.said

    model = ("model.name", "model.version", "model.operation", "error.type")
    assert counted(sink, "mlobs.prediction.duration", *model) == {
        ("churn", "7", "predict", ""): 61,
        ("churn", "7", "predict", "ValueError"): 1,
    }
    # the first request of a worker names a model that nothing has observed yet, so its stage may be of none
    staged = counted(sink, "mlobs.stage.duration", "stage")
    assert staged == {("preprocess",): 63}
    agent = "agent" in request.node.callspec.id
    for number in range(1, 61):
        found = spans(sink, number)
        above = found["POST /score"].span_id.hex() if agent else CALLER
        assert found["predict churn"].parent_span_id.hex() == above
        assert found["preprocess"].parent_span_id.hex() == above
        assert len(found) == (3 if agent else 2)
        if agent:
            assert found["POST /score"].parent_span_id.hex() == CALLER
    assert "preprocess" in spans(sink, 100)
    assert "predict churn" not in spans(sink, 100)
    assert "mlobs failed" not in server.said


def test_a_decorated_function_and_a_run_that_is_timed_out(sink: Sink, tmp_path: Path) -> None:
    """`mlobs.observe` inside run, by the agent's traces alone; the server's own time limit stays what it is."""
    (tmp_path / "score.py").write_text(OBSERVED)
    with serving(sink, tmp_path / "log", tmp_path, "/", *AGENT, *RUN, SCORING_TIMEOUT_MS="1000") as server:
        for number in range(1, 11):
            assert server.ask("/score", {"data": [[0.5], [0.25]]}, trace=number).body == [0.5, 0.25]
        late = server.ask("/score", {"data": []})
        assert (late.status, late.body) == (500, {"message": "Scoring timeout after 1000 ms"})
        assert server.end() == 0, server.said
    assert counted(sink, "mlobs.prediction.duration", "model.name", "model.version") == {("rule", "2"): 10}
    for number in range(1, 11):
        found = spans(sink, number)
        assert found["predict rule"].parent_span_id == found["POST /score"].span_id


def test_the_answers_are_those_without_mlobs(sink: Sink, tmp_path: Path) -> None:
    """Status and body, of good and bad requests; what is added is the ticket."""
    bare = (EXAMPLE / "score.py").read_text("utf-8").replace("mlobs.instrument()\n", "")
    (tmp_path / "score.py").write_text(bare)
    requests = (GOOD, WRONG_SHAPE, b"{")
    found = []
    for folder in (tmp_path, EXAMPLE):
        with serving(sink, tmp_path / f"{folder.name}.log", folder, "/", *RUN, MLOBS_TICKET_KEYS="") as server:
            found.append([server.ask("/score", body) for body in requests])
    for one, other in zip(*found, strict=True):
        assert (one.status, one.body) == (other.status, other.body)
        assert one.headers.keys() == other.headers.keys()


def test_a_script_that_does_not_start_says_so_as_it_did(tmp_path: Path) -> None:
    """An error at the script's import ends the server, and its log has the error."""
    (tmp_path / "score.py").write_text("import mlobs\nmlobs.instrument()\nraise LookupError('theirs')\n")
    command = [part.replace("PORT", "5999") for part in RUN]
    quiet = {**os.environ, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    done = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=120)
    assert done.returncode not in (0, None)
    assert "LookupError: theirs" in done.stdout + done.stderr
