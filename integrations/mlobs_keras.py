"""Keras 3, on any backend: what models predict, by name; nothing of training and of graphs in the making."""

# ruff: noqa: ANN401 - models and tensors, of a framework that is not imported here
from __future__ import annotations

import contextlib
import functools
import re
import sys
import weakref
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.integration import Hooks

_PREDICT: Final = ("predict", "predict_on_batch")
_TRAIN: Final = ("fit", "evaluate", "train_on_batch", "test_on_batch")
_PLAIN: Final = (list, tuple, dict)

# the stem of the file that a model was loaded from
_stems: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def _named(model: Any) -> Named:
    """By the name that somebody gave it, its file, its class: those that Keras makes up tell no model from another."""
    name, cls = str(getattr(model, "name", "")), type(model).__name__
    snake = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", cls))).lower()
    made_up = re.fullmatch(rf"({snake}|functional|model|sequential)(_\d+)?", name)
    stem = _stems.get(model, "model")
    return Named((not made_up and name) or (stem != "model" and stem) or cls)


# ── data ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _given(model: Any, x: Any = None, *_: Any, **named: Any) -> Any:
    """The input, unless it is a dataset or a generator, which is not for us to run; several by the model's own names."""
    x = named.get("x", named.get("inputs", x))
    if not isinstance(x, _PLAIN):
        return x if hasattr(x, "shape") else None
    names = [each.name for each in getattr(model, "inputs", None) or ()]
    return dict(zip(names, x, strict=True)) if not isinstance(x, dict) and len(names) == len(x) > 1 else x


def _predicts(_: Any, x: Any = None, *args: Any, **named: Any) -> bool:
    """Whether a call of the model itself is a prediction: of values, and not to train."""
    if named.get("training") or (args and args[0] is True):
        return False
    first = named.get("inputs", x)
    while isinstance(first, _PLAIN) and first:
        first = next(iter(first.values())) if isinstance(first, dict) else first[0]
    return not any(cls.__name__ in ("KerasTensor", "Tracer", "SymbolicTensor") for cls in type(first).__mro__)


def _traced() -> bool:
    """Whether a function of TensorFlow is being traced, or torch compiles: then mlobs is not there. Never raises."""
    eager = getattr(sys.modules.get("tensorflow"), "executing_eagerly", None)
    if eager is not None and not eager():
        return True
    compiling = getattr(getattr(sys.modules.get("torch"), "compiler", None), "is_compiling", None)
    return compiling is not None and compiling()


# ── hooks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _models(hooks: Hooks) -> None:
    """The methods stand in the backend's trainer, above the model, and in what users override."""
    base = sys.modules["keras.src.models.model"].Model
    reading = Reading(inputs=_given, identity=_named)
    hooks.methods(base, _PREDICT, _TRAIN, reading)
    called = reading._replace(operation="call", when=_predicts, unless=_traced)
    hooks.observe(base, "__call__", called, inherited=True)


def _files(name: str, function: str) -> Callable[[Hooks], None]:
    """A model that was read from a file has the profile that lies beside it."""

    def hook(hooks: Hooks) -> None:
        module = sys.modules[name]
        load = getattr(module, function)

        @functools.wraps(load)
        def load_and_look(filepath: Any, *args: Any, **kwargs: Any) -> Any:
            model = load(filepath, *args, **kwargs)
            with contextlib.suppress(TypeError):  # a class of the user's own without a hash, or a path that is none
                _stems[model] = PurePath(filepath).stem
            hooks.loaded(model, filepath, _named(model))
            return model

        hooks.replace(module, function, load_and_look)

    return hook


_SAVED: Final = {
    "keras.src.legacy.saving.legacy_h5_format": "load_model_from_hdf5",
    "keras.src.saving.saving_lib": "load_model",
}

integration = Integration(
    name="keras",
    distribution="keras",
    lowest="3.5",
    modules={
        "keras.src.models.model": _models,
        **{name: _files(name, function) for name, function in _SAVED.items()},
    },
)
