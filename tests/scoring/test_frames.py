"""Batches scored with pandas and polars: what counts as a call, and what as a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.told import calls, errors, rows

import mlobs
from mlobs.testing import Telemetry

pd = pytest.importorskip("pandas")

N = 1_000
AGES, INCOMES = np.linspace(18, 90, N), np.linspace(1e4, 9e4, N)
EXPECTED = AGES / 200 + INCOMES / 200_000
KEY = ("churn", "predict")


def predict(frame: Any) -> Any:
    """Say how likely each row is."""
    if isinstance(frame, pl.Series):
        frame = frame.struct.unnest()
    return np.asarray(frame["age"]) / 200 + np.asarray(frame["income"]) / 200_000


@pytest.fixture
def observed(telemetry: Telemetry) -> Any:
    return mlobs.observe(model="churn", operation="predict")(predict)


def pandas() -> Any:
    return pd.DataFrame({"age": AGES, "income": INCOMES})


def polars() -> pl.DataFrame:
    return pl.DataFrame({"age": AGES, "income": INCOMES})


def features(telemetry: Telemetry) -> dict[str, int]:
    """How many values of each feature were seen."""
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value")
    }


@pytest.mark.parametrize("assign", [False, True], ids=["value", "function"])
def test_a_column_of_a_pandas_frame_is_one_call(assign: bool, observed: Any, telemetry: Telemetry) -> None:
    """`assign` with scores, or with the function itself: the frame's rows, by its columns' names."""
    frame = pandas()
    scored = frame.assign(score=observed if assign else observed(frame))
    np.testing.assert_array_equal(scored["score"], EXPECTED)
    assert list(frame.columns) == ["age", "income"]
    assert calls(telemetry) == {KEY: 1}
    assert rows(telemetry) == {KEY: N}
    assert features(telemetry) == {"age": N, "income": N, "prediction": N}


def test_each_chunk_is_a_call(observed: Any, telemetry: Telemetry, tmp_path: Any) -> None:
    """Of a file read piece by piece, and of the groups of a frame; an empty chunk is a call of no rows."""
    pandas().to_csv(tmp_path / "customers.csv", index=False)
    scores = [observed(chunk) for chunk in pd.read_csv(tmp_path / "customers.csv", chunksize=300)]
    np.testing.assert_allclose(np.concatenate(scores), EXPECTED)
    assert (calls(telemetry), rows(telemetry)) == ({KEY: 4}, {KEY: N})
    pandas().groupby(pandas()["age"] > 50)[["age", "income"]].apply(lambda group: observed(group).sum())
    assert len(observed(pandas().head(0))) == 0
    assert (calls(telemetry), rows(telemetry)) == ({KEY: 7}, {KEY: 2 * N})


def test_row_by_row_each_row_is_a_call(observed: Any, telemetry: Telemetry) -> None:
    """`apply(axis=1)` and `map_elements` call once a row."""
    few = pandas().head(20)
    np.testing.assert_array_equal(few.apply(observed, axis=1), EXPECTED[:20])
    assert (calls(telemetry), rows(telemetry)) == ({KEY: 20}, {KEY: 20})
    polars().head(20).with_columns(
        score=pl.struct("age", "income").map_elements(lambda row: float(observed(row)), return_dtype=pl.Float64)
    )
    assert (calls(telemetry), rows(telemetry)) == ({KEY: 40}, {KEY: 40})
    assert features(telemetry) == {"age": 40, "income": 40, "prediction": 40}


def test_a_lazy_polars_frame_counts_when_it_is_collected(observed: Any, telemetry: Telemetry) -> None:
    """`map_batches` of a frame: one call of all its rows, each time it is collected."""
    schema = {"age": pl.Float64, "income": pl.Float64, "score": pl.Float64}
    lazy = polars().lazy().map_batches(lambda f: f.with_columns(score=pl.Series(observed(f))), schema=schema)
    assert calls(telemetry) == {}
    np.testing.assert_array_equal(lazy.collect()["score"].to_numpy(), EXPECTED)
    assert (calls(telemetry), rows(telemetry)) == ({KEY: 1}, {KEY: N})
    assert features(telemetry) == {"age": N, "income": N, "prediction": N}
    lazy.collect()
    assert (calls(telemetry), rows(telemetry)) == ({KEY: 2}, {KEY: 2 * N})


def test_polars_streams_in_pieces_from_threads_of_its_own(observed: Any, telemetry: Telemetry) -> None:
    """With `streamable` as many calls as there are pieces; every row counts once."""
    lazy = (
        polars()
        .lazy()
        .map_batches(
            lambda f: f.with_columns(score=pl.Series(observed(f))),
            schema={"age": pl.Float64, "income": pl.Float64, "score": pl.Float64},
            streamable=True,
        )
    )
    scored = lazy.collect(engine="streaming").sort("age")
    np.testing.assert_array_equal(scored["score"].to_numpy(), EXPECTED)
    assert rows(telemetry) == {KEY: N}
    assert calls(telemetry)[KEY] >= 1


def test_an_expression_of_polars_is_given_a_function_around_the_observed_one(
    observed: Any, telemetry: Telemetry
) -> None:
    """Newer polars tries a keyword first that no predict function takes; the function around it takes that trial."""
    scored = polars().with_columns(
        score=pl.struct("age", "income").map_batches(lambda s: pl.Series(observed(s)), return_dtype=pl.Float64)
    )
    np.testing.assert_array_equal(scored["score"].to_numpy(), EXPECTED)
    assert (calls(telemetry), rows(telemetry)) == ({KEY: 1}, {KEY: N})
    assert errors(telemetry) == {}


def test_an_error_passes_through_pandas_and_is_counted(observed: Any, telemetry: Telemetry) -> None:
    """A column that is missing: the model's own error, by its type; polars makes one of its own of it."""
    with pytest.raises(KeyError, match="income"):
        pandas()[["age"]].assign(score=observed)
    with pytest.raises(pl.exceptions.PolarsError):
        polars().select("age").lazy().map_batches(observed).collect()
    assert sum(errors(telemetry).values()) == 2
    assert "KeyError" in errors(telemetry)
