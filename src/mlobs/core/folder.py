"""The thread that turns what calls left behind into counts."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from mlobs.core.guard import passes

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.core.record import After
    from mlobs.core.state import State


_LATE: Final = 1.5  # fold intervals after which the thread wakes by itself
_IDLE: Final = 4  # times as long where nobody calls


class Folder:
    """Folds every ``fold_interval`` seconds, or when a ring calls for it.

    It is woken by calls that are asked for something rare anyway, fifty a second where there are many: a thread that wakes by
    the clock beside a program that never rests may wait long for its turn, see `Turns`. Where calls are few it wakes by itself.
    """

    def __init__(self, state: State, after: After, roll: Callable[[float], object]) -> None:
        self._state = state
        self._roll = roll
        self._after = after
        # an Event's lock may be held by the very call that a signal interrupts
        self._called: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False
        self._folded = 0.0
        self._dozes = False  # nobody has called lately
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if it does not run. Raises RuntimeError where there can be none more."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._folded = time.monotonic()
        self._called = queue.SimpleQueue()  # made here: since the import gevent may have put its own in its place
        self._thread = threading.Thread(target=self._run, name="mlobs-folder", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to fold: a ring is half full, or it is time."""
        if self._called.empty():
            self._state.turns.hasten()
            self._called.put(None)

    def tick(self) -> None:
        """A call is asked for something rare: it may be time to fold."""
        if self._dozes or time.monotonic() - self._folded > self._state.settings.fold_interval:
            self._dozes = False
            self.wake()

    def stop(self) -> None:
        """End the thread; what still waits is folded first."""
        self._stopped = True
        self._called.put(None)
        if self._thread is not None and self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(1.0)
        self._state.turns.settle()
        self.fold()

    def _run(self) -> None:
        patience = 1
        while not self._stopped:
            interval = self._state.settings.fold_interval
            called = self._wait(interval * _LATE * patience)
            try:
                patience = self._turn(interval, called=called)
            except BaseException as error:  # noqa: BLE001 - ours; the thread has to go on
                self._state.guard.error("fold", error)

    def _turn(self, interval: float, *, called: bool) -> int:
        """Fold where it is time to; how patiently to wait for the next time."""
        with self._state.turns:
            folded = 0
            if called or time.monotonic() - self._folded > interval / 2:  # else an export has just done it
                folded = self.fold()
            patience = 1 if called or folded else _IDLE
            self._dozes = patience > 1
            if self._dozes:
                for monitor in list(self._state.monitors.values()):
                    monitor.due = 0  # the next call says that there is one again
        return patience

    def _wait(self, timeout: float) -> bool:
        try:
            self._called.get(timeout=timeout)
        except queue.Empty:
            return False
        return True

    def fold(self) -> int:
        """Fold every monitor now, in this thread; how many calls that was. Raises nothing but what is no Exception."""
        state = self._state
        folded = 0
        if state.counts_here:
            return 0  # a signal handler or a __del__ predicts amid a fold of its own thread, which will take it along
        # whoever held the lock when the interpreter began to end will never give it back
        if not state.counting.acquire(blocking=not sys.is_finalizing()):
            return 0
        self._folded = time.monotonic()  # already: calls that come meanwhile see that it is not time again
        try:
            began = time.perf_counter()
            now = state.clock()
            for model in list(state.models.values()):
                model.roll(now)
                model.reports.fold()
            state.reports.fold()
            self._roll(now)
            with np.errstate(all="ignore"):  # the program may make errors of numpy's warnings
                for monitor in list(state.monitors.values()):
                    try:
                        folded += monitor.fold(self._after, now)
                    except BaseException as error:
                        if passes(error):
                            raise
                        state.guard.error("fold", error)
            self._folded = time.monotonic()
            state.fold_seconds += time.perf_counter() - began
        finally:
            state.counting.release()
        return folded
