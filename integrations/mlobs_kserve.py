"""KServe: the predict of every model of one's own, its preprocess and postprocess as stages; v1 and v2 bodies as columns."""

from __future__ import annotations

import functools
import inspect
import sys
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlobs.integration import Hooks, Report

# the model is known once it predicts: what came before waits for it, what comes after asks for it
_BEFORE: Final[ContextVar[float | None]] = ContextVar("mlobs_kserve_before", default=None)
_REPORT: Final[ContextVar[Report | None]] = ContextVar("mlobs_kserve_report", default=None)


def _models(hooks: Hooks) -> None:
    """Every class of models but the base, whose predict asks another server, and that one counts it."""
    base = sys.modules["kserve.model"].Model
    asking = vars(base)["predict"]

    def each(cls: type) -> None:
        if cls is base:
            return
        if inspect.getattr_static(cls, "predict", asking) is not asking:
            hooks.observe(cls, "predict", _PREDICT, inherited=True)
        hooks.suppress(cls, "explain")  # it predicts, often hundreds of times, what nobody asked for
        for name, timed in (("preprocess", _preprocess), ("postprocess", _postprocess)):
            function = vars(cls).get(name)
            if inspect.isfunction(function):
                hooks.replace(cls, name, timed(function))

    hooks.subclasses(base, each)


# ── stages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _preprocess(function: Callable[..., Any]) -> Callable[..., Any]:
    def begin() -> Callable[[], None]:
        began = time.perf_counter()

        def end() -> None:
            _BEFORE.set(time.perf_counter() - began)

        return end

    return _timed(function, begin)


def _postprocess(function: Callable[..., Any]) -> Callable[..., Any]:
    def begin() -> Callable[[], None]:
        began, report = time.perf_counter(), _REPORT.get()
        _REPORT.set(None)  # it may call that of the class above
        return lambda: None if report is None else report.stage("postprocess", time.perf_counter() - began)

    return _timed(function, begin)


def _timed(function: Callable[..., Any], begin: Callable[[], Callable[[], None]]) -> Callable[..., Any]:
    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        end = begin()
        answer = function(*args, **kwargs)
        end()
        return answer

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        end = begin()
        answer = await function(*args, **kwargs)
        end()
        return answer

    return coroutine if inspect.iscoroutinefunction(function) else plain


def _watch(report: Report, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    del args, kwargs
    before = _BEFORE.get()
    if before is not None:
        _BEFORE.set(None)
        report.stage("preprocess", before)
    _REPORT.set(report)


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _inputs(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever preprocess has made of the body
    body = args[1] if len(args) > 1 else next(iter(kwargs.values()), None)
    if isinstance(body, dict):
        return body.get("instances", body.get("inputs", body))
    tensors = getattr(body, "inputs", None)
    if not isinstance(tensors, list):
        return body
    found = {one.name: one.as_numpy() for one in tensors}
    first = next(iter(found.values()), None)
    # a lone matrix is the rows, and its columns have no names
    return first if len(found) == 1 and first.ndim > 1 and first.shape[1] > 1 else found  # type: ignore[union-attr]


def _answer(answer: Any) -> Any:  # noqa: ANN401 - whatever predict returned
    if isinstance(answer, dict):
        return answer.get("predictions", answer.get("outputs", answer))
    tensors = getattr(answer, "outputs", None)
    if isinstance(tensors, list):
        found = {one.name: one.as_numpy() for one in tensors}
        return next(iter(found.values())) if len(found) == 1 else found
    return None if hasattr(answer, "__aiter__") else answer


_PREDICT: Final = Reading(
    operation="predict",
    inputs=_inputs,
    answer=_answer,
    identity=lambda model: Named(model.name),
    watch=_watch,
)

integration = Integration(
    name="kserve",
    distribution="kserve",
    lowest="0.16",
    modules={"kserve.model": _models},
)
