"""LitServe: what a LitAPI predicts in its workers, under the span of the request that waits for it in the API server.

Each request is put on a queue with its time; the time travels as one that knows its caller.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mlobs.integration import Integration, Reading

if TYPE_CHECKING:
    from mlobs.integration import Caller, Hooks


class _Since(float):
    """When a request was put on the queue, as LitServe says it, and whose it is."""

    caller: Caller

    @classmethod
    def of(cls, time: float, caller: Caller) -> _Since:
        made = cls(time)
        made.caller = caller
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _Since.of, (float(self), self.caller)


# ── in the API server ───────────────────────────────────────────────────────────────────────────────────────────────


class _Queue:
    """A queue of requests to which each brings its caller. Workers are given the queue itself."""

    def __init__(self, queue: Any, hooks: Hooks) -> None:  # noqa: ANN401 - a proxy of a manager's
        self._queue = queue
        self._hooks = hooks

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the queue's
        return getattr(self._queue, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._queue,)

    def put(self, item: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        return self._queue.put(self._asked(item), *args, **kwargs)

    def put_nowait(self, item: Any) -> Any:  # noqa: ANN401 - passed on
        return self._queue.put_nowait(self._asked(item))

    def _asked(self, item: Any) -> Any:  # noqa: ANN401 - a request, or what ends a worker
        with self._hooks.guarded():
            if type(item) is tuple and len(item) == 4 and type(item[2]) is float:
                return *item[:2], _Since.of(item[2], self._hooks.caller()), item[3]
        return item


def _itself(queue: Any) -> Any:  # noqa: ANN401 - passed on
    return queue


def _server(hooks: Hooks) -> None:
    """Handlers and specs alike ask the server for the queue."""
    cls = sys.modules["litserve.server"].LitServer
    original = cls._get_request_queue

    @functools.wraps(original)
    def get_request_queue(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        return _Queue(original(self, *args, **kwargs), hooks)

    hooks.replace(cls, "_get_request_queue", get_request_queue)


# ── in a worker ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _rows(instance: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as users have it
    """What is given first; a batch is one row a request, also where a request is a number or a text."""
    x = args[0] if args else next(iter(kwargs.values()), None)
    if getattr(instance, "max_batch_size", 1) > 1 and type(x) is list and x:
        first = x[0]
        if isinstance(first, (str, bytes)) or not hasattr(first, "__len__"):
            return [(one,) for one in x]
    return x


def _apis(hooks: Hooks) -> None:
    reading = Reading(inputs=_rows)
    hooks.subclasses(sys.modules["litserve.api"].LitAPI, lambda cls: hooks.observe(cls, "predict", reading))


class _Turn(threading.local):
    """The requests that this thread's loop is working on, until it takes the next ones from the queue."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._block = ExitStack()

    def over(self) -> None:
        self._block.close()

    def begins(self, items: Sequence[Any]) -> None:
        with self._hooks.guarded():
            callers = [item[2].caller for item in items if type(item[2]) is _Since]
            if callers:
                self._block.enter_context(self._hooks.serving(callers))


class _Taken:
    """A queue as a worker's loop sees it; remembers what was taken from it."""

    def __init__(self, queue: Any) -> None:  # noqa: ANN401 - a proxy of a manager's
        self._queue = queue
        self.items: list[Any] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the queue's
        return getattr(self._queue, name)

    def get(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        self.items.append(item := self._queue.get(*args, **kwargs))
        return item

    def get_nowait(self) -> Any:  # noqa: ANN401 - passed on
        self.items.append(item := self._queue.get_nowait())
        return item


class _OneByOne(_Taken):
    """A queue whose requests are worked on one after the other: each until the next one is asked for."""

    def __init__(self, queue: Any, turn: _Turn) -> None:  # noqa: ANN401 - a proxy of a manager's
        super().__init__(queue)
        self._turn = turn

    def get(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        self._turn.over()
        item = self._queue.get(*args, **kwargs)
        self._turn.begins([item])
        return item


def _simple(hooks: Hooks) -> None:
    module = sys.modules["litserve.loops.simple_loops"]
    _one_by_one(hooks, module.SingleLoop, "run_single_loop")
    _task(hooks, module.SingleLoop, "_process_single_request")
    _batches(hooks, module.BatchedLoop, "get_batch_requests")
    _batches(hooks, module, "collate_requests")


def _streaming(hooks: Hooks) -> None:
    module = sys.modules["litserve.loops.streaming_loops"]
    _one_by_one(hooks, module.StreamingLoop, "run_streaming_loop")
    _task(hooks, module.StreamingLoop, "_process_streaming_request")
    _batches(hooks, module, "collate_requests")


def _one_by_one(hooks: Hooks, owner: Any, name: str) -> None:  # noqa: ANN401 - a loop's class
    original = getattr(owner, name)
    turn = _Turn(hooks)

    @functools.wraps(original)
    def run(self: Any, lit_api: Any, request_queue: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        try:
            return original(self, lit_api, _OneByOne(request_queue, turn), *args, **kwargs)
        finally:
            turn.over()

    hooks.replace(owner, name, run)


def _task(hooks: Hooks, owner: Any, name: str) -> None:  # noqa: ANN401 - a loop's class
    original = getattr(owner, name)

    @functools.wraps(original)
    async def process(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        with ExitStack() as block:
            with hooks.guarded():
                if type(request[2]) is _Since:
                    block.enter_context(hooks.serving([request[2].caller]))
            return await original(self, request, *args, **kwargs)

    hooks.replace(owner, name, process)


def _batches(hooks: Hooks, owner: Any, name: str) -> None:  # noqa: ANN401 - a loop's class, or its module
    original = getattr(owner, name, None)  # where batches are collected differs between versions
    if original is None:
        return
    position = list(inspect.signature(original).parameters).index("request_queue")
    turn = _Turn(hooks)

    @functools.wraps(original)
    def collect(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        turn.over()
        if len(args) > position:
            taken = _Taken(args[position])
            args = (*args[:position], taken, *args[position + 1 :])
        else:
            taken = _Taken(kwargs["request_queue"])
            kwargs = {**kwargs, "request_queue": taken}
        found = original(*args, **kwargs)
        with hooks.guarded():
            wanted = {request[1] for request in found[0]}  # without those that have waited too long
            turn.begins([item for item in taken.items if item[1] in wanted])
        return found

    hooks.replace(owner, name, collect)


integration = Integration(
    name="litserve",
    distribution="litserve",
    lowest="0.2.13",
    modules={
        "litserve.api": _apis,
        "litserve.loops.simple_loops": _simple,
        "litserve.loops.streaming_loops": _streaming,
        "litserve.server": _server,
    },
)
