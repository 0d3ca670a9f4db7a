"""A scoring script of Azure ML: `init` once a worker, `run` for each request."""

from __future__ import annotations

import json
from typing import Any

from sklearn.linear_model import LogisticRegression

import mlobs

mlobs.instrument()
model: Any = None


def init() -> None:
    """Have the model: here one is trained, yours is read from the folder that AZUREML_MODEL_DIR names."""
    global model  # noqa: PLW0603 - as Azure ML's own examples have it
    model = LogisticRegression().fit([[20.0, 0.0], [30.0, 1.0], [60.0, 4.0], [70.0, 5.0]], [0, 0, 1, 1])
    mlobs.register(model, name="churn", version="7")


def run(data: str) -> list[int]:
    """Answer a request: `{"data": [[age, complaints], …]}`."""
    with mlobs.stage("preprocess", model="churn"):
        rows = json.loads(data)["data"]
    answer: list[int] = model.predict(rows).tolist()
    return answer
