"""A server's real process on loopback, asked over HTTP as its clients do: one request at a time, in a trace of one's choice."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.serving import loopback
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

    def __init__(self, started: loopback.Server) -> None:
        self._started = started
        self.process = started.process

    @property
    def said(self) -> str:
        """What it wrote."""
        return self._started.said

    def ask(self, path: str, body: Any = None, *, trace: int = 0, **headers: str) -> Answer:
        """One request, a POST where there is a body; in the trace of this number, under CALLER."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        said = {"Content-Type": "application/json", **headers}
        if trace:
            said["traceparent"] = f"00-{trace:032x}-{CALLER}-01"
        request = urllib.request.Request(self._started.url + path, data, said)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                answer = Answer(error.code, dict(error.headers), error.read())
        with suppress(ValueError):
            return answer._replace(body=json.loads(answer.body))
        return answer

    def end(self) -> int:
        """SIGTERM; its exit status."""
        return self._started.end(signal.SIGTERM)


@contextmanager
def serving(sink: Sink, log: Path, folder: Path, ready: str, *command: str, **environ: str) -> Iterator[Server]:
    """This command, in which PORT is a free port, in this folder; its telemetry goes to the sink."""
    port = loopback.free_port()
    parts = [part.replace("PORT", str(port)) for part in command]
    with loopback.serving(sink, folder, port, *parts, log=log, **{"MLOBS_TICKET_KEYS": KEYS, **environ}) as started:
        started.ready(ready)
        yield Server(started)


def spans(sink: Sink, trace: int) -> dict[str, Any]:
    """The spans of this trace, by name."""
    return {span.name: span for span in sink.spans if span.trace_id == trace.to_bytes(16, "big")}
