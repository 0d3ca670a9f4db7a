"""Starting, stopping and configuring: one at a time, and never one amid another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlobs.core.later import Later

if TYPE_CHECKING:
    from collections.abc import Callable


class Steps(Later):
    """`Later`, and for calls, which wait for nobody, a step that is taken now or not at all."""

    def attempt(self, step: Callable[[], object]) -> None:
        """Take this step, unless a thread is amid another."""
        if self.held_here or not self._lock.acquire(blocking=False):
            return
        try:
            step()
        finally:
            self._late()
            self._lock.release()
