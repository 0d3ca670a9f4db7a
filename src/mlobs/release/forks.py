"""Keeps forks and pieces of work apart."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE: Final = 0.5  # seconds that a fork waits


class Forks:
    """While `kept_out` no thread of this process forks; a fork waits for it, half a second at most.

    Where it did not wait long enough, because the work itself forks or hangs, the child is `torn`: it has inherited
    the work half done.
    """

    def __init__(self) -> None:
        self.torn = False
        self._lock = threading.RLock()
        self._granted: dict[int, bool] = {}
        self._inside = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._parent, after_in_child=self._child)

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """Short work during which nobody forks."""
        with self._lock:
            self._inside = True
            try:
                yield
            finally:
                self._inside = False

    def _before(self) -> None:
        self._granted[threading.get_ident()] = self._lock.acquire(timeout=PATIENCE)

    def _parent(self) -> None:
        if self._granted.pop(threading.get_ident(), False):
            self._lock.release()

    def _child(self) -> None:
        self.torn = self.torn or self._inside
        self._inside = False
        self._lock = threading.RLock()
        self._granted.clear()
