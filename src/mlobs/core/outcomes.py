"""What predictions turned out to be: truths and business events, taken in as they come.

Whatever arrives here comes from outside, at run time: nothing is raised, and what cannot be used is counted under its
reason.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mlobs.core.ended import last
from mlobs.core.inside import INSIDE
from mlobs.core.later import Later
from mlobs.core.model import Identity
from mlobs.core.monitor import Monitor
from mlobs.core.tickets import Given, Tickets
from mlobs.core.truths import Truths
from mlobs.otel import names
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Numbers
from mlobs.release.ids import hashed
from mlobs.release.joins import Joins
from mlobs.release.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlobs.core.settings import Settings
    from mlobs.core.state import State
    from mlobs.otel.points import Points
    from mlobs.release.prediction import Prediction
    from mlobs.release.quality import Quality

_EVERY: Final = 1.0  # seconds between two visits to the join store
_EVENTS: Final = 100_000  # business events with an id that are remembered


class Outcomes:
    """One a process. ``wall`` gives seconds since the epoch."""

    def __init__(self, state: State, wall: Callable[[], float] = time.time) -> None:
        self._state = state
        self._wall = wall
        self.renew()

    def renew(self) -> None:
        """Begin at zero: at the start, and in a forked child."""
        self._lock = Later(lambda error: self._state.guard.error("outcome", error))
        self._making = threading.RLock()  # of the join store
        self._truths: dict[Identity, Truths] = {}
        self._unjoined: Counter[str] = Counter()
        self._recent: Recent | None = None
        self._events = Recent(_EVENTS)
        self._joins: Joins | None = None
        self._ending: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.tickets = Tickets(self._state, self._expect, self._wall)

    @property
    def off(self) -> bool:
        """Whether nothing is taken in, and nothing told of that: observing is switched off."""
        return not self._state.settings.enabled

    def _expect(self, predictions: Sequence[Prediction]) -> None:
        def expect() -> None:
            for one in predictions:
                self._of(one).tally.expected(1)

        self._lock.do(expect)

    def follow(self, settings: Settings) -> None:
        """These are the settings now: windows may have other lengths, and a join store that is in use may be another one."""

        def follow() -> None:
            for truths in self._truths.values():
                truths.follow(settings.windows, self._state.clock())

        self._lock.do(follow)
        with self._making:
            if self._joins is not None:
                self._joins.move(settings.join_store, ttl=settings.join_ttl, entries=settings.join_entries)

    def joins(self) -> Joins:
        """What stands between callers and the join store; made when it is first needed."""
        with self._making:
            if self._joins is None:
                settings = self._state.settings
                self._joins = Joins(
                    settings.join_store,
                    ttl=settings.join_ttl,
                    entries=settings.join_entries,
                    joined=self._joined,
                    refused=self._refused,
                    told=self._state.guard.tell,
                    recovered=self._state.guard.again,
                    loading=self._state.loading,
                )
                self._ending = queue.SimpleQueue()
                threading.Thread(
                    target=self._run, args=(self._joins, self._ending), name="mlobs-joins", daemon=True
                ).start()
            return self._joins

    def _run(self, joins: Joins, ending: queue.SimpleQueue[None]) -> None:
        """Bring what waits to the store, each second, until the end."""
        while True:
            with suppress(queue.Empty):
                return ending.get(timeout=_EVERY)
            try:
                joins.work(self._wall())
            except Exception as error:  # noqa: BLE001 - ours
                self._state.guard.error("join", error)

    def close(self) -> None:
        """Bring what waits to the store a last time, before the last export."""
        joins, self._joins = self._joins, None
        if joins is None:
            return
        self._ending.put(None)
        try:
            joins.close(self._wall())
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("join", error)

    def remember(self, ids: Sequence[object], given: Given) -> bool:
        """Keep the current call's prediction under an id, or the rows of the one before under one each."""
        if self.off:
            return False
        try:
            self._state.start()
            return self.tickets.remember(self.joins(), ids, given)
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("remember", error)
            return False

    # ── truths ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def outcome(self, ticket: object, actual: object) -> bool:
        """A truth, with its ticket; whether it was counted."""
        if self.off:
            return False
        try:
            self._state.start()  # a process may bring truths and predict nothing
            opened = self._open(ticket)
            if opened is None:
                return False
            at = self._wall()
            reason = self._lock.do(lambda: self._once(opened, actual, at))
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("outcome", error)
            return False
        return reason is None

    def _once(self, prediction: Prediction, actual: object, at: float) -> str | None:
        """Count a truth that has not come before; None, or the reason why not, which is counted."""
        if self._recent is None:
            self._recent = Recent(self._state.settings.outcome_memory)
        reason = "duplicate" if prediction.id in self._recent else self._count(prediction, actual, at)
        if reason is None:
            self._recent.add(prediction.id)
        else:
            self._unjoined[reason] += 1
        return reason

    def outcome_of(self, key: object, actual: object) -> bool:
        """A truth, with the id of its prediction; whether it was taken in. It is counted when both have met."""
        if self.off:
            return False
        try:
            self._state.start()
            return self.joins().truth(key, actual, self._wall())
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("outcome", error)
            return False

    def _open(self, ticket: object) -> Prediction | None:
        opened = self.tickets.open(ticket)
        if isinstance(opened, str):
            self._refused(opened, 1)
            return None
        return opened

    def _count(self, prediction: Prediction, actual: object, at: float) -> str | None:
        objective = self._state.objective(prediction.model, prediction.version)
        tally = self._of(prediction).tally
        before = tally.unjudged
        reason = tally.add(prediction, actual, at, objective)
        if tally.unjudged > before:
            self._drop("truth_unjudged")
        return reason

    def _joined(self, prediction: Prediction, actual: object, at: float) -> None:
        def join() -> None:
            reason = self._count(prediction, actual, at)
            if reason is not None:
                self._unjoined[reason] += 1

        self._lock.do(join)

    def _refused(self, reason: str, count: int) -> None:
        self._lock.do(lambda: self._unjoined.update({reason: count}))

    def _of(self, one: Prediction) -> Truths:
        return self._truths_of(Identity(one.model, one.version, one.variant))

    def _truths_of(self, identity: Identity) -> Truths:
        found = self._truths.get(identity)
        if found is None:
            settings = self._state.settings
            if len(self._truths) >= settings.max_models:
                self._state.guard.drop("model_limit", 1)
                identity = Identity("_OTHER")
            found = self._truths.get(identity)
        if found is None:
            attributes = Attributes(
                (names.MODEL_NAME, identity.name),
                (names.MODEL_VERSION, identity.version),
                (names.MODEL_VARIANT, identity.variant),
            )
            found = self._truths[identity] = Truths(attributes, settings.windows, self._state.clock())
        return found

    # ── business ────────────────────────────────────────────────────────────────────────────────────────────────────

    def business(
        self,
        kpi: object,
        value: object,
        currency: object,
        *,
        ticket: object,
        identity: Identity | None,
        event: object,
    ) -> bool:
        """A business event of a model; whether it was counted."""
        if self.off:
            return False
        try:
            self._state.start()
            if ticket is not None:
                opened = self._open(ticket)
                if opened is None:
                    return False
                identity = Identity(opened.model, opened.version, opened.variant)
            elif identity is None:
                identity = self._current()
            if identity is None:
                self._drop("business_model")
                return False
            whose = identity
            reason = self._lock.do(lambda: self._business(whose, kpi, value, currency, event))
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("business", error)
            return False
        return reason is None

    def _business(self, identity: Identity, kpi: object, value: object, currency: object, event: object) -> str | None:
        """Count an event that has not come before; None, or the reason why not, which is counted."""
        key = None if event is None else hashed(event)
        key = key and hashed(f"{key.hex()} {identity.name} {kpi}")  # an order's refund, and another model's
        if event is None or (key is not None and key not in self._events):
            reason = self._truths_of(identity).tally.business(kpi, value, currency)
        else:
            reason = "duplicate" if key else "event_id"
        if reason is not None:
            self._drop(f"business_{reason}")
        elif key is not None:
            self._events.add(key)
        return reason

    def _current(self) -> Identity | None:
        within = INSIDE.get()
        if isinstance(within, Monitor):
            return within.model.identity
        handed = last()
        if handed is None:
            self._state.hand()  # from now on there is one
        return handed.monitor.model.identity if handed is not None else None

    def _drop(self, reason: str, count: int = 1) -> None:
        self._state.guard.drop(reason, count)

    # ── what is known ───────────────────────────────────────────────────────────────────────────────────────────────

    def quality(self, since: float | None, until: float | None) -> dict[str, Quality]:
        """How good the predictions were that were made between two times, seconds since the epoch."""
        self.settle()
        if self._lock.held_here:  # a signal handler asks amid a truth that is being counted
            return self._judged(since, until, settled=True)
        return self._lock.do(lambda: self._judged(since, until)) or {}

    def _judged(self, since: float | None, until: float | None, *, settled: bool = False) -> dict[str, Quality]:
        found: dict[str, Quality] = {}
        shared = [identity.name for identity in self._truths]
        for identity, truths in self._truths.items():
            key = identity.name if shared.count(identity.name) == 1 else ":".join(identity)
            objective = self._state.objective(identity.name, identity.version)
            found[key] = truths.tally.quality(since, until, objective, settled=settled)
        return found

    def settle(self) -> None:
        """Join what waits for the join store."""
        joins = self._joins
        if joins is not None:
            joins.work(self._wall())

    def roll(self, now: float) -> None:
        """Let the windows move on; ``now`` is of the state's clock."""

        def move_on() -> None:
            for truths in self._truths.values():
                truths.roll(now)

        self._lock.do(move_on)

    def collect(self) -> Iterator[Points]:
        """Everything that is known of outcomes, and of those that wait for the join store unless that fails: an export does not wait for it."""
        joins = self._joins
        if joins is None or not joins.fails:
            self.settle()
        yield from self._lock.do(self._points) or []

    def _points(self) -> list[Points]:
        found: list[Points] = []
        for identity, truths in self._truths.items():
            found.extend(truths.collect(self._state.objective(identity.name, identity.version)))
        if self._unjoined:
            each = [Attributes((names.REASON, reason)) for reason in self._unjoined]
            found.append(Numbers(names.OUTCOME_UNJOINED, NO_ATTRIBUTES, list(self._unjoined.values()), each))
        return found
