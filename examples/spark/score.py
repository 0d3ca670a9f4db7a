"""Scores a table on Spark: one decorated function, and each row counted once, on whatever executor it was scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import SparkSession
from sklearn.linear_model import LinearRegression

import mlobs

if TYPE_CHECKING:
    from collections.abc import Iterator

mlobs.instrument()  # before the first function is sent to executors
spark = SparkSession.builder.appName("flats").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")

flats = spark.range(0, 20_000, 1, 2).selectExpr("20.0 + id % 180 as area", "1 + id % 5 as rooms")
sample = flats.limit(500).toPandas()
model = LinearRegression().fit(sample, 3_000 * sample["area"] + 10_000 * sample["rooms"])

reference = mlobs.Profile.build(flats)  # read where the partitions lie
print(f"A reference of {reference.rows:,} rows.")


@mlobs.observe(model="flats", version="1", reference=reference)
def predict(batch: pd.DataFrame) -> Any:
    """What each flat is worth."""
    return model.predict(batch)


def score(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Score one partition."""
    for batch in batches:
        yield pd.DataFrame({"price": predict(batch)})


prices = flats.mapInPandas(score, "price double").toPandas()
print(f"{len(prices):,} flats, {prices['price'].mean():,.0f} on average.")
spark.stop()
