"""The thread that turns what calls left behind into counts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlobs.core.runtime import Runtime


class Folder:
    """Folds every ``fold_interval`` seconds, or when a ring calls for it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.seconds = 0.0
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="mlobs-folder", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """A ring is half full."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread; what still waits is folded first."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)
        self.fold()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self._runtime.settings.fold_interval)
            self._wake.clear()
            self.fold()

    def fold(self) -> int:
        """Fold every monitor now, in this thread; how many calls that was. Never raises."""
        runtime = self._runtime
        folded = 0
        with runtime.counting:
            began = time.perf_counter()
            now = runtime.clock()
            for model in list(runtime.models.values()):
                model.roll(now)
            for monitor in list(runtime.monitors.values()):
                try:
                    folded += monitor.fold(runtime.tracing.end, now)
                except Exception as error:  # noqa: BLE001 - ours; the host goes on
                    runtime.guard.error("fold", error)
            self.seconds += time.perf_counter() - began
        return folded
