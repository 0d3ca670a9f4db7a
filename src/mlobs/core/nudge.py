"""SIGTERM that comes while the main thread is on its way into a lock: Python would see it behind that lock, which may be never.

A worker of a pool waits in C for its next task, and whoever ends the pool holds what it waits for. Between Python's last look
for signals and that wait lie a few hundred instructions, on a busy machine milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE: Final = 0.05  # seconds in which a handler usually comes


class Nudge:
    """A thread that C tells of signals (`signal.set_wakeup_fd`), and that sends SIGTERM once more, to the main thread, where Python does not see it.

    ``missed`` says whether the handler is in force and has not come.
    """

    def __init__(self, missed: Callable[[], bool]) -> None:
        self._missed = missed
        self._ends: tuple[int, int] | None = None  # of a pipe: what is read, what is written

    def attend(self) -> None:
        """Begin, in the main thread, where nobody else is told of signals; an event loop that is, sees them itself."""
        # gevent's threads are none: one that reads would stop them all
        if (
            self._ends is not None
            or "gevent" in sys.modules
            or threading.current_thread() is not threading.main_thread()
        ):
            return
        read, write = os.pipe()
        os.set_blocking(write, False)
        before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before)
            os.close(read)
            os.close(write)
            return
        self._ends = read, write
        main = threading.get_ident()
        threading.Thread(target=self._run, args=(read, main), name="mlobs-nudge", daemon=True).start()

    def forked(self) -> None:
        """In a child: its signals are not to be told to its parent."""
        ends, self._ends = self._ends, None
        if ends is None:
            return
        with suppress(ValueError):  # not the main thread
            before = signal.set_wakeup_fd(-1)
            if before not in (-1, ends[1]):
                signal.set_wakeup_fd(before)
        for end in ends:
            os.close(end)

    def _run(self, read: int, main: int) -> None:
        while told := os.read(read, 64):
            if signal.SIGTERM in told:
                time.sleep(_PATIENCE)
                while self._missed():
                    signal.pthread_kill(main, signal.SIGTERM)
                    time.sleep(_PATIENCE)
