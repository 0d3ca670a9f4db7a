"""MLServer: every model's predict, in whatever process; batches for all their requests, and the caller's span carried there."""

from __future__ import annotations

import functools
import inspect
import pickle
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlobs.integration import Caller, Hooks, Served

    Batch = tuple[Sequence[Caller], Sequence[int] | None]

# beside a message's own fields; a worker without mlobs does not look there
_TOLD: Final = "mlobs_callers"
_ANSWERS: Final = "mlobs_answers"
_BATCH: Final[ContextVar[Batch | None]] = ContextVar("mlobs_mlserver_batch", default=None)


def _models(hooks: Hooks) -> None:
    base = sys.modules["mlserver.model"].MLModel

    def each(cls: type) -> None:
        if cls is base or cls.__module__ == "mlserver.parallel.model":  # the latter asks a worker, which counts it
            return
        before = vars(cls).get("predict")
        hooks.observe(cls, "predict", _PREDICT)
        stand_in: Any = vars(cls).get("predict")
        if stand_in is not before:
            # adaptive batching follows __wrapped__ and loses the instance that the method is bound to
            stand_in.__signature__ = inspect.signature(stand_in)
            del stand_in.__wrapped__

    hooks.subclasses(base, each)


# ── the request ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _requests(hooks: Hooks) -> None:
    """MLServer loads OpenTelemetry's instrumentation, used or not, so that the application's hook leaves requests alone."""
    plane = sys.modules["mlserver.handlers.dataplane"].DataPlane
    infer = plane.infer

    @functools.wraps(infer)
    async def infer_under(self: Any, payload: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as MLServer has it
        with hooks.under(getattr(getattr(payload, "parameters", None), "headers", None) or {}):
            return await infer(self, payload, *args, **kwargs)

    hooks.replace(plane, "infer", infer_under)


# ── batches ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _batches(hooks: Hooks) -> None:
    """Remember who waits, by the identity of their request, and serve all of them where the merged one is predicted."""
    batcher = sys.modules["mlserver.batching.adaptive"].AdaptiveBatcher
    batched = sys.modules["mlserver.batching.requests"].BatchedRequests
    predict, merge = batcher.predict, batched._merge_requests  # noqa: SLF001 - there is no public door
    waiting: dict[int, Caller] = {}
    merged: dict[int, Batch] = {}

    @functools.wraps(predict)
    async def wait(self: Any, req: Any) -> Any:  # noqa: ANN401 - as MLServer has it
        waiting[id(req)] = hooks.caller()
        try:
            return await predict(self, req)
        finally:
            waiting.pop(id(req), None)

    @functools.wraps(merge)
    def merge_and_remember(self: Any) -> Any:  # noqa: ANN401 - as MLServer has it
        request = merge(self)
        with hooks.guarded(), suppress(KeyError):  # requests that came before the hooks
            callers = [waiting[id(one)] for one in self.inference_requests.values()]
            sizes = list(self._minibatch_sizes.values())
            merged[id(request)] = callers, (sizes if len(sizes) == len(callers) else None)
        return request

    def serve(function: Callable[..., Any]) -> Callable[..., Any]:
        async def served(request: Any) -> Any:  # noqa: ANN401 - as MLServer has it
            batch = merged.pop(id(request), None)
            if batch is None:
                return await function(request)
            token = _BATCH.set(batch)
            try:
                with hooks.serving(*batch):
                    return await function(request)
            finally:
                _BATCH.reset(token)

        return served

    def get(self: Any) -> Callable[..., Any]:  # noqa: ANN401 - as MLServer has it
        return serve(vars(self)["_predict_fn"])

    def put(self: Any, function: Callable[..., Any]) -> None:  # noqa: ANN401 - as MLServer has it
        vars(self)["_predict_fn"] = function

    hooks.replace(batcher, "predict", wait)
    hooks.replace(batched, "_merge_requests", merge_and_remember)
    hooks.replace(batcher, "_predict_fn", property(get, put))


# ── workers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _dispatcher(hooks: Hooks) -> None:
    """Send along who asks, as bytes: a worker may have no mlobs. What it predicted comes back with what each is to be told."""
    dispatcher = sys.modules["mlserver.parallel.dispatcher"].Dispatcher
    dispatch = dispatcher.dispatch_request

    @functools.wraps(dispatch)
    async def dispatch_and_tell(self: Any, request_message: Any) -> Any:  # noqa: ANN401 - as MLServer has it
        callers: Sequence[Caller] = ()
        with hooks.guarded():  # a variant may not pickle
            batch = _BATCH.get() or ([hooks.caller()], None)
            vars(request_message)[_TOLD] = pickle.dumps(batch)
            callers = batch[0]
        answer = await dispatch(self, request_message)
        with hooks.guarded():
            for caller, told in zip(callers, vars(answer).pop(_ANSWERS, ()), strict=False):
                caller.answered(told)
        return answer

    hooks.replace(dispatcher, "dispatch_request", dispatch_and_tell)


def _worker(hooks: Hooks) -> None:
    worker = sys.modules["mlserver.parallel.worker"].Worker
    process = worker._process_request  # noqa: SLF001 - there is no public door

    def block(request: Any) -> AbstractContextManager[Served | None]:  # noqa: ANN401 - as MLServer has it
        with hooks.guarded():
            told = vars(request).pop(_TOLD, None)
            if told is not None:
                return hooks.serving(*pickle.loads(told))  # noqa: S301 - the message itself came out of a pickle
        return nullcontext()

    @functools.wraps(process)
    async def process_for(self: Any, request: Any) -> Any:  # noqa: ANN401 - as MLServer has it
        with block(request) as served:
            answer = await process(self, request)
            with hooks.guarded():
                if served is not None:
                    vars(answer)[_ANSWERS] = served.answers()
            return answer

    hooks.replace(worker, "_process_request", process_for)


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tensors(tensors: Sequence[Any]) -> dict[str, Any]:
    """V2 inputs or outputs by name, as arrays; text and what is encoded somehow stays the list that it is."""
    import numpy as np

    found: dict[str, Any] = {}
    for one in tensors:
        data = getattr(one.data, "root", one.data)
        kind = getattr(one.datatype, "value", one.datatype)
        if kind == "BYTES":
            found[one.name] = data
        else:
            # None stands for NaN there
            found[one.name] = np.array(data, float if kind[:2] == "FP" else None).reshape(one.shape)
    return found


def _inputs(_model: object, payload: Any) -> Any:  # noqa: ANN401 - as MLServer has it
    found = _tensors(payload.inputs)
    first = next(iter(found.values()), None)
    # a lone matrix is the rows, and its columns have no names
    return first if len(found) == 1 and getattr(first, "ndim", 1) > 1 and first.shape[1] > 1 else found  # type: ignore[union-attr]


def _answer(answer: Any) -> Any:  # noqa: ANN401 - whatever predict returned
    found = _tensors(answer.outputs)
    if len(found) != 1:
        return found
    only = next(iter(found.values()))
    return only.ravel() if getattr(only, "ndim", 1) > 1 and only.shape[1:] == (1,) else only


def _named(model: Any) -> Named:  # noqa: ANN401 - an MLModel
    """As its settings say, with the profile that lies beside its file: flats.profile.json beside flats.joblib."""
    uri = getattr(model.settings.parameters, "uri", None)
    if not uri or "://" in uri:
        return Named(model.name, model.version)
    path = Path(sys.modules["mlserver.utils"].to_absolute_path(model.settings, uri))
    beside = path / "model.profile.json" if path.is_dir() else path.with_suffix(".profile.json")
    return Named(model.name, model.version, beside if beside.is_file() else None)


_PREDICT: Final = Reading(operation="predict", inputs=_inputs, answer=_answer, identity=_named)

integration = Integration(
    name="mlserver",
    distribution="mlserver",
    lowest="1.7",
    modules={
        "mlserver.batching.adaptive": _batches,
        "mlserver.handlers.dataplane": _requests,
        "mlserver.model": _models,
        "mlserver.parallel.dispatcher": _dispatcher,
        "mlserver.parallel.worker": _worker,
    },
)
