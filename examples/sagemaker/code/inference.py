"""A script of SageMaker: `model_fn` once a worker, then `input_fn`, `predict_fn` and `output_fn` for each request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib

import mlobs

mlobs.instrument()


def model_fn(model_dir: str) -> Any:
    """Read the model; the profile beside it says its name and version, and is its reference."""
    return joblib.load(Path(model_dir) / "churn.joblib")


@mlobs.stage("preprocess", model="churn")
def input_fn(body: str, content_type: str) -> list[list[float]]:  # noqa: ARG001 - as the toolkit calls it
    """Read a request."""
    rows: list[list[float]] = json.loads(body)
    return rows


def predict_fn(rows: list[list[float]], model: Any) -> Any:
    """Answer it; this is what mlobs observes."""
    return model.predict(rows)


@mlobs.stage("postprocess", model="churn")
def output_fn(prediction: Any, accept: str) -> tuple[str, str]:
    """Write the answer."""
    return json.dumps(prediction.tolist()), accept
