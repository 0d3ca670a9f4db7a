"""Scores a table on Dask: one decorated function, and each row counted once, whichever worker scored it."""

from __future__ import annotations

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.distributed import Client
from sklearn.linear_model import LinearRegression

import mlobs


def main() -> None:
    """A cluster of two processes on this machine, a reference, and a table to score."""
    mlobs.instrument()  # before the client: it brings mlobs to the workers
    number = np.arange(20_000)
    table = pd.DataFrame({"area": 20.0 + number % 180, "rooms": 1 + number % 5})
    sample = table.head(500)
    model = LinearRegression().fit(sample, 3_000 * sample["area"] + 10_000 * sample["rooms"])

    with Client(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"):
        flats = dd.from_pandas(table, npartitions=4)
        reference = mlobs.Profile.build(flats)  # read where the partitions lie
        print(f"A reference of {reference.rows:,} rows.")

        @mlobs.observe(model="flats", version="1", reference=reference)
        def predict(batch: pd.DataFrame) -> pd.Series:
            """What each flat is worth."""
            return pd.Series(model.predict(batch), index=batch.index)

        prices = flats.map_partitions(predict, meta=(None, "float64")).compute()
        print(f"{len(prices):,} flats, {prices.mean():,.0f} on average.")


if __name__ == "__main__":
    main()
