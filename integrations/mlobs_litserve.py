"""LitServe: what a LitAPI predicts in its workers, under the span of the request that waits for it in the API server.

Each request is put on a queue with its time; the time travels as one that knows its caller. Each answer comes back with the
request's id, and the id travels as one that knows what the caller is to be told of what was predicted.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Reading

if TYPE_CHECKING:
    from mlobs.integration import Caller, Hooks, Served


_MOST: Final = 65536  # requests that wait in one process


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


class _Answered(str):
    """The id of a request, and what its caller is to be told of what was predicted for it."""

    __slots__ = ("answer",)

    answer: object

    @classmethod
    def of(cls, uid: str, answer: object) -> _Answered:
        made = cls(uid)
        made.answer = answer
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _Answered.of, (str(self), self.answer)


# ── in the API server ───────────────────────────────────────────────────────────────────────────────────────────────


class _Waiting:
    """Who waits in this process for an answer, by the id of the request."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks
        self._callers: OrderedDict[str, Caller] = OrderedDict()

    def begins(self, uid: str) -> Caller:
        """Whoever runs here waits from now on."""
        caller = self._callers[uid] = self.hooks.caller()
        while len(self._callers) > _MOST:  # an answer that never came: a worker has died
            self._callers.popitem(last=False)
        return caller

    def answered(self, uid: str) -> None:
        """The first of an answer has come."""
        caller = self._callers.pop(uid, None)
        if caller is not None and type(uid) is _Answered:
            caller.answered(uid.answer)


class _Queue:
    """A queue of requests to which each brings its caller. Workers are given the queue itself."""

    def __init__(self, queue: Any, waiting: _Waiting) -> None:  # noqa: ANN401 - a proxy of a manager's
        self._queue = queue
        self._waiting = waiting

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the queue's
        return getattr(self._queue, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._queue,)

    def put(self, item: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        return self._queue.put(self._asked(item), *args, **kwargs)

    def put_nowait(self, item: Any) -> Any:  # noqa: ANN401 - passed on
        return self._queue.put_nowait(self._asked(item))

    def _asked(self, item: Any) -> Any:  # noqa: ANN401 - a request, or what ends a worker
        with self._waiting.hooks.guarded():
            if type(item) is tuple and len(item) == 4 and type(item[2]) is float:
                return *item[:2], _Since.of(item[2], self._waiting.begins(item[1])), item[3]
        return item


def _itself(queue: Any) -> Any:  # noqa: ANN401 - passed on
    return queue


class _Receiving:
    """A transport that tells each caller of its predictions before the answer is there."""

    def __init__(self, transport: Any, waiting: _Waiting) -> None:  # noqa: ANN401 - LitServe's
        self._transport = transport
        self._waiting = waiting

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the transport's
        return getattr(self._transport, name)

    async def areceive(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        answer = await self._transport.areceive(*args, **kwargs)
        with self._waiting.hooks.guarded():
            # a worker that may be started again says first that it has begun
            said = answer[1][1] if type(answer) is tuple else "START"
            if getattr(said, "name", said) != "START":
                self._waiting.answered(answer[0])
        return answer


def _server(hooks: Hooks) -> None:
    """Handlers and specs alike ask the server for the queue; what comes back is sorted in one place."""
    module = sys.modules["litserve.server"]
    queue, receive = module.LitServer._get_request_queue, module.response_queue_to_buffer  # noqa: SLF001 - there is no public door
    waiting = _Waiting(hooks)

    @functools.wraps(queue)
    def get_request_queue(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        return _Queue(queue(self, *args, **kwargs), waiting)

    @functools.wraps(receive)
    async def receive_and_tell(transport: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        return await receive(_Receiving(transport, waiting), *args, **kwargs)

    hooks.replace(module.LitServer, "_get_request_queue", get_request_queue)
    hooks.replace(module, "response_queue_to_buffer", receive_and_tell)


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


class _Work:
    """Requests that are worked on, and for whom."""

    def __init__(self, hooks: Hooks, items: Sequence[Any], *, streams: bool) -> None:
        self._streams = streams
        known = [item for item in items if type(item[2]) is _Since]
        self._ids = [item[1] for item in known]
        self._callers = [item[2].caller for item in known]
        self._hooks = hooks
        self._served: Served | None = None
        self._answers: dict[str, object] = {}

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """A block in which whatever is predicted is predicted for them."""
        if not self._callers:
            yield
            return
        with self._hooks.serving(self._callers) as self._served:
            if not self._streams:  # whose headers have left before anything is predicted
                _WORK.set(self)
            try:
                yield
            finally:
                _WORK.set(None)

    def answered(self, uid: str) -> str:
        """The id of a request, with what is to be told of what was predicted for it until now."""
        if self._served is not None:
            found = zip(self._ids, self._served.answers(), strict=True)
            self._answers.update((one, answer) for one, answer in found if answer)
        answer = self._answers.pop(uid, None)
        return uid if answer is None else _Answered.of(uid, answer)


_WORK: ContextVar[_Work | None] = ContextVar("mlobs_litserve_work", default=None)


class _Turn(threading.local):
    """The requests that this thread's loop is working on, until it takes the next ones from the queue."""

    def __init__(self, hooks: Hooks, *, streams: bool) -> None:
        self._hooks = hooks
        self._streams = streams
        self._block = ExitStack()

    def over(self) -> None:
        self._block.close()

    def begins(self, items: Sequence[Any]) -> None:
        with self._hooks.guarded():
            self._block.enter_context(_Work(self._hooks, items, streams=self._streams).under_way())


def _loops(hooks: Hooks) -> None:
    """Every loop puts its answers in one way."""
    loop = sys.modules["litserve.loops.base"].LitLoop
    put = loop.put_response

    @functools.wraps(put)
    def put_and_tell(
        self: Any,  # noqa: ANN401 - as LitServe has it
        transport: Any,  # noqa: ANN401 - likewise
        response_queue_id: int,
        uid: str,
        *args: Any,  # noqa: ANN401 - likewise
        **kwargs: Any,  # noqa: ANN401 - likewise
    ) -> Any:  # noqa: ANN401 - likewise
        with hooks.guarded():
            work = _WORK.get()
            if work is not None:
                uid = work.answered(uid)
        return put(self, transport, response_queue_id, uid, *args, **kwargs)

    hooks.replace(loop, "put_response", put_and_tell)


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
    _one_by_one(hooks, module.StreamingLoop, "run_streaming_loop", streams=True)
    _task(hooks, module.StreamingLoop, "_process_streaming_request", streams=True)
    _batches(hooks, module, "collate_requests", streams=True)


def _one_by_one(hooks: Hooks, owner: Any, name: str, *, streams: bool = False) -> None:  # noqa: ANN401 - a loop's class
    original = getattr(owner, name)
    turn = _Turn(hooks, streams=streams)

    @functools.wraps(original)
    def run(self: Any, lit_api: Any, request_queue: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        try:
            return original(self, lit_api, _OneByOne(request_queue, turn), *args, **kwargs)
        finally:
            turn.over()

    hooks.replace(owner, name, run)


def _task(hooks: Hooks, owner: Any, name: str, *, streams: bool = False) -> None:  # noqa: ANN401 - a loop's class
    original = getattr(owner, name)

    @functools.wraps(original)
    async def process(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        with ExitStack() as block:
            with hooks.guarded():
                block.enter_context(_Work(hooks, [request], streams=streams).under_way())
            return await original(self, request, *args, **kwargs)

    hooks.replace(owner, name, process)


def _batches(hooks: Hooks, owner: Any, name: str, *, streams: bool = False) -> None:  # noqa: ANN401 - a loop's class, or its module
    original = getattr(owner, name, None)  # where batches are collected differs between versions
    if original is None:
        return
    position = list(inspect.signature(original).parameters).index("request_queue")
    turn = _Turn(hooks, streams=streams)

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
        "litserve.loops.base": _loops,
        "litserve.loops.simple_loops": _simple,
        "litserve.loops.streaming_loops": _streaming,
        "litserve.server": _server,
    },
)
