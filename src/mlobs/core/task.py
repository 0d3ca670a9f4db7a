"""Tasks of an engine that runs a task again when it has failed: what a failed one predicted is not counted.

A task is a transaction. What is pending is sent as it begins, no counts are sent while it runs, and everything is sent when
it has ended well. When it fails, the process begins anew like a forked child, and what had been sent before is complete.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from mlobs.core.runtime import Runtime


class Task:
    """A block in which an engine's task runs. Nothing of it raises into the task."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def __enter__(self) -> None:
        self._tasks.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tasks.end(failed=kind is not None and not issubclass(kind, GeneratorExit))


class Tasks:
    """One a process. Only a task beside which nothing else runs, no other task and no call, can be a transaction.

    A receiver that does not answer costs a process ``flush_timeout`` once: until it has taken an export again nobody waits
    for it, and no task is a transaction.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.renew()

    def renew(self) -> None:
        """Begin at zero: at the start, and in a forked child."""
        self._lock = threading.RLock()  # a task's block may be left by the garbage collector, in here
        self._running = 0
        self._sent = 0  # calls that had begun when everything had been delivered
        self._calls = 0
        self._rows = 0

    def begin(self) -> None:
        """A task begins. Never raises."""
        try:
            with self._lock:
                self._running += 1
                if self._running == 1:
                    self._hold()
                else:
                    self._runtime.held = False  # nobody can say any more which of the two predicted what
        except Exception as error:  # noqa: BLE001 - ours; the task runs all the same
            self._runtime.guard.error("task", error)

    def end(self, *, failed: bool) -> None:
        """A task has ended. Never raises."""
        try:
            with self._lock:
                self._running = max(0, self._running - 1)
                held = self._runtime.held
                if held and failed and self._begun() != self._calls:
                    self._forget()
                self._runtime.held = False
                self._deliver()
        except Exception as error:  # noqa: BLE001 - ours
            self._runtime.held = False
            self._runtime.guard.error("task", error)

    def flush(self) -> None:
        """Send everything: the process may end without a word. Never raises."""
        try:
            with self._lock:
                self._sent = -1
                self._deliver()
        except Exception as error:  # noqa: BLE001 - ours
            self._runtime.guard.error("task", error)

    def _hold(self) -> None:
        runtime = self._runtime
        monitors = list(runtime.monitors.values())
        if any(monitor.begun > monitor.ended for monitor in monitors):
            return
        if not self._deliver():
            return
        runtime.held = True
        if not runtime.pipeline.settle(runtime.settings.flush_timeout):
            runtime.held = False
            return
        self._calls = self._begun()
        self._rows = self._rows_of()

    def _deliver(self) -> bool:
        runtime, settings = self._runtime, self._runtime.settings
        begun = self._begun()
        if begun == self._sent:
            return True
        if runtime.pipeline.heard:
            runtime.pipeline.settle(settings.export_timeout)  # the first export has an exporter to load first
        delivered = runtime.flush(settings.flush_timeout if runtime.pipeline.heard else 0)
        self._sent = begun if delivered else -1
        return delivered

    def _forget(self) -> None:
        runtime = self._runtime
        runtime.fold()
        rows = self._rows_of() - self._rows
        runtime.anew()
        self._sent = -1  # what follows is news
        runtime.guard.drop("task_failed", max(rows, 1))

    def _begun(self) -> int:
        return sum(monitor.begun for monitor in list(self._runtime.monitors.values()))

    def _rows_of(self) -> int:
        return sum(monitor.rows for monitor in list(self._runtime.monitors.values()))
