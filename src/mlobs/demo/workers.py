"""The service's processes: started, waited for, watched and ended."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mlobs.demo.child import start
from mlobs.demo.place import VARIABLE, Place
from mlobs.errors import MlobsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

WORKERS: Final = 2
_LOOK: Final = 0.05  # seconds between two looks at a starting worker
_GRACE: Final = 8.0  # seconds that a stopping service has before it is killed
_SINGLE: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Workers:
    """The uvicorn supervisor and its worker processes, alive while the `with` block runs.

    ``place`` holds the model and its profile; ``environment`` is the workers'.
    """

    def __init__(self, place: Place, environment: Mapping[str, str], *, start_timeout: float = 60.0) -> None:
        self._place = place
        self._environment = environment
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = start("mlobs.demo.service", self._environment, self._place.log)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            # bounded: a signal that fell into the very moment in which `poll` took its lock has left it taken
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)

    def wait(self) -> int:
        """Return the port once every worker serves."""
        deadline = time.monotonic() + self._start_timeout
        while len(self._place.notes("ready")) < WORKERS:
            self.check()
            if time.monotonic() > deadline:
                raise MlobsError(self._said(f"The demo's workers did not start within {self._start_timeout:.0f} s"))
            time.sleep(_LOOK)
        return int(self._place.notes("port")[0])

    def check(self) -> None:
        """Raise MlobsError, with one clear line, if a worker could not start or has died, or the service has ended."""
        for reason in self._place.notes("failed"):
            raise MlobsError(f"A worker of the demo could not start: {reason}")
        if self._process is None or self._process.poll() is not None:
            raise MlobsError(self._said("The demo's service ended by itself"))
        if len(self._place.notes("ready")) > WORKERS:
            raise MlobsError(self._said("A worker of the demo died while serving, so the sums cannot be exact"))

    def _said(self, what: str) -> str:
        words = self._place.last_words(self._place.log)
        return f"{what}. The service's last words: {words}" if words else f"{what}; the service said nothing."


def environment(place: Place, endpoint: str) -> dict[str, str]:
    """Return the environment of the demo's processes: ours with the demo's telemetry settings instead of others'.

    The key of the tickets is drawn here, and known to nobody else.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MLOBS_"))}
    return {
        **kept,
        **dict.fromkeys(_SINGLE, "1"),  # one row is no work to share out: threads would wait for each other
        VARIABLE: str(place.folder),
        "MLOBS_TICKET_KEYS": secrets.token_hex(32),
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_SERVICE_NAME": "flight-delay",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
