"""The life of a process' observation: started by its first call, stopped at its end, begun anew in a fork."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - it registers fork hooks; loaded amid a fork, half of them would run
import os
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlobs.core.folder import Folder
from mlobs.core.guard import Guard
from mlobs.core.outcomes import Outcomes
from mlobs.core.pipeline import Pipeline
from mlobs.core.reports import Reports
from mlobs.core.settings import Settings, from_environment
from mlobs.core.state import State
from mlobs.core.task import Tasks
from mlobs.core.termination import Termination
from mlobs.core.tracing import Tracing
from mlobs.otel.points import NO_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlobs.core.model import Model
    from mlobs.core.monitor import Monitor


class Runtime(State):
    """One a process. A forked child keeps its models and monitors, and begins their counts anew."""

    def __init__(self, settings: Settings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings, clock)
        self.over = False
        self.outcomes = Outcomes(self)
        self.tasks = Tasks(self)
        self.tracing = Tracing(lambda: self.pipeline.spans, self.attend, self.fold)
        self.termination = Termination(lambda: self.settings, self.leave, lambda: self.counts_here)
        self._renew()

    def _renew(self) -> None:
        """What may be made again while counts go on: the two threads."""
        self.started = False
        # whoever takes it starts the threads; a call that a signal handler makes must not wait for another
        self._starting = [None]
        self.folder = Folder(self, self.tracing.end, self.outcomes.roll)
        self.pipeline = Pipeline(self, self.folder.fold, self.outcomes)

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
        self._settings = settings
        self._configured = True
        was_started = self.started
        if was_started:
            self.pipeline.stop(settings.flush_timeout)
            self.folder.stop()
        self._apply()
        self._renew()
        if was_started:
            self.start()
        else:
            self.termination.attend()

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the background threads, once; called by the first observed call, or truth, of a process."""
        if self.started or self.over:
            return
        try:
            self._starting.pop()
        except IndexError:
            return
        self.started = True
        if not self._configured:  # what was decorated at import is bound to the environment of then
            self._settings = from_environment()
        self._apply()
        self.folder.start()
        self.pipeline.start()
        _at_exit(self)
        self.termination.attend()

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
        self.termination.attend()

    def flush(self, timeout: float) -> bool:
        """Fold and export now; whether everything was delivered within ``timeout`` seconds."""
        return self.pipeline.flush(timeout)

    def leave(self, timeout: float) -> bool:
        """`flush` where nothing will run afterwards, the program's own exit handlers neither."""
        return self.pipeline.leave(timeout)

    def shutdown(self, timeout: float) -> bool:
        """Flush and stop the threads; a later call starts them again."""
        self.outcomes.close()
        if not self.started:
            return True
        delivered = self.pipeline.stop(timeout)
        self.folder.stop()
        self._renew()
        for monitor in self.monitors.values():
            monitor.sleep()
        return delivered

    @contextmanager
    def isolated(self, settings: Settings, clock: Callable[[], float]) -> Iterator[None]:
        """Other settings, no models and another clock, until the block ends; for tests."""
        before = (self._settings, self.clock, self.models, self.monitors, self.guard)
        judged = (self.objectives, self.hands, self.outcomes, self.reports)
        configured, self._configured = self._configured, True
        self.shutdown(0)
        unsent, self.unsent = self.unsent, deque()
        self._settings, self.clock, self.models, self.monitors = settings, clock, {}, {}
        self.news.come()
        self.guard = Guard()
        self.guard.strict = before[-1].strict
        self.objectives, self.hands = {}, False
        self.outcomes = Outcomes(self)
        self.reports = Reports(NO_ATTRIBUTES, self.guard)
        self._renew()
        try:
            yield
        finally:
            self.shutdown(0)
            self._settings, self.clock, self.models, self.monitors, self.guard = before
            self.news.come()
            self.objectives, self.hands, self.outcomes, self.reports = judged
            self.unsent = unsent
            self._configured = configured
            self._renew()

    def before_fork(self) -> None:
        """Wait until nothing of ours is being imported: a module half loaded would stay so in the child."""
        self.loading.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self.loading.release()

    def after_fork(self) -> None:
        """In the child: new locks, zeroed counts, a new start time and identity. Threads start with the first call."""
        self.budget.renew()
        self.tasks.renew()
        self._again()

    def anew(self) -> None:
        """Forget what has been counted and not sent: zeroed counts, a new start time and identity, as in a forked child.

        No observed call may be running.
        """
        self.outcomes.close()
        started = self.started
        if started:
            self.pipeline.stop(self.settings.flush_timeout)
            self.folder.stop()
        self.lives += 1
        self._again()
        if started:
            self.start()

    def _again(self) -> None:
        self.guard.renew()
        for identity, model in self.models.items():
            self.models[identity] = self._make(identity, model.profile)
        for (identity, _), monitor in self.monitors.items():
            monitor.renew(self.models[identity])
        self._begin(forked=True)
        self.outcomes.renew()
        self._renew()


_exits: set[int] = set()


def _at_exit(runtime: Runtime) -> None:
    """Flush when this process ends: by atexit, and by multiprocessing's finalisers, whose children skip atexit."""
    if os.getpid() in _exits:
        return
    _exits.add(os.getpid())

    def finish() -> None:
        runtime.shutdown(runtime.settings.flush_timeout)
        runtime.over = True  # no thread can be started any more
        for monitor in list(runtime.monitors.values()):
            monitor.off = True  # a thread that the end stops in the middle of a call keeps our locks for ever
        runtime.termination.release()

    atexit.register(finish)
    from multiprocessing import util

    util.Finalize(None, finish, exitpriority=-100)
