"""Wraps generators and asynchronous generators: one run is one call.

Only the time inside the generator counts, not the consumer's between two items. Items are not read as predictions.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from mlobs.core.call import INSIDE, Call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from mlobs.core.locate import Locate
    from mlobs.core.monitor import Monitor
    from mlobs.core.tracing import Tracing


def wrap_generator(
    function: Callable[..., Generator[Any, Any, Any]], monitor: Monitor, tracing: Tracing, locate: Locate
) -> Callable[..., Any]:
    """A generator function, observed; send, throw, close and the returned value work as without mlobs."""

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        if monitor.off or INSIDE.get():
            return (yield from generator)
        call = Call(monitor, tracing, locate, args, kwargs)
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


def wrap_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], monitor: Monitor, tracing: Tracing, locate: Locate
) -> Callable[..., Any]:
    """An asynchronous generator function, observed likewise."""

    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        call = None if monitor.off or INSIDE.get() else Call(monitor, tracing, locate, args, kwargs)
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
