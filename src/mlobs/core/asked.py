"""What somebody wants of the thread that exports, and waits for."""

from __future__ import annotations

import queue


class Asked:
    """Somebody waits for an export, or only until none is under way; after the ``last`` one the thread ends.

    A signal handler may ask while the thread it interrupted is asking. So nothing here is an Event, whose lock one of
    the two would hold: a SimpleQueue may be used from handlers.
    """

    def __init__(self, deadline: float, *, last: bool, only_wait: bool = False) -> None:
        self.deadline = deadline
        self.last = last
        self.only_wait = only_wait
        self._answer: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def answer(self, *, delivered: bool) -> None:
        """Let whoever waits go on."""
        self._answer.put(delivered)

    def wait(self, timeout: float) -> bool:
        """Whether everything was delivered within ``timeout`` seconds."""
        try:
            return self._answer.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return False
