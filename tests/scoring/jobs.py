"""What is scored on Spark, by classic sessions and by those of Spark Connect."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from tests.scoring.ledger import ROWS, rows, table, trained
from tests.sink import Sink, running

import mlobs

SMALL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
COLUMNS = (
    "double(id) * 0.37 as price",
    "if(id % 11 = 0, null, id % 40) as rooms",
    "concat('town ', id % 23) as town",
    "concat('flat ', id) as address",
    "id % 3 = 0 as balcony",
    "date_add(date'2024-01-01', int(id % 365)) as built",
    "timestamp_seconds(id * 3600) as seen",
    "decimal(id) / 7 as rent",
    "if(id < 2600, null, float(id)) as late",
    "rand(7) as score",
)


class Engine(NamedTuple):
    """A session, where its executors send to, and what scoring all rows of ``frame`` answers."""

    spark: Any
    sink: Sink
    frame: Any
    model: Any
    expected: list[int]

    def counted(self, score: Callable[[], Any], added: int = ROWS) -> tuple[Any, dict[str, int]]:
        """What the action answers, and the rows that it has added, by model.

        Usually they are there when it answers; a busy machine may take longer for an export than a task waits for it.
        """
        before = rows(self.sink)
        answer = score()
        self.sink.wait(lambda sink: (rows(sink) - before).total() >= added)
        return answer, dict(rows(self.sink) - before)


@contextmanager
def engine_of(begin: Callable[[], Any]) -> Iterator[Engine]:
    """A session that ``begin`` makes, of two threads and two tries of each task, under mlobs, beside a sink."""
    model = trained()
    expected = [int(label) for label in model.predict(table())]
    with running() as sink, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
        patch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        settings = " ".join(f"--conf {key}={value}" for key, value in SMALL.items())
        patch.setenv("PYSPARK_SUBMIT_ARGS", f"{settings} pyspark-shell")
        mlobs.instrument("sklearn", "spark")
        spark = begin()
        frame = spark.range(0, ROWS, 1, 4).selectExpr("id", "double(id) as a", "double(id % 7) as b").cache()
        try:
            yield Engine(spark, sink, frame, model, expected)
        finally:
            spark.stop()
            mlobs.uninstrument()


def labels(frame: Any) -> list[int]:
    """What was answered, in the order of the table."""
    return frame.toPandas().sort_values("id")["label"].tolist()  # type: ignore[no-any-return]


# ── every kind of function ──────────────────────────────────────────────────────────────────────────────────────────


def map_in_pandas(frame: Any, predict: Any) -> Any:
    def score(batches: Any) -> Any:
        for batch in batches:
            yield pd.DataFrame({"id": batch["id"], "label": predict(batch[["a", "b"]].to_numpy())})

    return frame.mapInPandas(score, "id long, label long")


def map_in_arrow(frame: Any, predict: Any) -> Any:
    def score(batches: Any) -> Any:
        import pyarrow as pa

        for batch in batches:
            matrix = np.column_stack([batch.column("a").to_numpy(), batch.column("b").to_numpy()])
            yield pa.RecordBatch.from_pydict({"id": batch.column("id"), "label": predict(matrix)})

    return frame.mapInArrow(score, "id long, label long")


def scalar_pandas_udf(frame: Any, predict: Any) -> Any:
    from pyspark.sql.functions import pandas_udf

    def score(a: Any, b: Any) -> Any:
        return pd.Series(predict(np.column_stack([a, b])))

    score.__annotations__ = {"a": pd.Series, "b": pd.Series, "return": pd.Series}
    return frame.select("id", pandas_udf(score, "long")("a", "b").alias("label"))


def iterated_pandas_udf(frame: Any, predict: Any) -> Any:
    from pyspark.sql.functions import pandas_udf

    def score(batches: Any) -> Any:
        for a, b in batches:
            yield pd.Series(predict(np.column_stack([a, b])))

    score.__annotations__ = {"batches": "Iterator[tuple[pd.Series, ...]]", "return": "Iterator[pd.Series]"}
    return frame.select("id", pandas_udf(score, "long")("a", "b").alias("label"))


def apply_in_pandas(frame: Any, predict: Any) -> Any:
    def score(group: Any) -> Any:
        return pd.DataFrame({"id": group["id"], "label": predict(group[["a", "b"]].to_numpy())})

    return frame.groupBy("b").applyInPandas(score, "id long, label long")


def map_partitions(frame: Any, predict: Any) -> Any:
    def score(part: Any) -> Any:
        found = list(part)
        yield from zip(
            [row.id for row in found], predict(np.array([(row.a, row.b) for row in found])).tolist(), strict=True
        )

    return frame.rdd.mapPartitions(score).toDF("id long, label long")


def row_udf(frame: Any, predict: Any) -> Any:
    from pyspark.sql.functions import udf

    def score(a: float, b: float) -> int:
        return int(predict(np.array([[a, b]]))[0])

    score.__annotations__ = {}
    return frame.select("id", udf(score, "long")("a", "b").alias("label"))


KINDS = (
    map_in_pandas,
    map_in_arrow,
    scalar_pandas_udf,
    iterated_pandas_udf,
    apply_in_pandas,
    map_partitions,
    row_udf,
)


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────


def failing(model: Any, mark: Path, error: type[Exception] = ValueError) -> Callable[..., Any]:
    """Scores, and halfway through partition 1 raises, until ``mark`` is there, which it then is."""

    def score(batches: Any) -> Any:
        from pyspark import TaskContext

        for number, batch in enumerate(batches):
            yield pd.DataFrame({"id": batch["id"], "label": model.predict(batch[["a", "b"]].to_numpy())})
            context = TaskContext.get()
            if context is not None and context.partitionId() == 1 and number == 5 and not mark.exists():
                if context.attemptNumber() == 0:
                    mark.touch()
                raise error("halfway")

    return score
