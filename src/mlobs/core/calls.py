"""Wraps a function so that its calls are observed: the hot path.

The caller waits for this file and nothing else. A call copies its input, reads the clock twice and appends to lists;
no attribute set is built, no lock is taken, and nothing of ours runs inside the same ``try`` as the user's code.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import LARGE, SMALL, TracedError, kind_of
from mlobs.core import streams
from mlobs.core.branches import Branches
from mlobs.core.call import Call, crowded, failed, keep, unread
from mlobs.core.callers import alone, told
from mlobs.core.ended import hand
from mlobs.core.forgetful import Forgetful
from mlobs.core.inside import INSIDE
from mlobs.core.pack import unpacked
from mlobs.core.record import Extra
from mlobs.core.ring import NOTHING, TRACED, Left
from mlobs.otel.current import CURRENT

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mlobs.core.locate import Where
    from mlobs.core.monitor import Monitor
    from mlobs.core.pack import Pack
    from mlobs.core.tracing import Tracing


Run = Callable[[tuple[Any, ...], Mapping[str, Any], object], Any]  # arguments, and what `INSIDE` said, which is false

_TYPES: Final = 64  # whose keeper one function remembers; classes made by the request must not pile up


def wrap(function: Callable[..., Any], monitor: Monitor, tracing: Tracing, where: Where) -> Callable[..., Any]:
    """``function`` observed, with its own name, signature and kind (plain, coroutine, generator, async generator)."""
    return observing(function, monitor, tracing, where)[0]


def observing(
    function: Callable[..., Any], monitor: Monitor, tracing: Tracing, where: Where
) -> tuple[Callable[..., Any], Run | None]:
    """What `wrap` returns, and what that does of a plain function's outermost calls, for who knows that a call is one."""
    branches = Branches(monitor, functools.partial(_branch, function, tracing, where))
    observed, run = _wrap(function, monitor, tracing, where, branches)
    observed.__mlobs__ = True  # type: ignore[attr-defined]  # an integration leaves it as it is
    return observed, run


def _branch(function: Callable[..., Any], tracing: Tracing, where: Where, monitor: Monitor) -> Callable[..., Any]:
    return _wrap(function, monitor, tracing, where)[0]


def _wrap(
    function: Callable[..., Any],
    monitor: Monitor,
    tracing: Tracing,
    where: Where,
    branches: Branches | None = None,
) -> tuple[Callable[..., Any], Run | None]:
    """``function`` observed; without ``branches`` it is one, and counts as what it is under every variant."""
    if isinstance(function, functools.partial):
        inner = function.func
    else:
        inner = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004 - a callable object
    args = (function, monitor, tracing, where, branches)
    if inspect.iscoroutinefunction(inner):
        return _wrap_coroutine(*args), None
    if inspect.isasyncgenfunction(inner):
        return streams.wrap_async_generator(*args), None
    if inspect.isgeneratorfunction(inner):
        return streams.wrap_generator(*args), None
    run = running(*args)
    return _wrap_plain(function, run), run


def _wrap_plain(function: Callable[..., Any], run: Run) -> Callable[..., Any]:
    inside = INSIDE

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Any:
        within = inside.get()
        if within:
            return function(*args, **kwargs)
        return run(args, kwargs, within)

    return observed


def running(
    function: Callable[..., Any],
    monitor: Monitor,
    tracing: Tracing,
    where: Where,
    branches: Branches | None,
) -> Run:
    """What is done of a plain function's outermost calls."""
    position, name, locate, reader, ask, capture = where
    if name is None:
        name = ""
    # names the hot path uses, bound once
    inside, clock, ndarray, small = INSIDE, time.perf_counter_ns, np.ndarray, SMALL
    attached = CURRENT
    keepers: dict[type, Callable[[Any], Any]] = Forgetful()
    nothing, large, traced = NOTHING, LARGE, TRACED

    def learn(value: object, take: Callable[[Any], object]) -> object:
        """The first value of a type: from now on its keeper is known. ``take`` is asked for what is large."""
        kept = keep(value, take)
        if type(kept) is not Left and len(keepers) < _TYPES:
            keepers[type(value)] = kind_of(type(value)).keep
        return kept

    def run(args: tuple[Any, ...], kwargs: Mapping[str, Any], within: object) -> Any:
        if monitor.off:
            return function(*args, **kwargs)
        if within is not False and branches is not None:
            return branches.find(within)(*args, **kwargs)  # type: ignore[arg-type]  # what is false is a variant
        ordinal = next(monitor.started)
        if ordinal >= monitor.due or (attached.get() and told()):
            return _rare(function, monitor, tracing, where, args, kwargs, ordinal)
        kept: Any
        given: Any
        value: Any = None
        into: Pack | None = None
        onto: Pack | None = None
        try:
            if 0 <= position < len(args):
                value = args[position]
            elif ask is not None:
                value = ask(*args, **kwargs)
            else:
                value = kwargs[name] if name in kwargs else locate(args, kwargs)
            if type(value) is ndarray:
                pack = monitor.ring.inputs.now
                if value.dtype is pack.dtype and value.shape == pack.shape:
                    kept, into = value.tobytes(), pack
                else:
                    kept = value.copy() if value.size <= small else monitor.ring.sample(value)
            else:
                keeper = keepers.get(type(value))
                kept = learn(value, monitor.ring.sample) if keeper is None else keeper(value)
                if kept is large:
                    kept = monitor.ring.sample(value)
        except TracedError:
            kept = TRACED
        except Exception as error:  # noqa: BLE001 - ours, or a container that fails when it is looked at
            kept = unread(value, error)
        except BaseException as error:  # Ctrl-C while we look: it is the caller's, and the call ends here
            failed(monitor, tracing, capture, clock(), 0, -1, nothing, None, error)
            raise
        if kept is traced:  # for a compiler: no prediction
            next(monitor.passed)
            return function(*args, **kwargs)
        token = inside.set(monitor)
        began = clock()
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            took = clock() - began
            inside.reset(token)
            failed(monitor, tracing, capture, began, took, -1, unpacked(into, kept), None, error)
            raise
        took = clock() - began
        inside.reset(token)
        said: Any = answer
        if reader is not None:
            try:
                said = reader(answer)
            except Exception as error:  # noqa: BLE001 - an integration's; the answer itself is not touched
                said = None
                monitor.guard.error("answer", error)
            except BaseException as error:
                failed(monitor, tracing, capture, began, took, -1, unpacked(into, kept), None, error)
                raise
        try:
            if type(said) is ndarray:
                pack = monitor.ring.outputs.now
                if said.dtype is pack.dtype and said.shape == pack.shape:
                    given, onto = said.tobytes(), pack
                else:
                    given = said.copy() if said.size <= small else monitor.answer(said)
            elif said is None:
                given = nothing
            else:
                keeper = keepers.get(type(said))
                given = learn(said, monitor.answer) if keeper is None else keeper(said)
                if given is large:
                    given = monitor.answer(said)
        except TracedError:
            next(monitor.passed)
            return answer
        except Exception as error:  # noqa: BLE001 - ours, or a container that fails when it is looked at
            given = unread(said, error)
        except BaseException as error:
            failed(monitor, tracing, capture, began, took, -1, unpacked(into, kept), None, error)
            raise
        if monitor.hands:
            hand(monitor, said, began + took, kept, into)
        ring = monitor.ring
        if took > monitor.slow or len(ring.took) >= ring.brim:
            kept, given = unpacked(into, kept), unpacked(onto, given)
            into = onto = None
            if len(ring.took) >= ring.brim:
                kept, given = crowded(monitor, tracing, kept, given)
            if took > monitor.slow:
                extra = Extra(began, None, None, not attached.get() or alone(), capture)
                ring.rare.append((took, -1, kept, given, extra))
                return answer
        if into is None:
            ring.kept.append(kept)
        elif into is ring.inputs.now:
            into.kept.append(kept)
        else:  # the ring is another one since a fork, or packs something else
            ring.kept.append(into.array(kept))
        if onto is None:
            if given is not nothing:
                ring.answers.append(given)
        elif onto is ring.outputs.now:
            onto.kept.append(given)
        else:
            ring.answers.append(onto.array(given))
        ring.took.append(took)  # last: a call that is counted has left its data
        return answer

    return run


def _rare(
    function: Callable[..., Any],
    monitor: Monitor,
    tracing: Tracing,
    where: Where,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    ordinal: int,
) -> Any:
    """A plain call whose CPU time is read, or that may have a live span."""
    if ordinal >= monitor.due:
        monitor.look_ahead(ordinal)
    call = Call(monitor, tracing, where, args, kwargs, ordinal)
    others = -1
    if not ordinal % monitor.cpu_every:
        if not ordinal % monitor.pool_every:
            others = monitor.others()
        call.cpu = time.thread_time_ns()
    tokens = call.enter()
    try:
        answer = function(*args, **kwargs)
    except BaseException as error:
        call.leave(tokens, error)
        call.failed(error)
        raise
    call.leave(tokens)
    if call.cpu >= 0:
        call.cpu = time.thread_time_ns() - call.cpu
        if others >= 0:
            monitor.pooled(others, call.cpu, call.spent)
    call.done(answer)
    return answer


def _wrap_coroutine(
    function: Callable[..., Awaitable[Any]],
    monitor: Monitor,
    tracing: Tracing,
    where: Where,
    branches: Branches | None,
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> Any:
        if monitor.off or (within := INSIDE.get()):
            return await function(*args, **kwargs)
        if within is not False and branches is not None:
            return await branches.find(within)(*args, **kwargs)
        call = Call(monitor, tracing, where, args, kwargs)
        tokens = call.enter()
        try:
            answer = await function(*args, **kwargs)
        except BaseException as error:
            call.leave(tokens, error)
            call.failed(error)
            raise
        call.leave(tokens)
        call.done(answer)
        return answer

    return observed
