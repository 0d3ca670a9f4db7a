"""The truth about one (model, version, variant): its tally, and what its newest outcomes say beside what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlobs.core import window
from mlobs.core.scores import measures, promised
from mlobs.core.window import Window
from mlobs.otel import names
from mlobs.release.tally import Tally
from mlobs.sketch import scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlobs.otel.points import Attributes, Points
    from mlobs.release.objective import Objective


class Truths:
    """A `Tally` with rotating windows over its scores, and over what the probabilities of many classes are worth.

    Not thread-safe.
    """

    def __init__(self, attributes: Attributes, spans: Sequence[float], now: float) -> None:
        self.tally = Tally(attributes)
        self._attributes = attributes
        self._windows = tuple((Window(span), Window(span)) for span in spans)
        self.roll(now)  # the windows begin before the first truth

    def follow(self, spans: Sequence[float], now: float) -> None:
        """The lengths of windows from now on; one that there was not begins now."""
        there = {pair[0].span: pair for pair in self._windows}
        self._windows = tuple(there.get(span) or (Window(span), Window(span)) for span in spans)
        self.roll(now)

    def roll(self, now: float) -> None:
        """Let the windows move on."""
        counts, trust = self._counts(), self.tally.trust
        for scored, trusted in self._windows:
            scored.roll(now, counts)
            trusted.roll(now, trust)

    def _counts(self) -> NDArray[np.int64]:
        negatives, positives = self.tally.score_counts
        return np.concatenate([negatives, positives])

    def collect(self, objective: Objective | None) -> Iterator[Points]:
        """Everything counted; of classifiers also the quality of each window, and how far it is from expected.

        Of more than two classes that is the accuracy of predictions that had a probability.
        """
        yield from self.tally.collect(objective)
        if objective is None or objective.task not in ("binary", "multiclass"):
            return
        counts, trust = self._counts(), self.tally.trust
        for scored, trusted in self._windows:
            if objective.task == "binary":
                negatives, positives = np.split(scored.counts(counts), 2)
                real = realized(negatives, positives, objective)
                hoped = promised(negatives + positives, objective)
            else:
                real, hoped = _confirmed(*trusted.counts(trust).tolist())
            attributes = self._attributes.extended((names.WINDOW, window.name(scored.span)))
            yield from measures(names.QUALITY_REALIZED, attributes, real)
            gaps = {name: real[name] - hoped[name] for name in real if name in hoped}
            yield from measures(names.QUALITY_GAP, attributes, gaps)


def _confirmed(confident: float, confidence: float, confirmed: float) -> tuple[dict[str, float], dict[str, float]]:
    """The accuracy of so many predictions that had a probability, realised and promised."""
    if confident <= 0:
        return {}, {}
    return {"accuracy": confirmed / confident}, {"accuracy": confidence / confident}


def realized(negatives: NDArray[np.int64], positives: NDArray[np.int64], objective: Objective) -> dict[str, float]:
    """Accuracy, F1 and AUC of predictions whose truth is known, by the bins of their scores."""
    found = scores.realized(negatives, positives, threshold=objective.threshold)
    if found is None:
        return {}
    measured = {"accuracy": found.accuracy, "f1": found.f1, "auc": found.auc}
    return {name: one.value for name, one in measured.items() if one is not None}
