"""A FastAPI service; mlobs.instrument() observes its scikit-learn model and reads the caller's trace."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.linear_model import LogisticRegression

import mlobs

mlobs.instrument()

model = LogisticRegression().fit([[20.0, 0.0], [30.0, 1.0], [60.0, 4.0], [70.0, 5.0]], [0, 0, 1, 1])
mlobs.register(model, name="churn", version="7")
app = FastAPI()


class Customer(BaseModel):
    """What the service is told of a customer."""

    age: float
    complaints: float


@app.get("/ready")
def ready() -> str:
    """It is."""
    return "ready"


@app.post("/predict")
def predict(customers: list[Customer]) -> list[float]:
    """Say for each customer how likely it is that they leave."""
    with mlobs.stage("preprocess", model="churn"):
        rows = [[min(customer.age, 100.0), customer.complaints] for customer in customers]
    with mlobs.stage("inference", model="churn"):
        shares = model.predict_proba(rows)[:, 1]
    return [round(float(share), 3) for share in shares]
