"""Real servers for tests, and a client that keeps a ledger of every answer it got."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.sink import Sink

APPS = Path(__file__).parent / "apps"


class Client:
    """Asks, and writes down which process answered."""

    def __init__(self, port: int, paths: tuple[str, ...] = ("/",)) -> None:
        self.answers: Counter[int] = Counter()
        self._port = port
        self._paths = paths
        self._lock = threading.Lock()

    def ask(self, path: str) -> bool:
        """Whether there was an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if response.status != 200:
            return False
        with self._lock:
            self.answers[int(body)] += 1
        return True

    def send(self, requests: int) -> None:
        """So many requests, one after the other, each answered."""
        for number in range(requests):
            assert self.ask(self._paths[number % len(self._paths)])

    @contextmanager
    def traffic(self, threads: int = 2) -> Iterator[None]:
        """Requests without end while the block runs; some may find nobody who answers."""
        over = threading.Event()

        def ask() -> None:
            number = 0
            while not over.is_set():
                if not self.ask(self._paths[number % len(self._paths)]):
                    over.wait(0.01)
                number += 1

        asking = [threading.Thread(target=ask) for _ in range(threads)]
        for thread in asking:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in asking:
                thread.join()

    def has(self, answers: int, timeout: float = 60) -> None:
        """Wait until so many answers have come in all."""
        waited = threading.Event()
        for _ in range(int(timeout / 0.02)):
            if sum(self.answers.values()) >= answers:
                return
            waited.wait(0.02)
        raise AssertionError(f"{sum(self.answers.values())} answers of {answers} after {timeout} s")


class Server:
    """A server's process, with a client of its own."""

    def __init__(self, process: subprocess.Popen[str], client: Client, log: Path) -> None:
        self.process = process
        self.client = client
        self._log = log

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def said(self) -> str:
        """What it wrote."""
        return self._log.read_text("utf-8")


@contextmanager
def serving(
    sink: Sink, folder: Path, *command: str, paths: tuple[str, ...] = ("/",), **environ: str
) -> Iterator[Server]:
    """Python with this command, in which FD is a listening socket; connections wait in it until the server is up."""
    log = folder / "server.log"
    with socket.socket() as listening, log.open("w") as output:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        given = [part.replace("FD", str(listening.fileno())) for part in command]
        process = subprocess.Popen(
            [sys.executable, *given],
            cwd=APPS,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "PYTHONDONTWRITEBYTECODE": "1", **environ},
            pass_fds=[listening.fileno()],
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
        port = listening.getsockname()[1]
    try:
        yield Server(process, Client(port, paths), log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def counted(sink: Sink) -> list[int]:
    """Calls that ended well, by process, in order."""
    found = [
        sum(point.count for point in metrics["mlobs.prediction.duration"].histogram.data_points)
        for metrics in sink.latest().values()
        if "mlobs.prediction.duration" in metrics
    ]
    return sorted(count for count in found if count)
