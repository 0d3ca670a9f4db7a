"""Every kind of API that BentoML has; mlobs by hand or, with AGENT set, by the agent; traced by BentoML where TRACED is."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import bentoml
import numpy as np
from sklearn.linear_model import LinearRegression

import mlobs

if "AGENT" not in os.environ:
    mlobs.instrument("bentoml", "sklearn", "starlette")

TRACING: dict[str, Any] = {
    "exporter_type": "otlp",
    "sample_rate": 1.0,
    "otlp": {"protocol": "http", "endpoint": os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"},
}


@mlobs.observe(model="stream", version="1")
def pieces(rows: list[list[float]]) -> Iterator[str]:
    """A line a row."""
    for row in rows:
        yield f"{sum(row)} "


@bentoml.service(workers=2, threads=4, **({"tracing": TRACING} if "TRACED" in os.environ else {}))
class Sums:
    """Adds two numbers."""

    def __init__(self) -> None:
        rows = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0]])
        self.model = LinearRegression().fit(rows, rows.sum(axis=1))
        mlobs.register(self.model, name="sums", version="7")

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=20_000)
    def batch(self, rows: np.ndarray) -> np.ndarray:
        """In batches, in threads; a model takes its time, and requests wait for it."""
        time.sleep(0.03)
        return self._predict(rows)

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=20_000)
    async def batch_soon(self, rows: np.ndarray) -> np.ndarray:
        """In batches, on the event loop."""
        await asyncio.sleep(0.03)
        return self._predict(rows)

    @bentoml.api
    def single(self, rows: np.ndarray) -> np.ndarray:
        """In a thread."""
        return self._predict(rows)

    @bentoml.api
    async def soon(self, rows: np.ndarray) -> np.ndarray:
        """On the event loop."""
        return self._predict(rows)

    @bentoml.api
    def stream(self, rows: list[list[float]]) -> Iterator[str]:
        """Each piece in a thread."""
        yield from pieces(rows)

    @bentoml.api
    def none(self) -> str:
        """Predicts nothing."""
        return "none"

    def _predict(self, rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.model.predict(rows).round(9)
        return found
