"""xgboost: predictions of boosters and of its scikit-learn estimators; nothing of training and evaluation."""

from __future__ import annotations

import functools
import sys
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
        # where scikit-learn's integration is on, it has hooked them already, and they are left to it
        hooks.methods(model, _PREDICT, _QUIET)
        _files(hooks, model)
    for name in ("train", "cv"):
        hooks.suppress(sys.modules["xgboost.training"], name, also=("xgboost", "xgboost.sklearn"))


def _boosters(hooks: Hooks, booster: type) -> None:
    for name in ("predict", "inplace_predict"):
        hooks.observe(booster, name)
    for name in ("update", "boost", "eval", "eval_set"):  # with an objective or a metric of the user's they predict
        hooks.suppress(booster, name)
    _files(hooks, booster)


def _files(hooks: Hooks, owner: type) -> None:
    """A model that was read from a file has the profile that lies beside it."""
    load = vars(owner)["load_model"]

    @functools.wraps(load)
    def load_and_look(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as xgboost has it
        answer = load(self, *args, **kwargs)
        hooks.loaded(self, args[0] if args else kwargs.get("fname"))
        return answer

    hooks.replace(owner, "load_model", load_and_look)


integration = Integration(
    name="xgboost",
    distribution="xgboost",
    lowest="2.0",
    modules={"xgboost": _package},
    shares={"sklearn": ("sklearn.metrics._scorer", "sklearn.utils.parallel")},  # its searches may score these models
)
