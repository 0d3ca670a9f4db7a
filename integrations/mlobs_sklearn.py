"""scikit-learn: every estimator's predictions, the outermost of each; nothing of fitting and scoring."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.integration import Hooks

_PREDICT: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples")
_STAGED: Final = ("staged_predict", "staged_predict_proba", "staged_decision_function", "staged_score")
_FIT: Final = ("fit", "partial_fit", "fit_predict", "fit_transform", "score", *_STAGED)
_TRANSFORMERS: Final = {
    "sklearn.ensemble._stacking": ("StackingClassifier", "StackingRegressor"),
    "sklearn.ensemble._voting": ("VotingClassifier", "VotingRegressor"),
    "sklearn.impute._iterative": ("IterativeImputer",),
}
_INSPECTION: Final = {
    "sklearn.inspection._partial_dependence": "_partial_dependence_brute",
    "sklearn.inspection._permutation_importance": "_weights_scorer",
}


def _estimators(hooks: Hooks) -> None:
    """Hook each method in the class that defines it, mixins included."""
    hooks.methods(sys.modules["sklearn.base"].BaseEstimator, _PREDICT, _FIT)


def _transformers(module: str, *names: str) -> Callable[[Hooks], None]:
    """Their `transform` predicts with models that they hold, and is no prediction."""

    def hook(hooks: Hooks) -> None:
        for name in names:
            hooks.suppress(getattr(sys.modules[module], name), "transform")

    return hook


def _inspection(module: str, name: str) -> Callable[[Hooks], None]:
    """Inspecting is no serving; whoever imported the public function before us has one that looks this one up."""
    return lambda hooks: hooks.suppress(sys.modules[module], name)


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
        **{module: _transformers(module, *names) for module, names in _TRANSFORMERS.items()},
        **{module: _inspection(module, name) for module, name in _INSPECTION.items()},
        "sklearn.metrics._scorer": _scorers,
        "sklearn.utils.parallel": _workers,
    },
)
