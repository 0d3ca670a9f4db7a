"""What this process runs: its models, its settings, and the two threads behind them."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - it registers fork hooks; loaded amid a fork, half of them would run
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mlobs.core.folder import Folder
from mlobs.core.guard import Guard
from mlobs.core.model import Identity, Model
from mlobs.core.monitor import Monitor
from mlobs.core.pipeline import Pipeline
from mlobs.core.settings import Settings, from_environment
from mlobs.core.tracing import Tracing
from mlobs.otel.deltas import Deltas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlobs.profile import Profile

_OTHER: Final = Identity("_OTHER")


class Runtime:
    """One a process. A forked child keeps its models and monitors, and begins their counts anew."""

    def __init__(self, settings: Settings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._configured = settings is not None
        self.clock = clock
        self.guard = Guard()
        self.models: dict[Identity, Model] = {}
        self.monitors: dict[tuple[Identity, str], Monitor] = {}
        self._begin(forked=False)
        self.tracing = Tracing(lambda: self.pipeline.spans, self.start, lambda: self.folder.fold())  # noqa: PLW0108 - renewed

    def _begin(self, *, forked: bool) -> None:
        """What is one a process: locks, the time its counts begin, its identity, and what has been delivered."""
        self._registering = threading.Lock()
        self.loading = threading.RLock()
        self.counting = threading.RLock()
        self.begun = time.time_ns()
        self.forked = forked
        self.instance: str | None = None
        self.deltas = Deltas()
        self._renew()

    def _renew(self) -> None:
        """What may be made again while counts go on: the two threads."""
        self.started = False
        self._starting = threading.Lock()
        self.folder = Folder(self)
        self.pipeline = Pipeline(self)

    @property
    def settings(self) -> Settings:
        """The settings in force; the environment is read when they are first needed."""
        if self._settings is None:
            self._settings = from_environment()
        return self._settings

    def configure(self, settings: Settings) -> None:
        """Take new settings. Counts go on; what was bound to the old settings is bound again."""
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

    def _apply(self) -> None:
        with self._registering:
            for monitor in self.monitors.values():
                monitor.apply(self.settings)

    # ── models and monitors ─────────────────────────────────────────────────────────────────────────────────────────

    def model(self, identity: Identity, profile: Profile | None = None) -> Model:
        """The model of this identity, made when first asked for.

        A profile given later is not taken: counts are bound to the first; that is told once.
        """
        with self._registering:
            found = self.models.get(identity)
            if found is None:
                if len(self.models) >= self.settings.max_models:
                    self.guard.drop("model_limit", 1, f"{identity.name} {identity.version}")
                    identity = _OTHER
                    profile = None
                found = self.models.get(identity)
            if found is None:
                found = self.models[identity] = self._make(identity, profile)
            elif profile is not None and (found.profile is None or found.profile.id != profile.id):
                if found.profile is None and not any(key[0] == identity for key in self.monitors):
                    found = self.models[identity] = self._make(identity, profile)
                else:
                    self.guard.tell(
                        f"profile {identity}",
                        "model %s %s is already observed against another reference; that one stays. Give a retrained "
                        "model a version of its own.",
                        identity.name,
                        identity.version,
                    )
            return found

    def _make(self, identity: Identity, profile: Profile | None) -> Model:
        return Model(
            identity,
            profile,
            spans=self.settings.windows,
            drop=self.guard.drop,
            limit=self.settings.max_features,
        )

    def monitor(self, model: Model, operation: str) -> Monitor:
        """The monitor of an operation of a model, made when first asked for."""
        key = (model.identity, operation)
        with self._registering:
            found = self.monitors.get(key)
            if found is None:
                found = Monitor(model, operation, self.settings, self.guard, lambda: self.folder.wake())  # noqa: PLW0108 - renewed
                self.monitors[key] = found
            return found

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the background threads, once; called by the first observed call of a process."""
        if self.started:
            return
        with self._starting:
            if self.started:
                return
            self.started = True
            if not self._configured:  # what was decorated at import is bound to the environment of then
                self._settings = from_environment()
            self._apply()
            self.folder.start()
            self.pipeline.start()
            _at_exit(self)

    def flush(self, timeout: float) -> bool:
        """Fold and export now; whether everything was delivered within ``timeout`` seconds."""
        return self.pipeline.flush(timeout)

    def shutdown(self, timeout: float) -> bool:
        """Flush and stop the threads; a later call starts them again."""
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
        configured, self._configured = self._configured, True
        self.shutdown(0)
        self._settings, self.clock, self.models, self.monitors = settings, clock, {}, {}
        self.guard = Guard()
        self.guard.strict = before[-1].strict
        self._renew()
        try:
            yield
        finally:
            self.shutdown(0)
            self._settings, self.clock, self.models, self.monitors, self.guard = before
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
        self.guard.renew()
        for identity, model in self.models.items():
            self.models[identity] = self._make(identity, model.profile)
        for (identity, _), monitor in self.monitors.items():
            monitor.renew(self.models[identity])
        self._begin(forked=True)


_exits: set[int] = set()


def _at_exit(runtime: Runtime) -> None:
    """Flush when this process ends: by atexit, and by multiprocessing's finalisers, whose children skip atexit."""
    if os.getpid() in _exits:
        return
    _exits.add(os.getpid())

    def finish() -> None:
        runtime.shutdown(runtime.settings.flush_timeout)

    atexit.register(finish)
    from multiprocessing import util

    util.Finalize(None, finish, exitpriority=-100)
