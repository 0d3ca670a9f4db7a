"""xgboost: predictions of boosters and of its scikit-learn estimators; nothing of training and evaluation."""

from __future__ import annotations

import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration

if TYPE_CHECKING:
    from mlobs.integration import Hooks

_PREDICT: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function")
_QUIET: Final = ("fit", "score", "apply")


def _package(hooks: Hooks) -> None:
    package = sys.modules["xgboost"]
    _boosters(hooks, package.Booster)
    model = getattr(package, "XGBModel", None)
    if model is not None:
        _estimators(hooks, model)
        _files(hooks, model)
    for name in ("train", "cv"):
        _training(hooks, name)


def _boosters(hooks: Hooks, booster: type) -> None:
    for name in ("predict", "inplace_predict"):
        hooks.observe(booster, name)
    for name in ("update", "boost", "eval", "eval_set"):  # with an objective or a metric of the user's they predict
        hooks.suppress(booster, name)
    _files(hooks, booster)


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
    home = sys.modules["xgboost.training"]
    original = vars(home).get(name)
    hooks.suppress(home, name)
    for other in ("xgboost", "xgboost.sklearn"):
        module = sys.modules.get(other)
        if original is not None and module is not None and vars(module).get(name) is original:
            hooks.replace(module, name, vars(home)[name])


def _files(hooks: Hooks, owner: type) -> None:
    """A model that was read from a file has the profile that lies beside it."""
    load = vars(owner)["load_model"]

    @functools.wraps(load)
    def load_and_look(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as xgboost has it
        answer = load(self, *args, **kwargs)
        hooks.loaded(self, args[0] if args else kwargs.get("fname"))
        return answer

    hooks.replace(owner, "load_model", load_and_look)


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
    name="xgboost",
    distribution="xgboost",
    lowest="2.0",
    modules={
        "xgboost": _package,
        "sklearn.metrics._scorer": _scorers,
        "sklearn.utils.parallel": _workers,
    },
)
