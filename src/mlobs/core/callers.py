"""Who waits for a prediction that runs elsewhere: requests whose rows a server collects into one batch, or queues for a worker.

The batch runs in a context of its own, under no request's span: with one caller it is a child of that one's span, with
several a root that links to all of theirs, and each of these links back, as long as it is open: at once in this process, in
another one when the answer comes there.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, NonRecordingSpan, SpanContext, TraceFlags

from mlobs.core.ended import KEPT, REQUEST, Handed
from mlobs.core.inside import INSIDE, Variant
from mlobs.core.predicted import lots, rows_of
from mlobs.core.ring import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from mlobs.core.guard import Guard
    from mlobs.core.reports import Reports


SUPPRESS: Final = "suppress_instrumentation"
Ids = tuple[int, int, int]  # of a span: its trace's, its own, its flags


class Answer(NamedTuple):
    """What is carried to where a caller waits: its tickets, and the spans of what was predicted for several together."""

    tickets: str | None
    spans: tuple[Ids, ...] = ()


class Caller:
    """One who waits: its span, since when, and what its context knows.

    Pickled, it is the name of its span, the time, and whether its request wants tickets.
    """

    __slots__ = ("context", "inside", "request", "since", "span")

    def __init__(self, ids: Ids | None, since: int, inside: object, wants: bool = False) -> None:  # noqa: FBT001, FBT002 - a pickle has no names
        self.context = None if ids is None else _context(ids)
        self.since = since  # ns since the epoch: another process may be asked
        self.inside = inside
        self.span: Span | None = None
        self.request: list[Handed | str] | None = [] if wants else None

    @classmethod
    def nobody(cls) -> Caller:
        """One of whom only the time is known."""
        return cls(None, time.time_ns(), inside=False)

    @classmethod
    def now(cls) -> Caller:
        """Whoever runs here."""
        within = INSIDE.get()
        found = cls(None, time.time_ns(), within if type(within) is Variant else bool(within))
        span = trace.get_current_span()
        if span is not trace.INVALID_SPAN:
            context = span.get_span_context()
            found.context = context if context.is_valid else None
            found.span = span if span.is_recording() else None
        found.request = REQUEST.get()
        return found

    def __reduce__(self) -> tuple[type[Caller], tuple[Any, ...]]:
        ids = None if self.context is None else _ids(self.context)
        return Caller, (ids, self.since, self.inside, self.request is not None)

    def given(self, call: Handed | str) -> None:
        """A call, or the tickets of one, whose rows are all its request's."""
        if self.request is not None and len(self.request) < KEPT:
            self.request.append(call)

    def answered(self, answer: Answer | None) -> None:
        """See `mlobs.integration.Caller`."""
        if answer is None:
            return
        if answer.tickets:
            self.given(answer.tickets)
        for ids in answer.spans:
            self.link(_context(ids))

    def link(self, context: SpanContext) -> None:
        """From its span, if that is open here, to a prediction's."""
        if self.span is not None and self.span.is_recording():
            self.span.add_link(context)


def _context(ids: Ids) -> SpanContext:
    return SpanContext(ids[0], ids[1], is_remote=True, trace_flags=TraceFlags(ids[2]))


def _ids(context: SpanContext) -> Ids:
    return context.trace_id, context.span_id, int(context.trace_flags)


class Crowd(NonRecordingSpan):
    """Stands where the current span would: whose prediction runs here. A lone caller's is what other spans see, too."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self.callers = tuple(callers)
        self.contexts = [caller.context for caller in callers if caller.context is not None]
        self.shared: list[Ids] = []  # spans of what was predicted for several of them together
        super().__init__(self.contexts[0] if self.contexts and len(self.callers) == 1 else INVALID_SPAN_CONTEXT)
        self._told = False

    @property
    def sampled(self) -> bool:
        """Whether the trace of one of them is recorded."""
        return any(context.trace_flags.sampled for context in self.contexts)

    @property
    def parent(self) -> Context:
        """The context for the span of their prediction."""
        if len(self.callers) == 1 and self.contexts:
            return trace.set_span_in_context(self, otel_context.Context())
        return otel_context.Context()

    @property
    def links(self) -> list[Link]:
        """From the prediction's span to theirs."""
        return [] if len(self.callers) == 1 else [Link(context) for context in self.contexts]

    def queued(self, reports: Reports) -> None:
        """Say once how long each of them has waited."""
        if not self._told:
            self._told = True
            now = time.time_ns()
            for caller in self.callers:
                reports.stage("queue", max(0, now - caller.since) * 1e-9)

    def link(self, span: Span) -> None:
        """From their spans to the prediction's."""
        if len(self.callers) > 1:
            context = span.get_span_context()
            if len(self.shared) < KEPT:
                self.shared.append(_ids(context))
            for caller in self.callers:
                caller.link(context)


def suppressed() -> bool:
    """Whether a block asks for no spans, as OpenTelemetry's `suppress_instrumentation` has all instrumentation asked."""
    return bool(otel_context.get_value(SUPPRESS))


def alone() -> bool:
    """Whether what runs here is under nobody's span, and may have one all the same."""
    current = trace.get_current_span()
    nobody = current is trace.INVALID_SPAN or (type(current) is Crowd and not current.contexts)
    return nobody and not suppressed()


def told() -> bool:
    """Whether what runs here may be told to a trace, or to callers: under a span that is recorded, or for some of a batch."""
    try:
        current = trace.get_current_span()
        return type(current) is Crowd or recorded(current)
    except Exception:  # noqa: BLE001 - a span of somebody's own kind; who asks again counts it
        return True


def recorded(span: Span) -> bool:
    """Whether its trace is; a remote span is sampled but not recording here: the request began in another process."""
    context = span.get_span_context()
    return span.is_recording() or (context.is_valid and bool(context.trace_flags.sampled))


class Serving:
    """A block in which whatever is predicted is predicted for these callers; ``rows`` are how many each of them gave.

    In a context of its own: what its callers' contexts hold does not reach the block, apart from what they agree on, a
    variant or being inside of an observed call.
    """

    def __init__(
        self,
        callers: Sequence[Caller],
        rows: Sequence[int] | None,
        guard: Guard,
        seal: Callable[[Sequence[Handed | str]], str | None],
    ) -> None:
        self._callers = callers
        self._rows = rows
        self._guard = guard
        self._seal = seal
        self._calls: list[Handed | str] = []
        self._crowd: Crowd | None = None
        self._tokens: tuple[Any, Any, Any] | None = None

    def __enter__(self) -> Serving:
        try:
            crowd, inside = Crowd(self._callers), _agreed(self._callers)
            context = trace.set_span_in_context(crowd, otel_context.Context())
        except Exception as error:  # noqa: BLE001 - what is no caller; the block runs as it is
            self._guard.error("serving", error)
        else:
            self._crowd = crowd
            self._tokens = otel_context.attach(context), INSIDE.set(inside), REQUEST.set(self._calls)
        return self

    def answers(self) -> list[Answer | None]:
        """See `mlobs.integration.Served`."""
        found: list[Answer | None] = []
        try:
            self._deal_all()
            shared = () if self._crowd is None else tuple(drain(self._crowd.shared))
            for caller in self._callers:
                calls, caller.request = caller.request, caller.request and []
                tickets = self._seal(calls) if calls else None
                spans = () if caller.context is None else shared
                found.append(Answer(tickets, spans) if tickets or spans else None)
        except Exception as ours:  # noqa: BLE001 - callers that are none
            self._guard.error("serving", ours)
        return found if len(found) == len(self._callers) else [None] * len(self._callers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._tokens is None:
            return
        attached, inside, request = self._tokens
        try:
            REQUEST.reset(request)
            INSIDE.reset(inside)
            otel_context.detach(attached)
            self._deal_all()
        except Exception as ours:  # noqa: BLE001 - a block that ends in another context than it began in, say
            self._guard.error("serving", ours)

    def _deal_all(self) -> None:
        rows = [1] * len(self._callers) if self._rows is None else list(self._rows)
        calls = drain(self._calls)
        times = Counter(id(one.monitor) for one in calls if isinstance(one, Handed))
        for one in calls:
            if len(self._callers) == 1:
                self._callers[0].given(one)
            elif isinstance(one, Handed):  # of a third process' nobody knows whose each is
                self._deal(one, rows, alone=times[id(one.monitor)] == 1)

    def _deal(self, handed: Handed, sizes: Sequence[int], *, alone: bool) -> None:
        """Give each caller's request its rows of an answer, for its tickets.

        A model that is called several times is called for some rows each, and may answer one with as many values as there
        are rows: nobody can tell whose they are.
        """
        if all(caller.request is None for caller in self._callers):
            return
        found = lots(handed, sizes) if alone else None
        if found is None:
            self._guard.drop("ticket_header", rows_of(handed))
            return
        for caller, lot in tuple(zip(self._callers, found, strict=True)):  # before anybody is given another's
            if lot.first < lot.last:
                caller.given(handed._replace(lot=lot, sealed=handed.sealed[lot.first : lot.last]))


def _agreed(callers: Sequence[Caller]) -> object:
    """What INSIDE is for what they have asked for: a part of their observed calls, or of their variant."""
    first = callers[0].inside if callers else False
    if type(first) is Variant:
        return first if all(getattr(one.inside, "name", None) == first.name for one in callers) else False
    return bool(callers) and all(one.inside is True for one in callers)
