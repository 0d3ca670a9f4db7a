"""Prices of flats behind Ray Serve: one deployment that predicts in batches, and one with FastAPI that asks it."""

from __future__ import annotations

from typing import Any

import mlobs

mlobs.instrument()  # replicas import this file, so each of them does it

import numpy as np  # noqa: E402 - before or after is the same to mlobs
from fastapi import FastAPI  # noqa: E402
from ray import serve  # noqa: E402
from sklearn.linear_model import LinearRegression  # noqa: E402

api = FastAPI()


def learn() -> Any:
    """Learn, which takes a millisecond; a model of yours is read from a file."""
    areas = np.linspace(20, 120, 50)
    rows = np.column_stack([areas, areas // 25])
    return mlobs.register(LinearRegression().fit(rows, rows @ [10.0, 50.0]), name="flats", version="3")


@serve.deployment(ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=16)
class Flats:
    """Prices in batches of at most four flats."""

    def __init__(self) -> None:
        self.model = learn()

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0.1)  # type: ignore[untyped-decorator]
    async def price(self, flats: list[list[float]]) -> list[float]:
        """One prediction for all who have asked meanwhile."""
        prices: list[float] = self.model.predict(flats).round(2).tolist()
        return prices

    async def __call__(self, request: Any) -> float:
        """Asked over HTTP."""
        price: float = await self.price(await request.json())
        return price


@serve.deployment(ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=16)
@serve.ingress(api)
class Front:
    """Asks the other deployment, or predicts itself."""

    def __init__(self, flats: Any) -> None:
        self.flats = flats
        self.model = learn()

    @api.post("/price")
    async def price(self, flat: list[float]) -> float:
        """Asked over a handle."""
        price: float = await self.flats.price.remote(flat)
        return price

    @api.post("/here")
    async def here(self, flat: list[float]) -> float:
        """The answer to this request carries its ticket: request and prediction are in one process."""
        return round(float(self.model.predict([flat])[0]), 2)


# where Ray is not installed, mypy does not know that these are deployments
flats = Flats.bind()  # type: ignore[attr-defined]
front = Front.bind(Flats.bind())  # type: ignore[attr-defined]
