"""A server of models as a process of its own, asked over HTTP, and what its processes have told the sink."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.sink import Sink

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "7a" * 32


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any


class Caller(NamedTuple):
    """The span of somebody who asks."""

    trace: str
    span: str

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace}-{self.span}-01"}


def caller() -> Caller:
    return Caller(os.urandom(16).hex(), os.urandom(8).hex())


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Started:
    """The process and its address."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    @property
    def said(self) -> str:
        """What it wrote."""
        return self._log.read_text("utf-8", "replace")

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request; a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return _answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers, error.read())

    def load(self, path: str, bodies: Sequence[Any], callers: Sequence[Caller], threads: int = 4) -> list[Answer]:
        """One request for each body, some at a time."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda one: self.ask(path, one[0], one[1].headers), zip(bodies, callers, strict=True)))

    def wait(self, path: str, timeout: float = 240) -> None:
        """Until it answers 200 there."""
        pause, until = threading.Event(), time.monotonic() + timeout
        while time.monotonic() < until:
            assert self.process.poll() is None, self.said
            with suppress(OSError):
                if self.ask(path).status == 200:
                    return
            pause.wait(0.1)
        raise AssertionError(f"no answer within {timeout} s\n{self.said}")

    def stop(self) -> int:
        """As an orchestrator stops it; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    try:
        read = json.loads(body)
    except ValueError:
        read = body.decode()
    return Answer(status, {name.lower(): value for name, value in headers.items()}, read)


@contextmanager
def started(
    sink: Sink, folder: Path, cwd: Path, command: Sequence[str], *, port: int, ready: str, **environ: str
) -> Iterator[Started]:
    """Python with this command, up and answering at ``ready``."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env={
                **os.environ,
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",  # the distro that tests live beside says grpc
                "OTEL_METRIC_EXPORT_INTERVAL": "500",
                "OTEL_BSP_SCHEDULE_DELAY": "500",
                **environ,
            },
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        server = Started(process, f"http://127.0.0.1:{port}", log)
        server.wait(ready)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# ── what it told ────────────────────────────────────────────────────────────────────────────────────────────────────


def _summed(sink: Sink, name: str, *keys: str) -> Counter[tuple[str, ...]]:
    """A count by these attributes, over all processes."""
    found: Counter[tuple[str, ...]] = Counter()
    for metrics in sink.latest().values():
        metric = metrics.get(name)
        if metric is None:
            continue
        for point in [*metric.histogram.data_points, *metric.sum.data_points]:
            of = {pair.key: pair.value.string_value for pair in point.attributes}
            found[tuple(of.get(key, "") for key in keys)] += int(
                point.count if hasattr(point, "count") else point.as_int or point.as_double
            )
    return +found


def calls(sink: Sink) -> Counter[tuple[str, ...]]:
    """Calls by model, version, operation and type of error."""
    return _summed(sink, "mlobs.prediction.duration", "model.name", "model.version", "model.operation", "error.type")


def rows(sink: Sink) -> int:
    """Rows of all calls."""
    return sum(_summed(sink, "mlobs.prediction.rows").values())


def stages(sink: Sink) -> Counter[tuple[str, ...]]:
    """How many of each stage were told."""
    return _summed(sink, "mlobs.stage.duration", "stage")


def seen(sink: Sink, name: str, **attributes: str) -> dict[str, float]:
    """By feature: the sum of the values that were read."""
    found: Counter[str] = Counter()
    for metrics in sink.latest().values():
        if name not in metrics:
            continue
        for point in metrics[name].exponential_histogram.data_points or metrics[name].histogram.data_points:
            of = {pair.key: pair.value.string_value for pair in point.attributes}
            if all(of.get(key) == value for key, value in attributes.items()):
                found[of["feature"]] += point.count
    return dict(found)


def failures(sink: Sink) -> Counter[tuple[str, ...]]:
    """Errors of mlobs' own, of which there should be none."""
    return _summed(sink, "mlobs.sdk.errors", "reason")


def parents(sink: Sink) -> dict[tuple[str, str], list[Any]]:
    """Spans by trace and parent, both in hexadecimal."""
    found: dict[tuple[str, str], list[Any]] = {}
    for span in sink.spans:
        found.setdefault((span.trace_id.hex(), span.parent_span_id.hex()), []).append(span)
    return found
