"""A real Collector with the files that mlobs ships, on loopback and free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.backends.programs import program

CONFIG = Path(__file__).parents[2] / "collector-config"
_PORTS = (
    "OTELCOL_GRPC_PORT",
    "OTELCOL_HTTP_PORT",
    "OTELCOL_HEALTH_PORT",
    "OTELCOL_METRICS_PORT",
    "OTELCOL_SCRAPE_PORT",
)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


def poll(condition: Callable[[], bool], timeout: float = 60) -> bool:
    """Ask again and again until it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Collector:
    """One Collector; stopped or killed it starts again as it was, with its ports and its queue on disk."""

    def __init__(self, files: list[Path], folder: Path, environ: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
        self.environ = {"OTELCOL_HOST": self.host, "OTELCOL_QUEUE": str(folder / "queue"), **ports, **environ}
        self.host = self.environ["OTELCOL_HOST"]
        self.log = folder / "log"
        self._command = [program("collector"), *(f"--config={file}" for file in files)]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, port: str) -> str:
        """Where it listens: ``GRPC``, ``HTTP``, ``HEALTH``, ``METRICS`` or ``SCRAPE``."""
        return f"{self.host}:{self.environ[f'OTELCOL_{port}_PORT']}"

    @property
    def endpoint(self) -> str:
        """Of OTLP over HTTP."""
        return f"http://{self.address('HTTP')}"

    def start(self) -> None:
        """Start, and wait until it says that it is healthy."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env={**os.environ, **self.environ}, stdout=log, stderr=log
            )
        assert poll(self._healthy), self.log.read_text("utf-8")

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text("utf-8")
        try:
            with urllib.request.urlopen(f"http://{self.address('HEALTH')}", timeout=5):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """Let it finish what it has begun."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it on the spot, as a lack of memory would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
            self._process = None

    def own(self, **having: str) -> dict[str, float]:
        """What it counts of itself: each metric, summed over those of its series that have these labels."""
        with urllib.request.urlopen(f"http://{self.address('METRICS')}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        found: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if having.items() <= sample.labels.items():
                    found[sample.name] += sample.value
        return found


@contextmanager
def collector(*names: str | Path, folder: Path, **environ: str) -> Iterator[Collector]:
    """A Collector that runs with shipped files, by name, or others, by path. Skips the test where none is built."""
    files = [CONFIG / f"{name}.yaml" if isinstance(name, str) else name for name in names]
    one = Collector(files, folder, environ)
    one.start()
    try:
        yield one
    finally:
        one.kill()
