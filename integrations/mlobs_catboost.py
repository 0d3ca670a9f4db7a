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
        hooks.suppress(sys.modules["catboost.core"], name, also=("catboost",))


def _scores(answer: Any) -> Any:  # noqa: ANN401 - an array
    """The scores of a single row come as a row."""
    return answer.reshape(1, -1) if getattr(answer, "ndim", 0) == 1 else answer


def _nothing(answer: object) -> None:
    """Predictions of many submodels are no prediction."""
    del answer


def _files(hooks: Hooks, model: type) -> None:
    """A model that was read from a file has the profile that lies beside it."""
    load = vars(model)["load_model"]

    @functools.wraps(load)
    def load_and_look(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as CatBoost has it
        answer = load(self, *args, **kwargs)
        hooks.loaded(self, args[0] if args else kwargs.get("fname"))
        return answer

    hooks.replace(model, "load_model", load_and_look)


integration = Integration(
    name="catboost",
    distribution="catboost",
    lowest="1.2",
    modules={"catboost": _package},
    shares={"sklearn": ("sklearn.metrics._scorer", "sklearn.utils.parallel")},  # its searches may score these models
)
