"""Spark Connect: a client that has no JVM of Spark; what the server's workers score is counted as in a classic session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.scoring.ledger import ROWS, bins, dropped, errors, table
from tests.told import standing

import mlobs

pyspark = pytest.importorskip("pyspark")
pd = pytest.importorskip("pandas")
pytest.importorskip("grpc_status")

from tests.scoring.jobs import COLUMNS, KINDS, Engine, engine_of, failing, labels, map_partitions

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets are left to the garbage collector
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A server in local mode, with two threads and two tries of each task, and a client of it."""
    from pyspark.sql import SparkSession

    with engine_of(SparkSession.builder.remote("local[2,2]").getOrCreate) as made:
        assert "connect" in type(made.spark).__module__
        yield made


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not map_partitions], ids=lambda kind: kind.__name__)
def test_rows_scored_are_rows_counted(engine: Engine, kind: Callable[..., Any]) -> None:
    """The answers are the model's, and when the action ends each row has arrived once; there are no RDDs."""
    frame = kind(engine.frame, engine.model.predict)
    found, counted = engine.counted(lambda: labels(frame))
    assert found == engine.expected
    assert counted == {"LogisticRegression": ROWS}
    assert errors(engine.sink) == {}


def test_a_table_function_counts(engine: Engine) -> None:
    """A class whose method makes rows of a table."""
    from pyspark.sql.functions import lit, udtf

    predict = engine.model.predict

    class Score:
        def eval(self, a: float, b: float) -> Iterator[Any]:
            yield (int(predict(np.array([[a, b]]))[0]),)

    Score.eval.__annotations__ = {}
    made = udtf(Score, returnType="label int")
    found, counted = engine.counted(lambda: made(lit(9.0), lit(2.0)).collect(), 1)
    assert [row.label for row in found] == [engine.expected[9]]
    assert counted == {"LogisticRegression": 1}


def test_an_observed_function_takes_its_name_and_its_reference_along(engine: Engine) -> None:
    """A decorated function counts under its own name, once with the model inside of it, and against its reference."""
    model, profile = engine.model, mlobs.Profile.build({"a": table()[:, 0], "b": table()[:, 1]})

    @mlobs.observe(model="flats", version="3", reference=profile)
    def predict(batch: Any) -> Any:
        return model.predict(batch.to_numpy())

    def score(batches: Any) -> Any:
        for batch in batches:
            yield pd.DataFrame({"label": predict(batch)})

    frame = engine.frame.select("a", "b").mapInPandas(score, "label long")
    found, counted = engine.counted(lambda: len(frame.collect()))
    assert (found, counted) == (ROWS, {"flats": ROWS})
    assert bins(engine.sink, "flats") == {"a": ROWS, "b": ROWS}


def test_a_task_that_is_tried_again_counts_once(engine: Engine, tmp_path: Path) -> None:
    """A task that fails after 600 rows and is run again: the rows counted are those of the table."""
    before = dropped(engine.sink)
    frame = engine.frame.mapInPandas(failing(engine.model, tmp_path / "mark"), "id long, label long")
    found, counted = engine.counted(lambda: labels(frame))
    assert (tmp_path / "mark").exists()
    assert found == engine.expected
    assert counted == {"LogisticRegression": ROWS}
    assert dropped(engine.sink) - before == {"task_failed": 600}


def test_a_profile_of_partitions_is_the_profile_of_all_rows(engine: Engine) -> None:
    """Built where the partitions lie, it has the bins, the counts and the id of the one built in one place."""
    frame = engine.spark.range(0, ROWS, 1, 5).selectExpr(*COLUMNS).cache()
    here = frame.toArrow()
    whole = mlobs.Profile.build(here.drop_columns(["score"]), outputs=here.select(["score"]))
    assert mlobs.Profile.build(frame, outputs="score") == whole
    with pytest.raises(mlobs.ProfileError, match="names columns that are not there"):
        mlobs.Profile.build(frame, outputs=["b"])
    dotted = frame.selectExpr("price as `a.b`", "rooms as A", "rent as a")
    assert mlobs.Profile.build(dotted) == mlobs.Profile.build(dotted.toArrow())
    with pytest.raises(mlobs.ProfileError, match="more than one column is called price"):
        mlobs.Profile.build(frame.select("price", "price"))


def test_uninstrument_puts_everything_back(engine: Engine) -> None:
    """What plans travel with is Spark's own again, and nobody's function is changed by travelling."""
    from pyspark.sql.connect.expressions import PythonUDF
    from pyspark.sql.connect.plan import PythonUDTF

    places = ((PythonUDF, "to_plan"), (PythonUDTF, "to_plan"))
    hooked = standing(*places)
    made = PythonUDF("long", 100, len, "3.12")
    sent = made.to_plan(engine.spark.client)
    assert b"mlobs_spark" in sent.command
    assert made._func is len
    mlobs.uninstrument("spark")
    assert b"mlobs" not in made.to_plan(engine.spark.client).command
    originals = [vars(owner)[name] for owner, name in places]
    mlobs.instrument("spark")
    assert [vars(owner)[name].__wrapped__ for owner, name in places] == originals
    assert standing(*places) != hooked
