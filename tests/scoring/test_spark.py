"""Spark: what executors score is counted once, whatever kind of function scores it and however often it is tried."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.ledger import ROWS, bins, dropped, errors, rows, table, trained
from tests.sink import Sink
from tests.told import standing

import mlobs

pyspark = pytest.importorskip("pyspark")
pd = pytest.importorskip("pandas")

from tests.scoring.jobs import COLUMNS, KINDS, SMALL, Engine, engine_of, failing, labels, map_in_pandas

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # py4j leaves its sockets to the garbage collector
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "spark"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Spark in local mode, with two threads and two tries of each task."""
    from pyspark.sql import SparkSession

    with engine_of(SparkSession.builder.master("local[2,2]").getOrCreate) as made:
        made.spark.sparkContext.setLogLevel("OFF")
        yield made


# ── every kind of function ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_rows_scored_are_rows_counted(engine: Engine, kind: Callable[..., Any]) -> None:
    """The answers are the model's, and when the action ends each row has arrived once, in all processes together."""
    frame = kind(engine.frame, engine.model.predict)
    found, counted = engine.counted(lambda: labels(frame))
    assert found == engine.expected
    assert counted == {"LogisticRegression": ROWS}
    assert errors(engine.sink) == {}


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


def test_training_on_executors_is_not_counted(engine: Engine) -> None:
    """What a model predicts while it is fitted and scored in a task is no prediction."""

    def fit(group: Any) -> Any:
        model = trained()
        return pd.DataFrame({"score": [model.score([[0.0, 1.0], [1.0, 0.0]], [0, 1])]})

    found, counted = engine.counted(engine.frame.groupBy("b").applyInPandas(fit, "score double").collect, 0)
    assert (len(found), counted) == (7, {})


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_that_is_tried_again_counts_once(engine: Engine, tmp_path: Path) -> None:
    """A task that fails after 600 rows and is run again: the rows counted are those of the table."""
    before = dropped(engine.sink)
    frame = engine.frame.mapInPandas(failing(engine.model, tmp_path / "mark"), "id long, label long")
    found, counted = engine.counted(lambda: labels(frame))
    assert (tmp_path / "mark").exists()
    assert found == engine.expected
    assert counted == {"LogisticRegression": ROWS}
    assert dropped(engine.sink) - before == {"task_failed": 600}


def test_a_failure_is_the_one_it_is_without_mlobs(engine: Engine) -> None:
    """What a function raises in every try reaches the driver as Spark has it, and nothing of its task is counted."""
    model = engine.model

    def score(batches: Any) -> Any:
        for batch in batches:
            yield pd.DataFrame({"label": model.predict(batch[["a"]].to_numpy())})

    frame = engine.frame.where("id < 10").coalesce(1).mapInPandas(score, "label long")
    said = []
    for _ in range(2):
        with pytest.raises(Exception, match="X has 1 features, but LogisticRegression is expecting 2") as caught:
            frame.collect()
        text = str(caught.value)
        said.append((type(caught.value), [line for line in text.splitlines() if line.startswith("ValueError")]))
        mlobs.uninstrument("spark")
    mlobs.instrument("spark")
    assert said[0] == said[1]
    assert "mlobs_spark" not in text
    assert rows(engine.sink)["LogisticRegression"] % ROWS == 0


def test_who_reads_only_some_rows_is_not_held_up(engine: Engine) -> None:
    """An action that stops reading early ends as it does without mlobs, and the next one counts right."""
    frame = map_in_pandas(engine.frame, engine.model.predict)
    assert len(frame.take(3)) == 3
    _, counted = engine.counted(frame.collect)
    assert counted["LogisticRegression"] >= ROWS  # and what the first had scored where it was told to stop


# ── hands off ───────────────────────────────────────────────────────────────────────────────────────────────────────

WITHOUT = """
import sys
sys.modules["mlobs_spark"] = sys.modules["mlobs"] = None
import pickle
function, kind = pickle.load(sys.stdin.buffer)
print(function(20), kind)
"""


def test_what_travels_is_the_function_itself(engine: Engine) -> None:
    """Where it arrives no wrapper is left of it, and a worker without mlobs runs it all the same."""
    from pyspark.core import rdd

    factor = 2

    def double(value: int) -> int:
        return factor * value

    sent, *_ = rdd._prepare_for_python_RDD(engine.spark.sparkContext, (double, "long"))
    assert b"mlobs_spark" in sent
    assert pickle.loads(sent)[0](4) == 8
    assert pickle.loads(sent)[0].__name__ == "double"
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, input=sent, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"40 long\n"), done.stderr


def test_uninstrument_puts_everything_back(engine: Engine) -> None:
    """The functions of Spark that were replaced are the original ones again."""
    from pyspark.core import rdd

    hooked = standing((rdd, "_prepare_for_python_RDD"))
    mlobs.uninstrument("spark")
    original = rdd._prepare_for_python_RDD
    sent, *_ = original(engine.spark.sparkContext, (len, "long"))
    mlobs.instrument("spark")
    again = rdd._prepare_for_python_RDD
    assert original.__module__ == "pyspark.core.rdd"
    assert again.__wrapped__ is original
    assert hooked != standing((rdd, "_prepare_for_python_RDD"))
    assert b"mlobs" not in sent


# ── profiles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_profile_of_partitions_is_the_profile_of_all_rows(engine: Engine) -> None:
    """Built where the partitions lie, it has the bins, the counts and the id of the one built in one place."""
    frame = engine.spark.range(0, ROWS, 1, 5).selectExpr(*COLUMNS).cache()
    here = frame.toArrow()
    whole = mlobs.Profile.build(here.drop_columns(["score"]), outputs=here.select(["score"]))
    built = mlobs.Profile.build(frame, outputs="score")
    assert built == whole
    assert built.rows == ROWS
    kinds = {feature.name: feature.kind for feature in built.inputs}
    assert (kinds["address"], kinds["town"], kinds["seen"]) == ("text", "categorical", "datetime")
    half = mlobs.Profile.build(frame.where("price < 900"), outputs="score", like=whole)
    rest = mlobs.Profile.build(frame.where("price >= 900"), outputs="score", like=whole)
    assert half.merge(rest) == whole


def test_a_columns_name_is_any_text(engine: Engine) -> None:
    """With a dot, with a backtick, or told from another by capitals alone: the profile is that of the rows in one place."""
    frame = (
        engine.spark.range(0, ROWS, 1, 5)
        .toDF("a.b")
        .selectExpr("`a.b`", "`a.b` + 1 as A", "-`a.b` as a", "3 as `x``y`")
    )
    here = frame.toArrow()
    built = mlobs.Profile.build(frame, outputs="a.b")
    assert built == mlobs.Profile.build(here.drop_columns(["a.b"]), outputs=here.select(["a.b"]))
    assert [feature.name for feature in built.inputs] == ["A", "a", "x`y"]


@pytest.mark.parametrize(
    ("query", "arguments", "said"),
    [
        ("id + 1 as a", {"outputs": ["b"]}, "names columns that are not there"),
        ("id + 1 as a", {"outputs": [1.0, 2.0]}, "are columns of that frame"),
        ("array(1.0, 2.0) as a", {}, "'a' is array<decimal"),
        ("named_struct('x', 1) as a", {}, "'a' is struct<x:int>"),
        ("id + 1 as a", {"kinds": {"b": "text"}}, "kinds= names columns that are not there"),
        ("if(id < 2500, 'word', null) as a", {"kinds": {"a": "numbers"}}, "cannot be: choose one of"),
    ],
)
def test_bad_input_says_what_is_wrong(engine: Engine, query: str, arguments: dict[str, Any], said: str) -> None:
    """Outputs that are no columns, columns of no single values, and unknown kinds are refused with a reason."""
    with pytest.raises(mlobs.ProfileError, match=said):
        mlobs.Profile.build(engine.spark.range(0, 10, 1, 2).selectExpr(query), **arguments)


def test_columns_of_one_name_are_refused(engine: Engine) -> None:
    """As they are in one place."""
    with pytest.raises(mlobs.ProfileError, match="more than one column is called a"):
        mlobs.Profile.build(engine.frame.select("a", "b", "a"))


def test_an_empty_frame_has_no_profile(engine: Engine) -> None:
    """A frame without rows, in partitions or in none, is refused."""
    with pytest.raises(mlobs.ProfileError, match="there are no rows"):
        mlobs.Profile.build(engine.frame.where("id < 0"))


# ── other deployments ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("master", "more"),
    [("local[2]", ""), ("local-cluster[1,1,1024]", "--conf spark.python.worker.reuse=false")],
    ids=["local", "executors"],
)
def test_the_example_runs(sink: Sink, tmp_path: Path, master: str, more: str) -> None:
    """In local mode, and on executors of their own whose Python workers end with each task, every row is counted."""
    settings = " ".join(f"--conf {key}={value}" for key, value in SMALL.items())
    environ = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": f"--master {master} {settings} {more} pyspark-shell",
    }
    command = [sys.executable, str(EXAMPLE / "score.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.splitlines()
        == (EXAMPLE / "README.md").read_text("utf-8").partition("```text\n")[2].partition("```")[0].splitlines()
    )
    assert rows(sink)["flats"] == 20_000
