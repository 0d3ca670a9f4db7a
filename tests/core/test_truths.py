"""What truths say in a window, beside what was promised of the same predictions."""

from __future__ import annotations

import pytest
from tests.release.objectives import objective

from mlobs.core.truths import Truths
from mlobs.otel import names
from mlobs.otel.points import Attributes, Numbers
from mlobs.release.prediction import Prediction

MANY = objective(task="multiclass", classes=("a", "b", "c"))


def told(truths: Truths) -> dict[str, list[float]]:
    numbers = [points for points in truths.collect(MANY) if isinstance(points, Numbers)]
    return {points.instrument.name: list(points.values) for points in numbers}


def test_many_classes_have_a_gap() -> None:
    """Of more than two classes the realised accuracy stands beside the mean probability, window by window."""
    truths = Truths(Attributes((names.MODEL_NAME, "m")), (60.0,), 0.0)
    assert names.QUALITY_GAP.name not in told(truths)
    sure = Prediction(bytes(12), "m", "1", "champion", 0.0, None, "multiclass", "a", 0.9)
    for number in range(10):
        assert truths.tally.add(sure, "a" if number < 6 else "b", 1.0, MANY) is None
    found = told(truths)
    assert found[names.QUALITY_REALIZED.name] == [0.6]
    assert found[names.QUALITY_GAP.name] == [pytest.approx(-0.3)]
    for now in range(10, 140, 5):
        truths.roll(float(now))
    truths.tally.add(sure, "a", 139.0, MANY)
    assert told(truths)[names.QUALITY_REALIZED.name] == [1.0]  # the older ones have left the window


def test_labels_alone_have_no_gap() -> None:
    """Classes without probabilities promise nothing."""
    truths = Truths(Attributes((names.MODEL_NAME, "m")), (60.0,), 0.0)
    truths.tally.add(Prediction(bytes(12), "m", "1", "champion", 0.0, None, "multiclass", "a", None), "a", 1.0, MANY)
    assert names.QUALITY_GAP.name not in told(truths)
