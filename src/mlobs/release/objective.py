"""What a model's predictions are to be judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import numpy as np

from mlobs.errors import ConfigurationError, quoted
from mlobs.release.label import class_name
from mlobs.release.number import number
from mlobs.release.packing import Label, plain
from mlobs.sketch import scores

if TYPE_CHECKING:
    from typing import TypeGuard

    from numpy.typing import NDArray

TASKS: Final = ("binary", "multiclass", "regression")
_SIDES: Final = ("0", "1")  # what two classes are called that nobody has named
CLASSES: Final = 20  # whose names are told
LARGEST: Final = 1e150  # money and errors below it add up, squared too, to sums that are still numbers


class Objective(NamedTuple):
    """Of a model, or of one version of it.

    ``names`` are the names of the classes, ``worth`` is money by the names of the predicted and the actual class, ``rates``
    the share of positives that each score bin stands for, shape (40,): `mlobs.sketch.scores.MIDDLES` itself where none is
    measured. The task is known wherever classes are, or a positive one that is neither True nor False.
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

    @property
    def width(self) -> int | None:
        """How many probabilities a row has; None where nobody says."""
        return len(self.classes) or (2 if self.task == "binary" else None)

    @property
    def column(self) -> int:
        """Which of two columns has the probabilities of the positive class."""
        return [class_name(label) for label in self.classes or _SIDES].index(self.positive)

    @classmethod
    def of(
        cls,
        *,
        model: str,
        version: str | None,
        task: str | None,
        threshold: float,
        positive: Label,
        classes: Sequence[Label] | NDArray[Any] | None,
        costs: Mapping[Any, float] | None,
        currency: str,
        calibration: tuple[Any, Any] | None,
    ) -> Objective:
        """See `mlobs.objective`. Raises ConfigurationError for what cannot hold."""
        if not isinstance(model, str) or not model:
            _refuse("model", model, "the model's name, a text that is not empty", "model='churn'")
        if version is not None and (not isinstance(version, str) or not version):
            _refuse("version", version, "a text that is not empty, or None for every version", "version='7'")
        if task is not None and (not isinstance(task, str) or task not in TASKS):
            _refuse("task", task, "'binary', 'multiclass' or 'regression'", "task='binary'")
        share = _number(threshold)
        if share is None or not 0 <= share <= 1:
            _refuse("threshold", threshold, "a score from 0 to 1", "threshold=0.5")
        if not is_currency(currency):
            _refuse("currency", currency, "three capital letters as ISO 4217 has them", "currency='EUR'")
        known = _classes(classes, task)
        names = tuple(class_name(label) for label in known)
        task = task or _told(names, positive)
        one, other = _sides(positive, names, task)
        allowed = names or ((one, other) if task == "binary" else ())
        if task == "regression" and isinstance(costs, Mapping) and costs:
            _refuse(
                "costs", costs, "none for a regression, which has no pairs of classes", "mlobs.business(…, value=…)"
            )
        if task in ("multiclass", "regression") and calibration is not None:
            _refuse(
                "calibration", type(calibration), f"none: it is for binary scores, and the task is {task!r}", "None"
            )
        return cls(
            model,
            version,
            task,
            share,
            one,
            other,
            known,
            frozenset(names),
            {} if costs is None else _worth(costs, allowed),
            currency,
            _rates(calibration, one, allowed),
        )


def is_currency(currency: object) -> TypeGuard[str]:
    """Whether this is three capital letters, as ISO 4217 has them."""
    return (
        type(currency) is str
        and len(currency) == 3
        and currency.isascii()
        and currency.isalpha()
        and currency.isupper()
    )


def _number(value: object) -> float | None:
    """A number of any kind as a float; None for truth values, NaN, infinite and other things."""
    try:
        found = number(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _classes(classes: Sequence[Label] | NDArray[Any] | None, task: str | None) -> tuple[Label, ...]:
    if classes is None:
        return ()
    if task == "regression":
        _refuse("classes", classes, "none for a regression", "task='multiclass'")
    if isinstance(classes, str) or not (isinstance(classes, Sequence) or getattr(classes, "ndim", 0) == 1):
        _refuse("classes", classes, "a list of classes", "classes=['bird', 'cat']")
    known = tuple(plain(label) for label in classes)
    names = {_name("classes", label) for label in known}
    if not 2 <= len(names) <= CLASSES or len(names) != len(known):
        _refuse(
            "classes",
            classes,
            f"2 to {CLASSES} different classes (True, 1 and 1.0 are one)",
            "the most frequent ones and one for the rest, or None",
        )
    if task == "binary" and len(known) != 2:
        _refuse("classes", classes, "two classes for a binary task", "task='multiclass'")
    return known


def _told(names: tuple[str, ...], positive: object) -> str | None:
    """The task, where the classes or the positive one tell it."""
    if len(names) > 2:
        return "multiclass"
    return "binary" if names or _name("positive", positive) not in _SIDES else None


def _sides(positive: object, names: tuple[str, ...], task: str | None) -> tuple[str, str]:
    """The names of the positive class and of the other one."""
    one = _name("positive", positive)
    given = task == "binary" or one != _SIDES[1]  # else it may be the default
    if task != "regression" and given and names and one not in names:
        hint = f"positive={names[-1]!r}" + (" or task='multiclass'" if len(names) == 2 and task == "binary" else "")
        _refuse("positive", positive, f"one of the classes, {', '.join(names)}", hint)
    if task == "binary" and not names and one not in _SIDES:
        _refuse("positive", positive, "True or False where classes is None", f"classes=['the other one', {one!r}]")
    return one, next((name for name in names if name != one), "1" if one == "0" else "0")


def _name(field: str, label: object) -> str:
    known = plain(label)
    if known is None or (type(known) is float and not math.isfinite(known)):
        _refuse(field, label, "a class: a text, a truth value or a number", f"{field}: True, 3 or 'bird'")
    return class_name(known)


def _worth(costs: Mapping[Any, float], allowed: tuple[str, ...]) -> dict[tuple[str, str], float]:
    hint = "costs={(True, False): -5.0}"
    if not isinstance(costs, Mapping):
        _refuse("costs", costs, "money by (predicted, actual)", hint)
    worth: dict[tuple[str, str], float] = {}
    for pair, money in costs.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            _refuse("costs", costs, f"money by (predicted, actual), not by {quoted(pair)}", hint)
        amount = _number(money)
        if amount is None or abs(amount) >= LARGEST:
            _refuse("costs", costs, f"a finite amount of money for {quoted(pair)}", hint)
        key = (_name("costs", pair[0]), _name("costs", pair[1]))
        strange = [name for name in key if allowed and name not in allowed]
        if strange:
            _refuse(
                "costs", costs, f"classes among {', '.join(allowed)}, not {strange[0]}", "classes=[…] with all of them"
            )
        if key in worth:
            _refuse("costs", costs, f"one amount for {quoted(pair)}, whose classes occur twice", hint)
        worth[key] = amount
    return worth


def _rates(calibration: tuple[Any, Any] | None, positive: str, allowed: tuple[str, ...]) -> NDArray[np.float64]:
    if calibration is None:
        return scores.MIDDLES
    hint = "calibration=(model.predict_proba(held_out)[:, 1], labels)"
    try:
        held, labels = calibration
        values = np.asarray(held, np.float64).ravel()
        told = [plain(label) for label in np.asarray(labels).ravel().tolist()]
    except (TypeError, ValueError) as error:
        _refuse("calibration", type(calibration), f"scores and their labels, two sequences of numbers ({error})", hint)
    if len(values) != len(told):
        _refuse("calibration", (len(values), len(told)), "scores and their labels, two sequences of one length", hint)
    if scores.count_scores(values)[1]:
        _refuse("calibration", type(calibration), "scores from 0 to 1, none of them missing", hint)
    if any(label is None or (type(label) is float and math.isnan(label)) for label in told):
        _refuse("calibration", type(calibration), "labels that are classes, none of them missing", hint)
    names = [class_name(label) for label in told]
    strange = {*names} - {*allowed} if allowed else set()
    if strange:
        said = f"labels among {', '.join(allowed)}, not {quoted(min(strange))}"
        _refuse("calibration", type(calibration), said, "classes=[…] with both of them")
    truth = np.array([name == positive for name in names], bool)
    if truth.all() or not truth.any():
        _refuse(
            "calibration", type(calibration), f"labels of both classes, {positive} being the positive one", "positive=…"
        )
    rates: NDArray[np.float64] = scores.calibration(values, truth)
    return rates


def _refuse(name: str, value: object, expected: str, hint: str) -> NoReturn:
    raise ConfigurationError(f"mlobs.objective({name}={quoted(value)}): expected {expected}. Try: {hint}.")
