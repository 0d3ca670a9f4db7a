"""One observed call: what is kept of it before, and what is left behind after.

`Call` is the general path, of coroutines, generators, and plain calls that may have a live span; the plain calls of
`calls.py` do the same in line.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from mlobs.columns import LARGE, TracedError, kind_of
from mlobs.core.callers import alone
from mlobs.core.ended import LAST, hand
from mlobs.core.guard import name_of
from mlobs.core.inside import INSIDE
from mlobs.core.locate import ABSENT
from mlobs.core.record import Extra, Failure
from mlobs.core.ring import NOTHING, Left, Part, sane
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token

    from opentelemetry.trace import Span

    from mlobs.core.locate import Where
    from mlobs.core.monitor import Monitor
    from mlobs.core.tracing import Tracing


_FRAMES: Final = 50
_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - compared with the interpreter's own strings
_OURS: Final = tuple(os.path.join(_PACKAGE, room, "") for room in ("core", "hooks"))  # noqa: PTH118 - as before
_FULL: Final = Left("ring_full", -1)


def keep(value: object, large: Callable[[Any], object]) -> object:
    """A copy of a call's data for the folder; ``large`` makes it of what is large: a ring's `sample` or `take`.

    Raises TracedError where there is no data, but a compiler's stand-in.
    """
    if value is None or value is ABSENT:
        return NOTHING
    try:
        kept = kind_of(type(value)).keep(value)
        return large(value) if kept is LARGE else kept
    except TracedError:
        raise
    except Exception as error:  # noqa: BLE001 - a container that fails when it is looked at
        return unread(value, error)


def unread(value: object, error: Exception) -> Left:
    """Stands for data that could not be kept."""
    if isinstance(error, UnreadableError):
        return Left(error.reason, error.rows, str(error))
    of = "" if value is None else f"{name_of(type(value))} raised "
    return Left("unreadable", 1, of + name_of(type(error)))


def read(reader: Callable[[Any], Any], answer: object, monitor: Monitor) -> Any:
    """What of a call's answer is read as predictions; never raises."""
    try:
        return reader(answer)
    except Exception as error:  # noqa: BLE001 - an integration's; the answer itself is not touched
        monitor.guard.error("answer", error)
        return None


def crowded(monitor: Monitor, tracing: Tracing, kept: object, given: object) -> tuple[object, object]:
    """The ring is filling up: wake the folder; leave data out where it is full; fold where even that is not enough."""
    try:
        full, overfull = monitor.ring.crowded()
        if overfull:
            tracing.fold()
        elif full:
            return _left_out(kept, monitor.features), _left_out(given, len(monitor.model.outputs.reference))
    except Exception as error:  # noqa: BLE001 - ours
        monitor.guard.error("ring", error)
    return kept, given


def _left_out(kept: object, features: int | None) -> object:
    """Stands for what there is no room for, with as many rows as its reader would have found."""
    if type(kept) is Left:
        return kept
    try:
        if type(kept) is Part:
            return Left("ring_full", kept.rows)
        return Left("ring_full", sane(kind_of(type(kept)).rows([kept], features)[0]))
    except Exception:  # noqa: BLE001 - it only had to be counted
        return _FULL


def failed(
    monitor: Monitor,
    tracing: Tracing,
    capture: frozenset[str],
    began: int,
    took: int,
    cpu: int,
    kept: object,
    span: Span | None,
    error: BaseException,
) -> None:
    """Leave the record of a call that raised. Never raises, whatever the exception is like."""
    try:
        if monitor.iterates and type(error) is StopIteration:
            next(monitor.passed)
            return
        if monitor.hands and not isinstance(error, GeneratorExit):
            LAST.set(None)  # whoever asks for a ticket now must not get the one of the call before
        frames: list[tuple[str, int, str]] = []
        traceback = error.__traceback__
        while traceback is not None and len(frames) < _FRAMES:
            code = traceback.tb_frame.f_code
            if not code.co_filename.startswith(_OURS):
                frames.append((code.co_filename, traceback.tb_lineno, code.co_name))
            traceback = traceback.tb_next
        kind, message = _about(error, told="exception.message" in capture)
        extra = Extra(began, span, Failure(kind, tuple(frames), message), span is None and alone(), capture)
        if cpu >= 0:
            cpu = time.thread_time_ns() - cpu
        if monitor.ring.waiting >= monitor.ring.brim:
            kept, _ = crowded(monitor, tracing, kept, NOTHING)
        monitor.ring.rare.append((took, cpu, kept, NOTHING, extra))
    except Exception as ours:  # noqa: BLE001 - a call that failed near the end of the stack or of the memory, say
        monitor.ring.took.append(took)  # it is counted, if not as what it was
        if not isinstance(ours, (RecursionError, MemoryError)):
            monitor.guard.error("failure", ours)


def _about(error: BaseException, *, told: bool) -> tuple[str, str | None]:
    """The full name of an exception's class and, where asked for, its message; classes and ``str`` may be anybody's."""
    cls = type(error)
    try:
        kind = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    except Exception:  # noqa: BLE001 - a metaclass that raises
        kind = name_of(cls)
    message = None
    if told:
        try:
            message = str(error)
        except Exception:  # noqa: BLE001 - nothing can be said then
            message = ""
    return kind, message


class Call:
    """A call on the slower path: coroutines, generators, and plain calls that may have a live span."""

    __slots__ = (
        "began",
        "cpu",
        "kept",
        "later",
        "monitor",
        "span",
        "span_context",
        "spent",
        "traced",
        "tracing",
        "where",
    )

    def __init__(
        self,
        monitor: Monitor,
        tracing: Tracing,
        where: Where,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        ordinal: int | None = None,
    ) -> None:
        """Begin. Raises nothing but what is no Exception."""
        self.monitor = monitor
        self.tracing = tracing
        self.where = where
        self.cpu = -1
        self.spent = 0
        self.later = False
        self.traced = False
        self.span: Span | None = None
        self.span_context: otel_context.Context | None = None
        self.kept: object = NOTHING
        try:
            if ordinal is None:
                ordinal = next(monitor.started)
            try:
                self.kept = keep(where.pick(args, kwargs), monitor.ring.sample)
            except TracedError:
                self.traced = True
            except UnreadableError as error:
                self.kept = unread(None, error)
            except Exception as error:  # noqa: BLE001 - the user's inputs=callable
                self.kept = Left("unreadable", 1, f"inputs=… raised {type(error).__name__}")
            if self.traced:
                next(monitor.passed)
            else:
                self.span, self.later = tracing.begin(monitor, ordinal)
            if self.span is not None:
                self.span_context = trace.set_span_in_context(self.span)
        except Exception as error:  # noqa: BLE001 - ours, or the user's sampler's
            monitor.guard.error("begin", error)
        except BaseException as error:  # Ctrl-C while we look: it is the caller's, and the call ends here
            failed(monitor, tracing, where.capture, time.perf_counter_ns(), 0, -1, self.kept, self.span, error)
            raise
        self.began = time.perf_counter_ns()

    def enter(self) -> tuple[Token[Any], object, int]:
        """Into the user's code: observed calls made from there are inner ones, and the span is current."""
        token = None if self.span_context is None else otel_context.attach(self.span_context)
        return INSIDE.set(self.monitor), token, time.perf_counter_ns()

    def leave(self, tokens: tuple[Token[Any], Any, int], error: BaseException | None = None) -> None:
        """Out of the user's code, which raised ``error``."""
        self.spent += time.perf_counter_ns() - tokens[2]
        try:
            INSIDE.reset(tokens[0])
        except ValueError:  # a coroutine driven from two contexts: what was attached in the other stays there
            # one that was thrown away ends where the garbage collector finds it, amid another call say, and changes nothing there
            if INSIDE.get() is self.monitor and not isinstance(error, GeneratorExit):
                INSIDE.set(False)
            return
        if tokens[1] is not None:
            otel_context.detach(tokens[1])

    def done(self, answer: object) -> None:
        """The call ended well. Raises nothing but what is no Exception."""
        if self.traced:
            return
        try:
            monitor = self.monitor
            if self.where.answer is not None:
                answer = read(self.where.answer, answer, monitor)
            try:
                given = keep(answer, monitor.answer)
            except TracedError:
                next(monitor.passed)
                return
            kept = self.kept
            if monitor.hands:
                hand(monitor, answer, self.began + self.spent, kept)
            ring = monitor.ring
            if ring.waiting >= ring.brim:
                kept, given = crowded(monitor, self.tracing, kept, given)
            if self.span is not None or self.later or self.spent > monitor.slow:
                extra = Extra(self.began, self.span, None, self.span is None and alone(), self.where.capture)
                ring.rare.append((self.spent, self.cpu, kept, given, extra))
                return
            ring.kept.append(kept)
            ring.answers.append(given)
            if self.cpu >= 0:
                ring.sampled.append((self.cpu, self.spent))
            ring.took.append(self.spent)
        except Exception as error:  # noqa: BLE001 - ours
            self.monitor.guard.error("end", error)
        except BaseException as error:
            self.cpu = -1  # no longer the clock at the beginning
            self.failed(error)
            raise

    def failed(self, error: BaseException) -> None:
        """The call raised. Never raises itself."""
        if self.traced:
            return
        failed(
            self.monitor,
            self.tracing,
            self.where.capture,
            self.began,
            self.spent,
            self.cpu,
            self.kept,
            self.span,
            error,
        )
