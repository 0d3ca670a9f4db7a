"""A collector that is away, slow or unwilling holds up no call, and nothing is lost once it is well again."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from tests.sink import Sink, running
from tests.workers.serving import counted

SCRIPT = """
import sys
import numpy as np
import mlobs

mlobs.configure(endpoint=sys.argv[1], export_interval=float(sys.argv[2]), flush_timeout=20)

@mlobs.observe(model="m", version="1")
def predict(x):
    return 0.5

rows = np.ones((1, 3))
for line in sys.stdin:
    what, _, how = line.partition(" ")
    if what == "call":
        for _ in range(int(how)):
            predict(rows)
        print("called", flush=True)
    else:
        print(mlobs.flush(timeout=float(how)), flush=True)
"""


class Service:
    """A process that predicts when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, what: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """What it wrote to its log until its end."""
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return err


@contextmanager
def service(url: str, interval: float = 60, **environ: str) -> Iterator[Service]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, url, str(interval)],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Service(process)
    finally:
        process.kill()
        process.communicate()


def reset(request: BaseHTTPRequestHandler) -> bool:
    """Close with RST."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()
    request.close_connection = True
    return True


def half_close(request: BaseHTTPRequestHandler) -> bool:
    """Say that nothing more will come, and answer nothing."""
    request.connection.shutdown(socket.SHUT_WR)
    request.close_connection = True
    return True


def nonsense(request: BaseHTTPRequestHandler) -> bool:
    """Answer what is not HTTP."""
    request.wfile.write(b"\x00\x01SSH-2.0-nothing\r\n")
    request.close_connection = True
    return True


def answering(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], bool]:
    """Answer with this status."""

    def answer(request: BaseHTTPRequestHandler) -> bool:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    return answer


ILLS = {
    "resets": reset,
    "half-closes": half_close,
    "talks nonsense": nonsense,
    "400": answering(400),
    "404": answering(404),
    "429": answering(429, Retry_After="30"),
    "500": answering(500),
    "503": answering(503, Retry_After="1"),
    "redirects": answering(302, Location="/elsewhere"),
}


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("ill", ILLS)
def test_counts_outlast_an_ill_collector(sink: Sink, ill: str, temporality: str) -> None:
    """Calls go on, every count arrives once when the collector is well, and the log has said it once a signal."""
    with service(sink.url, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality) as one:
        assert one.tell("call 10") == "called"
        assert one.tell("flush 20") == "True"
        sink.hook = ILLS[ill]
        assert one.tell("call 100") == "called"
        assert one.tell("flush 0.3") == "False"
        assert one.tell("call 100") == "called"
        assert one.tell("flush 0.3") == "False"
        sink.hook = None
        assert one.tell("call 1") == "called"
        said = one.end()
    assert sink.calls(delta=temporality == "delta") == 211
    assert said.count("cannot send its metrics") == 1


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_a_collector_that_comes_later(temporality: str) -> None:
    """Nothing listens when the process starts; what it counted until then arrives when something does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality}
    with service(f"http://127.0.0.1:{port}", interval=0.1, **environ) as one:
        assert one.tell("call 100") == "called"
        assert one.tell("flush 0.5") == "False"
        with running(port) as sink:
            assert sink.wait(lambda s: s.calls(delta=temporality == "delta") == 100)
            assert one.tell("call 11") == "called"
            one.end()
            assert sink.calls(delta=temporality == "delta") == 111


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_a_slow_collector(sink: Sink, temporality: str) -> None:
    """While it keeps one export waiting, thousands of calls are made; when it answers in the end, all arrive."""
    well = threading.Event()

    def hang(request: BaseHTTPRequestHandler) -> bool:
        well.wait(60)
        return False

    sink.hook = hang
    environ = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality}
    with service(sink.url, interval=0.05, **environ) as one:
        assert one.tell("call 10") == "called"
        assert sink.wait(lambda s: s.arrived == 1)
        assert one.tell("call 5000") == "called"
        assert one.tell("flush 0.01") == "False"
        assert (sink.requests, well.is_set()) == (0, False)  # it was hanging all the time
        well.set()
        assert one.tell("call 1") == "called"
        one.end()
    assert sink.calls(delta=temporality == "delta") == 5011


def test_asked_for_a_pause_it_pauses(sink: Sink) -> None:
    """Where 429 says how long to wait, a flush tries once at the beginning and once before its time is over."""
    with service(sink.url, OTEL_TRACES_EXPORTER="none") as one:
        sink.hook = answering(429, Retry_After="30")
        assert one.tell("call 10") == "called"
        assert one.tell("flush 1.5") == "False"
        assert sink.arrived == 2
        sink.hook = None
        one.end()
    assert counted(sink) == [10]
