"""statsmodels: predictions of fitted results for rows that they are given, and forecasts; nothing of fitting and diagnosis."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.integration import Hooks

_PREDICT: Final = ("predict", "get_prediction")
_FORECAST: Final = ("forecast", "get_forecast")
_SAID: Final = ("predicted_mean", "predicted", "predicted_values")  # what a prediction with its errors calls itself
_QUIET: Final = {  # these predict rows that were held out, or filled in, to judge a fit
    "statsmodels.gam.gam_cross_validation.gam_cross_validation": ("BaseCV.fit", "MultivariateGAMCVPath.fit"),
    "statsmodels.imputation.mice": ("MICEData.plot_fit_obs",),
}


def _results(hooks: Hooks) -> None:
    """Results: what `fit` returns, behind a wrapper that hands all calls on."""
    base = sys.modules["statsmodels.base.model"].Results
    forecast = Reading(inputs=_nothing, answer=_mean)

    def each(cls: type) -> None:
        for name in _PREDICT:
            given = _given(vars(cls).get(name))
            if given is not None:
                rows = functools.partial(_rows, given)
                hooks.observe(cls, name, Reading(inputs=rows, answer=_mean, when=functools.partial(_any, given)))
        for name in _FORECAST:
            hooks.observe(cls, name, forecast)

    hooks.subclasses(base, each)


def _wrappers(hooks: Hooks) -> None:
    """Some wrappers have a method of their own around the function that the results' class had when they were made."""
    module = sys.modules["statsmodels.base.wrapper"]
    populate = module.populate_wrapper
    forecast = Reading(inputs=_nothing, answer=_mean, model=_inner)

    def each(cls: type) -> None:
        for name in _FORECAST:
            hooks.observe(cls, name, forecast)

    @functools.wraps(populate)
    def populate_and_hook(klass: type, wrapping: type) -> None:
        populate(klass, wrapping)
        with hooks.guarded():
            for name in _FORECAST:
                method = vars(klass).get(name)
                if method is not None:  # a copy of our function's attributes, and not ours
                    vars(method).pop("__mlobs__", None)
            each(klass)

    hooks.replace(module, "populate_wrapper", populate_and_hook)
    hooks.subclasses(module.ResultsWrapper, each)
    hooks.behind(lambda model: _inner(model) if isinstance(model, module.ResultsWrapper) else None)


def _inner(wrapper: Any) -> Any:  # noqa: ANN401 - a ResultsWrapper
    return wrapper._results  # noqa: SLF001 - it has no other name


def _files(hooks: Hooks) -> None:
    """Results that were read from a file have the profile that lies beside it."""
    module = sys.modules["statsmodels.iolib.smpickle"]
    load = module.load_pickle

    @functools.wraps(load)
    def load_and_look(fname: Any) -> Any:  # noqa: ANN401 - as statsmodels has it
        answer = load(fname)
        hooks.loaded(answer, fname)
        return answer

    hooks.replace(module, "load_pickle", load_and_look, also=("statsmodels.iolib.api", "statsmodels.api"))
    package = sys.modules.get("statsmodels.api")
    if getattr(package, "load", None) is load:
        hooks.replace(package, "load", load_and_look)


def _quiet(hooks: Hooks, module: str) -> None:
    for method in _QUIET[module]:
        owner, _, name = method.partition(".")
        hooks.suppress(getattr(sys.modules[module], owner), name)


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────


def _given(function: Any) -> Callable[..., Any] | None:  # noqa: ANN401 - what stands in a class
    """What finds the rows among a function's arguments; None where it takes none: a time series has a start and an end."""
    if not inspect.isfunction(function):
        return None
    names = list(inspect.signature(function).parameters)
    if "exog" not in names or "start" in names:
        return None
    found = [(name, names.index(name)) for name in ("exog", "exog_smooth") if name in names]

    def given(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as statsmodels has it
        values = (args[position] if position < len(args) else kwargs.get(name) for name, position in found)
        return next((value for value in values if value is not None), None)

    return given


def _any(given: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:  # noqa: ANN401 - as statsmodels has it
    """Whether there are rows; what is asked for without any are the fitted values of the training data."""
    return given(*args, **kwargs) is not None


def _rows(given: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as statsmodels has it
    return _table(args[0], given(*args, **kwargs))


def _table(results: Any, given: Any) -> Any:  # noqa: ANN401 - any container
    """The rows as they are; one dimension, as statsmodels takes it: rows of a model's only column, else a row."""
    series = hasattr(given, "to_frame")
    if not series and getattr(given, "ndim", 1 if _flat(given) else 0) != 1:
        return given
    formula, exog = getattr(results.model, "formula", None), getattr(results.model, "exog", None)
    if formula is not None:  # by a column's name, or by the names of a row's values
        if not series:
            return given
        return given.to_frame() if isinstance(given.name, str) and given.name in str(formula) else given.to_frame().T
    if exog is None:
        return given
    return sys.modules["numpy"].asarray(given).reshape((-1, 1) if exog.ndim == 1 or exog.shape[1] == 1 else (1, -1))


def _flat(given: Any) -> bool:  # noqa: ANN401 - any container
    """Whether it is a list of values."""
    return isinstance(given, (list, tuple)) and bool(given) and not hasattr(given[0], "__len__")


def _nothing(*args: object, **kwargs: object) -> None:
    """A forecast goes on from the data that it was fitted with."""
    del args, kwargs


def _mean(answer: Any) -> Any:  # noqa: ANN401 - whatever a prediction gives
    """The predicted values, without their errors and intervals."""
    if hasattr(answer, "dtype") or hasattr(answer, "iloc"):
        return answer
    return next((getattr(answer, name) for name in _SAID if hasattr(answer, name)), answer)


integration = Integration(
    name="statsmodels",
    distribution="statsmodels",
    lowest="0.14",
    modules={
        "statsmodels.base.model": _results,
        "statsmodels.base.wrapper": _wrappers,
        "statsmodels.iolib.smpickle": _files,
        **{module: functools.partial(_quiet, module=module) for module in _QUIET},
    },
)
