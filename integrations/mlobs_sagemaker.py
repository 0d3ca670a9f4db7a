"""SageMaker's inference toolkit: what `predict_fn` (or `transform_fn`) answers is a prediction, its neighbours are stages of it."""

from __future__ import annotations

import functools
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlobs.integration import Hooks, Report

_UNNAMED: Final = ("", "model", None)  # what the toolkit calls the only model of a container
_HEADER: Final = 255  # characters; at a longer one the model server closes the worker's connection
_PROFILE: Final = ".profile.json"


class Prediction:
    """The predictions of one transformer: what is observed in its handlers' place."""

    def __init__(self, transformer: Any) -> None:  # noqa: ANN401 - a Transformer
        self.transformer = weakref.ref(transformer)
        self.local = threading.local()

    def beside(self, role: str, seconds: float) -> None:
        """A neighbour of the prediction took so long; what came before waits for the prediction to tell it."""
        local = self.local
        if role == "input":
            local.before, local.report = seconds, None
        elif getattr(local, "report", None) is not None:
            local.report.stage("postprocess", seconds)
            local.report = None

    def predict(self, data: Any, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever input_fn gives and predict_fn answers
        """Call `predict_fn`."""
        del data
        return call()

    def transform(self, data: Any, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - bytes, as the client sent them
        """Call `transform_fn`, which reads its input itself."""
        del data
        return call()


def _watch(report: Report, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[Any], None]:
    """Stages around the prediction: what came before it, itself, and the report for what comes after."""
    del kwargs
    local = args[0].local
    before = getattr(local, "before", None)
    if before is not None:
        report.stage("preprocess", before)
    began = time.perf_counter()

    def after(answer: object) -> None:
        del answer
        report.stage("inference", time.perf_counter() - began)
        local.report = report

    return after


def _identity(hooks: Hooks, prediction: Prediction) -> Named:
    """As the model was registered; else by a profile in the model's folder; else the server's name for it, or its class."""
    transformer = prediction.transformer()
    model, context = getattr(transformer, "_model", None), getattr(transformer, "_context", None)
    known = hooks.named(model)
    if known is not None:
        return known
    folder = (getattr(context, "system_properties", None) or {}).get("model_dir")
    profiles = sorted(Path(folder).glob(f"*{_PROFILE}")) if folder else []
    if len(profiles) == 1:
        hooks.loaded(prediction, profiles[0].with_name(profiles[0].name[: -len(_PROFILE)]))
    name = getattr(context, "model_name", None)
    return Named(type(model).__name__ if name in _UNNAMED else str(name))


def _handlers(hooks: Hooks) -> None:
    """Every handler is called through one method of the transformer."""
    transformer = sys.modules["sagemaker_inference.transformer"].Transformer
    identity = functools.partial(_identity, hooks)
    hooks.observe(Prediction, "predict", Reading(identity=identity, watch=_watch))
    hooks.observe(Prediction, "transform", Reading(identity=identity, inputs=_nothing, answer=_nothing))
    hooks.replace(transformer, "_run_handler_function", _running(hooks, transformer._run_handler_function))  # noqa: SLF001 - there is no public door
    hooks.replace(transformer, "transform", _under(hooks, transformer.transform))


def _under(hooks: Hooks, transform: Callable[..., Any]) -> Callable[..., Any]:
    """A request, under the span that its headers name; its tickets are a header of the answer."""

    @functools.wraps(transform)
    def transform_under(self: Any, data: Any, context: Any) -> Any:  # noqa: ANN401 - as the toolkit has it
        headers: Mapping[str, Any] = {}
        with hooks.guarded():
            headers = dict(context.request_processor[0].get_request_properties())
        with hooks.under(headers), hooks.answering() as request:
            answer = transform(self, data, context)
            with hooks.guarded():
                tickets = request.header(_HEADER)
                if tickets is not None:
                    context.set_response_header(0, *tickets)
            return answer

    return transform_under


def _running(hooks: Hooks, run: Callable[..., Any]) -> Callable[..., Any]:
    """One handler: the prediction, or a stage beside it."""
    made: weakref.WeakKeyDictionary[Any, Prediction] = weakref.WeakKeyDictionary()

    @functools.wraps(run)
    def run_observed(self: Any, func: Any, *argv: Any) -> Any:  # noqa: ANN401 - as the toolkit has it
        prediction = role = None
        with hooks.guarded():
            role = _role(self, func)
            prediction = made.get(self) or made.setdefault(self, Prediction(self))
        if prediction is None or role is None:
            return run(self, func, *argv)
        if role in ("predict", "transform"):
            # transform_fn is given the model first, predict_fn the data
            return getattr(prediction, role)(argv[role == "transform"], functools.partial(run, self, func, *argv))
        began = time.perf_counter()
        answer = run(self, func, *argv)
        with hooks.guarded():
            prediction.beside(role, time.perf_counter() - began)
        return answer

    return run_observed


def _role(transformer: Any, func: Any) -> str | None:  # noqa: ANN401 - the toolkit's
    if getattr(func, "__mlobs__", False):
        return None  # a decorator names it
    if func == transformer._predict_fn:  # noqa: SLF001 - where the toolkit keeps them
        return "predict"
    if func == transformer._input_fn:  # noqa: SLF001 - likewise
        return "input"
    if func == transformer._output_fn:  # noqa: SLF001 - likewise
        return "output"
    if func == transformer._transform_fn and func != transformer._default_transform_fn:  # noqa: SLF001 - likewise
        return "transform"
    return None


def _nothing(*_: object, **__: object) -> None:
    """Bytes in, bytes out: there is nothing to read."""


integration = Integration(
    name="sagemaker",
    distribution="sagemaker-inference",
    lowest="1.10",
    modules={"sagemaker_inference.transformer": _handlers},
)
