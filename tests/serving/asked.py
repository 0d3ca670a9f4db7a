"""A server's real process on loopback, asked over HTTP as its clients do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.serving.loopback import heeding
from tests.sink import Sink

KEYS = "00" * 32
CALLER = f"{7:016x}"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any


class Server:
    """A process that serves."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{port}"
        self._log = log

    @property
    def said(self) -> str:
        """What it wrote."""
        return self._log.read_text("utf-8", errors="replace")

    def ask(self, path: str, body: Any = None, *, trace: int = 0, **headers: str) -> Answer:
        """One request, a POST where there is a body; in the trace of this number, under CALLER."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        said = {"Content-Type": "application/json", **headers}
        if trace:
            said["traceparent"] = f"00-{trace:032x}-{CALLER}-01"
        request = urllib.request.Request(self._url + path, data, said)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                answer = Answer(error.code, dict(error.headers), error.read())
        with suppress(ValueError):
            return answer._replace(body=json.loads(answer.body))
        return answer

    def ready(self, path: str) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said
            try:
                if self.ask(path).status == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(self.said)

    def end(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(sink: Sink, log: Path, folder: Path, ready: str, *command: str, **environ: str) -> Iterator[Server]:
    """This command, in which PORT is a free port, in this folder; its telemetry goes to the sink."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_LOGS_EXPORTER": "none",
        "MLOBS_TICKET_KEYS": KEYS,
        "PYTHONDONTWRITEBYTECODE": "1",
        **environ,
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [part.replace("PORT", str(port)) for part in command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
            preexec_fn=heeding,  # noqa: PLW1509 - one system call, no lock
        )
    server = Server(process, port, log)
    try:
        server.ready(ready)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def counted(sink: Sink, metric: str, *keys: str) -> dict[tuple[str, ...], int]:
    """What histograms counted, over all processes, by these attributes; without those that counted none."""
    found: Counter[tuple[str, ...]] = Counter()
    for metrics in sink.latest().values():
        if metric in metrics:
            for point in metrics[metric].histogram.data_points:
                of = {pair.key: pair.value.string_value for pair in point.attributes}
                found[tuple(of.get(key, "") for key in keys)] += point.count
    return {key: value for key, value in found.items() if value}


def spans(sink: Sink, trace: int) -> dict[str, Any]:
    """The spans of this trace, by name."""
    return {span.name: span for span in sink.spans if span.trace_id == trace.to_bytes(16, "big")}
