"""LightGBM: predictions of boosters and of its scikit-learn estimators; nothing of training and evaluation."""

from __future__ import annotations

import functools
import os
import sys
import weakref
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
        _estimators(hooks, model)
    for name in ("train", "cv"):
        _training(hooks, name)


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


def _estimators(hooks: Hooks, base: type) -> None:
    """Where scikit-learn's integration is on, it has hooked them already, and they are left to it."""
    seen: weakref.WeakSet[type] = weakref.WeakSet((object,))

    def each(cls: type) -> None:
        for owner in cls.__mro__:
            if owner in seen:
                continue
            seen.add(owner)
            for name in _PREDICT:
                hooks.observe(owner, name)
            for name in _QUIET:
                hooks.suppress(owner, name)

    hooks.subclasses(base, each)


def _training(hooks: Hooks, name: str) -> None:
    """One function under several names: pickle asks for the very object that its name leads to."""
    home = sys.modules["lightgbm.engine"]
    original = vars(home).get(name)
    hooks.suppress(home, name)
    for other in ("lightgbm", "lightgbm.sklearn"):
        module = sys.modules.get(other)
        if original is not None and module is not None and vars(module).get(name) is original:
            hooks.replace(module, name, vars(home)[name])


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


def _scorers(hooks: Hooks) -> None:
    """Scoring is no serving, where scikit-learn's integration is off, too."""
    module = sys.modules["sklearn.metrics._scorer"]
    for name in ("_BaseScorer", "_MultimetricScorer", "_PassthroughScorer"):
        if hasattr(module, name):
            hooks.suppress(getattr(module, name), "__call__")


def _workers(hooks: Hooks) -> None:
    """Nor is what the workers of a search or of cross-validation do."""
    hooks.suppress(sys.modules["sklearn.utils.parallel"]._FuncWrapper, "__call__")  # noqa: SLF001 - there is no public door


integration = Integration(
    name="lightgbm",
    distribution="lightgbm",
    lowest="4.0",
    modules={
        "lightgbm": _package,
        "sklearn.metrics._scorer": _scorers,
        "sklearn.utils.parallel": _workers,
    },
)
