"""No predict call waits for the network, however the endpoint behaves; what was counted meanwhile is sent later.

tests/workers/test_collector.py has the endpoints that answer, with whatever; here are those that do not let one finish.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.sink import running

from mlobs.otel.endpoint import Endpoint
from mlobs.otel.http import Http

SCRIPT = """
import sys
import time
import mlobs

mlobs.configure(endpoint=sys.argv[1], export_interval=0.05, export_timeout=4, flush_timeout=20)

@mlobs.observe(model="m", version="1")
def predict(x):
    return 0.5

for line in sys.stdin:
    calls, worst, over = 0, 0.0, time.monotonic() + float(line)
    while time.monotonic() < over:
        began = time.perf_counter()
        predict([1.0, 2.0])
        worst = max(worst, time.perf_counter() - began)
        calls += 1
        time.sleep(0.0005)
    print(calls, worst, flush=True)
"""

Behave = Callable[[socket.socket, threading.Event], None]


def drip(client: socket.socket, over: threading.Event) -> None:
    """Answer a byte at a time, and never say what."""
    client.recv(65536)
    client.sendall(b"HTTP/1.1")
    while not over.wait(0.05):
        client.sendall(b" ")


def deaf(client: socket.socket, over: threading.Event) -> None:
    """Accept, and read nothing."""
    over.wait()


def cut(client: socket.socket, over: threading.Event) -> None:
    """Hang up in the middle of the request."""
    client.recv(10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def shut(client: socket.socket, over: threading.Event) -> None:
    """Close one's own half, and let the other wait."""
    client.shutdown(socket.SHUT_WR)
    over.wait()


def promise(client: socket.socket, over: threading.Event) -> None:
    """Say that an answer is on its way."""
    client.recv(65536)
    client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\n")
    over.wait()


def headless(client: socket.socket, over: threading.Event) -> None:
    """Say that all is well, and hang up before it has been said."""
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n")


def short(client: socket.socket, over: threading.Event) -> None:
    """Say that all is well, and hang up amid the body."""
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nmore")


@contextmanager
def full() -> Iterator[tuple[int, threading.Event]]:
    """A port whose queue of connections is full: connecting takes until the caller gives up."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(server.getsockname())
        with pytest.raises(TimeoutError):
            socket.create_connection(server.getsockname(), timeout=0.1)
        yield server.getsockname()[1], threading.Event()


@contextmanager
def behaving(behave: Behave) -> Iterator[tuple[int, threading.Event]]:
    """A server that does this to whoever comes; the event says that somebody has come."""
    over, came = threading.Event(), threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            behave(client, over)

    def accept() -> None:
        with suppress(OSError):
            while not over.is_set():
                client, _ = server.accept()
                came.set()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], came
    finally:
        over.set()
        server.shutdown(socket.SHUT_RDWR)  # closing alone would leave `accept` waiting
        thread.join(10)
        server.close()


ILLS = {
    "drips": drip,
    "reads nothing": deaf,
    "hangs up": cut,
    "closes its half": shut,
    "promises": promise,
    "cuts its headers": headless,
    "cuts its answer": short,
}


@pytest.mark.parametrize("ill", [*ILLS, "is full"])
def test_no_call_waits_and_no_count_is_lost(ill: str) -> None:
    """Hundreds of calls beside exports that hang; none takes as long, and all arrive, as deltas, when somebody listens."""
    with ExitStack() as late, ExitStack() as stack:
        port, came = stack.enter_context(full() if ill == "is full" else behaving(ILLS[ill]))
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, f"http://127.0.0.1:{port}"],
            env={**os.environ, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        late.enter_context(process)
        late.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("0.3\n0.3\n")
        process.stdin.flush()
        answers = [process.stdout.readline().split() for _ in range(2)]
        assert ill == "is full" or came.wait(30)
        stack.close()
        with running(port) as sink:
            _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    calls = [int(count) for count, _ in answers]
    assert min(calls) > 10
    assert max(float(worst) for _, worst in answers) < 1  # an export takes up to four seconds here
    assert sink.calls(delta=True) == sum(calls)
    assert said.count("cannot send its metrics") == (ill != "is full")  # there the first try gets through in the end


def test_an_answer_that_drips_ends_in_time() -> None:
    """Each byte comes soon enough, the answer does not: the export gives up when its time is over."""
    with behaving(drip) as (port, _):
        http = Http(Endpoint.of({}, "metrics", base=f"http://127.0.0.1:{port}"))
        began = time.monotonic()
        answer = http.post(b"", 0.5)
        assert 0.4 < time.monotonic() - began < 10
    assert (answer.delivered, answer.retryable) == (False, True)


@pytest.mark.parametrize(("status", "arrived", "said"), [(503, 6, "kept and sent later"), (400, 3, "These are lost")])
def test_what_becomes_of_spans_is_what_is_said(status: int, arrived: int, said: str) -> None:
    """Those that a receiver may take later wait for that, those it refuses are dropped, and the log says which."""
    script = """
import sys, mlobs
mlobs.configure(endpoint=sys.argv[1], spans="always", export_interval=60)
predict = mlobs.observe(model="m")(lambda x: 0.5)
for calls in (1, 3, 2):  # with the first one the exporter is loaded
    for _ in range(calls):
        predict([1.0])
    mlobs.flush(timeout=1 if calls == 3 else 20)
    print("flushed", flush=True)
    sys.stdin.readline()
"""
    with running() as sink:
        command = [sys.executable, "-c", script, sink.url]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
            assert process.stdout.readline() == "flushed\n"
            sink.status = status
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "flushed\n"
            sink.status = 200
            _, told = process.communicate("\n\n", timeout=60)
        assert len(sink.spans) == arrived
    [line] = [line for line in told.splitlines() if "cannot send its spans" in line]
    assert said in line


def test_a_request_that_fails_leaves_nothing_to_the_garbage_collector() -> None:
    """Where that is off, or comes late, all that was collected for each export would stay while a receiver is away."""

    class Collected:
        pass

    def export() -> weakref.ref[Collected]:
        collected = Collected()
        assert not Http(Endpoint.of({}, "metrics", base="http://127.0.0.1:9")).post(b"", 5).delivered
        return weakref.ref(collected)

    gc.collect()
    gc.disable()
    try:
        assert export()() is None
    finally:
        gc.enable()
