"""A real Prometheus 3 that takes OTLP, on loopback and a free port."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.backends.collector import free_ports, poll
from tests.backends.programs import program

LATE = "30m"  # how old a sample may be that comes after younger ones; deploy/prometheus.yaml says the same


class Prometheus:
    """One that runs."""

    def __init__(
        self, folder: Path, rules: Sequence[Path], config: Mapping[str, Any], options: Sequence[str], port: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "prometheus.log"
        whole = {
            "rule_files": [str(file) for file in rules],
            "storage": {"tsdb": {"out_of_order_time_window": LATE}},
            **config,
        }
        file = folder / "prometheus.json"  # every JSON is YAML
        file.write_text(json.dumps(whole), encoding="utf-8")
        command = [
            program("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            *options,
        ]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def metrics_endpoint(self) -> str:
        """Where it takes metrics by OTLP over HTTP."""
        return f"{self.url}/api/v1/otlp/v1/metrics"

    def ready(self) -> bool:
        """Whether it answers queries."""
        assert self._process.poll() is None, self.log.read_text("utf-8")
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
            return True
        return False

    def query(self, expr: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """What an expression gives, now or at a time: labels and value of each series."""
        asked = {"query": expr} | ({} if at is None else {"time": repr(at)})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode(asked)}", timeout=60) as answer:
            found = json.load(answer)["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def value(self, expr: str, at: float | None = None) -> float | None:
        """The one value that an expression gives; None where it gives none."""
        found = self.query(expr, at)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def end(self) -> None:
        """Stop it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


@contextmanager
def prometheus(
    folder: Path,
    *options: str,
    rules: Sequence[Path] = (),
    config: Mapping[str, Any] | None = None,
    port: int | None = None,
    otlp: bool = True,
) -> Iterator[Prometheus]:
    """A Prometheus with these rules, until the block ends. Skips the test where none is built."""
    receiver = ["--web.enable-otlp-receiver"] if otlp else []
    one = Prometheus(folder, rules, config or {}, [*receiver, *options], port or free_ports(1)[0])
    try:
        assert poll(one.ready), one.log.read_text("utf-8")
        yield one
    finally:
        one.end()
