"""The end of the process: everything is sent before the program's own exit handlers, and after them what those predict."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlobs.core.guard import Guarded

if TYPE_CHECKING:
    from mlobs.core.runtime import Runtime


class Ending:
    """Two exit handlers, for the one that was registered last runs first.

    With the first call comes the one that sends: before the handler of a tracer provider, say, which takes no span any more
    afterwards. With the import comes the one that closes: after the handlers that were registered since.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._attended: set[int] = set()
        self._sent: set[int] = set()
        self._late: set[int] = set()  # nobody takes what these processes send
        self._follows = False
        self._finaliser: Any = None  # multiprocessing's

    def expect(self) -> None:
        """Called by the import."""
        atexit.register(self.close)

    def attend(self) -> None:
        """There is something to send. Children of multiprocessing skip atexit, and have finalisers."""
        pid = os.getpid()
        if pid in self._attended:
            return
        self._attended.add(pid)
        atexit.register(self.send)
        from multiprocessing import util

        self._finalise()
        if not self._follows:
            self._follows = True
            util.register_after_fork(self, Ending._followed)

    def _finalise(self) -> None:
        from multiprocessing import parent_process, util

        self._finaliser = util.Finalize(None, self.send if parent_process() is None else self.close, exitpriority=-100)

    def _followed(self) -> None:
        """A child has cleared its finalisers, before Python 3.13 those also that came with its main module's import."""
        if os.getpid() in self._attended and not self._finaliser.still_active():
            self._finalise()

    def send(self) -> None:
        """Send everything; threads and exporter stay, for exit handlers may predict. Never raises."""
        runtime, pid = self._runtime, os.getpid()
        if not runtime.started or runtime.over:
            return
        with suppress(KeyboardInterrupt), Guarded(runtime.guard, "end"):  # who presses Ctrl-C now does not want to wait
            if pid not in self._sent or (pid not in self._late and runtime.unsent()):
                self._sent.add(pid)
                self._late.add(pid)
                runtime.outcomes.close()
                if runtime.pipeline.finish(runtime.settings.flush_timeout):
                    self._late.discard(pid)

    def close(self) -> None:
        """Send what has come since, and observe nothing any more. Never raises."""
        runtime = self._runtime
        with suppress(KeyboardInterrupt), Guarded(runtime.guard, "end"):
            self.send()
            if not runtime.started and os.getpid() not in self._late and runtime.unsent():
                runtime.send_here(runtime.settings.flush_timeout)
            patience = 0 if os.getpid() in self._late else runtime.settings.flush_timeout
            runtime.shutdown(patience, export=False, ends=True)
        runtime.over = True  # no thread can be started any more
        for monitor in list(runtime.monitors.values()):
            monitor.off = True  # a thread that the end stops in the middle of a call keeps our locks for ever
        runtime.termination.release()
