"""Wraps generators and asynchronous generators: one run is one call.

Only the time inside the generator counts, not the consumer's between two items. Items are not read as predictions.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from mlobs.core.call import Call
from mlobs.core.inside import INSIDE, Variant, uncounted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from mlobs.core.branches import Branches
    from mlobs.core.locate import Where
    from mlobs.core.monitor import Monitor
    from mlobs.core.tracing import Tracing


def wrap_generator(
    function: Callable[..., Generator[Any, Any, Any]],
    monitor: Monitor,
    tracing: Tracing,
    where: Where,
    branches: Branches | None,
) -> Callable[..., Any]:
    """A generator function, observed; send, throw, close and the returned value work as without mlobs."""

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        if monitor.off or (within := INSIDE.get()):
            return (yield from function(*args, **kwargs))
        if within is not False and branches is not None:
            return (yield from branches.find(within)(*args, **kwargs))
        generator = function(*args, **kwargs)
        call = Call(monitor, tracing, where, args, kwargs)
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
                call.leave(tokens, error)
                call.failed(error)
                raise
            call.leave(tokens)
            try:
                given = yield item
                resume = generator.send
            except GeneratorExit:
                # the consumer has enough: an end, not a failure, unless the generator makes it one
                try:
                    value: Any = generator.close()  # type: ignore[func-returns-value]  # since Python 3.13
                except BaseException as error:
                    call.failed(error)
                    raise
                call.done(None)
                if value is not None:
                    return value
                raise
            except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the generator to handle
                given = error
                resume = generator.throw

    return observed


def quiet(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """A generator in whose own code nothing counts; what its consumer predicts between two items does."""
    resume: Callable[..., Any] = generator.send
    given: Any = None
    while True:
        try:
            item = uncounted(resume, given)
        except StopIteration as stop:
            return stop.value
        try:
            given = yield item
            resume = generator.send
        except GeneratorExit:
            value = uncounted(generator.close)  # since Python 3.13 there may be one
            if value is not None:
                return value
            raise
        except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the generator to handle
            given = error
            resume = generator.throw


def wrap_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]],
    monitor: Monitor,
    tracing: Tracing,
    where: Where,
    branches: Branches | None,
) -> Callable[..., Any]:
    """An asynchronous generator function, observed likewise."""

    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        within = INSIDE.get()
        # under a variant the one that is observed under it is driven in the place of the function's own
        varied = branches if type(within) is Variant and not monitor.off else None
        generator = (function if varied is None else varied.find(within))(*args, **kwargs)
        passed = varied is not None or monitor.off or within
        call = None if passed else Call(monitor, tracing, where, args, kwargs)
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
                    call.leave(tokens, error)
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


def driving(
    function: Callable[..., AsyncGenerator[Any, Any]], around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """An asynchronous generator function that only runs what ``function`` returns: for who asks what kind it is.

    Each run is in a block of its own that ``around`` makes.
    """

    async def driven(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with around():
            generator = function(*args, **kwargs)
            resume: Callable[..., Awaitable[Any]] = generator.asend
            given: Any = None
            while True:
                try:
                    item = await resume(given)
                except StopAsyncIteration:
                    return
                try:
                    given = yield item
                    resume = generator.asend
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the generator to handle
                    given = error
                    resume = generator.athrow

    return driven
