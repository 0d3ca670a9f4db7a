"""Writes flats.joblib, a model of what flats cost, and flats.profile.json, what it learned from."""

from __future__ import annotations

import joblib
import numpy as np
from sklearn.linear_model import LinearRegression

import mlobs

generator = np.random.default_rng(0)
areas = generator.uniform(20, 120, 1000)
rows = np.column_stack([areas, areas // 25])
model = LinearRegression().fit(rows, rows @ [10.0, 50.0])
joblib.dump(model, "flats.joblib")
mlobs.Profile.build(rows, outputs=model.predict(rows), model="flats", version="3").save("flats.profile.json")
