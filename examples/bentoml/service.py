"""A churn model behind BentoML: two workers, batches of up to 16 rows; `bentoml serve service:Churn`."""

import bentoml
import numpy as np
from sklearn.linear_model import LogisticRegression

import mlobs

mlobs.instrument()  # each worker begins by importing this file


@bentoml.service(workers=2)
class Churn:
    """Customers are rows of two numbers, answers are scores; the tickets of the rows are a header of the answer."""

    def __init__(self) -> None:
        customers = np.random.default_rng(1).normal(size=(500, 2))
        self.model = LogisticRegression().fit(customers, customers.sum(axis=1) > 0)
        mlobs.register(self.model, name="churn", version="7")

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=5_000)  # type: ignore[untyped-decorator]
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """The rows of many requests at once."""
        scores: np.ndarray = self.model.predict_proba(rows)[:, 1]
        return scores
