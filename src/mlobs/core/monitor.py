"""What one operation of one model leaves behind: durations, rows, CPU time, spans, and data for its model."""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING, Any, Final

from mlobs.core import again
from mlobs.core.answers import MARGINS
from mlobs.core.budget import Budget
from mlobs.core.guard import Mute
from mlobs.core.intake import Intake
from mlobs.core.model import Margins
from mlobs.core.record import Record
from mlobs.core.ring import Ring, drain
from mlobs.core.settings import LONGEST, ROWS_BOUNDS
from mlobs.core.share import Share
from mlobs.core.work import Work
from mlobs.otel import names
from mlobs.otel.histogram import Histogram
from mlobs.otel.points import Attributes, Exemplar, Numbers, Points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlobs.core.guard import Guard
    from mlobs.core.model import Model
    from mlobs.core.observations import Observations
    from mlobs.core.pack import Pack
    from mlobs.core.record import After
    from mlobs.core.settings import Settings

_ERROR_TYPES: Final = 50  # a model that raises more kinds of errors has the rest under OpenTelemetry's own "_OTHER"
_LONG: Final = 2e-3  # seconds; from here on reading the CPU clock on every call is lost in the call itself
_SAMPLED: Final = 64  # else on one call in several, in so many at the most
_SAMPLES_A_SECOND: Final = 50  # or fewer: behind a real model a read takes far longer than in a loop
_POOLED: Final = 16  # on one call in so many it is asked what the process' other threads worked meanwhile
_NEVER: Final = 2**62
_SOON: Final = 0.1  # seconds after a fold, as when an export follows it, in which a rate would say little
_COPY: Final = 1e-9  # seconds a byte that copying takes a caller, whose caches hold other things
_SLOW_FACTOR: Final = 4
_SLOW_LEAST: Final = 0.005
_FIRST: Final = 1000  # calls
_SPANS_A_FOLD: Final = 20  # made after the fact, for errors and slow calls
_SPANS_A_SECOND: Final = 5  # begun by our own countdown: a live span costs its call as much as fifty without
_ALONE_A_FOLD: Final = 50
_POLLED: Final = 4096  # calls whose GPU time is not known yet


class Monitor:
    """One (model, version, variant, operation).

    The caller's side is `started`, `ring`, and the few numbers it decides by; everything else belongs to whoever
    holds the counting lock. ``after`` makes spans after the fact.
    """

    def __init__(
        self,
        model: Model,
        operation: str,
        settings: Settings,
        guard: Guard,
        wake: Callable[[], None],
        budget: Budget | None = None,
    ) -> None:
        self.operation = operation
        self.iterates = False  # it is an `__next__`, and StopIteration says that there was no call
        self.guard = guard
        self.budget = budget or Budget()
        self.hands = False
        self._settings = settings
        self._wake = wake
        self.renew(model)

    def __reduce__(self) -> tuple[Callable[..., Monitor], tuple[Any, ...]]:
        model = self.model
        return again.monitor, (tuple(model.identity), self.operation, model.profile)

    def apply(self, settings: Settings) -> None:
        """Take new settings. Counts go on."""
        self._settings = settings
        self.off = not settings.enabled
        self.span_every = self._span_every = _every(settings)
        self.always = settings.spans == "always"
        self.spanless = settings.spans == "never"
        self.counts_down = self.span_every != _NEVER
        self._hand()
        self.due = 0
        self.slow = int((settings.slow or _SLOW_LEAST * 20) * 1e9)
        self._slow_is_given = settings.slow is not None
        self.ring.resize(settings.ring_calls, settings.ring_bytes)

    def follow(self, settings: Settings) -> None:
        """Take new bounds of durations, where none was counted by the old ones. The caller holds the counting lock."""
        if not any(histogram.counts.any() for histogram, _ in self._durations.values()):
            self._durations.clear()
            self._bounds = settings.duration_bounds

    def _hand(self) -> None:
        """Whether calls are kept for who asks for a ticket or an id, as the first ones are until somebody has asked for one."""
        self.whole = self.model.handed or self._settings.tickets
        hands = self.whole or self._ended < _FIRST
        if hands and not self.hands:
            self.kept_from = time.perf_counter_ns()
        self.hands = hands

    def sleep(self) -> None:
        """The threads were stopped: the next call takes the path that starts them, and settings are applied anew."""
        self.due = 0

    def look_ahead(self, ordinal: int) -> None:
        """A call is the next one of which something rare is asked: which will be the one after it."""
        self.due = ordinal + min(every - ordinal % every for every in (self.cpu_every, self.span_every))

    def renew(self, model: Model) -> None:
        """Begin at zero: at the start, and in a forked child."""
        self.model = model
        settings = self._settings
        self.attributes = model.attributes.extended((names.MODEL_OPERATION, self.operation))
        self.started = itertools.count()
        self.passed = itertools.count()  # calls that turned out to be none
        self.ring = Ring(settings.ring_calls, settings.ring_bytes, self._wake)
        # read by the hot path: every how many calls something rare happens
        self._ended = 0
        self.apply(settings)
        self.cpu_every = 1
        self.pool_every = _POOLED
        self._durations: dict[str | None, tuple[Histogram, Attributes]] = {}
        self._bounds = settings.duration_bounds
        self._rows = 0
        self._batch = Histogram(ROWS_BOUNDS)
        self._adapted_at = math.inf
        self._calls = 0  # since then
        self._spent = 0.0
        self._share = Share()
        self.work = Work(self.budget)
        self._alone = -1
        self.features = len(model.inputs.reference) or None
        self._inputs = Intake(model.inputs, self.features, self.guard)
        self._again: Observations | None = None
        answers = Margins(model, self.guard) if self.operation in MARGINS else model
        self._answers = Intake(answers, len(model.outputs.reference), self.guard)

    # ── the caller's side: CPU time beside the caller's thread ──────────────────────────────────────────────────────

    def answer(self, value: Any) -> object:  # noqa: ANN401 - any container
        """A copy of a large answer, or what stands for it; where outcomes are told, all of it is counted."""
        return self.ring.take(value) if self.whole else self.ring.sample(value)

    def others(self) -> int:
        """The process' CPU clock in ns, where the call that asks is the only one running; else -1. Never raises."""
        try:
            self._alone = self.budget.alone()
            return -1 if self._alone < 0 else time.process_time_ns()
        except Exception as error:  # noqa: BLE001 - ours: a model was made meanwhile, say
            self.guard.error("cpu", error)
            return -1

    def pooled(self, others: int, cpu: int, took: int) -> None:
        """The call has ended: what the process worked meanwhile, less ``cpu``, was other threads'. Never raises."""
        spent = time.process_time_ns() - others - cpu
        try:
            if self.budget.alone() == self._alone:  # nobody has called meanwhile
                self.ring.pooled.append((max(0, spent), took))
        except Exception as error:  # noqa: BLE001 - ours
            self.guard.error("cpu", error)

    @property
    def begun(self) -> int:
        """Calls that have begun."""
        # count(7): the only way to look without taking one
        return int(repr(self.started)[6:-1]) - int(repr(self.passed)[6:-1])

    @property
    def ended(self) -> int:
        """Calls that have ended."""
        return self._ended + self.ring.waiting

    # ── the fold: on mlobs' own thread ──────────────────────────────────────────────────────────────────────────────

    def fold(self, after: After, now: float) -> int:
        """Turn what waits in the ring into counts; how many calls that was. The caller holds the counting lock."""
        ring = self.ring
        took = drain(ring.took)
        rare = [Record(*record) for record in drain(ring.rare)]
        gpu = self._gpu()
        if not took and not rare and not gpu:
            return 0
        self._ended += len(took) + len(rare)
        sampled = drain(ring.sampled)
        sampled.extend((record.cpu, record.took) for record in rare if record.cpu >= 0)
        duration = sum(took) + sum(record.took for record in rare)
        self.work.fold(duration, sampled, drain(ring.pooled), gpu, self._settings)
        self._durations_of(None)[0].add([ns * 1e-9 for ns in took])
        kept, packed = drain(ring.kept), ring.inputs.drain()
        answers, given = drain(ring.answers), ring.outputs.drain()
        began = time.thread_time()
        rows = self._take(kept, packed)
        self._answers.take(answers, given, single=self._are_single(rows))
        spent = time.thread_time() - began
        whole, said = [*(one.kept for one in rare), *kept], [*(one.answer for one in rare), *answers]
        spent += ring.release(whole, packed, said) * _COPY
        ring.inputs.settle(kept, packed)
        ring.outputs.settle(answers, given)
        self._fold_rare(rare, after)
        self._hand()
        self._adapt(len(took) + len(rare), spent, now)
        return len(took) + len(rare)

    def _gpu(self) -> list[float]:
        """Seconds of GPU time that calls reported; those that the GPU has not finished are asked again."""
        ring = self.ring
        waiting: list[Callable[[], float | None]] = []
        for finished in drain(ring.polled):
            try:
                seconds = finished()
            except Exception as error:  # noqa: BLE001 - an integration's, or a device that is gone
                self.guard.error("gpu", error)
                continue
            if seconds is None:
                waiting.append(finished)
            elif 0 <= seconds <= LONGEST:
                ring.gpu.append(seconds)
            else:
                self.guard.drop("gpu_time")
        if len(waiting) > _POLLED:
            self.guard.drop("gpu_pending", len(waiting) - _POLLED)
        ring.polled[:0] = waiting[:_POLLED]
        return drain(ring.gpu)

    def _durations_of(self, error: str | None) -> tuple[Histogram, Attributes]:
        found = self._durations.get(error)
        if found is None:
            if error is not None and len(self._durations) > _ERROR_TYPES:
                return self._durations_of("_OTHER") if error != "_OTHER" else self._new_durations("_OTHER")
            found = self._new_durations(error)
        return found

    def _new_durations(self, error: str | None) -> tuple[Histogram, Attributes]:
        attributes = self.attributes if error is None else self.attributes.extended((names.ERROR_TYPE, error))
        found = self._durations[error] = (Histogram(self._bounds), attributes)
        return found

    def _take(self, kept: list[Any], packed: Sequence[tuple[Pack, Sequence[bytes]]] = ()) -> list[int]:
        rows = self._inputs.take(kept, packed)
        self._rows += sum(rows)
        self._batch.add(rows)
        return rows

    def _are_single(self, rows: list[int]) -> bool:
        """Whether calls whose scores are counted were given one row each."""
        return self.model.scores is not None and set(rows) == {1}

    # ── rare calls: errors, slow ones, and those with a span ────────────────────────────────────────────────────────

    def _fold_rare(self, records: list[Record], after: After) -> None:
        seconds: dict[str | None, list[float]] = {}
        spanned: list[Record] = []
        others: list[Record] = []
        made = 0
        for record in records:
            extra = record.extra
            seconds.setdefault(extra.failure.type if extra.failure else None, []).append(record.took * 1e-9)
            if extra.span is not None:
                spanned.append(record)
            elif not extra.alone or self.spanless:
                others.append(record)
            elif made < _SPANS_A_FOLD:
                made += 1
                spanned.append(record)
            else:
                others.append(record)
                self.guard.drop("span_limit", 1)
        for error, values in seconds.items():
            self._durations_of(error)[0].add(values)
        rows = self._take([record.kept for record in others])
        before = self.model.inputs.violated
        rows += self._take([record.kept for record in spanned])
        violated = self.model.inputs.violated > before
        self._answers.take([record.answer for record in records], single=self._are_single(rows))
        for number, record in enumerate(spanned):
            told = number < _ALONE_A_FOLD
            self._end(record, after, (self._violations(record) if violated else 0) if told else None)

    def _violations(self, record: Record) -> int:
        """Of one call among several that have been counted, by counting it once more, for nobody."""
        if self._again is None:
            self._again = self.model.inputs.twin()
        before = self._again.violated
        Intake(self._again, self.features, Mute()).take([record.kept])
        return self._again.violated - before

    def _end(self, record: Record, after: After, violations: int | None) -> None:
        try:
            span = after(self, record, violations)
        except Exception as error:  # noqa: BLE001 - ours or the user's span processor's
            self.guard.error("span", error)
            return
        context = span.get_span_context() if span else None
        if context is not None and context.trace_flags.sampled:
            histogram, _ = self._durations_of(record.extra.failure.type if record.extra.failure else None)
            histogram.exemplify(Exemplar(record.took * 1e-9, time.time_ns(), context.trace_id, context.span_id))

    def _adapt(self, calls: int, spent: float, now: float) -> None:
        """Decide anew what the hot path does every call and what only sometimes."""
        self._calls += calls
        self._spent += spent
        elapsed = now - self._adapted_at
        if 0 <= elapsed < _SOON:
            return
        histogram = self._durations_of(None)[0]
        total = int(histogram.counts.sum())
        before = self.cpu_every, self.span_every
        rate = self._calls / elapsed if elapsed > 0 else 0.0
        if not self._slow_is_given and total >= 100:
            self.slow = int(max(_SLOW_LEAST, _SLOW_FACTOR * histogram.quantile(0.99)) * 1e9)
        if total:
            mean = histogram.total / total
            self.cpu_every = min(_SAMPLED, math.ceil(_LONG / mean)) if mean else _SAMPLED
            if self.cpu_every > 1:
                self.cpu_every = max(self.cpu_every, round(rate / _SAMPLES_A_SECOND))
            self.pool_every = self.cpu_every * max(2, _POOLED // self.cpu_every)
        if elapsed > 0:
            self.ring.read(self._share.follow(self._spent, elapsed, self._settings.read_share))
            if self.counts_down and not self.always:
                self.span_every = max(self._span_every, round(rate / _SPANS_A_SECOND))
        if before != (self.cpu_every, self.span_every):
            self.due = 0
        self._adapted_at, self._calls, self._spent = now, 0, 0.0

    # ── points ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def active(self) -> int:
        """Calls that have begun and not ended."""
        # in this order: a call that begins and ends between the two would seem to have ended without a beginning
        ended = self.ended
        begun = self.begun
        if ended > begun:  # calls that were running while the process forked end here without having begun here
            self._ended -= ended - begun
            return 0
        return begun - ended

    def collect(self) -> Iterator[Points]:
        """Everything this operation has to say."""
        self._durations_of(None)
        for histogram, attributes in self._durations.values():
            yield histogram.collect(names.PREDICTION_DURATION, attributes)
        yield Numbers(names.PREDICTION_ROWS, self.attributes, (self._rows,))
        yield self._batch.collect(names.PREDICTION_BATCH_SIZE, self.attributes)
        yield Numbers(names.PREDICTION_ACTIVE, self.attributes, (self.active(),))
        yield from self.work.collect(self.attributes)

    @property
    def rows(self) -> int:
        """Rows that its calls were given."""
        return self._rows


def _every(settings: Settings) -> int:
    if settings.spans == "always":
        return 1
    if settings.spans == "never" or not settings.span_ratio:
        return _NEVER
    return max(1, round(1 / settings.span_ratio))
