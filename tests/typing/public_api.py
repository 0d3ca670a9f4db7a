"""The public types, as a user's type checker sees them: `make check` runs mypy over this file, nothing runs it.

An error that is wanted carries its `type: ignore`; mypy strict complains where one is not needed any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from typing_extensions import assert_type

import mlobs

Row = dict[str, float]


@mlobs.observe(model="plain", version="1", variant="challenger", reference="reference.json", capture=["age"])
def plain(row: Row, scale: float = 1.0) -> float:
    """Keep arguments and result."""
    return row["age"] * scale


@mlobs.observe()
async def coroutine(row: Row) -> float:
    """Stay a coroutine."""
    return row["age"]


@mlobs.observe(inputs="row")
def generator(row: Row) -> Iterator[float]:
    """Stay a generator."""
    yield row["age"]


@mlobs.observe(inputs=lambda row: row)
async def async_generator(row: Row) -> AsyncIterator[float]:
    """Stay an asynchronous generator."""
    yield row["age"]


@mlobs.observe
def bare(row: Row) -> float:
    """Without arguments, too."""
    return row["age"]


class Model:
    """Has observed methods."""

    @mlobs.observe(model="method")
    def predict(self, row: Row) -> str:
        """Keep arguments and result."""
        return f"{self}{row}"


async def calls() -> None:
    """An observed function has the type that it had."""
    assert_type(plain({"age": 1.0}, scale=2.0), float)
    assert_type(bare({"age": 1.0}), float)
    assert_type(await coroutine({"age": 1.0}), float)
    assert_type(generator({"age": 1.0}), Iterator[float])
    assert_type(async_generator({"age": 1.0}), AsyncIterator[float])
    assert_type(Model().predict({"age": 1.0}), str)
    assert_type(mlobs.observe(model="theirs")(str.upper)("a"), str)
    plain("a row")  # type: ignore[arg-type]
    plain({"age": 1.0}, size=2)  # type: ignore[call-arg]


def verbs() -> None:
    """The verbs are keyword-only, closed and typed."""
    assert_type(mlobs.register(Model(), name="known"), Model)
    assert_type(mlobs.flush(timeout=1.0), bool)
    assert_type(mlobs.shutdown(), bool)
    assert_type(mlobs.drift(window=3600.0), dict[str, dict[str, mlobs.Drift]])
    mlobs.configure(service_name="pricing", windows=[300.0], spans="always")
    mlobs.configure(spans="sometimes")  # type: ignore[arg-type]
    mlobs.configure(nonsense=1)  # type: ignore[call-arg]
    mlobs.flush(1.0)  # type: ignore[call-arg]
    mlobs.observe("model")  # type: ignore[call-overload]
    mlobs.observe(model=1)  # type: ignore[call-overload]


def drift(found: mlobs.Drift) -> None:
    """A verdict's fields have their types."""
    assert_type(found.name, str)
    assert_type(found.psi, float)
    assert_type(found.ks_bound, float)
    assert_type(found.count, int)
    if found.verdict == "certain":  # type: ignore[comparison-overlap]
        return


def profiles() -> None:
    """A profile is built from what holds rows, and travels by path."""
    profile = mlobs.Profile.build({"age": [1, 2, 3]}, outputs=np.array([0.1, 0.2, 0.3]), bins=5)
    assert_type(profile, mlobs.Profile)
    mlobs.Profile.build(pd.DataFrame({"age": [1]}))
    mlobs.Profile.build(np.zeros((3, 2)) for _ in range(4))
    assert_type(profile.merge(profile), mlobs.Profile)
    assert_type(mlobs.Profile.load(Path("reference.json")), mlobs.Profile)
    profile.save("reference.json")
    assert_type(profile.rows, int)
    assert_type(profile.id, str)
    mlobs.Profile.build([{"age": 1}], bins="ten")  # type: ignore[arg-type]


def outcomes() -> None:
    """A ticket may be none, a truth is anything, and exactly one of ticket and id names the prediction."""
    assert_type(mlobs.ticket(score=0.7), str | None)
    assert_type(mlobs.tickets(), list[str])
    assert_type(mlobs.outcome(mlobs.ticket(), actual=True), bool)
    assert_type(mlobs.outcome(prediction_id="order-1", actual=3.5), bool)
    assert_type(mlobs.quality()["m"], mlobs.Quality)
    mlobs.outcome("ticket", prediction_id="order-1", actual=1)  # type: ignore[call-overload]
    mlobs.objective(model="m", task="ranking")  # type: ignore[arg-type]
    with mlobs.variant("challenger"):
        pass
