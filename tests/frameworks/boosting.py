"""What the tests of xgboost, LightGBM and CatBoost share."""

from __future__ import annotations

import functools
import inspect
import os
import re
import subprocess
import sys
import textwrap
import unittest
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

import mlobs

if TYPE_CHECKING:
    from mlobs.testing import Telemetry

generator = np.random.default_rng(7)
X = generator.normal(size=(120, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def outcome(function: Callable[[], Any]) -> Any:
    """What a call gives or raises; of messages what is the same each time: no clock, no addresses."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same without mlobs
        said = tuple(re.sub(r"^\[[\d:]+\] |\nStack trace.*", "", str(one), flags=re.DOTALL) for one in error.args)
        return type(error), said


def features(telemetry: Telemetry, model: str, role: str = "input") -> dict[str, int]:
    """How many values of each feature were told."""
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role=role)
        if dict(one.attributes.items())["model.name"] == model
    }


def imported_later(script: str) -> None:
    """A program that turns everything on first, imports afterwards, and leaves nothing behind."""
    quiet = {**os.environ, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    begin = "import sys, mlobs\nmlobs.instrument()\nfrom mlobs.testing import capture\n"
    begin += "assert not sys.modules.keys() & {'xgboost', 'lightgbm', 'catboost', 'sklearn'}\n"
    end = "mlobs.uninstrument()\nimport gc\nfound = (one for one in gc.get_objects() if issubclass(type(one), type))\n"
    end += "hooked = [f'{cls.__name__}.{name}' for cls in found for name, value in list(vars(cls).items())\n"
    end += "    if type(value) is type(capture) and hasattr(value, '__mlobs__') and not cls.__module__.startswith('sklearn')]\n"
    end += "assert not hooked, hooked\n"
    command = [sys.executable, "-c", begin + textwrap.dedent(script) + end]
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@functools.cache
def bare(cls: Any, **settings: Any) -> dict[str, str]:
    """The same without mlobs, once."""
    mlobs.uninstrument()
    return judged(cls(**settings))


def judged(estimator: Any) -> dict[str, str]:
    """scikit-learn's checks of an estimator, the worst of each."""
    found: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "on_fail" not in inspect.signature(check_estimator).parameters:  # before scikit-learn 1.6
            return one_by_one(estimator)
        for check in check_estimator(estimator, on_fail=None, on_skip=None):
            if found.get(check["check_name"]) != "failed":
                found[check["check_name"]] = check["status"]
    return found


def one_by_one(estimator: Any) -> dict[str, str]:
    """The same where scikit-learn only makes the checks."""
    try:
        checks = list(check_estimator(estimator, generate_only=True))
    except KeyError:  # it has not the tags that are asked for
        pytest.skip("scikit-learn makes no checks of it")
    found: dict[str, str] = {}
    for made, check in checks:
        name, status = check.func.__name__, "passed"
        try:
            check(made)
        except unittest.SkipTest:
            status = "skipped"
        except Exception:  # noqa: BLE001 - whatever fails has to fail without mlobs, too
            status = "failed"
        if found.get(name) != "failed":
            found[name] = status
    return found
