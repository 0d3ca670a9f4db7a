"""SIGTERM where nobody handles it: what was counted is sent, and the process ends as it would have ended."""

from __future__ import annotations

import _thread
import logging
import os
import re
import signal
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlobs.core.guard import Guard
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
        self._ending: tuple[int, float] | None = None  # this process, since when
        self._handler = self._handle  # one object: getsignal is compared with it

    def attend(self) -> None:
        """Take SIGTERM where it has its default action; give it back where the settings say so. Never raises."""
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
            if _is_default():
                signal.signal(signal.SIGTERM, self._handler)
        elif callable(current):
            # called in the moment in which theirs is replaced, if nobody but the interpreter held it
            self._theirs = weakref.ref(current, lambda _: self.attend())

    def release(self) -> None:
        """Give SIGTERM back: there is nothing left to send. Never raises."""
        self._theirs = None
        with suppress(Exception):  # as in `attend`
            if signal.getsignal(signal.SIGTERM) is self._handler:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """The handler: ask for an export, wait for it a bounded time, end as if there had been no handler."""
        ending, pid = self._ending, os.getpid()
        amid = ending is not None and ending[0] == pid
        if not amid and (self._counts_here() or _holds(frame)):
            now = time.monotonic()
            self._asked = self._asked or now
            if now - self._asked < _DEFERRED:
                _thread.start_new_thread(_send_again, ())  # the export waits for what this thread is about to finish
                return
        self._asked = 0.0
        mine = signal.getsignal(number) is self._handler  # else somebody's handler calls the one it found here
        if ending is None or not amid:
            self._ending = pid, time.monotonic()
            try:
                with suppress(Exception):  # ours; the process ends, and a log cannot be written amid a signal
                    self._flush(self._settings().flush_timeout)
            finally:
                self._end(number, mine=mine)
                self._ending = None
        elif time.monotonic() - ending[1] >= _SAME:
            self._end(number, mine=mine)

    def _end(self, number: int, *, mine: bool) -> None:
        if mine and os.getpid() != _INIT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


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
