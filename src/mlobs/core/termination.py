"""SIGTERM where nobody handles it: what was counted is sent, and the process ends as it would have ended."""

from __future__ import annotations

import _thread
import logging
import os
import re
import signal
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlobs.core.guard import Guard
from mlobs.core.nudge import Nudge
from mlobs.core.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mlobs.core.settings import Settings

_AGAIN: Final = 0.005  # seconds
_DEFERRED: Final = 0.5  # seconds at most
_SAME: Final = 2.0  # seconds in which a signal that comes once more is the same wish: some supervisors say it twice
_INIT: Final = 1  # the process to which the kernel does not do what SIGTERM does by default
_MASKS: Final = re.compile(rb"^Sig(?:Ign|Cgt):\s*([0-9a-f]+)", re.MULTILINE)


# whoever is in one of these may hold a lock that an export waits for
_HOLDING: Final = frozenset(
    function.__code__.co_filename for function in (Guard.tell, Ring.take, logging.Logger.handle)
)


class Termination:
    """Stands in for the default action of SIGTERM, and for nothing else.

    The handler is only ever set where the default action was in force, so whoever handles SIGTERM, ignores it, or sets
    a handler later has it to himself. A server that gives its handler back when it has stopped, and then raises the
    signal again, as uvicorn does, is followed: the default action it goes back to is stood in for.

    A pool ends its workers by SIGTERM and waits for them without end, so in one of them nothing may be missed: the handler is
    there from its first call on only, and has a `Nudge`.
    """

    def __init__(
        self, settings: Callable[[], Settings], flush: Callable[[float], object], counts_here: Callable[[], bool]
    ) -> None:
        """``counts_here`` says whether the interrupted thread holds the lock under which counts are read."""
        self._settings = settings
        self._flush = flush
        self._counts_here = counts_here
        self._theirs: weakref.ref[Any] | None = None
        self._asked = 0.0
        self._ending: float | None = None  # since when
        self._handler = self._handle  # one object: getsignal is compared with it
        self._nudge = Nudge(self._missed)
        self._calls = False
        self._follows = False
        self._masks: dict[int, set[int]] = {}  # of threads that fork

    def attend(self, *, calls: bool = False) -> None:
        """Take SIGTERM where it has its default action; give it back where the settings say so. Never raises.

        ``calls``: something is counted, or will be.
        """
        self._calls = self._calls or calls
        with suppress(Exception):  # not the main thread or interpreter, or the last moments of one: left as it is
            self._attend()

    def _attend(self) -> None:
        settings = self._settings()
        wanted = settings.enabled and settings.flush_on_sigterm
        current = signal.getsignal(signal.SIGTERM)
        if current is self._handler:
            if not wanted:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        elif not wanted:
            self._theirs = None
        elif current is signal.SIG_DFL:
            if _is_default() and (self._calls or not _is_pooled()):
                signal.signal(signal.SIGTERM, self._handler)
        elif callable(current):
            # called in the moment in which theirs is replaced, if nobody but the interpreter held it
            self._theirs = weakref.ref(current, lambda _: self.attend())
        if self._calls and self._is_in_force() and _is_child():
            self._nudge.attend()

    def _is_in_force(self) -> bool:
        return signal.getsignal(signal.SIGTERM) is self._handler

    def _missed(self) -> bool:
        return self._is_in_force() and self._ending is None and not self._asked

    # ── forks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _followed(self) -> None:
        if _is_pooled() and self._is_in_force():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def before_fork(self) -> None:
        """SIGTERM waits: what comes to a child before Python knows that it is one, Python forgets."""
        if self._is_in_force():
            util = sys.modules.get("multiprocessing.util")
            if util is not None and not self._follows:  # its children say so once they know what they are
                self._follows = True
                util.register_after_fork(self, Termination._followed)
            self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def after_fork(self, *, child: bool) -> None:
        """What has waited comes now."""
        mask = self._masks.pop(threading.get_ident(), None)
        if child:
            self._calls = False
            self._ending = None
            self._masks.clear()
            self._nudge.forked()
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def release(self) -> None:
        """Give SIGTERM back: there is nothing left to send. Never raises."""
        self._theirs = None
        with suppress(Exception):  # as in `attend`
            if self._is_in_force():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """The handler: ask for an export, wait for it a bounded time, end as if there had been no handler."""
        if self._ending is None and (self._counts_here() or _holds(frame)):
            now = time.monotonic()
            self._asked = self._asked or now
            if now - self._asked < _DEFERRED:
                _thread.start_new_thread(_send_again, ())  # the export waits for what this thread is about to finish
                return
        self._asked = 0.0
        mine = self._is_in_force()  # else somebody's handler calls the one it found here
        if self._ending is None:
            self._ending = time.monotonic()
            try:
                with suppress(Exception):  # ours; the process ends, and a log cannot be written amid a signal
                    self._flush(self._settings().flush_timeout)
            finally:
                self._end(number, mine=mine)
                self._ending = None
        elif time.monotonic() - self._ending >= _SAME:
            self._end(number, mine=mine)

    def _end(self, number: int, *, mine: bool) -> None:
        if mine and os.getpid() != _INIT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _is_child() -> bool:
    """Of multiprocessing."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _is_pooled() -> bool:
    """A worker of multiprocessing's `Pool`: that names them so."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and "PoolWorker" in process.current_process().name


def _is_default() -> bool:
    """Whether no code beneath Python has taken SIGTERM: faulthandler or a JVM may have, and Python would not know."""
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:  # not Linux
        return True
    return not any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in _MASKS.findall(status))


def _holds(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in _HOLDING:
            return True
        frame = frame.f_back
    return False


def _send_again() -> None:
    time.sleep(_AGAIN)
    os.kill(os.getpid(), signal.SIGTERM)
