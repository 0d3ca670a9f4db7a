"""What a call predicted, row by row, as the tickets say it."""

from __future__ import annotations

import math
import os
import time
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from opentelemetry import trace

from mlobs import columns
from mlobs.columns import kind_of
from mlobs.core.answers import MARGINS, read, upright, vector
from mlobs.core.ended import Lot
from mlobs.release.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlobs.columns import Block
    from mlobs.core.ended import Handed
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
    """What each row of a call's answer predicts, none where it has none; of one that cannot be read, a row of which nothing is known."""
    if handed.monitor.operation in MARGINS:
        return [_NOTHING] * rows_of(handed)
    lot = handed.lot
    if lot is None:
        return _read(handed, objective)
    if not lot.read:
        lot.read[:] = [_read(handed, objective)]
    return lot.read[0][lot.first : lot.last]


def _read(handed: Handed, objective: Objective | None) -> list[Predicted]:
    answer: Any = handed.said
    if type(answer) is str or type(answer) is int or type(answer) is bool:
        return [(answer, None)]
    task = None if objective is None else objective.task
    if type(answer) is float and task != "multiclass":  # what most answers are, without a detour
        score = answer if 0.0 <= answer <= 1.0 and task != "regression" else None
        return [(None if task == "binary" else answer, score)]
    try:
        return [row for block in _blocks(handed) for row in _rows(block, objective)]
    except Exception:  # noqa: BLE001 - an answer of a kind nobody reads: it is counted where it is folded
        return [_NOTHING]


def rows_of(handed: Handed) -> int:
    """How many rows a call's answer has, without a look at what they say; 1 where it cannot be told."""
    if handed.lot is not None:
        return handed.lot.last - handed.lot.first
    try:
        return sum(block.rows for block in _blocks(handed))
    except Exception:  # noqa: BLE001 - likewise
        return 1


def lots(handed: Handed, sizes: Sequence[int]) -> list[Lot] | None:
    """The rows of an answer that are each of several callers', who gave so many; None where it has other rows than they have.

    A list of what nobody reads, of objects say, has a row an item, of which nothing is known.
    """
    whole, read, said = sum(sizes), list[list[Any]](), handed.said
    try:
        count = sum(block.rows for block in _blocks(handed))
    except Exception:  # noqa: BLE001 - likewise
        count = len(said) if type(said) is list else 1
        read = [[_NOTHING] * count]
    if count != whole:
        return None
    ends = list(accumulate(sizes))
    return [Lot(end - size, end, read) for end, size in zip(ends, sizes, strict=True)]


def _blocks(handed: Handed) -> Iterable[Block]:
    """The answer as blocks of rows. Raises for what cannot be read."""
    answer, model = handed.said, handed.monitor.model
    kept = kind_of(type(answer)).part(answer, 1)  # `keep` would make one array of a frame's columns
    length = vector(kept)
    for block in columns.blocks([kept], len(model.outputs.reference)):
        if length and block.rows == length and handed.single:
            yield from upright(block._replace(vector=length), model.objective)
        else:
            yield block


def _rows(block: Block, objective: Objective | None) -> list[Predicted]:
    said = read(block, objective)
    labels = said.labels.tolist() if isinstance(said.labels, np.ndarray) else said.labels
    if said.classes is not None:
        labels = [said.classes[index] for index in labels]
    known = [label if has else None for label, has in zip(labels or repeat(None), said.labelled.tolist(), strict=False)]
    scores = [None if math.isnan(score) else score for score in said.scores.tolist()]
    return list(zip(known, scores, strict=True))
