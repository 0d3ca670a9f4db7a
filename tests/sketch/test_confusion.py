"""What is said of a confusion matrix is what scikit-learn says of the labels."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from mlobs.sketch.confusion import Confusion, confusion

PAIRS = st.lists(st.tuples(*[st.sampled_from("abcde")] * 2), min_size=1, max_size=80)


def near(mine: float, theirs: Any) -> bool:
    return math.isclose(mine, theirs, rel_tol=1e-12, abs_tol=1e-12)


def of(pairs: list[tuple[str, str]]) -> Confusion:
    found = confusion(Counter(pairs))
    assert found is not None
    return found


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_every_figure_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    """Accuracy, balanced accuracy, Matthews' correlation, each class and both averages, on labels of up to five classes."""
    predicted, actual = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = of(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that were predicted and never occurred
        assert near(found.balanced_accuracy, balanced_accuracy_score(actual, predicted))
        assert near(found.matthews, matthews_corrcoef(actual, predicted))
    assert found.accuracy == accuracy_score(actual, predicted)
    names = sorted({*predicted, *actual})
    assert list(found.classes) == names
    each = precision_recall_fscore_support(actual, predicted, labels=names, zero_division=0)
    for index, mine in enumerate(found.classes.values()):
        assert all(near(one, theirs[index]) for one, theirs in zip(mine, each, strict=True))
    for mine, average in ((found.macro, "macro"), (found.weighted, "weighted")):
        theirs = precision_recall_fscore_support(actual, predicted, average=average, zero_division=0)
        assert all(near(one, other) for one, other in zip(mine[:3], theirs[:3], strict=True))
        assert mine.support == len(pairs)


@settings(max_examples=50)
@given(PAIRS, PAIRS)
def test_counts_add(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    """The figures of two processes' counts together are those of all rows."""
    assert confusion(Counter(one) + Counter(other)) == of(one + other)


def test_large_counts_lose_nothing() -> None:
    """A rare class beside 10¹⁵ rows of another still shows: the correlation is computed in whole numbers."""
    found = confusion({("a", "a"): 10**15, ("b", "b"): 1})
    assert found is not None
    assert math.isclose(found.matthews, 1)
    assert found.classes["b"].recall == 1


@pytest.mark.parametrize("counts", [{}, {("a", "b"): 0}])
def test_nothing_counted_says_nothing(counts: dict[tuple[str, str], int]) -> None:
    """Without a row there is no figure."""
    assert confusion(counts) is None
