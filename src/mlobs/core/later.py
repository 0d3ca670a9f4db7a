"""A lock whose holder is not disturbed by its own thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Later:
    """Runs one piece of work at a time, whatever threads bring it.

    A signal handler or a finaliser may bring work amid work of its own thread, which then has a list half read: it is done
    when that has been. ``failed`` is told what such late work raises.
    """

    def __init__(self, failed: Callable[[Exception], object]) -> None:
        self._failed = failed
        self._lock = threading.RLock()
        self._waiting: list[Callable[[], object]] = []

    @property
    def held_here(self) -> bool:
        """Whether this very thread is in the middle of some."""
        return self._lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 - the standard library's own Condition asks so

    def do(self, work: Callable[[], _T]) -> _T | None:
        """What ``work`` returns, or None where it has to wait."""
        if self.held_here:
            self._waiting.append(work)
            return None
        with self._lock:
            try:
                self._late()
                return work()
            finally:
                self._late()

    def _late(self) -> None:
        """What came too late for the end of the last one is done at the beginning of the next."""
        while self._waiting:
            work = self._waiting.pop(0)
            try:
                work()
            except Exception as error:  # noqa: BLE001 - ours
                self._failed(error)
