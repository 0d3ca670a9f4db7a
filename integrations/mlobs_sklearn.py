"""scikit-learn: every estimator's predictions, the outermost of each; nothing of fitting and scoring."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration

if TYPE_CHECKING:
    from mlobs.integration import Hooks

_PREDICT: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples")
_FIT: Final = ("fit", "partial_fit", "fit_predict", "fit_transform", "score")


def _estimators(hooks: Hooks) -> None:
    """Hook each method in the class that defines it, mixins included."""
    hooks.methods(sys.modules["sklearn.base"].BaseEstimator, _PREDICT, _FIT)


def _workers(hooks: Hooks) -> None:
    """What scikit-learn hands to joblib is part of one call; a worker thread does not inherit the caller's context."""
    hooks.suppress(sys.modules["sklearn.utils.parallel"]._FuncWrapper, "__call__")  # noqa: SLF001 - there is no public door


def _scorers(hooks: Hooks) -> None:
    """Scoring is no serving."""
    module = sys.modules["sklearn.metrics._scorer"]
    for name in ("_BaseScorer", "_MultimetricScorer", "_PassthroughScorer"):
        if hasattr(module, name):
            hooks.suppress(getattr(module, name), "__call__")


def _files(hooks: Hooks) -> None:
    """A model that was read from a file has the profile that lies beside it."""
    module = sys.modules["joblib.numpy_pickle"]
    load = module.load

    @functools.wraps(load)
    def load_and_look(filename: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as joblib has it
        model = load(filename, *args, **kwargs)
        hooks.loaded(model, filename)
        return model

    hooks.replace(module, "load", load_and_look, also=("joblib",))


integration = Integration(
    name="sklearn",
    distribution="scikit-learn",
    lowest="1.4",
    modules={
        "sklearn.base": _estimators,
        "joblib.numpy_pickle": _files,
        "sklearn.metrics._scorer": _scorers,
        "sklearn.utils.parallel": _workers,
    },
)
