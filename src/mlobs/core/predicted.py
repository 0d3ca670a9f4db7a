"""What a call predicted, row by row, as the tickets say it."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from opentelemetry import trace

from mlobs import columns
from mlobs.columns import LARGE, kind_of
from mlobs.release.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlobs.columns import Block
    from mlobs.core.inside import Handed
    from mlobs.core.monitor import Monitor
    from mlobs.release.objective import Objective

Label = str | int | float | bool | None
Predicted = tuple[Label, "float | None"]  # the label, and the score

_ID: Final = 12
_NOTHING: Final[Predicted] = (None, None)


def prediction(monitor: Monitor, predicted: Predicted, at: float, task: str = "") -> Prediction:
    """One prediction of the monitor's model, made at ``at`` seconds since the epoch, in the trace of the current span."""
    identity = monitor.model.identity
    context = trace.get_current_span().get_span_context()
    traced = (context.trace_id, context.span_id, int(context.trace_flags)) if context.is_valid else None
    return Prediction(
        os.urandom(_ID), identity.name, identity.version, identity.variant, at, traced, task, predicted[0], predicted[1]
    )


def ended(handed: Handed) -> float:
    """When a call ended, seconds since the epoch."""
    return (time.time_ns() - time.perf_counter_ns() + handed.ended) * 1e-9


def predicted(handed: Handed, objective: Objective | None) -> list[Predicted]:
    """What each row of a call's answer predicts, none where it has none; of one that cannot be read, a row of which nothing is known.

    A float is the score of a classifier's positive class, the value of a regression, or, where no objective says which,
    both. Several floats that sum to one are the probabilities of the classes. A tuple or row with a label and a score, or
    a label and probabilities, has both. Anything else single is a label.
    """
    answer = handed.answer
    if type(answer) is float or _is_label(answer):
        return [_one((answer,), objective)]
    try:
        return [row for block in _blocks(handed) for row in _rows(block, objective)]
    except Exception:  # noqa: BLE001 - an answer of a kind nobody reads: it is counted where it is folded
        return [_NOTHING]


def rows_of(handed: Handed) -> int:
    """How many rows a call's answer has, without a look at what they say; 1 where it cannot be told."""
    try:
        return sum(block.rows for block in _blocks(handed))
    except Exception:  # noqa: BLE001 - likewise
        return 1


def _blocks(handed: Handed) -> Iterable[Block]:
    """The answer as blocks of rows. Raises for what cannot be read."""
    answer = handed.answer
    kind = kind_of(type(answer))
    kept = kind.keep(answer)
    return columns.blocks(
        [kind.part(answer, 1) if kept is LARGE else kept], len(handed.monitor.model.outputs.reference)
    )


def _rows(block: Block, objective: Objective | None) -> list[Predicted]:
    width = block.width
    if not block.rows:
        return []
    if block.matrix is not None and width > 1 and block.matrix.dtype.kind == "f":
        return _probabilities(block.matrix, objective)
    parts = [_plain(block.column(index)) for index in range(width)]
    return [_one(row, objective) for row in zip(*parts, strict=True)]


def _plain(column: Sequence[Any] | np.ndarray[Any, Any]) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else [_python(value) for value in column]


def _python(value: Any) -> Any:  # noqa: ANN401 - a cell of any column
    return value.item() if isinstance(value, np.generic) else value


def _one(row: Sequence[Any], objective: Objective | None) -> Predicted:
    """A row of one answer: a single value, or a label beside a score or probabilities."""
    if len(row) == 1:
        value = row[0]
        if type(value) is float:
            return _number(value, objective)
        return (value, None) if _is_label(value) else _NOTHING
    floats = [value for value in row if type(value) is float]
    labels = [value for value in row if _is_label(value)]
    if len(labels) == 1 and len(floats) == len(row) - 1:
        if len(floats) == 1:
            return labels[0], _score(floats[0])
        if _sums_to_one(floats):
            return labels[0], (floats[1] if len(floats) == 2 else max(floats))
    elif not labels and len(floats) == len(row):
        return _probabilities(np.array([floats]), objective)[0]
    return _NOTHING


def _is_label(value: object) -> bool:
    """By identity: a class of somebody's metaclass may raise when it is compared."""
    cls = type(value)
    return cls is str or cls is int or cls is bool


def _number(value: float, objective: Objective | None) -> Predicted:
    task = objective.task if objective is not None else None
    if task == "regression":
        return value, None
    if task is not None:
        return None, _score(value)
    return value, _score(value)


def _score(value: float) -> float | None:
    return value if 0.0 <= value <= 1.0 else None


def _sums_to_one(values: Sequence[float]) -> bool:
    return min(values) >= 0 and math.isclose(sum(values), 1, abs_tol=1e-3)


def _probabilities(matrix: np.ndarray[Any, Any], objective: Objective | None) -> list[Predicted]:
    """Rows of class probabilities; without the objective's classes a class goes by its position."""
    if not (np.nanmin(matrix) >= 0 and np.allclose(matrix.sum(axis=1), 1, atol=1e-3)):
        return [_NOTHING] * len(matrix)
    width = matrix.shape[1]
    if width == 2:
        return [(None, min(1.0, score)) for score in matrix[:, 1].tolist()]
    classes = objective.classes if objective is not None and objective.classes else None
    labels = classes if classes is not None and len(classes) == width else tuple(range(width))
    best = matrix.argmax(axis=1)
    scores = matrix[np.arange(len(matrix)), best].tolist()
    return [(labels[index], min(1.0, score)) for index, score in zip(best.tolist(), scores, strict=True)]
