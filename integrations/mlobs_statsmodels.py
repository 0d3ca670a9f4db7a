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
_AHEAD: Final = (*_PREDICT, "forecast", "get_forecast", "forecast_interval")
_KNOWN: Final = ("y", "exog_oos", "exog_future", "exog_fc", "exog")  # the last values, or what is planned
_SAID: Final = ("predicted_mean", "predicted", "predicted_values")  # what a prediction with its errors calls itself
_ALONE: Final = {  # results that are below no other class
    "statsmodels.tsa.forecasting.stl": "STLForecastResults",
    "statsmodels.tsa.forecasting.theta": "ThetaModelResults",
    "statsmodels.tsa.vector_ar.var_model": "VARProcess",
    "statsmodels.tsa.vector_ar.vecm": "VECMResults",
}
_QUIET: Final = {  # these predict to fit, to judge a fit by rows that were held out or filled in, or to draw
    "statsmodels.gam.gam_cross_validation.gam_cross_validation": ("BaseCV.fit", "MultivariateGAMCVPath.fit"),
    "statsmodels.graphics.tsaplots": ("plot_predict",),
    "statsmodels.imputation.mice": ("MICEData.plot_fit_obs",),
    "statsmodels.tsa.ar_model": ("AutoRegResults.plot_predict",),
    "statsmodels.tsa.ardl.model": ("ARDLResults.plot_predict",),
    "statsmodels.tsa.forecasting.theta": ("ThetaModel.fit", "ThetaModelResults.plot_predict"),
    "statsmodels.tsa.vector_ar.var_model": ("VARResults.plot_forecast",),
    "statsmodels.tsa.vector_ar.vecm": ("VECMResults.plot_forecast",),
}


def _results(hooks: Hooks) -> None:
    """Results: what `fit` returns, behind a wrapper that hands all calls on."""
    base = sys.modules["statsmodels.base.model"].Results

    def each(cls: type) -> None:
        for name in _PREDICT:
            given = _given(vars(cls).get(name))
            if given is not None:
                rows = functools.partial(_rows, given)
                hooks.observe(cls, name, Reading(inputs=rows, answer=_mean, when=functools.partial(_any, given)))
        _ahead(hooks, cls)

    hooks.subclasses(base, each)


def _wrappers(hooks: Hooks) -> None:
    """Some wrappers have a method of their own around the function that the results' class had when they were made."""
    module = sys.modules["statsmodels.base.wrapper"]
    populate = module.populate_wrapper

    def each(cls: type) -> None:
        _ahead(hooks, cls, model=_inner)

    @functools.wraps(populate)
    def populate_and_hook(klass: type, wrapping: type) -> None:
        populate(klass, wrapping)
        with hooks.guarded():
            for name in _AHEAD:
                method = vars(klass).get(name)
                if method is not None:  # a copy of our function's attributes, and not ours
                    vars(method).pop("__mlobs__", None)
            each(klass)

    hooks.replace(module, "populate_wrapper", populate_and_hook)
    hooks.subclasses(module.ResultsWrapper, each)
    hooks.behind(lambda model: _inner(model) if isinstance(model, module.ResultsWrapper) else None)


def _ahead(hooks: Hooks, cls: type, model: Callable[[Any], Any] | None = None) -> None:
    """A time series' methods: so many steps ahead, or from a time to a time where that one lies after the data of the fit."""
    for name in _AHEAD:
        names = _names(vars(cls).get(name))
        if "steps" in names or "end" in names:
            known = functools.partial(_rows, _first(names, *_KNOWN))
            later = functools.partial(_is_later, _first(names, "start"), _first(names, "end"))
            when = later if "end" in names else None
            hooks.observe(cls, name, Reading(inputs=known, answer=_mean, model=model, when=when))


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


def _rest(hooks: Hooks, module: str) -> None:
    found = sys.modules[module]
    if module in _ALONE:
        _ahead(hooks, getattr(found, _ALONE[module]))
    for method in _QUIET.get(module, ()):
        owner, _, name = method.rpartition(".")
        hooks.suppress(getattr(found, owner) if owner else found, name)


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────


def _given(function: Any) -> Callable[..., Any] | None:  # noqa: ANN401 - what stands in a class
    """What finds the rows among a function's arguments; None where it takes none: a time series has a start and an end."""
    names = _names(function)
    return None if "exog" not in names or "start" in names else _first(names, "exog", "exog_smooth")


def _names(function: Any) -> list[str]:  # noqa: ANN401 - what stands in a class
    """Of a function's arguments; none where it is no function."""
    return list(inspect.signature(function).parameters) if inspect.isfunction(function) else []


def _first(names: list[str], *wanted: str) -> Callable[..., Any]:
    """What finds the first of these arguments that a call was given; of a function that takes any, by keyword."""
    places = [(name, names.index(name) if name in names else sys.maxsize) for name in wanted]

    def first(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as statsmodels has it
        values = (args[position] if position < len(args) else kwargs.get(name) for name, position in places)
        return next((value for value in values if value is not None), None)

    return first


def _any(given: Callable[..., Any], /, *args: Any, **kwargs: Any) -> bool:  # noqa: ANN401 - as statsmodels has it
    """Whether there are rows; what is asked for without any are the fitted values of the training data."""
    return given(*args, **kwargs) is not None


def _rows(given: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as statsmodels has it
    return _table(args[0], given(*args, **kwargs))


def _table(results: Any, given: Any) -> Any:  # noqa: ANN401 - any container
    """The rows as they are, if there are any; one dimension, as statsmodels takes it: rows of a model's only column, else a row."""
    series = hasattr(given, "to_frame")
    if not series and getattr(given, "ndim", 1 if _flat(given) else 0) != 1:
        return given
    model = getattr(results, "model", None)
    formula, exog = getattr(model, "formula", None), getattr(model, "exog", None)
    exog = getattr(model, "_input_exog", exog)  # of ARIMA before its trend was put beside it
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


def _is_later(start: Callable[..., Any], end: Callable[..., Any], /, *args: Any, **kwargs: Any) -> bool:  # noqa: ANN401 - as statsmodels has it
    """Whether some of these times come after the data of the fit: what is asked for before are fitted values."""
    until = end(*args, **kwargs)
    if until is None:
        return False
    try:
        model = getattr(args[0], "_model_result", args[0]).model  # of STL what it fitted to the rest
        found = model._get_prediction_index(start(*args, **kwargs), until, silent=True)  # noqa: SLF001 - no other way to tell
    except Exception:  # noqa: BLE001 - times that it does not know: the call will say so, and counts
        return True
    return bool(found[2] > 0)


def _mean(answer: Any) -> Any:  # noqa: ANN401 - whatever a prediction gives
    """The predicted values, without their errors and intervals."""
    if isinstance(answer, tuple):
        return answer[0]
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
        **{module: functools.partial(_rest, module=module) for module in {**_ALONE, **_QUIET}},
    },
)
