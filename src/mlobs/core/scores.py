"""The scores of one classifier, and what they promise before any truth has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mlobs.core import window
from mlobs.core.answers import read, upright
from mlobs.core.window import Window
from mlobs.otel import names
from mlobs.otel.points import Attributes, Numbers, Points
from mlobs.sketch import scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlobs.columns import Block
    from mlobs.core.guard import Guard
    from mlobs.otel.instrument import Instrument
    from mlobs.release.objective import Objective

_BINS: Final = tuple(Attributes((names.BIN, key)) for key in scores.KEYS)


class Scores:
    """Counts of scores in the fixed bins, over everything and over rotating windows.

    Not thread-safe: whoever folds or collects holds the counting lock.
    """

    def __init__(self, attributes: Attributes, objective: Objective, spans: Sequence[float], guard: Guard) -> None:
        self.objective = objective
        self._guard = guard
        self.counts: NDArray[np.int64] = np.zeros(len(scores.KEYS), np.int64)
        self.windows = tuple(Window(span) for span in spans)
        self._attributes = attributes

    def add(self, block: Block) -> None:
        """Count the scores of a block of answers, as `mlobs.core.answers.read` finds them.

        Labels are none, and neither are values of 0 and 1 only. Rows that say neither are dropped under their reason.
        """
        for each in upright(block, self.objective):
            self._add(each)

    def _add(self, block: Block) -> None:
        said = read(block, self.objective)
        if said.unread:
            self._guard.drop(said.reason, said.unread)
        found = said.scores[~np.isnan(said.scores)]
        if block.width == 1 and np.isin(found, (0.0, 1.0)).all():
            return
        counts, _ = scores.count_scores(found)
        self.counts += counts

    def follow(self, spans: Sequence[float]) -> None:
        """The lengths of windows from now on."""
        self.windows = window.kept(self.windows, spans)

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
