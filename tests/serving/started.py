"""A server of models, loaded by callers that each have a span of their own, and what its processes have told the sink."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.serving import loopback
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


class Started(loopback.Server):
    """The process and its address."""

    def request(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
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
            each = zip(bodies, callers, strict=True)
            return list(pool.map(lambda one: self.request(path, one[0], one[1].headers), each))

    def stop(self) -> int:
        """As an orchestrator stops it; its exit status."""
        return self.end(signal.SIGTERM)


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
    often = {"OTEL_METRIC_EXPORT_INTERVAL": "500", **environ}
    log = folder / "server.log"
    with loopback.serving(sink, cwd, port, sys.executable, *command, log=log, **often) as server:
        server.ready(ready, timeout=240)
        yield Started(server.process, port, log)


# ── what it told ────────────────────────────────────────────────────────────────────────────────────────────────────


def calls(sink: Sink) -> Counter[tuple[str, ...]]:
    """Calls by model, version, operation and type of error."""
    keys = ("model.name", "model.version", "model.operation", "error.type")
    return Counter(loopback.counted(sink, "mlobs.prediction.duration", *keys))


def rows(sink: Sink) -> int:
    """Rows of all calls."""
    return sum(loopback.counted(sink, "mlobs.prediction.rows").values())


def stages(sink: Sink) -> Counter[tuple[str, ...]]:
    """How many of each stage were told."""
    return Counter(loopback.counted(sink, "mlobs.stage.duration", "stage"))


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
    return Counter(loopback.counted(sink, "mlobs.sdk.errors", "reason"))


def parents(sink: Sink) -> dict[tuple[str, str], list[Any]]:
    """Spans by trace and parent, both in hexadecimal."""
    found: dict[tuple[str, str], list[Any]] = {}
    for span in sink.spans:
        found.setdefault((span.trace_id.hex(), span.parent_span_id.hex()), []).append(span)
    return found
