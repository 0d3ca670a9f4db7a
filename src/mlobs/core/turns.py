"""How long a thread of mlobs waits for its turn beside a program that never rests.

A numpy call, or reading a file, gives the interpreter away, and who wants it back waits its switch interval: 5 ms. That
clock begins anew whenever the other thread gives the interpreter away for a moment, as a model does with every product
of matrices: beside 200 µs predictions in a loop a wait took 300 ms, and a fold of twenty waits six seconds. While mlobs
works, a few milliseconds a second, the interval is 50 µs: waits take as long, for both sides.

The wait to begin is the same: a thread that wakes by the clock waits at the usual interval, and until it has its turn every
such product wakes it in vain, which is the program's time. So whoever predicts wakes it, and makes turns short before.
"""

from __future__ import annotations

import sys
import threading
from typing import Final

_SHORT: Final = 50e-6  # seconds
_NEAR: Final = 1e-6  # what is set comes back in whole microseconds


class Turns:
    """A block in which turns are short. Threads may be in several at once; the last that leaves puts the interval back.

    An interval that somebody set meanwhile, or that was shorter to begin with, stays.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._usual = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._shorten()
            self._inside += 1

    def hasten(self) -> None:
        """Short turns from now on for a thread that will be in the block, and cannot ask for them while it waits to enter.

        For the thread that has the interpreter. Takes no lock: a signal may have come amid one of this very thread, and a handler
        that raises between taking and `try` would leave it taken for ever. Where somebody enters or leaves just now, it does
        nothing, or what is undone when the other leaves.
        """
        if not self._lock.locked():
            self._shorten()

    def settle(self) -> None:
        """The thread that was hastened will not come."""
        with self._lock:
            if not self._inside:
                self._restore()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._restore()

    def renew(self) -> None:
        """A forked child has none of the threads that were in here."""
        self._lock = threading.Lock()
        self._inside = 0
        self._restore()

    def _shorten(self) -> None:
        usual = sys.getswitchinterval()
        if not self._inside and usual > _SHORT + _NEAR:
            self._usual = usual
            sys.setswitchinterval(_SHORT)

    def _restore(self) -> None:
        usual, self._usual = self._usual, 0.0  # before: who hastens once it is set again remembers it anew
        if usual and abs(sys.getswitchinterval() - _SHORT) < _NEAR:
            sys.setswitchinterval(usual)
