"""Trains a model of churn, registers it in a store in this folder, and lays a profile of what it learned from beside it."""

import mlflow
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import mlobs

mlflow.set_tracking_uri("sqlite:///mlflow.db")
rng = np.random.default_rng(0)
customers = pd.DataFrame({"age": rng.normal(45, 12, 2_000), "income": rng.gamma(4, 800, 2_000)})
left = customers["age"] + rng.normal(0, 8, 2_000) > 50
model = LogisticRegression().fit(customers, left.astype(int))

info = mlflow.sklearn.log_model(
    model,
    name="churn",
    registered_model_name="churn",
    signature=mlflow.models.infer_signature(customers),
    pip_requirements=["scikit-learn"],
)
mlobs.Profile.build(customers, outputs=model.predict(customers)).save("mlobs.profile.json")
mlflow.MlflowClient().log_model_artifact(info.model_id, "mlobs.profile.json")
print(f"churn, version {info.registered_model_version}")
