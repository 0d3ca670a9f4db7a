"""Objectives as tests need them."""

from __future__ import annotations

from typing import Any

from mlobs.release.objective import Objective


def objective(**given: Any) -> Objective:
    """One of model `m`, of which only this is said."""
    defaults: dict[str, Any] = {
        "model": "m", "version": None, "task": None, "threshold": 0.5, "positive": True, "classes": None, "costs": None,
        "currency": "EUR", "calibration": None,
    }  # fmt: skip
    return Objective.of(**{**defaults, **given})
