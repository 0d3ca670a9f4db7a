"""Wraps a function so that its calls are observed: the hot path.

The caller waits for this file and nothing else. A call copies its input, reads the clock twice and appends one tuple;
no attribute set is built, no lock is taken, and nothing of ours runs inside the same ``try`` as the user's code.
"""

from __future__ import annotations

import functools
import inspect
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from mlobs.columns import LARGE, kind_of
from mlobs.core.locate import ABSENT
from mlobs.core.monitor import Extra, Failure
from mlobs.core.ring import NOTHING, Left
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
    from contextvars import Token

    from opentelemetry.trace import Span

    from mlobs.core.locate import Locate
    from mlobs.core.monitor import Monitor
    from mlobs.core.tracing import Tracing

# Whether an observed call is already running in this context: only the outermost counts.
INSIDE: Final[ContextVar[bool]] = ContextVar("mlobs_inside", default=False)

_FRAMES: Final = 50
_FULL: Final = Left("ring_full", -1)


def wrap(
    function: Callable[..., Any], monitor: Monitor, tracing: Tracing, where: tuple[int, str | None, Locate]
) -> Callable[..., Any]:
    """``function`` observed, with its own name, signature and kind (plain, coroutine, generator, async generator)."""
    if isinstance(function, functools.partial):
        inner = function.func
    else:
        inner = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004 - a callable object
    args = (function, monitor, tracing, where[2])
    if inspect.iscoroutinefunction(inner):
        return _wrap_coroutine(*args)
    if inspect.isasyncgenfunction(inner):
        return _wrap_async_generator(*args)
    if inspect.isgeneratorfunction(inner):
        return _wrap_generator(*args)
    return _wrap_plain(function, monitor, tracing, where)


def keep(value: object, monitor: Monitor) -> object:
    """A copy of a call's data for the folder; never raises."""
    if value is None or value is ABSENT:
        return NOTHING
    try:
        kept = kind_of(type(value)).keep(value)
        return monitor.ring.take(value) if kept is LARGE else kept
    except UnreadableError as error:
        return Left(error.reason, error.rows, str(error))
    except Exception as error:  # noqa: BLE001 - a container that fails when it is looked at
        return Left("unreadable", 1, f"{type(value).__name__} raised {type(error).__name__}")


def _wrap_plain(
    function: Callable[..., Any], monitor: Monitor, tracing: Tracing, where: tuple[int, str | None, Locate]
) -> Callable[..., Any]:
    position, name, locate = where
    if name is None:
        name = ""
    # names the hot path uses, bound once
    inside, enter, leave = INSIDE.get, INSIDE.set, INSIDE.reset
    clock, cpu_clock = time.perf_counter_ns, time.thread_time_ns
    current_span, invalid = trace.get_current_span, trace.INVALID_SPAN
    keepers: dict[type, Callable[[Any], Any]] = {}
    nothing, large = NOTHING, LARGE

    def learn(value: object) -> object:
        """The first value of a type: from now on its keeper is known."""
        kept = keep(value, monitor)
        if kept.__class__ is not Left:
            keepers[type(value)] = kind_of(type(value)).keep
        return kept

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        if monitor.off or inside():
            return function(*args, **kwargs)
        ordinal = next(monitor.started)
        if current_span() is not invalid or not ordinal % monitor.span_every:
            return _rare(function, monitor, tracing, locate, args, kwargs, ordinal)
        try:
            if 0 <= position < len(args):
                value = args[position]
            else:
                value = kwargs[name] if name in kwargs else locate(args, kwargs)
            keeper = keepers.get(value.__class__)
            kept = learn(value) if keeper is None else keeper(value)
            if kept is large:
                kept = keep(value, monitor)
        except Exception as error:  # noqa: BLE001 - ours, or a container that fails when it is looked at
            kept = Left("unreadable", 1, type(error).__name__)
        cpu = -1
        if not ordinal % monitor.cpu_every:
            cpu = cpu_clock()
        token = enter(True)
        began = clock()
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            took = clock() - began
            leave(token)
            _failed(monitor, began, took, cpu, kept, None, error)
            raise
        took = clock() - began
        leave(token)
        if cpu >= 0:
            cpu = cpu_clock() - cpu
        try:
            if answer is None:
                given = nothing
            else:
                keeper = keepers.get(answer.__class__)
                given = learn(answer) if keeper is None else keeper(answer)
                if given is large:
                    given = keep(answer, monitor)
        except Exception as error:  # noqa: BLE001 - ours, or a container that fails when it is looked at
            given = Left("unreadable", 1, type(error).__name__)
        ring = monitor.ring
        if len(ring.took) >= ring.brim:
            kept, given = _crowded(monitor, tracing, kept, given)
        if took > monitor.slow:
            ring.rare.append((took, cpu, kept, given, Extra(began, None, None, alone=True)))
            return answer
        ring.kept.append(kept)
        if given is not nothing:
            ring.answers.append(given)
        if cpu >= 0:
            ring.sampled.append((cpu, took))
        ring.took.append(took)  # last: a call that is counted has left its data
        return answer

    return observed


def _crowded(monitor: Monitor, tracing: Tracing, kept: object, given: object) -> tuple[object, object]:
    """The ring is filling up: wake the folder; leave data out where it is full; fold where even that is not enough."""
    try:
        full, overfull = monitor.ring.crowded()
        if overfull:
            tracing.fold()
        elif full:
            return _left_out(kept), _left_out(given)
    except Exception as error:  # noqa: BLE001 - ours
        monitor.guard.error("ring", error)
    return kept, given


def _left_out(kept: object) -> object:
    if kept.__class__ is Left:
        return kept
    try:
        kept = getattr(kept, "kept", kept)
        return Left("ring_full", kind_of(type(kept)).shape(kept)[0])
    except Exception:  # noqa: BLE001 - it only had to be counted
        return _FULL


def _failed(
    monitor: Monitor, began: int, took: int, cpu: int, kept: object, span: Span | None, error: BaseException
) -> None:
    """Leave the record of a call that raised."""
    try:
        frames = []
        traceback = error.__traceback__
        while traceback is not None and len(frames) < _FRAMES:
            code = traceback.tb_frame.f_code
            if code.co_filename != __file__:
                frames.append((code.co_filename, traceback.tb_lineno, code.co_name))
            traceback = traceback.tb_next
        cls = type(error)
        kind = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        message = str(error) if "exception.message" in monitor.capture else None
        alone = span is None and trace.get_current_span() is trace.INVALID_SPAN
        extra = Extra(began, span, Failure(kind, tuple(frames), message), alone)
        if cpu >= 0:
            cpu = time.thread_time_ns() - cpu
        monitor.ring.rare.append((took, cpu, kept, NOTHING, extra))
    except Exception as ours:  # noqa: BLE001 - an exception whose str() raises, say
        monitor.guard.error("failure", ours)


class _Call:
    """A call on the slower path: coroutines, generators, and plain calls that may have a live span."""

    __slots__ = ("began", "cpu", "kept", "later", "monitor", "span", "span_context", "spent", "tracing")

    def __init__(
        self,
        monitor: Monitor,
        tracing: Tracing,
        locate: Locate,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        ordinal: int | None = None,
    ) -> None:
        """Begin. Never raises."""
        self.monitor = monitor
        self.tracing = tracing
        self.cpu = -1
        self.spent = 0
        self.later = False
        self.span: Span | None = None
        self.span_context: otel_context.Context | None = None
        self.kept: object = NOTHING
        try:
            if ordinal is None:
                ordinal = next(monitor.started)
            try:
                self.kept = keep(locate(args, kwargs), monitor)
            except Exception as error:  # noqa: BLE001 - the user's inputs=callable
                self.kept = Left("unreadable", 1, f"inputs=… raised {type(error).__name__}")
            self.span, self.later = tracing.begin(monitor, ordinal)
            if self.span is not None:
                self.span_context = trace.set_span_in_context(self.span)
        except Exception as error:  # noqa: BLE001 - ours, or the user's sampler's
            monitor.guard.error("begin", error)
        self.began = time.perf_counter_ns()

    def enter(self) -> tuple[Token[bool], object, int]:
        """Into the user's code: observed calls made from there are inner ones, and the span is current."""
        token = None if self.span_context is None else otel_context.attach(self.span_context)
        return INSIDE.set(True), token, time.perf_counter_ns()

    def leave(self, tokens: tuple[Token[bool], Any, int]) -> None:
        """Out of the user's code."""
        self.spent += time.perf_counter_ns() - tokens[2]
        try:
            INSIDE.reset(tokens[0])
        except ValueError:  # a coroutine driven from two contexts
            INSIDE.set(False)
        if tokens[1] is not None:
            otel_context.detach(tokens[1])

    def done(self, answer: object) -> None:
        """The call ended well. Never raises."""
        try:
            monitor = self.monitor
            given = keep(answer, monitor)
            kept = self.kept
            ring = monitor.ring
            if ring.waiting >= ring.brim:
                kept, given = _crowded(monitor, self.tracing, kept, given)
            if self.span is not None or self.later or self.spent > monitor.slow:
                alone = self.span is None and trace.get_current_span() is trace.INVALID_SPAN
                extra = Extra(self.began, self.span, None, alone)
                ring.rare.append((self.spent, self.cpu, kept, given, extra))
                return
            ring.kept.append(kept)
            ring.answers.append(given)
            if self.cpu >= 0:
                ring.sampled.append((self.cpu, self.spent))
            ring.took.append(self.spent)
        except Exception as error:  # noqa: BLE001 - ours
            self.monitor.guard.error("end", error)

    def failed(self, error: BaseException) -> None:
        """The call raised. Never raises itself."""
        _failed(self.monitor, self.began, self.spent, -1, self.kept, self.span, error)


def _rare(
    function: Callable[..., Any],
    monitor: Monitor,
    tracing: Tracing,
    locate: Locate,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    ordinal: int,
) -> Any:  # noqa: ANN401 - the function's own
    """A plain call that may have a live span."""
    call = _Call(monitor, tracing, locate, args, kwargs, ordinal)
    cpu = time.thread_time_ns() if not ordinal % monitor.cpu_every else -1
    tokens = call.enter()
    try:
        answer = function(*args, **kwargs)
    except BaseException as error:
        call.leave(tokens)
        call.failed(error)
        raise
    call.leave(tokens)
    if cpu >= 0:
        call.cpu = time.thread_time_ns() - cpu
    call.done(answer)
    return answer


def _wrap_coroutine(
    function: Callable[..., Awaitable[Any]], monitor: Monitor, tracing: Tracing, locate: Locate
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        if monitor.off or INSIDE.get():
            return await function(*args, **kwargs)
        call = _Call(monitor, tracing, locate, args, kwargs)
        tokens = call.enter()
        try:
            answer = await function(*args, **kwargs)
        except BaseException as error:
            call.leave(tokens)
            call.failed(error)
            raise
        call.leave(tokens)
        call.done(answer)
        return answer

    return observed


def _wrap_generator(
    function: Callable[..., Generator[Any, Any, Any]], monitor: Monitor, tracing: Tracing, locate: Locate
) -> Callable[..., Any]:
    """Only the time inside the generator counts, not the consumer's between two items."""

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        if monitor.off or INSIDE.get():
            return (yield from generator)
        call = _Call(monitor, tracing, locate, args, kwargs)
        resume: Callable[..., Any] = generator.send
        given: Any = None
        while True:
            tokens = call.enter()
            try:
                item = resume(given)
            except StopIteration as stop:
                call.leave(tokens)
                call.done(None)
                return stop.value
            except BaseException as error:
                call.leave(tokens)
                call.failed(error)
                raise
            call.leave(tokens)
            try:
                given = yield item
                resume = generator.send
            except GeneratorExit:
                # the consumer has enough: an end, not a failure, unless the generator makes it one
                try:
                    generator.close()
                except BaseException as error:
                    call.failed(error)
                    raise
                call.done(None)
                raise
            except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the generator to handle
                given = error
                resume = generator.throw

    return observed


def _wrap_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], monitor: Monitor, tracing: Tracing, locate: Locate
) -> Callable[..., Any]:
    """As for generators."""

    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        call = None if monitor.off or INSIDE.get() else _Call(monitor, tracing, locate, args, kwargs)
        resume: Callable[..., Awaitable[Any]] = generator.asend
        given: Any = None
        while True:
            tokens = call.enter() if call else None
            try:
                item = await resume(given)
            except StopAsyncIteration:
                if call and tokens:
                    call.leave(tokens)
                    call.done(None)
                return
            except BaseException as error:
                if call and tokens:
                    call.leave(tokens)
                    call.failed(error)
                raise
            if call and tokens:
                call.leave(tokens)
            try:
                given = yield item
                resume = generator.asend
            except GeneratorExit:
                try:
                    await generator.aclose()
                except BaseException as error:
                    if call:
                        call.failed(error)
                    raise
                if call:
                    call.done(None)
                raise
            except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the generator to handle
                given = error
                resume = generator.athrow

    return observed
