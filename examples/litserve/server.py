"""A churn model behind LitServe: two workers, batches of up to 16 requests; `python server.py PORT`."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import litserve as ls
import numpy as np
from sklearn.linear_model import LogisticRegression

import mlobs

mlobs.instrument()  # here, not below: each worker begins by importing this file


class Churn(ls.LitAPI):  # type: ignore[misc]
    """Requests are customers, answers are scores, each with the ticket that brings its truth back."""

    def setup(self, device: str) -> None:
        """In each worker."""
        del device
        customers = np.random.default_rng(1).normal(size=(500, 2))
        self.model = LogisticRegression().fit(customers, customers.sum(axis=1) > 0)
        mlobs.register(self, name="churn", version="7")

    def decode_request(self, request: dict[str, float]) -> list[float]:
        """A customer's row."""
        return [request["age"], request["calls"]]

    def predict(self, x: list[list[float]]) -> Any:
        """All rows of a batch at once."""
        return self.model.predict_proba(x)[:, 1].tolist()

    def unbatch(self, output: list[float]) -> list[dict[str, Any]]:
        """Here the batch has just been predicted: its tickets are one a row."""
        return [{"score": score, "ticket": ticket} for score, ticket in itertools.zip_longest(output, mlobs.tickets())]


if __name__ == "__main__":
    api = Churn(max_batch_size=16, batch_timeout=0.02)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
