"""What a model's predictions are to be judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import numpy as np

from mlobs.errors import ConfigurationError
from mlobs.release.label import class_name
from mlobs.release.packing import Label, plain
from mlobs.sketch import scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASKS: Final = ("binary", "multiclass", "regression")
CLASSES: Final = 20  # whose names are told


class Objective(NamedTuple):
    """Of a model, or of one version of it.

    ``names`` are the names of the classes, ``worth`` is money by the names of the predicted and the actual class, ``rates``
    the share of positives that each score bin stands for, shape (40,).
    """

    model: str
    version: str | None
    task: str | None
    threshold: float
    positive: str
    negative: str
    classes: tuple[Label, ...]
    names: frozenset[str]
    worth: Mapping[tuple[str, str], float]
    currency: str
    rates: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        *,
        model: str,
        version: str | None,
        task: str | None,
        threshold: float,
        positive: Label,
        classes: Sequence[Label] | None,
        costs: Mapping[Any, float] | None,
        currency: str,
        calibration: tuple[Any, Any] | None,
    ) -> Objective:
        """See `mlobs.objective`. Raises ConfigurationError for what cannot hold."""
        if not isinstance(model, str) or not model:
            _refuse("model", model, "the model's name, a text that is not empty")
        if version is not None and (not isinstance(version, str) or not version):
            _refuse("version", version, "a text that is not empty, or None for every version")
        if task is not None and task not in TASKS:
            _refuse("task", task, "'binary', 'multiclass' or 'regression'")
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            _refuse("threshold", threshold, "a score from 0 to 1")
        if not isinstance(currency, str) or not (len(currency) == 3 and currency.isascii() and currency.isupper()):
            _refuse("currency", currency, "three capital letters as ISO 4217 has them, e.g. 'EUR'")
        known = _classes(classes, task)
        names = [class_name(label) for label in known]
        one = _name("positive", positive)
        if names and task == "binary" and one not in names:
            _refuse("positive", positive, f"one of the classes, {', '.join(names)}")
        other = next((name for name in names if name != one), "1" if one == "0" else "0")
        return cls(
            model,
            version,
            task,
            float(threshold),
            one,
            other,
            known,
            frozenset(names),
            _worth(costs or {}),
            currency,
            _rates(calibration, one),
        )


def _classes(classes: Sequence[Label] | None, task: str | None) -> tuple[Label, ...]:
    if classes is None:
        return ()
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        _refuse("classes", classes, "a list of classes, e.g. ['bird', 'cat']")
    known = tuple(plain(label) for label in classes)
    names = {_name("classes", label) for label in known}
    if not 2 <= len(names) <= CLASSES or len(names) != len(known):
        _refuse("classes", classes, f"2 to {CLASSES} different classes")
    if task == "binary" and len(known) != 2:
        _refuse("classes", classes, "two classes for a binary task")
    return known


def _name(field: str, label: object) -> str:
    known = plain(label)
    if known is None or (type(known) is float and not math.isfinite(known)):
        _refuse(field, label, "a class: a text, a truth value or a number")
    return class_name(known)


def _worth(costs: Mapping[Any, float]) -> dict[tuple[str, str], float]:
    worth = {}
    for pair, money in costs.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            _refuse("costs", costs, "money by (predicted, actual), e.g. {(True, False): -5.0}")
        if isinstance(money, bool) or not isinstance(money, (int, float)) or not math.isfinite(money):
            _refuse("costs", costs, f"a finite amount of money for {pair!r}")
        worth[_name("costs", pair[0]), _name("costs", pair[1])] = float(money)
    return worth


def _rates(calibration: tuple[Any, Any] | None, positive: str) -> NDArray[np.float64]:
    if calibration is None:
        return scores.MIDDLES
    try:
        held, labels = calibration
        truth = [class_name(plain(label)) == positive for label in np.asarray(labels).ravel().tolist()]
        rates: NDArray[np.float64] = scores.calibration(np.asarray(held, np.float64), truth)
    except (TypeError, ValueError) as error:
        _refuse("calibration", type(calibration), f"scores and their labels, two sequences of one length ({error})")
    return rates


def _refuse(name: str, value: object, expected: str) -> NoReturn:
    raise ConfigurationError(f"mlobs.objective({name}={value!r}): expected {expected}.")
