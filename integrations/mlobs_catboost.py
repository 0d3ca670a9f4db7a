"""CatBoost: predictions of its models; nothing of training and evaluation."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Reading

if TYPE_CHECKING:
    from mlobs.integration import Hooks

_QUIET: Final = (
    *("fit", "score", "eval_metrics", "compare", "grid_search", "randomized_search", "select_features"),
    *("get_feature_importance", "plot_predictions", "plot_partial_dependence", "calc_feature_statistics"),
)


def _package(hooks: Hooks) -> None:
    model = sys.modules["catboost"].CatBoost
    scores = Reading(answer=_scores)

    def each(cls: type) -> None:
        hooks.observe(cls, "predict")
        hooks.observe(cls, "predict_proba", scores)
        hooks.observe(cls, "predict_log_proba", scores)
        hooks.observe(cls, "virtual_ensembles_predict", Reading(answer=_nothing))
        for name in _QUIET:
            hooks.suppress(cls, name)

    hooks.subclasses(model, each)
    _files(hooks, model)
    for name in ("train", "cv"):
        _training(hooks, name)


def _scores(answer: Any) -> Any:  # noqa: ANN401 - an array
    """The scores of a single row come as a row."""
    return answer.reshape(1, -1) if getattr(answer, "ndim", 0) == 1 else answer


def _nothing(answer: object) -> None:
    """Predictions of many submodels are no prediction."""
    del answer


def _training(hooks: Hooks, name: str) -> None:
    """One function under two names: pickle asks for the very object that its name leads to."""
    home, package = sys.modules["catboost.core"], sys.modules["catboost"]
    original = vars(home).get(name)
    hooks.suppress(home, name)
    if original is not None and vars(package).get(name) is original:
        hooks.replace(package, name, vars(home)[name])


def _files(hooks: Hooks, model: type) -> None:
    """A model that was read from a file has the profile that lies beside it."""
    load = vars(model)["load_model"]

    @functools.wraps(load)
    def load_and_look(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as CatBoost has it
        answer = load(self, *args, **kwargs)
        hooks.loaded(self, args[0] if args else kwargs.get("fname"))
        return answer

    hooks.replace(model, "load_model", load_and_look)


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
    name="catboost",
    distribution="catboost",
    lowest="1.2",
    modules={
        "catboost": _package,
        "sklearn.metrics._scorer": _scorers,
        "sklearn.utils.parallel": _workers,
    },
)
