"""mlobs as the scripts here observe with it: a reference, every default, a real pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlobs

INTERVAL = 1.0
Predict = Callable[[Any], Any]


def start(endpoint: str, *, interval: float | None = INTERVAL) -> None:
    """Export to `endpoint` every second, or as often as by default; everything else stays at its default."""
    mlobs.configure(service_name="benchmark", endpoint=endpoint, export_interval=interval)
    # the first call of a process starts the threads, and for a moment they load the exporter beside it
    mlobs.observe(model="warm-up")(len)([1.0])
    mlobs.flush(timeout=30)


def stop() -> None:
    """Export a last time and stop."""
    mlobs.shutdown()


def reference(training: Any) -> mlobs.Profile:
    """Build the profile of the training data, outputs included."""
    scores = np.linspace(0, 1, len(training))
    return mlobs.Profile.build(training, outputs=scores)


def observe(predict: Predict, *, model: str, profile: mlobs.Profile) -> Predict:
    """Return `predict` observed; the bare one stays as it is."""
    observed: Predict = mlobs.observe(model=model, version="1", reference=profile)(predict)
    return observed
