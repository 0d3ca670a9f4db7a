"""Train the model of this example, and lay it out as SageMaker unpacks a model.tar.gz: the model, its profile, and code/."""

import shutil
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

import mlobs

folder = Path(sys.argv[1])
(folder / "code").mkdir(parents=True, exist_ok=True)
shutil.copy(Path(__file__).parent / "code" / "inference.py", folder / "code")
generator = np.random.default_rng(1)
rows = generator.normal(size=(2_000, 3))
model = LogisticRegression().fit(rows, rows[:, 0] > 0)
joblib.dump(model, folder / "churn.joblib")
answers = model.predict_proba(rows)
mlobs.Profile.build(rows, outputs=answers, model="churn", version="3").save(folder / "churn.profile.json")
print(f"{folder}: churn.joblib, churn.profile.json, code/inference.py")
