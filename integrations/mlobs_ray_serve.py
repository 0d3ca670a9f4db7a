"""Ray Serve: the caller's span reaches the replica, over handles too, and a batch's prediction is for all its requests."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.integration import Hooks

_CALLER: Final = "mlobs_caller"  # beside the fields of a request in a batch's queue
_HEADERS: Final = "mlobs_headers"  # and beside those of a request's metadata, which are pickled for the replica


def _replicas(hooks: Hooks) -> None:
    """Where user code begins: a request's, with the scope of ASGI, and a handle's."""
    wrapper = sys.modules["ray.serve._private.replica"].UserCallableWrapper
    in_its_loop: Any = vars(wrapper).get("_run_user_code", lambda function: function)

    def inner(name: str) -> Any:  # noqa: ANN401 - a coroutine function, or None
        """The coroutine function that Ray runs in the loop of user code."""
        function = getattr(wrapper, name, None)
        function = getattr(function, "__wrapped__", function)
        return function if inspect.iscoroutinefunction(function) else None

    entry = inner("_call_http_entrypoint")
    if entry is not None:
        served = type("Served", (), {"entry": entry})
        hooks.asgi(served, "entry", position=2)
        hooks.replace(wrapper, "_call_http_entrypoint", in_its_loop(vars(served)["entry"]))

    called = inner("call_user_method")
    if called is not None:

        @functools.wraps(called)
        async def call_under(self: Any, request_metadata: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Ray has it
            with hooks.under(getattr(request_metadata, _HEADERS, {})):
                return await called(self, request_metadata, *args, **kwargs)

        hooks.replace(wrapper, "call_user_method", in_its_loop(call_under))

    ended = inner("call_destructor")
    if ended is not None:

        @functools.wraps(ended)
        async def end_and_send(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Ray has it
            """The controller kills the process next, and no exit handler runs."""
            try:
                return await ended(self, *args, **kwargs)
            finally:
                with ThreadPoolExecutor(1) as pool:  # the loop's own is shut down by now
                    await asyncio.get_running_loop().run_in_executor(pool, hooks.flush)

        hooks.replace(wrapper, "call_destructor", in_its_loop(end_and_send))


def _handles(hooks: Hooks) -> None:
    """Send the current span along with a request to another deployment, as headers: its replica may have no mlobs."""
    module = sys.modules["ray.serve._private.default_impl"]
    make = module.get_request_metadata

    @functools.wraps(make)
    def make_with_span(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Ray has it
        metadata = make(*args, **kwargs)
        with hooks.guarded():
            from opentelemetry import propagate

            headers: dict[str, str] = {}
            propagate.inject(headers)
            if headers:
                setattr(metadata, _HEADERS, headers)
        return metadata

    hooks.replace(module, "get_request_metadata", make_with_span)


def _batches(hooks: Hooks) -> None:
    """Each request of a batch remembers who waits; without that, all batches run in the context of the first request."""
    queue = sys.modules["ray.serve.batching"]._BatchQueue  # noqa: SLF001 - there is no public door
    name = "_process_batch_inner" if hasattr(queue, "_process_batch_inner") else "_process_batch"  # older ones
    put, process = queue.put, getattr(queue, name)

    @functools.wraps(put)
    def put_and_remember(self: Any, request: Any) -> Any:  # noqa: ANN401 - as Ray has it
        with hooks.guarded():
            setattr(request, _CALLER, hooks.caller())
        return put(self, request)

    @functools.wraps(process)
    async def process_for(self: Any, func: Callable[..., Any], batch: list[Any]) -> Any:  # noqa: ANN401 - as Ray has it
        callers: list[Any] = [getattr(one, _CALLER, None) for one in batch if not one.future.cancelled()]
        if not callers or None in callers:  # requests that came before the hooks
            return await process(self, func, batch)
        with hooks.serving(callers):
            return await process(self, func, batch)

    hooks.replace(queue, "put", put_and_remember)
    hooks.replace(queue, name, process_for)


integration = Integration(
    name="ray-serve",
    distribution="ray",
    lowest="2.55",
    modules={
        "ray.serve._private.default_impl": _handles,
        "ray.serve._private.replica": _replicas,
        "ray.serve.batching": _batches,
    },
)
