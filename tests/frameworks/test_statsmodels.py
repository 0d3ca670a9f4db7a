"""statsmodels under `mlobs.instrument()`: results of `fit`, whatever wraps them, for rows and for times to come."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import mean_squared_error
from statsmodels.base.model import LikelihoodModelResults, Results
from statsmodels.base.wrapper import ResultsWrapper
from statsmodels.gam.api import BSplines, GLMGam, MultivariateGAMCVPath
from statsmodels.gam.gam_cross_validation.cross_validators import KFold
from statsmodels.graphics import tsaplots
from statsmodels.imputation.mice import MICEData
from statsmodels.iolib import smpickle
from statsmodels.tsa.api import (
    ARDL,
    ARIMA,
    VAR,
    VECM,
    AutoReg,
    ETSModel,
    ExponentialSmoothing,
    STLForecast,
    UnobservedComponents,
)
from statsmodels.tsa.forecasting.stl import STLForecastResults
from statsmodels.tsa.forecasting.theta import ThetaModel, ThetaModelResults
from statsmodels.tsa.vector_ar.var_model import VARProcess, VARResults
from statsmodels.tsa.vector_ar.vecm import VECMResults
from tests.frameworks.boosting import features, outcome
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry

generator = np.random.default_rng(5)
X = sm.add_constant(generator.normal(size=(120, 2)))
Y = X @ [1.0, 2.0, -1.0] + generator.normal(size=120)
FRAME = pd.DataFrame({"y": Y, "a": X[:, 1], "b": X[:, 2]})
SERIES = pd.Series(np.cumsum(generator.normal(size=80)), index=pd.date_range("2026-01-01", periods=80, freq="D"))
AHEAD = pd.date_range("2026-03-22", periods=3, freq="D")  # the days after those of the series
PROMO = pd.DataFrame({"promo": generator.normal(size=80)}, index=SERIES.index)
PLANNED = pd.DataFrame({"promo": [1.0, 0.0, 1.0]}, index=AHEAD)
PAIR = pd.DataFrame(np.cumsum(generator.normal(size=(80, 2)), axis=0), columns=["a", "b"], index=SERIES.index)
MAKERS: dict[str, Callable[[], Any]] = {
    "OLSResults": lambda: sm.OLS(Y, X).fit(),
    "RLMResults": lambda: sm.RLM(Y, X).fit(),
    "QuantRegResults": lambda: sm.QuantReg(Y, X).fit(),
    "GLMResults": lambda: sm.GLM(Y > 0, X, family=sm.families.Binomial()).fit(),
    "LogitResults": lambda: sm.Logit((Y > 0).astype(int), X).fit(disp=0),
    "MultinomialResults": lambda: sm.MNLogit(np.digitize(Y, [0.0, 2.0]), X).fit(disp=0),
    "PoissonResults": lambda: sm.Poisson(generator.poisson(2, size=120), X).fit(disp=0),
    "PHRegResults": lambda: sm.PHReg(np.exp(Y), X[:, 1:]).fit(),
}
FORECASTS: dict[str, Callable[[], Any]] = {
    "ARIMAResults": lambda: ARIMA(SERIES, order=(1, 0, 0)).fit(),
    "AutoRegResults": lambda: AutoReg(SERIES, 1).fit(),
    "HoltWintersResults": lambda: ExponentialSmoothing(SERIES, trend="add").fit(),
    "ETSResults": lambda: ETSModel(SERIES).fit(disp=0),
    "UnobservedComponentsResults": lambda: UnobservedComponents(SERIES, "llevel").fit(disp=0),
    "STLForecastResults": lambda: STLForecast(SERIES, ARIMA, model_kwargs={"order": (1, 0, 0)}, period=7).fit(),
    "ThetaModelResults": lambda: ThetaModel(SERIES, period=7).fit(),
}
KNOWING: dict[str, Callable[[], Any]] = {  # what they forecast depends on what is planned
    "ARIMAResults": lambda: ARIMA(SERIES, exog=PROMO, order=(1, 0, 0)).fit(),
    "AutoRegResults": lambda: AutoReg(SERIES, 1, exog=PROMO).fit(),
    "ARDLResults": lambda: ARDL(SERIES, 1, PROMO, 0).fit(),
}


@pytest.fixture(autouse=True)
def _hooked(telemetry: Telemetry) -> Iterator[None]:
    mlobs.instrument("statsmodels")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    mlobs.uninstrument()


def family(base: type) -> Iterator[type]:
    yield base
    below: type
    for below in base.__subclasses__():
        yield from family(below)


def places() -> list[tuple[Any, str]]:
    names = (
        "predict",
        "get_prediction",
        "forecast",
        "get_forecast",
        "forecast_interval",
        "plot_predict",
        "__init_subclass__",
    )
    alone = [STLForecastResults, ThetaModel, ThetaModelResults, VARProcess, VARResults, VECMResults, tsaplots]
    owners = [*family(Results), *family(ResultsWrapper), *alone]
    loaders = [(module, name) for module in (sm, smpickle) for name in ("load", "load_pickle")]
    return [*((owner, name) for owner in owners for name in names), *loaders]


def plain(answer: Any) -> Any:
    """An answer as an array, of one with errors its values."""
    return np.asarray(getattr(answer, "predicted_values", getattr(answer, "predicted_mean", answer)))


# ── predictions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MAKERS)
def test_results_answer_the_same_and_count_once(name: str, telemetry: Telemetry) -> None:
    """Fitting, summaries and residuals count nothing; each prediction of rows counts once, whatever is between."""
    results = MAKERS[name]()
    results.summary()
    data = X[:7, 1:] if name == "PHRegResults" else X[:7]
    if name != "PHRegResults":
        results.predict()  # of the data it was fitted with
    assert calls(telemetry) == {}
    answers = [results.predict(exog=data), results.predict(exog=data.tolist())]
    if name != "PHRegResults":
        answers.append(results.predict(data))
    assert rows(telemetry) == {(name, "predict"): 7 * len(answers)}
    assert calls(telemetry) == {(name, "predict"): len(answers)}
    assert set(features(telemetry, name).values()) == {7 * len(answers)}
    assert set(features(telemetry, name, "output").values()) == {7 * len(answers)}
    assert telemetry.total("mlobs.sdk.dropped") == 0
    mlobs.uninstrument()
    for answer in answers:
        np.testing.assert_array_equal(plain(answer), plain(results.predict(exog=data)))


@pytest.mark.parametrize("name", ["OLSResults", "GLMResults", "LogitResults", "PoissonResults"])
def test_predictions_with_their_errors(name: str, telemetry: Telemetry) -> None:
    """The values are read, not their errors; without rows they are of the data it was fitted with."""
    results = MAKERS[name]()
    told = results.get_prediction(X[:6])
    told.summary_frame()
    results.get_prediction()
    assert rows(telemetry) == {(name, "get_prediction"): 6}
    assert features(telemetry, name, "output") == {"prediction": 6}
    mlobs.uninstrument()
    pd.testing.assert_frame_equal(told.summary_frame(), results.get_prediction(X[:6]).summary_frame())


def test_formulas_are_read_by_their_names(telemetry: Telemetry) -> None:
    """Columns of a frame, or a dict of them, as they were handed over, before the formula."""
    reference = mlobs.Profile.build(FRAME[["a", "b"]], outputs=Y)
    results = mlobs.register(smf.ols("y ~ np.exp(a) + b", FRAME).fit(), name="price", reference=reference)
    results.predict(FRAME[["b", "a"]])
    results.predict({"a": [1.0, 2.0], "b": [0.0, 1.0]})
    assert rows(telemetry) == {("price", "predict"): 122}
    assert {name: one.count for name, one in mlobs.drift()["price"].items()} == dict.fromkeys(
        ("a", "b", "prediction"), 122
    )


def test_a_model_of_one_column_takes_a_row_a_value(telemetry: Telemetry) -> None:
    """As statsmodels reads it; of a model with more columns, or of a formula, it is one row."""
    one = sm.OLS(Y, X[:, 1]).fit()
    answers = [one.predict([1.0, 2.0, 3.0]), one.predict(np.arange(4.0)), one.predict(pd.Series([1.0, 2.0]))]
    assert [len(answer) for answer in answers] == [3, 4, 2]
    assert rows(telemetry) == {("OLSResults", "predict"): 9}
    assert features(telemetry, "OLSResults") == {"f0": 9}
    several = mlobs.register(MAKERS["RLMResults"](), name="several")
    for row in ([1.0, 0.5, 0.5], np.ones(3), pd.Series([1.0, 0.5, 0.5]), (1.0, 0.0, 0.0), [[1.0, 2.0, 3.0]]):
        assert len(several.predict(row)) == 1
    formula = mlobs.register(smf.ols("y ~ a + b", FRAME).fit(), name="formula")
    assert len(formula.predict(FRAME[["a", "b"]].iloc[0])) == 1
    column = mlobs.register(smf.ols("y ~ a", FRAME).fit(), name="column")
    assert len(column.predict(FRAME["a"])) == 120
    told = {name: count for (name, _), count in rows(telemetry).items()}
    assert told == {"OLSResults": 9, "several": 5, "formula": 1, "column": 120}
    assert features(telemetry, "several") == dict.fromkeys(("f0", "f1", "f2"), 5)
    assert features(telemetry, "column") == {"a": 120}


def test_smooth_terms(telemetry: Telemetry) -> None:
    """A GAM has two kinds of rows, of which the linear ones are read, or the smooth ones where those are all."""
    splines = BSplines(X[:, 1:2], df=[6], degree=[3])
    both = GLMGam(Y, exog=X[:, [0, 2]], smoother=splines, alpha=0.1).fit()
    alone = GLMGam(Y, smoother=splines, alpha=0.1).fit()
    answers = [both.predict(X[:5, [0, 2]], X[:5, 1:2]), alone.predict(exog_smooth=X[:4, 1:2])]
    assert rows(telemetry) == {("GLMGamResults", "predict"): 9}
    mlobs.uninstrument()
    np.testing.assert_array_equal(both.predict(X[:5, [0, 2]], X[:5, 1:2]), answers[0])
    np.testing.assert_array_equal(alone.predict(exog_smooth=X[:4, 1:2]), answers[1])


@pytest.mark.parametrize("name", FORECASTS)
def test_forecasts(name: str, telemetry: Telemetry) -> None:
    """A call without rows, whose values are told; a look into the sample counts nothing."""
    results = FORECASTS[name]()
    for look in ("predict", "get_prediction"):
        if hasattr(results, look):
            getattr(results, look)(70, 79)
            getattr(results, look)(start="2026-01-20", end="2026-02-01")
    assert calls(telemetry) == {}
    answers = [results.forecast(6), results.forecast(steps=6)]
    assert calls(telemetry) == {(name, "forecast"): 2}
    assert rows(telemetry) == {}
    assert features(telemetry, name, "output") == {"prediction": 12}
    mlobs.register(results, name="demand", version="2")
    results.forecast(2)
    assert calls(telemetry)["demand", "forecast"] == 1
    mlobs.uninstrument()
    for answer in answers:
        pd.testing.assert_series_equal(results.forecast(6), answer)


def test_forecasts_with_their_errors(telemetry: Telemetry) -> None:
    """Of the state-space models."""
    told = FORECASTS["ARIMAResults"]().get_forecast(6)
    assert calls(telemetry) == {("ARIMAResults", "get_forecast"): 1}
    assert features(telemetry, "ARIMAResults", "output") == {"prediction": 6}
    assert told.summary_frame().shape == (6, 4)


@pytest.mark.parametrize("name", [name for name in FORECASTS if name != "ThetaModelResults"])
def test_times_after_the_data(name: str, telemetry: Telemetry) -> None:
    """From a time to a time that lies after the fit's data is a forecast as well, by numbers and by dates."""
    results = FORECASTS[name]()
    look = "get_prediction" if name in ("STLForecastResults", "ETSResults") else "predict"
    answers = [getattr(results, look)(78, 82), getattr(results, look)(start="2026-03-20", end=AHEAD[-1])]
    assert calls(telemetry) == {(name, look): 2}
    assert rows(telemetry) == {}
    assert features(telemetry, name, "output") == {"prediction": 10}
    seen = outcome(lambda: plain(getattr(results, look)(0, "yesterday, or so")))
    assert isinstance(seen, tuple)
    [(error, count)] = errors(telemetry).items()
    assert error.endswith(seen[0].__name__)
    assert count == 1
    mlobs.uninstrument()
    assert outcome(lambda: plain(getattr(results, look)(0, "yesterday, or so"))) == seen
    for answer in answers:
        np.testing.assert_array_equal(plain(getattr(results, look)(78, 82)), plain(answer))


@pytest.mark.parametrize("name", KNOWING)
def test_what_is_planned_is_read(name: str, telemetry: Telemetry) -> None:
    """What is known of the times to come are the rows of a forecast, by their names."""
    results = mlobs.register(KNOWING[name](), name="demand", reference=mlobs.Profile.build(PROMO))
    ahead = {"exog": PLANNED} if name == "ARIMAResults" else {"exog_oos": PLANNED}
    answers = [results.forecast(3, exog=PLANNED), results.predict(80, 82, **ahead)]
    told = {("demand", "forecast"): 3, ("demand", "predict"): 3}
    if name == "ARIMAResults":
        results.get_forecast(3, exog=[1.0, 0.0, 1.0])
        told["demand", "get_forecast"] = 3
    else:
        results.forecast(3, PLANNED)
        told["demand", "forecast"] = 6
    assert rows(telemetry) == told
    assert mlobs.drift()["demand"]["promo"].count == 9
    mlobs.uninstrument()
    for answer in answers:
        pd.testing.assert_series_equal(results.forecast(3, exog=PLANNED), answer)


def test_vectors(telemetry: Telemetry) -> None:
    """Several series at once: the values that a forecast goes on from are its rows, where it takes any."""
    var, vecm = VAR(PAIR).fit(2), VECM(PAIR, k_ar_diff=1, coint_rank=1).fit()
    answers = [var.forecast(PAIR.to_numpy()[-2:], 3), vecm.predict(3)]
    middles = [var.forecast_interval(PAIR.to_numpy()[-2:], 3)[0], vecm.predict(3, 0.05)[0]]
    assert calls(telemetry) == {
        ("VARResults", "forecast"): 1,
        ("VARResults", "forecast_interval"): 1,
        ("VECMResults", "predict"): 2,
    }
    assert rows(telemetry) == {("VARResults", "forecast"): 2, ("VARResults", "forecast_interval"): 2}
    assert features(telemetry, "VECMResults", "output") == dict.fromkeys(("score_0", "score_1"), 6)
    mlobs.register(var, name="pair", version="3")
    var.forecast(PAIR.to_numpy()[-2:], 2)
    assert calls(telemetry)["pair", "forecast"] == 1
    mlobs.uninstrument()
    np.testing.assert_array_equal(var.forecast(PAIR.to_numpy()[-2:], 3), answers[0])
    np.testing.assert_array_equal(vecm.predict(3), answers[1])
    np.testing.assert_array_equal(middles, answers[:2])


def test_pictures_and_news_count_nothing(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forecast that is drawn, or explained, serves nobody."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    arima = FORECASTS["ARIMAResults"]()
    sm.graphics.tsa.plot_predict(arima, 70, 85)
    FORECASTS["AutoRegResults"]().plot_predict(70, 85)
    KNOWING["ARDLResults"]().plot_predict(70, 82, exog_oos=PLANNED)
    FORECASTS["ThetaModelResults"]().plot_predict(3)
    VAR(PAIR).fit(2).plot_forecast(3)
    VECM(PAIR, k_ar_diff=1, coint_rank=1).fit().plot_forecast(3)
    arima.append(pd.Series([1.0], index=AHEAD[:1])).news(arima, start=AHEAD[0], end=AHEAD[2])
    arima.simulate(3, anchor="end")
    assert calls(telemetry) == {}


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_registered_is_the_wrapper(telemetry: Telemetry) -> None:
    """Before its first call or after, and whether anybody holds it; another of the class goes by that."""
    first, second = MAKERS["OLSResults"](), MAKERS["OLSResults"]()
    first.predict(X[:1])
    mlobs.register(first, name="price", version="1")
    first.predict(X[:2])
    second.predict(X[:4])
    inner = first._results
    mlobs.register(inner, name="itself")
    first.predict(X[:8])
    predict = mlobs.register(MAKERS["OLSResults"](), name="method").predict
    predict(X[:3])
    mlobs.uninstrument()
    late = mlobs.register(MAKERS["OLSResults"](), name="late")
    mlobs.instrument("statsmodels")
    late.predict(X[:6])
    told = {"OLSResults": 5, "price": 2, "itself": 8, "method": 3, "late": 6}
    assert rows(telemetry) == {(name, "predict"): count for name, count in told.items()}


def test_a_profile_beside_the_file(telemetry: Telemetry, tmp_path: Path) -> None:
    """However it is loaded."""
    MAKERS["OLSResults"]().save(tmp_path / "price.pickle")
    mlobs.Profile.build(X, outputs=Y, model="price", version="4").save(tmp_path / "price.profile.json")
    for load in (sm.load, sm.load_pickle, ResultsWrapper.load, LikelihoodModelResults.load):
        load(str(tmp_path / "price.pickle")).predict(X[:3])
    assert rows(telemetry) == {("price", "predict"): 12}
    assert mlobs.drift()["price"]["f1"].count == 12


# ── what does not count ─────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_of_fitting_and_diagnosis_counts(telemetry: Telemetry) -> None:
    """Influence, margins, residuals, cross-validation and imputation predict inside."""
    ols, logit = MAKERS["OLSResults"](), MAKERS["LogitResults"]()
    ols.get_influence().summary_frame()
    ols.outlier_test()
    logit.get_margeff()
    logit.pred_table()
    np.asarray(logit.resid_generalized)
    splines = BSplines(X[:, 1:2], df=[6], degree=[3])
    MultivariateGAMCVPath(splines, [[0.1, 1.0]], GLMGam, mean_squared_error, Y, None, KFold(2)).fit()
    holes = FRAME.mask(generator.random(FRAME.shape) < 0.1)
    MICEData(holes).update_all(1)
    assert calls(telemetry) == {}


def test_an_estimator_around_it_counts_once(telemetry: Telemetry) -> None:
    """Of scikit-learn and statsmodels the outermost one, and of a decorated function that one."""

    class Regression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Regression:
            self.results_ = sm.OLS(y, x).fit()
            return self

        def predict(self, x: Any) -> Any:
            return self.results_.predict(x)

    mlobs.instrument("sklearn")
    model = Regression().fit(X, Y)
    model.predict(X[:3])
    model.score(X, Y)
    mlobs.observe(model="mine")(model.results_.predict)(X[:2])
    assert rows(telemetry) == {("Regression", "predict"): 3, ("mine", "predict"): 2}


# ── what must stay as it is ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data",
    [np.ones((2, 9)), [["a", "b", "c"]], np.empty((0, 3)), "rows", {"a": [1.0]}, object()],
    ids=["shape", "text", "empty", "word", "dict", "object"],
)
def test_errors_reach_the_user_unchanged(data: Any, telemetry: Telemetry) -> None:
    """And are counted by their type."""
    results = MAKERS["OLSResults"]()
    seen = outcome(lambda: plain(results.predict(data)).tolist())
    counted = errors(telemetry)
    mlobs.uninstrument()
    assert outcome(lambda: plain(results.predict(data)).tolist()) == seen
    assert counted == ({seen[0].__name__: 1} if isinstance(seen, tuple) else {})


def test_everything_is_put_back(telemetry: Telemetry) -> None:
    """Every class and module has what it had."""
    mlobs.uninstrument()
    before = standing(*places())
    mlobs.instrument("statsmodels")
    assert standing(*places()) != before
    signature = inspect.signature(Results.predict)
    mlobs.uninstrument()
    assert standing(*places()) == before
    assert inspect.signature(Results.predict) == signature


def test_pickles_and_copies(telemetry: Telemetry) -> None:
    """Are what they are without mlobs."""
    results = MAKERS["OLSResults"]()
    pickled = pickle.dumps(results)
    for again in (copy.deepcopy(results), pickle.loads(pickled), cloudpickle.loads(cloudpickle.dumps(results))):
        np.testing.assert_array_equal(again.predict(X[:3]), results.predict(X[:3]))
    assert rows(telemetry) == {("OLSResults", "predict"): 18}
    assert b"mlobs" not in pickled


def test_imported_later(tmp_path: Path) -> None:
    """Turned on before statsmodels is imported, off and on again: forecasts, which wrappers have methods for, count once."""
    script = """
        import mlobs
        from mlobs.testing import capture
        mlobs.instrument("statsmodels")
        with capture() as telemetry:
            import numpy as np, warnings
            from statsmodels.tsa.api import ARIMA
            warnings.simplefilter("ignore")
            results = ARIMA(np.arange(30.0) % 7, order=(1, 0, 0)).fit()
            for turn in range(2):
                results.forecast(3)
                mlobs.uninstrument()
                results.forecast(3)
                mlobs.instrument("statsmodels")
            counts = [sum(one.counts) for one in telemetry.histograms("mlobs.prediction.duration")]
        assert sum(counts) == 2, counts
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
