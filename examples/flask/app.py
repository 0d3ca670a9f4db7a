"""A Flask service; mlobs.instrument() observes its scikit-learn model and reads the caller's trace."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from sklearn.linear_model import LogisticRegression

import mlobs

mlobs.instrument()

model = LogisticRegression().fit([[20.0, 0.0], [30.0, 1.0], [60.0, 4.0], [70.0, 5.0]], [0, 0, 1, 1])
mlobs.register(model, name="churn", version="7")
app = Flask(__name__)


@app.get("/ready")
def ready() -> str:
    """It is."""
    return "ready"


@app.post("/predict")
def predict() -> Response:
    """Say for each customer how likely it is that they leave."""
    with mlobs.stage("preprocess", model="churn"):
        rows = [[min(customer["age"], 100.0), customer["complaints"]] for customer in request.get_json()]
    with mlobs.stage("inference", model="churn"):
        shares = model.predict_proba(rows)[:, 1]
    return jsonify([round(float(share), 3) for share in shares])
