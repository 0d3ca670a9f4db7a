"""A model of flats behind KServe: ``python serve.py --http_port 8080 --enable_grpc false --workers 2``."""

from __future__ import annotations

from typing import Any

import mlobs

mlobs.instrument()  # at the top, so that each worker does it: workers import this file anew

import kserve  # noqa: E402 - before or after is the same to mlobs
import numpy as np  # noqa: E402
from sklearn.linear_model import LinearRegression  # noqa: E402


class Flats(kserve.Model):  # type: ignore[misc]  # kserve carries no types
    """Prices by area and rooms."""

    def load(self) -> bool:
        """Learn, which takes a millisecond; a model of yours is read from a file."""
        areas = np.linspace(20, 120, 50)
        rows = np.column_stack([areas, areas // 25])
        self.model = LinearRegression().fit(rows, rows @ [10.0, 50.0])
        self.ready = True
        return True

    async def preprocess(self, payload: Any, headers: Any = None) -> Any:
        """Refuse what is no list of flats."""
        rows = payload.get("instances") if isinstance(payload, dict) else payload.inputs
        if not rows:
            raise kserve.errors.InvalidInput("no flats")
        return payload

    def predict(self, payload: Any, headers: Any = None) -> Any:
        """v1 and v2 alike."""
        if isinstance(payload, kserve.InferRequest):
            prices = self.model.predict(payload.inputs[0].as_numpy()).round(2)
            output = kserve.InferOutput(name="price", shape=[len(prices)], datatype="FP64", data=prices.tolist())
            return kserve.InferResponse(response_id=payload.id or "none", model_name=self.name, infer_outputs=[output])
        return {"predictions": self.model.predict(payload["instances"]).round(2).tolist()}

    async def postprocess(self, result: Any, headers: Any = None) -> Any:
        """As it is."""
        return result


if __name__ == "__main__":
    flats = Flats("flats")
    flats.load()
    kserve.ModelServer().start([flats])
