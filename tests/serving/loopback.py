"""Real servers on loopback, asked over HTTP by clients that have spans of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from tests.sink import Sink


def heeding() -> None:
    """Heed SIGINT again, in a child of a shell that has put everything into its background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


class Server:
    """A server's processes, and a client of theirs whose requests are numbered: their number is trace and span."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        self._asked = 0

    @property
    def said(self) -> str:
        """What it wrote."""
        return self._log.read_text("utf-8", "replace")

    def ready(self, path: str, timeout: float = 180) -> None:
        """Wait until it says that it is."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said
            with suppress(httpx.TransportError):
                if httpx.get(self.url + path, timeout=5).status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
        raise AssertionError(self.said)

    def ask(self, path: str, bodies: Sequence[Any], *, at_once: int = 1, **headers: str) -> list[httpx.Response]:
        """The answers to requests, so many at once, each with a caller's span of its own."""
        first = self._asked + 1
        self._asked += len(bodies)

        def one(number: int) -> httpx.Response:
            traceparent = {"traceparent": f"00-{number:032x}-{number:016x}-01"}
            return httpx.post(self.url + path, json=bodies[number - first], headers=traceparent | headers, timeout=60)

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, range(first, first + len(bodies))))

    def end(self, number: int = signal.SIGINT) -> int:
        """Signal it; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(sink: Sink, folder: Path, port: int, *command: str, log: Path, **environ: str) -> Iterator[Server]:
    """A command whose process serves on this port, with its telemetry sent to the sink."""
    environment = {
        **os.environ,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_LOGS_EXPORTER": "none",
        "PYTHONDONTWRITEBYTECODE": "1",
        **environ,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=heeding,  # noqa: PLW1509 - one system call, no lock
        )
        try:
            yield Server(process, port, log)
        finally:
            if process.poll() is None:  # a test has failed: workers in groups of their own end with their server only
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def counted(sink: Sink, name: str, *keys: str) -> dict[tuple[str, ...], int]:
    """A sum, or the number of a histogram's values, over all processes, by attributes; without those of none."""
    found: Counter[tuple[str, ...]] = Counter()
    for metrics in sink.latest().values():
        if name not in metrics:
            continue
        metric = metrics[name]
        for point in metric.sum.data_points or metric.histogram.data_points:
            of = {pair.key: pair.value.string_value for pair in point.attributes}
            count = point.count if metric.HasField("histogram") else point.as_int or point.as_double
            found[tuple(of.get(key, "") for key in keys)] += int(count)
    return {key: value for key, value in found.items() if value}


def spans(sink: Sink, name: str) -> list[Any]:
    """The spans of that name."""
    return [span for span in sink.spans if span.name == name]


def callers(predictions: Sequence[Any]) -> list[int]:
    """Whose predictions these are, in order: the parent of each, or the callers that a root links to."""
    found = []
    for span in predictions:
        assert bool(span.parent_span_id) != bool(span.links)
        if span.links:
            assert len({span.trace_id, *(link.trace_id for link in span.links)}) == 1 + len(span.links)
        found.extend([link.span_id for link in span.links] or [span.parent_span_id])
    return sorted(int.from_bytes(one, "big") for one in found)
