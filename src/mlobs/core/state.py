"""What one process has observed, and what everyone who works on it must agree on."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final

from mlobs.core.budget import Budget
from mlobs.core.guard import Guard
from mlobs.core.known import News
from mlobs.core.model import Identity, Model
from mlobs.core.monitor import Monitor
from mlobs.core.reports import Reports
from mlobs.core.settings import Settings, from_environment
from mlobs.core.turns import Turns
from mlobs.otel.deltas import Deltas
from mlobs.otel.points import NO_ATTRIBUTES
from mlobs.resource import Resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from mlobs.profile import Profile
    from mlobs.release.objective import Objective

_OTHER: Final = Identity("_OTHER")
_OPERATIONS: Final = 100  # of one model, beside "_OTHER"


class Sent:
    """How much had been counted when everything was delivered; of one life, whatever pipelines serve it."""

    counted = 0.0


class State(ABC):
    """Models, monitors, settings and locks of a process.

    ``counting`` is held by whoever folds or collects, ``loading`` by whoever imports in the background.
    """

    def __init__(self, settings: Settings | None, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._configured = settings is not None
        self.clock = clock
        self.guard = Guard()
        self.models: dict[Identity, Model] = {}
        self.news = News()
        self.monitors: dict[tuple[Identity, str], Monitor] = {}
        self.objectives: dict[tuple[str, str | None], Objective] = {}
        self.hands = False  # every model's calls are kept for tickets
        self.lives = 0  # how often this process has begun anew
        self.budget = Budget(lambda: self.monitors.values())  # noqa: PLW0108 - tests put another mapping in its place
        self.turns = Turns()
        self._begin(forked=False)

    def _begin(self, *, forked: bool) -> None:
        """What is one a process: locks, the time its counts begin, its identity, and what has been delivered."""
        self._registering = threading.RLock()  # a signal handler may make the first call while one is decorated
        self.loading = threading.RLock()
        self.counting = threading.RLock()
        self.turns.renew()
        self.begun = time.time_ns()
        self.forked = forked
        self.ran = False  # threads were started, so that something may have been sent
        self.held = False  # a task is running whose counts are sent when it has ended well
        self.instance: str | None = None
        self.deltas = Deltas()
        self.spans: deque[ReadableSpan] = deque()  # spans of ours that no receiver has taken yet
        self.sent = Sent()
        self.reports = Reports(NO_ATTRIBUTES, self.guard)  # of no model
        self.fold_seconds = 0.0
        self.export_seconds = 0.0
        self.resources = Resources(lambda place, error: self.guard.error(place, error))  # noqa: PLW0108 - a test has another guard

    @property
    def counts_here(self) -> bool:
        """Whether this thread holds the counting lock: a signal handler or a ``__del__`` may find that it does."""
        return self.counting._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 - the standard library's own Condition asks so

    @property
    def settings(self) -> Settings:
        """The settings in force; the environment is read when they are first needed."""
        if self._settings is None:
            self._settings = from_environment()
        return self._settings

    def _apply(self) -> None:
        with self._registering:
            for monitor in self.monitors.values():
                monitor.apply(self.settings)

    def _follow(self, settings: Settings) -> None:
        """Take new settings for what is observed already, all at once for who counts or asks."""
        # a signal handler configures amid a fold, which holds a histogram that it is about to fill
        amid = self.counts_here
        with self.counting:
            self._settings = settings
            now = self.clock()
            for model in list(self.models.values()):
                model.follow(settings, now)
            for monitor in () if amid else list(self.monitors.values()):
                monitor.follow(settings)

    @abstractmethod
    def start(self) -> None:
        """Whatever is counted is exported from now on; again does no harm."""

    @abstractmethod
    def wake(self) -> None:
        """A ring is half full: whoever runs the folder wakes it."""

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
                        "model %s %s is already observed %s.",
                        identity.name,
                        identity.version,
                        "without a reference, and stays so. Give it one where it is first observed, or a version of its own"
                        if found.profile is None
                        else "against another reference; that one stays. Give a retrained model a version of its own",
                    )
            return found

    def _make(self, identity: Identity, profile: Profile | None) -> Model:
        model = Model(
            identity,
            profile,
            spans=self.settings.windows,
            guard=self.guard,
            limit=self.settings.max_features,
            objective=self.objective(identity.name, identity.version),
        )
        model.handed |= self.hands
        return model

    def hand(self) -> None:
        """From now on every model's calls are kept until the next one of their context: ids are given to them."""
        if not self.hands:
            self.hands = True
            with self._registering:
                for model in self.models.values():
                    model.handed = True
            self._apply()

    def objective(self, name: str, version: str) -> Objective | None:
        """What a model's predictions are judged by: what its version has of its own, else what the model has."""
        return self.objectives.get((name, version)) or self.objectives.get((name, None))

    def judge(self, objective: Objective) -> None:
        """From now on the model's predictions are judged by this."""
        with self._registering:
            self.objectives[objective.model, objective.version] = objective
            models = list(self.models.values())
            monitors = list(self.monitors.values())
        with self.counting:
            for model in models:
                if model.identity.name == objective.model:
                    model.judge(self.objective(*model.identity[:2]))
        for monitor in monitors:
            monitor.apply(self.settings)

    def monitor(self, model: Model, operation: str) -> Monitor:
        """The monitor of an operation of a model, made when first asked for."""
        with self._registering:
            found = self.monitors.get((model.identity, operation))
            if found is None:
                if self._full(model.identity):
                    self.guard.drop("operation_limit", 1, f"{model.identity.name} {operation}")
                    operation = _OTHER.name
                key = (model.identity, operation)
                found = self.monitors.get(key)
            if found is None:
                found = Monitor(model, operation, self.settings, self.guard, self.wake, self.budget)
                self.monitors[key] = found
            return found

    def _full(self, identity: Identity) -> bool:
        """Whether a model has as many operations as are told apart: names that a request brings must not pile up."""
        monitors = self.monitors
        return len(monitors) >= _OPERATIONS and sum(key[0] == identity for key in monitors) >= _OPERATIONS
