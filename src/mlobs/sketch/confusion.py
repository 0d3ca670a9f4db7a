"""What a confusion matrix says of a classifier.

All figures are those of scikit-learn on the same labels, with 0 where nothing can be divided (``zero_division=0``). The
correlation is the one of Matthews (1975) for several classes (Gorodkin 2004).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class OfClass(NamedTuple):
    """Figures of one class, or averages over classes; ``support`` is how many rows really were of it, of averages all."""

    precision: float
    recall: float
    f1: float
    support: int


class Confusion(NamedTuple):
    """Figures of a classifier with any number of classes.

    ``classes`` has every class that was predicted or occurred, sorted by name; ``macro`` is their plain mean, ``weighted``
    the mean by support. ``balanced_accuracy`` is the mean recall of the classes that occurred.
    """

    accuracy: float
    balanced_accuracy: float
    matthews: float
    classes: Mapping[str, OfClass]
    macro: OfClass
    weighted: OfClass


def confusion(counts: Mapping[tuple[str, str], int]) -> Confusion | None:
    """Figures of counts by (predicted, actual) class; None where nothing is counted."""
    predicted, actual, right = Counter[str](), Counter[str](), Counter[str]()
    for (one, other), count in counts.items():
        predicted[one] += count
        actual[other] += count
        if one == other:
            right[one] += count
    total = actual.total()
    if not total:
        return None
    names = sorted(name for name in predicted.keys() | actual.keys() if predicted[name] or actual[name])
    classes = {name: _class(right[name], predicted[name], actual[name]) for name in names}
    return Confusion(
        right.total() / total,
        math.fsum(classes[name].recall for name in names if actual[name]) / sum(1 for name in names if actual[name]),
        _matthews(right.total(), predicted, actual),
        classes,
        _mean(classes, dict.fromkeys(names, 1), total),
        _mean(classes, actual, total),
    )


def _class(right: int, predicted: int, actual: int) -> OfClass:
    return OfClass(
        right / predicted if predicted else 0.0,
        right / actual if actual else 0.0,
        2 * right / (predicted + actual) if predicted + actual else 0.0,
        actual,
    )


def _mean(classes: Mapping[str, OfClass], weights: Mapping[str, int], support: int) -> OfClass:
    total = sum(weights[name] for name in classes)

    def mean(index: int) -> float:
        return math.fsum(one[index] * weights[name] for name, one in classes.items()) / total

    return OfClass(mean(0), mean(1), mean(2), support)


def _matthews(right: int, predicted: Counter[str], actual: Counter[str]) -> float:
    """In whole numbers up to the last division: no cancellation."""
    total = actual.total()
    spread = [total * total - sum(count * count for count in side.values()) for side in (predicted, actual)]
    if not spread[0] or not spread[1]:
        return 0.0
    shared = right * total - sum(predicted[name] * actual[name] for name in actual)
    return shared / math.sqrt(spread[0]) / math.sqrt(spread[1])
