"""When a call gets a span, and what the span says.

A live span where the current span is recording, or where our own countdown picks a call that is nobody's child;
errors and slow calls get theirs after the fact. A span is ended by the folder, with the time the call ended: by then
its violations are counted, and the caller did not wait for it.
"""

from __future__ import annotations

import linecache
import math
import time
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from mlobs import columns
from mlobs.core import again
from mlobs.core.answers import MARGINS
from mlobs.core.callers import Crowd, recorded, suppressed
from mlobs.core.inside import INSIDE, Variant
from mlobs.core.ring import Left, Part
from mlobs.errors import UnreadableError
from mlobs.otel import names
from mlobs.otel.points import sendable

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

    from mlobs.core.monitor import Monitor
    from mlobs.core.record import Failure, Record
    from mlobs.otel.spans import Spans

_CAPTURED_ROWS = 16
_TEXT = 4_000  # characters of a captured value or message
_STACK = 32_000
_APART = 10_000  # ns between two readings of a clock that nothing came between


class Tracing:
    """The span policy. ``wake`` attends to what runs in the background, ``fold`` folds in the caller's thread."""

    def __init__(self, spans: Callable[[], Spans], wake: Callable[[], None], fold: Callable[[], object]) -> None:
        self._spans = spans
        self._wake = wake
        self.fold = fold

    def __reduce__(self) -> tuple[Callable[[], Tracing], tuple[()]]:
        return again.tracing, ()

    def begin(self, monitor: Monitor, ordinal: int) -> tuple[Span | None, bool]:
        """A live span for this call or None, and whether it shall have one after the fact."""
        self._wake()
        current = trace.get_current_span()
        crowd = current if type(current) is Crowd else None
        if crowd is not None:
            crowd.queued(monitor.model.reports)
        if monitor.spanless or suppressed():
            return None, False
        if current is trace.INVALID_SPAN or (crowd is not None and not crowd.contexts):
            wanted = monitor.counts_down and not ordinal % monitor.span_every
            if wanted and not self._spans().ready:
                return None, True  # the SDK is still being loaded, and no caller shall wait for it
        elif crowd is not None:
            wanted = crowd.sampled
        else:
            wanted = recorded(current)
        if not wanted:
            return None, False
        span = self._start(monitor, None, crowd)
        if crowd is not None and span.is_recording():
            crowd.link(span)
        within = INSIDE.get()
        if type(within) is Variant:
            span.set_attributes(dict(within.flag))
        return (span, False) if span.is_recording() else (None, False)

    def _start(self, monitor: Monitor, start: int | None, crowd: Crowd | None = None) -> Span:
        return self._spans().tracer.start_span(
            sendable(f"{monitor.operation} {monitor.model.identity.name}"),
            context=None if crowd is None else crowd.parent,
            links=None if crowd is None else crowd.links,
            kind=SpanKind.INTERNAL,
            attributes=dict(monitor.attributes.items()),
            start_time=start,
        )

    def stage(self, name: str, *, attach: bool = True) -> Callable[..., None] | None:
        """Begin the span of a stage where a trace is being recorded; what ends it comes back.

        ``attach``: it is the current span meanwhile. Whoever ends it says whether he is ``here``, in the same context.
        """
        current = trace.get_current_span()
        if type(current) is Crowd or not recorded(current) or suppressed():
            return None
        span = self._spans().tracer.start_span(sendable(name), kind=SpanKind.INTERNAL, attributes={names.STAGE: name})
        token = otel_context.attach(trace.set_span_in_context(span)) if attach else None

        def end(error: BaseException | None, *, here: bool = True) -> None:
            if token is not None and here:
                otel_context.detach(token)
            if error is not None:
                kind = sendable(type(error).__qualname__)
                span.set_attribute(names.ERROR_TYPE, kind)
                span.set_status(Status(StatusCode.ERROR, kind))
            span.end()

        return end

    def end(self, monitor: Monitor, record: Record, violations: int | None) -> Span | None:
        """Finish the span of a folded record, or make one after the fact.

        Whoever folds may do so under a span of a request that this is no part of, or where nothing is to be traced, as on the
        thread that exports.
        """
        token = otel_context.attach(otel_context.Context())
        try:
            return self._end(monitor, record, violations)
        finally:
            otel_context.detach(token)

    def _end(self, monitor: Monitor, record: Record, violations: int | None) -> Span | None:
        extra = record.extra
        began = _epoch() + extra.began
        ended = began + record.took
        span = extra.span
        if span is None:
            span = self._start(monitor, began)
            if record.took > monitor.slow:
                span.set_attribute(names.SLOW, value=True)
        if not span.is_recording():
            return None
        begun = getattr(span, "start_time", None)
        if isinstance(begun, int):  # the clock may have been set back since
            ended = max(ended, begun + record.took)
        span.set_attribute(names.DRIFT_DETECTED, monitor.model.drifting)
        if violations is not None:
            span.set_attribute(names.VIOLATIONS, violations)
        for about in (_of_input, _of_answer):
            try:
                span.set_attributes(about(monitor, record))
            except Exception as error:  # noqa: BLE001 - data that cannot be read; it is counted where it is folded
                monitor.guard.tell("span data", "mlobs could not read the data of a span: %s", type(error).__name__)
        if extra.failure is not None:
            kind = sendable(extra.failure.type)
            span.set_attribute(names.ERROR_TYPE, kind)
            span.set_status(Status(StatusCode.ERROR, kind))
            span.add_event("exception", _exception(extra.failure), ended)
        span.end(ended)
        return span


def _epoch() -> int:
    """What `perf_counter_ns` is added to for the time since the epoch.

    Between the readings of two clocks the thread may have to wait for its turn: then they are read again.
    """
    width, found = 0, 0
    for _ in range(3):
        before, now, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        if not found or after - before < width:
            width, found = after - before, now - (before + after) // 2
        if width < _APART:
            break
    return found


def _exception(failure: Failure) -> dict[str, str]:
    linecache.checkcache()
    frames = [traceback.FrameSummary(file, line, name) for file, line, name in failure.frames]
    stack = "".join(
        ["Traceback (most recent call last):\n", *traceback.StackSummary.from_list(frames).format(), failure.type]
    )
    attributes = {names.EXCEPTION_TYPE: sendable(failure.type), names.EXCEPTION_STACKTRACE: sendable(stack, _STACK)}
    if failure.message is not None:
        attributes[names.EXCEPTION_MESSAGE] = sendable(failure.message, _TEXT)
    return attributes


def _of_input(monitor: Monitor, record: Record) -> dict[str, Any]:
    """What the span says of the call's rows: how many, how wide, and the values the user asked for."""
    kept = record.kept
    if isinstance(kept, (Part, Left)):
        return {names.ROWS: kept.rows} if kept.rows >= 0 else {}
    try:
        blocks = list(columns.blocks([kept], monitor.features))
    except UnreadableError as error:  # of more dimensions than a table, say
        return {names.ROWS: error.rows}
    attributes: dict[str, Any] = {names.ROWS: sum(block.rows for block in blocks)}
    if blocks:
        attributes[names.FEATURES] = blocks[0].width
        attributes.update(_captured(monitor, blocks[0], record.extra.capture))
    return attributes


def _of_answer(monitor: Monitor, record: Record) -> dict[str, Any]:
    """The confidence of an answer that is one row of probabilities."""
    if monitor.operation in MARGINS:
        return {}
    try:
        confidence = _confidence(record.answer)
    except UnreadableError:
        confidence = None
    return {} if confidence is None else {names.CONFIDENCE: confidence}


def _captured(monitor: Monitor, block: columns.Block, capture: frozenset[str]) -> dict[str, Any]:
    if not capture:
        return {}
    labels = block.names or monitor.model.inputs.names(block.width)
    found = {}
    for index, name in enumerate(labels):
        if name in capture:
            values = [_plain(value) for value in list(block.column(index))[:_CAPTURED_ROWS]]
            found[names.CAPTURED + sendable(name)] = values[0] if len(values) == 1 else list(map(_text, values))
    return found


def _plain(value: object) -> str | bool | int | float:
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) is int and not -(2**63) <= value < 2**63:  # OTLP has no such number
        return float(value) if abs(value) < 10**300 else _text(value)
    return value if type(value) in (bool, int, float) else _text(value)  # type: ignore[return-value]


def _text(value: object) -> str:
    return sendable(str(value)[:_TEXT], _TEXT)


def _confidence(answer: object) -> float | None:
    """The largest probability of a one-row answer that is a distribution over two or more classes, in hundredths."""
    blocks = [] if isinstance(answer, (Left, Part)) else list(columns.blocks([answer]))
    if len(blocks) != 1 or blocks[0].rows != 1 or blocks[0].matrix is None:
        return None
    row = blocks[0].matrix[0]
    if row.size < 2 or row.dtype.kind != "f" or not row.min() >= 0:
        return None
    return round(float(row.max()), 2) if math.isclose(float(row.sum()), 1, abs_tol=1e-3) else None
