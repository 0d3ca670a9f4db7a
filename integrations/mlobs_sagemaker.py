"""SageMaker's inference toolkit: each call of a script's ``predict_fn`` is a prediction of the model it is given."""

from __future__ import annotations

import functools
import os
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.integration import Hooks

_NAME: Final = "SAGEMAKER_MODEL_NAME"  # a deployment's own; SageMaker itself tells a container no name
_USUAL: Final = ("model", "models", "inference", "")  # folders and scripts that are called so everywhere
_FOLDER: Final[ContextVar[str]] = ContextVar("mlobs_sagemaker_folder", default="")


class _Handler:
    """What is observed: the model stands where a method's instance would, so that it goes by its own name."""

    def predict(model: Any, data: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:  # noqa: ANN401, N805 - the script's
        del model, data
        return function(*args)


def _named(model: object) -> Named | None:
    """By the environment, the folder, or the script, where that says anything; else by its class."""
    del model
    program = os.environ.get("SAGEMAKER_PROGRAM", "").removesuffix(".py")
    for name in (os.environ.get(_NAME, ""), Path(_FOLDER.get()).name, program):
        if name not in _USUAL:
            return Named(name)
    return None


def _observed(predict_fn: Callable[..., Any], folder: str) -> Callable[..., Any]:
    """A function of the same signature: the toolkit counts the parameters to know whether it wants the context."""

    @functools.wraps(predict_fn)
    def predict(data: Any, model: Any, *context: Any) -> Any:  # noqa: ANN401 - the script's
        token = _FOLDER.set(folder)
        try:
            return _Handler.predict(model, data, predict_fn, (data, model, *context))
        finally:
            _FOLDER.reset(token)

    return predict


def _handlers(hooks: Hooks) -> None:
    """Once a transformer has found a script's functions."""
    transformer = sys.modules["sagemaker_inference.transformer"].Transformer
    find = transformer._validate_user_module_and_set_functions  # noqa: SLF001 - there is no public door

    @functools.wraps(find)
    def find_and_observe(self: Any) -> None:  # noqa: ANN401 - a Transformer
        find(self)
        predict_fn = self._predict_fn
        if callable(predict_fn) and not getattr(predict_fn, "__mlobs__", False):
            self._predict_fn = _observed(predict_fn, _folder(self._context))

    hooks.observe(_Handler, "predict", Reading(identity=_named))
    hooks.replace(transformer, find.__name__, find_and_observe)


def _folder(context: Any) -> str:  # noqa: ANN401 - the model server's
    found = (getattr(context, "system_properties", None) or {}).get("model_dir")
    return found if isinstance(found, str) else ""


integration = Integration(
    name="sagemaker",
    distribution="sagemaker-inference",
    lowest="1.10",
    modules={"sagemaker_inference.transformer": _handlers},
)
