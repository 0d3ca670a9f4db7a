"""LightGBM: predictions of boosters and of its scikit-learn estimators; nothing of training and evaluation."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Reading

if TYPE_CHECKING:
    from mlobs.integration import Hooks

_PREDICT: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function")
_QUIET: Final = ("fit", "score")


def _package(hooks: Hooks) -> None:
    package = sys.modules["lightgbm"]
    _boosters(hooks, package.Booster)
    model = getattr(package, "LGBMModel", None)
    if model is not None:
        # where scikit-learn's integration is on, it has hooked them already, and they are left to it
        hooks.methods(model, _PREDICT, _QUIET)
    for name in ("train", "cv"):
        hooks.suppress(sys.modules["lightgbm.engine"], name, also=("lightgbm", "lightgbm.sklearn"))


def _boosters(hooks: Hooks, booster: type) -> None:
    hooks.observe(booster, "predict", Reading(inputs=_rows))
    for name in (
        "update",
        "eval",
        "eval_train",
        "eval_valid",
        "refit",
    ):  # with functions of the user's they may predict
        hooks.suppress(booster, name)
    _files(hooks, booster)


def _rows(booster: object, data: object = None, *args: object, **kwargs: object) -> object:
    """The rows of a call, unless it names a file of them."""
    del booster, args, kwargs
    return None if isinstance(data, (str, os.PathLike)) else data


def _files(hooks: Hooks, booster: Any) -> None:  # noqa: ANN401 - its __init__ is looked at
    """A model that was read from a file has the profile that lies beside it."""
    init = booster.__init__

    @functools.wraps(init)
    def init_and_look(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as LightGBM has it
        init(self, *args, **kwargs)
        trained = kwargs.get("train_set", args[1] if len(args) > 1 else None)
        if trained is None:
            hooks.loaded(self, kwargs.get("model_file", args[2] if len(args) > 2 else None))

    hooks.replace(booster, "__init__", init_and_look)


integration = Integration(
    name="lightgbm",
    distribution="lightgbm",
    lowest="4.0",
    modules={"lightgbm": _package},
    shares={"sklearn": ("sklearn.metrics._scorer", "sklearn.utils.parallel")},  # its searches may score these models
)
