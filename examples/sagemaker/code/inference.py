"""What SageMaker's toolkit calls: nothing here knows of mlobs but its first line, and the agent makes that one needless."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np

import mlobs

mlobs.instrument()


def model_fn(model_dir: str) -> Any:
    """Load the model; `churn.profile.json` beside it names it and is its reference."""
    return joblib.load(Path(model_dir, "churn.joblib"))


def input_fn(body: str, content_type: str) -> Any:
    """Read the rows of a request."""
    if content_type != "application/json":
        raise ValueError(f"{content_type} is not application/json")
    return np.asarray(json.loads(body), dtype=float)


def predict_fn(rows: Any, model: Any) -> Any:
    """Predict: the prediction that mlobs counts."""
    return model.predict_proba(rows)


def output_fn(scores: Any, accept: str) -> tuple[str, str]:
    """Say it."""
    return json.dumps(scores.tolist()), accept
