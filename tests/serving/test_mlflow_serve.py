"""`mlflow models serve` under `opentelemetry-instrument`, as the example says: every answer counted, under its caller's span."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.sink import Sink

pytest.importorskip("mlflow")

EXAMPLE = Path(__file__).parents[2] / "examples" / "mlflow-serve"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ROWS = [[30.0, 2500.0], [60.0, 4000.0], [45.0, 100.0]]
COLUMNS = ["age", "income"]
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
FORMATS: dict[str, tuple[str, str]] = {
    "dataframe_split": ("application/json", json.dumps({"dataframe_split": {"columns": COLUMNS, "data": ROWS}})),
    "dataframe_records": ("application/json", json.dumps({"dataframe_records": RECORDS})),
    "instances": ("application/json", json.dumps({"instances": RECORDS})),
    "inputs": ("application/json", json.dumps({"inputs": {name: [row[name] for row in RECORDS] for name in COLUMNS}})),
    "csv": ("text/csv", "age,income\n" + "\n".join(f"{age},{income}" for age, income in ROWS)),
}
# the first by the model's schema, the second by the server, before there is anything to predict
REFUSED = [
    {"dataframe_split": {"columns": ["age"], "data": [[1.0]]}},
    {"inputs": {"age": ["x"], "income": ["y"]}},
]
ENVIRON = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "PYTHONDONTWRITEBYTECODE": "1",
    "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "300",  # uvicorn kills a worker that takes longer than five seconds to begin
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder after its first command."""
    folder = tmp_path_factory.mktemp("mlflow-serve")
    shutil.copy(EXAMPLE / "train.py", folder)
    quiet = {**ENVIRON, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=quiet, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "churn, version 1"
    return folder


class Server:
    """The server of the example's second command, in a group of processes of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def ask(self, body: str, kind: str = "application/json", **headers: str) -> tuple[int, dict[str, str], Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("POST", "/invocations", body, {"content-type": kind, **headers})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read())

    def wait(self) -> None:
        """Until it answers a ping."""
        deadline, waited = time.monotonic() + 240, threading.Event()
        while time.monotonic() < deadline and self.process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            with closing(connection), suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/ping")
                if connection.getresponse().status == 200:
                    return
            waited.wait(0.1)
        raise AssertionError(self.log.read_text("utf-8"))

    def stop(self) -> None:
        """As whoever runs it would: a signal to all of it; then it sends what it has counted."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


@contextmanager
def serving(folder: Path, sink: Sink, *words: str, **environ: str) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["opentelemetry-instrument", "mlflow", "models", "serve", "--model-uri", "models:/churn/1"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), *words]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={
                **ENVIRON,
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                **environ,
            },
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        server.wait()
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def points(sink: Sink, name: str) -> Iterator[tuple[dict[str, str], Any]]:
    """The newest points of a metric, of all processes."""
    for metrics in sink.latest().values():
        if name in metrics:
            kind = metrics[name].WhichOneof("data")
            for point in getattr(metrics[name], kind).data_points:
                yield {pair.key: pair.value.string_value for pair in point.attributes}, point


def predicted(sink: Sink) -> list[Any]:
    """The spans of predictions in the caller's trace."""
    return [span for span in sink.spans if span.trace_id.hex() == TRACE and span.name == "predict churn"]


def ancestors(sink: Sink, span: Any) -> list[str]:
    """The names of a span's ancestors that arrived, and last the id of the one that did not."""
    known = {one.span_id: one for one in sink.spans}
    found = []
    while span.parent_span_id in known:
        span = known[span.parent_span_id]
        found.append(span.name)
    return [*found, span.parent_span_id.hex()]


@pytest.mark.parametrize(
    ("workers", "traced"),
    [(1, True), (2, False)],
    ids=["one process, traced by OpenTelemetry", "two processes, not traced by it"],
)
def test_every_answer_is_counted_under_its_callers_span(workers: int, traced: bool, trained: Path, sink: Sink) -> None:
    """In every format, with OpenTelemetry's spans of requests or without, in one process or several."""
    off = {} if traced else {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi,asgi,starlette"}
    key = "1f" * 32
    with serving(trained, sink, "--workers", str(workers), MLOBS_TICKET_KEYS=key, **off) as server:
        answered: Counter[str] = Counter()
        for kind, body in [*FORMATS.values()] * 4:
            status, headers, answer = server.ask(body, kind, traceparent=f"00-{TRACE}-{CALLER}-01")
            assert (status, answer) == (200, {"predictions": [0, 1, 0]}), server.log.read_text("utf-8")
            answered["rows"] += len(ROWS)
            answered["calls"] += 1
            assert len(headers["mlobs-ticket"].split(",")) == len(ROWS)
        for wrong in REFUSED:
            status, _, answer = server.ask(json.dumps(wrong))
            assert (status, answer["error_code"]) in ((400, "INVALID_PARAMETER_VALUE"), (400, "BAD_REQUEST"))
        # uvicorn ends by the signal itself: OpenTelemetry's spans that wait then are lost, mlobs' counts are not
        assert sink.wait(lambda sink: len(predicted(sink)) == answered["calls"]), {span.name for span in sink.spans}
        server.stop()
        assert sink.wait(lambda sink: sink.calls() == answered["calls"] + 1), server.log.read_text("utf-8")

    counted: Counter[tuple[str, ...]] = Counter()
    for of, point in points(sink, "mlobs.prediction.duration"):
        counted[of["model.name"], of["model.version"], of["model.operation"], of.get("error.type", "")] += point.count
    assert +counted == {
        ("churn", "1", "predict", ""): answered["calls"],
        ("churn", "1", "predict", "mlflow.exceptions.MlflowException"): 1,
    }
    assert sum(point.as_int for of, point in points(sink, "mlobs.feature.observations") if of["feature"] == "age") in (
        answered["rows"],
        answered["rows"] + 1,
    )
    for span in predicted(sink):
        found = ancestors(sink, span)
        assert found[-1] == CALLER
        assert len(found) > traced  # newer FastAPIs make spans of their requests by themselves


def test_the_readme_shows_what_it_prints(trained: Path, sink: Sink) -> None:
    """The requests of the README are answered as it says."""
    text = (EXAMPLE / "README.md").read_text("utf-8")
    body = re.search(r"--data '([^']+)'", text)
    printed = re.search(r"^\{\"predictions.*$", text, re.MULTILINE)
    assert body
    assert printed
    with serving(trained, sink) as server:
        status, headers, answer = server.ask(body[1])
    assert (status, answer) == (200, json.loads(printed[0]))
    assert "mlobs-ticket" not in headers
