"""The thread that collects every count and sends it."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from opentelemetry import context

from mlobs.core.asked import Asked
from mlobs.core.callers import SUPPRESS
from mlobs.core.guard import passes
from mlobs.core.means import Means
from mlobs.core.totals import Totals
from mlobs.otel.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.core.outcomes import Outcomes
    from mlobs.core.state import State


_RETRY: Final = 0.1  # seconds between two tries before a deadline


class Pipeline:
    """Collects and exports every ``export_interval`` seconds, on flush, and at the end."""

    def __init__(self, state: State, fold: Callable[[], object], outcomes: Outcomes) -> None:
        self._state = state
        self._sent = state.sent
        self._requests: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.collect = Totals(state, fold, outcomes).collect
        self.means = Means(state, self.collect, outcomes.tickets.ticketer)
        self._ends = False  # the process does
        self._over = False  # the thread has ended as it was asked to
        self.heard = True  # whether the last export arrived

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def runs(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, if it does not run. Raises RuntimeError where there can be none more."""
        if self.runs:
            return
        self._requests = queue.SimpleQueue()  # made here: since the import gevent may have put its own in its place
        self._thread = threading.Thread(target=self._run, name="mlobs-export", daemon=True)
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Ask the thread for an export now, and wait for it at most ``timeout`` seconds."""
        return self._ask(timeout, last=False)

    def leave(self, timeout: float) -> bool:
        """`flush` where nothing will run afterwards: spans that wait in the program's own provider are sent, too."""
        deadline = time.monotonic() + timeout
        delivered = self.flush(timeout)
        self.means.settle(deadline - time.monotonic())
        return delivered

    def settle(self, timeout: float) -> bool:
        """Wait until no export is under way; whether that was so within ``timeout`` seconds."""
        return self._ask(timeout, last=False, only_wait=True)

    def _ask(self, timeout: float, *, last: bool, only_wait: bool = False) -> bool:
        thread = self._thread
        if thread is None:
            return True
        if not thread.is_alive():
            return last and self._over and self.heard
        deadline = time.monotonic() + timeout if timeout > 0 and not only_wait else 0.0
        request = Asked(deadline, last=last, only_wait=only_wait)
        self._requests.put(request)
        if self._over:  # the thread may have looked for the last time
            self._refuse()
        return request.wait(timeout)

    def _refuse(self) -> None:
        """Answer those that came too late: who wants a last export has had it."""
        for request in self._wait(0):
            request.answer(delivered=request.last and self.heard)

    def stop(self, timeout: float, *, export: bool = True, ends: bool = False) -> bool:
        """Export a last time, within ``timeout`` seconds, and end the thread; whether the process ``ends``, too."""
        self._ends = ends
        delivered = self._ask(timeout, last=True, only_wait=not export)
        return delivered if not export else self._told(timeout, delivered=delivered)

    def finish(self, timeout: float) -> bool:
        """`flush` at the end of the process: that nothing was delivered is worth a line."""
        return self._told(timeout, delivered=self.flush(timeout))

    def send_here(self, timeout: float) -> bool:
        """Export a last time in this thread, where there may be no other any more."""
        token = context.attach(context.set_value(SUPPRESS, True))
        try:
            self.means.prepare()
            return self._told(timeout, delivered=self._tick(time.monotonic() + timeout))
        finally:
            context.detach(token)
            self._ends = True
            self.means.close(over=self._ends)

    def _told(self, timeout: float, *, delivered: bool) -> bool:
        if not delivered and timeout > 0 and not self._state.held:
            self._state.guard.tell("last export", "mlobs could not deliver its last export within %.1f s.", timeout)
        return delivered

    def _run(self) -> None:
        context.attach(context.set_value(SUPPRESS, True))  # no spans for our own requests
        self.means.prepare()
        while not self._over:
            requests = self._wait(self._state.settings.export_interval)
            delivered = False
            try:
                delivered = self._serve(requests)
            except BaseException as error:  # noqa: BLE001 - ours; whoever waits goes on, and so does the thread
                self._state.guard.error("export", error)
            finally:
                for request in requests:
                    request.answer(delivered=delivered or request.only_wait)
        self._refuse()

    def _serve(self, requests: list[Asked]) -> bool:
        """Export, unless all that is asked is to wait; whether it was delivered. After the last one all is closed."""
        deadline = max((request.deadline for request in requests), default=0.0)
        delivered = (not requests or not all(request.only_wait for request in requests)) and self._tick(deadline)
        if any(request.last for request in requests):
            self._over = True
            self.means.close(over=self._ends)  # before it is answered: who goes on may want the port
        return delivered

    def _wait(self, timeout: float) -> list[Asked]:
        """The requests that have come, one at least, or none after ``timeout`` seconds."""
        found: list[Asked] = []
        with suppress(queue.Empty):
            found.append(self._requests.get(timeout=timeout))
            while True:
                found.append(self._requests.get_nowait())
        return found

    def _tick(self, deadline: float) -> bool:
        """Collect and send; before a deadline, again and again until it is delivered. Never raises."""
        state = self._state
        if state.held:
            # they tell what happened, whatever will count of it
            self.means.send_spans(self._within(deadline))
            return False
        began = time.perf_counter()
        delivered = False
        try:
            while True:
                answer = self._export(deadline)
                delivered = answer.delivered
                left = deadline - time.monotonic()
                if delivered or not answer.retryable or left <= _RETRY:
                    break
                time.sleep(max(_RETRY, min(answer.pause, left - _RETRY)))  # a last try comes before the deadline
        except BaseException as error:  # an exporter's SystemExit must not end the thread
            if passes(error):
                raise
            state.guard.error("export", error)
        state.export_seconds += time.perf_counter() - began
        self.heard = delivered
        return delivered

    def _export(self, deadline: float) -> Answer:
        self.means.follow()
        if self.means.lacking:
            self.means.prepare()
        turn = self.means.turn
        if not turn.acquire(timeout=self._within(deadline)):
            return Answer(delivered=False, retryable=True)  # what another pipeline is sending has no answer yet
        try:
            with self._state.turns:
                collected = self.collect()
            counted = collected.counted
            metrics, spans = self.means.send(collected, self._within(deadline))
            if metrics.delivered:
                self._sent.counted = counted
        finally:
            turn.release()
        return spans if metrics.delivered else metrics

    def _within(self, deadline: float) -> float:
        """How many seconds an export may take."""
        return self._state.settings.export_timeout if not deadline else max(0.05, deadline - time.monotonic())
