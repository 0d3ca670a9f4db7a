"""The life of a process' observation: started by its first call, stopped at its end, begun anew in a fork."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - it registers fork hooks; loaded amid a fork, half of them would run
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mlobs.core.ending import Ending
from mlobs.core.folder import Folder
from mlobs.core.guard import Guard
from mlobs.core.outcomes import Outcomes
from mlobs.core.pipeline import Pipeline
from mlobs.core.reports import Reports
from mlobs.core.settings import Settings, from_environment
from mlobs.core.state import Sent, State
from mlobs.core.steps import Steps
from mlobs.core.task import Tasks
from mlobs.core.termination import Termination
from mlobs.core.tracing import Tracing
from mlobs.otel.points import NO_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlobs.core.model import Model
    from mlobs.core.monitor import Monitor

_PATIENCE: Final = 1.0  # seconds after which threads that could not be started are tried again


class Runtime(State):
    """One a process. A forked child keeps its models and monitors, and begins their counts anew."""

    def __init__(self, settings: Settings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings, clock)
        self.over = False
        self.outcomes = Outcomes(self)
        self.tasks = Tasks(self)
        self.tracing = Tracing(lambda: self.pipeline.means.spans, self.attend, self.fold)
        self.termination = Termination(lambda: self.settings, self.leave, lambda: self.counts_here)
        self.ending = Ending(self)
        self._steps = Steps(self._failed)
        self._renew()

    def _failed(self, error: Exception) -> None:
        self.guard.error("life", error)

    def _renew(self) -> None:
        """What may be made again while counts go on: the two threads."""
        self.folder = Folder(self, self.tracing.end, self.outcomes.roll)
        self.pipeline = Pipeline(self, self.folder.fold, self.outcomes)
        self._patient = 0.0
        self.started = False  # last: from here on a call may start what was made

    def monitor(self, model: Model, operation: str) -> Monitor:
        """The monitor of an operation; from the first one on SIGTERM is attended to."""
        monitor = super().monitor(model, operation)
        self.termination.attend()
        return monitor

    def fold(self) -> int:
        """Fold in this thread."""
        return self.folder.fold()

    def wake(self) -> None:
        """A ring is half full."""
        self.folder.wake()

    def configure(self, settings: Settings) -> None:
        """Take new settings. Counts go on; what was bound to the old settings is bound again."""
        self.outcomes.tickets.prepare(settings)  # what is refused changes nothing
        self._steps.do(lambda: self._configure(settings))
        self._rouse()

    def _configure(self, settings: Settings) -> None:
        self._follow(settings)
        self._configured = True
        was_started = self.started
        self._stop(settings.flush_timeout)
        self._apply()
        self.outcomes.follow(settings)
        self._renew()
        if was_started and settings.enabled:
            self._start()
        else:
            self.termination.attend()

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the background threads, once; called by the first observed call, or truth, of a process. Never raises.

        Waits for nobody: who is starting them, or stopping them, sees to it that the next call is asked for something rare.
        """
        if not self.started and not self.over:
            self._steps.attempt(self._start)

    def _start(self) -> None:
        if self.started or time.monotonic() < self._patient:
            return
        self.started = True
        try:
            if not self._configured:  # what was decorated at import is bound to the environment of then
                self._settings = from_environment()
            self._apply()
            if not self.settings.enabled:
                self.started = False
                return
            self.ran = True
            self.pipeline.start()
            self.folder.start()
        except BaseException as error:
            self.started = False
            if not isinstance(error, RuntimeError):
                raise
            self._patient = time.monotonic() + _PATIENCE
            if threading.main_thread().is_alive():  # else the program ends, and what is left is sent without a thread
                said = "mlobs cannot start its threads (%s), and sends nothing until it can."
                self.guard.tell("threads", said, error)
        else:
            self.guard.again("threads")
        self.ending.attend()
        self.termination.attend(calls=True)

    def _stop(self, timeout: float, *, export: bool = True, ends: bool = False) -> bool:
        """Stop the threads after a last export."""
        if not self.started and not self.pipeline.runs:
            return True
        delivered = self.pipeline.stop(timeout, export=export, ends=ends)
        self.folder.stop()
        self._renew()
        return delivered

    def _rouse(self) -> None:
        """The next call of each operation is asked for something rare: the threads are to be started."""
        for monitor in list(self.monitors.values()):
            monitor.sleep()

    def attend(self) -> None:
        """A call is asked for something rare: whatever runs in the background is running, and folds in time."""
        if self.started:
            self.folder.tick()
        else:
            self.start()

    def serve_an_engine(self) -> None:
        """This process is one of an engine's workers, whose environment, and any identity in it, is that of all of them.

        Called in the main thread: calls may come on other threads only, and SIGTERM would be nobody's.
        """
        if self.instance is None:
            self.forked = True
        self.termination.attend(calls=True)

    def unsent(self) -> bool:
        """Whether something has been counted that was not delivered yet."""
        if not (self.ran or self.settings.enabled):  # the call by which that was found out is nobody's
            return False
        if self.counts_here:  # a signal handler asks amid a fold, which is not for nothing
            return True
        return self.pipeline.collect().counted != self.sent.counted

    def flush(self, timeout: float) -> bool:
        """Fold and export now; whether everything was delivered within ``timeout`` seconds."""
        if not self.started:  # nothing has been called yet, or calls ended while the threads were being stopped
            if not self.unsent():
                return True
            self.start()
        deadline = time.monotonic() + timeout
        pipeline = self.pipeline
        if not self.started or pipeline.flush(timeout):
            return self.started
        # somebody configures or shuts down just now: what was to be sent has been, or others have it
        return pipeline is not self.pipeline and self.pipeline.flush(deadline - time.monotonic())

    def leave(self, timeout: float) -> bool:
        """`flush` where nothing will run afterwards, the program's own exit handlers neither."""
        return self.pipeline.leave(timeout)

    def send_here(self, timeout: float) -> bool:
        """`shutdown` in this thread, where none may be started any more."""

        def send() -> bool:
            delivered = self.pipeline.send_here(timeout)
            self._renew()
            return delivered

        return bool(self._steps.do(send))

    def shutdown(self, timeout: float, *, export: bool = True, ends: bool = False) -> bool:
        """Flush and stop the threads; a later call starts them again, unless the process ``ends``."""
        self.outcomes.close()
        delivered = self._steps.do(lambda: self._stop(timeout, export=export, ends=ends))
        self._rouse()
        return bool(delivered)  # a signal handler's amid another step is taken after that, and nobody can say yet

    @contextmanager
    def isolated(self, settings: Settings, clock: Callable[[], float]) -> Iterator[None]:
        """Other settings, no models and another clock, until the block ends; for tests."""
        before = (self._settings, self.clock, self.models, self.monitors, self.guard)
        judged = (self.objectives, self.hands, self.outcomes, self.reports, self.sent)
        configured, self._configured = self._configured, True
        self.shutdown(0)
        spans, self.spans = self.spans, deque()
        self._settings, self.clock, self.models, self.monitors = settings, clock, {}, {}
        self.news.come()
        self.guard = Guard()
        self.guard.strict = before[-1].strict
        self.objectives, self.hands = {}, False
        self.outcomes = Outcomes(self)
        self.reports = Reports(NO_ATTRIBUTES, self.guard)
        self.sent = Sent()
        self._renew()
        try:
            yield
        finally:
            self.shutdown(0)
            self._settings, self.clock, self.models, self.monitors, self.guard = before
            self.news.come()
            self.objectives, self.hands, self.outcomes, self.reports, self.sent = judged
            self.spans = spans
            self._configured = configured
            self._renew()

    def before_fork(self) -> None:
        """Wait until nothing of ours is being imported: a module half loaded would stay so in the child."""
        self.loading.acquire()
        self.termination.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on. A SIGTERM that has waited exports, which may have something to load."""
        self.loading.release()
        self.termination.after_fork(child=False)

    def after_fork(self) -> None:
        """In the child: new locks, zeroed counts, a new start time and identity. Threads start with the first call."""
        try:
            self._steps = Steps(self._failed)
            self.budget.renew()
            self.tasks.renew()
            self._again()
        finally:
            self.termination.after_fork(child=True)  # else SIGTERM would wait for ever

    def anew(self) -> None:
        """Forget what has been counted and not sent: zeroed counts, a new start time and identity, as in a forked child.

        No observed call may be running.
        """
        self.outcomes.close()
        self._steps.do(self._anew)
        self._rouse()

    def _anew(self) -> None:
        started = self.started
        self._stop(self.settings.flush_timeout)
        self.lives += 1
        self._again()
        if started:
            self._start()

    def _again(self) -> None:
        self.guard.renew()
        for identity, model in self.models.items():
            self.models[identity] = self._make(identity, model.profile)
        for (identity, _), monitor in self.monitors.items():
            monitor.renew(self.models[identity])
        self._begin(forked=True)
        self.outcomes.renew()
        self._renew()
