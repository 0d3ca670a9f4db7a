"""The scores of one classifier, and what they promise before any truth has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.core import window
from mlobs.core.window import Window
from mlobs.otel import names
from mlobs.otel.points import Attributes, Numbers, Points
from mlobs.sketch import scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlobs.columns import Block
    from mlobs.otel.instrument import Instrument
    from mlobs.release.objective import Objective

_BINS: Final = tuple(Attributes((names.BIN, key)) for key in scores.KEYS)


class Scores:
    """Counts of scores in the fixed bins, over everything and over rotating windows.

    Not thread-safe: whoever folds or collects holds the counting lock.
    """

    def __init__(self, attributes: Attributes, objective: Objective, spans: Sequence[float]) -> None:
        self.objective = objective
        self.counts: NDArray[np.int64] = np.zeros(len(scores.KEYS), np.int64)
        self.windows = tuple(Window(span) for span in spans)
        self._attributes = attributes

    def add(self, block: Block) -> None:
        """Count a block of answers: of one column of floats the values, of several that sum to one the deciding one.

        Other answers are no scores: labels, mostly.
        """
        values = _scores(block)
        if values is not None:
            counts, _ = scores.count_scores(values)
            self.counts += counts

    def roll(self, now: float) -> None:
        """Let the windows move on."""
        for rotating in self.windows:
            rotating.roll(now, self.counts)

    def collect(self) -> Iterator[Points]:
        """The counts, what a bin stands for, and what the windows' scores promise."""
        objective = self.objective
        yield Numbers(names.PREDICTION_SCORE, self._attributes, self.counts.tolist(), _BINS)
        if objective.task == "binary":
            yield Numbers(names.QUALITY_CALIBRATION, self._attributes, [float(rate) for rate in objective.rates], _BINS)
            yield Numbers(names.QUALITY_THRESHOLD, self._attributes, (objective.threshold,))
        for rotating in self.windows:
            counts = rotating.counts(self.counts)
            attributes = self._attributes.extended((names.WINDOW, window.name(rotating.span)))
            yield from measures(names.QUALITY_EXPECTED, attributes, promised(counts, objective))


def promised(counts: NDArray[np.int64], objective: Objective) -> dict[str, float]:
    """Expected accuracy, F1 and AUC of predictions with these scores; of more than two classes the accuracy alone."""
    if objective.task == "multiclass":
        confidence = scores.expected_confidence(counts)
        return {} if confidence is None else {"accuracy": confidence.value}
    expected = scores.expected(counts, threshold=objective.threshold, rates=objective.rates)
    if expected is None:
        return {}
    found = {"accuracy": expected.accuracy, "f1": expected.f1, "auc": expected.auc}
    return {name: one.value for name, one in found.items() if one is not None}


def measures(instrument: Instrument, attributes: Attributes, values: dict[str, float]) -> Iterator[Points]:
    """One point a measure."""
    if values:
        each = [Attributes((names.MEASURE, name)) for name in values]
        yield Numbers(instrument, attributes, [float(value) for value in values.values()], each)


def _scores(block: Block) -> NDArray[Any] | None:
    matrix = block.matrix
    if matrix is None or not block.rows:
        if matrix is None and block.width == 2:  # a label and a score
            return _floats([block.column(index) for index in range(2)])
        return None
    if matrix.dtype.kind != "f":
        return None
    if matrix.shape[1] == 1:
        values = matrix[:, 0]
        return None if np.isin(values, (0.0, 1.0)).all() else values
    if not np.allclose(matrix.sum(axis=1), 1, atol=1e-3):
        return None
    return matrix[:, 1] if matrix.shape[1] == 2 else matrix.max(axis=1)


def _floats(columns: Sequence[object]) -> NDArray[Any] | None:
    arrays = [np.asarray(column) for column in columns]
    found = [array for array in arrays if array.dtype.kind == "f"]
    return found[0] if len(found) == 1 else None
