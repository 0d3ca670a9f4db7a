"""The model: will this flight land late?  Gradient-boosted trees, learnt in under a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.demo.flights import CATEGORIES, FEATURES, LATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

_ROUNDS: Final = 80
_LEAVES: Final = 15


@dataclass(frozen=True)
class DelayModel:
    """A trained classifier, and the code of each category: its rank by how often its flights were late.

    Ranked codes let trees split categories as numbers; the classifier's own treatment of categories costs three
    times as long for one row.
    """

    classifier: Any  # sklearn's HistGradientBoostingClassifier, which has no types
    codes: Mapping[str, Mapping[str, int]]

    @classmethod
    def fit(cls, flights: pd.DataFrame) -> DelayModel:
        """Learn from rows of `FEATURES` and `LATE`."""
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        codes = {}
        for name in CATEGORIES:
            late = flights.groupby(name)[LATE].mean().sort_values()
            codes[name] = {category: rank for rank, category in enumerate(late.index)}
        classifier = HistGradientBoostingClassifier(max_iter=_ROUNDS, max_leaf_nodes=_LEAVES, random_state=0)
        with threadpool_limits(
            1
        ):  # half a second's work; on a busy machine its threads would wait for each other longer
            return cls(classifier.fit(_matrix(flights, codes), flights[LATE].to_numpy()), codes)

    def probabilities(self, flights: pd.DataFrame) -> NDArray[np.float64]:
        """The probability of landing late, one a row."""
        scores: NDArray[np.float64] = self.classifier.predict_proba(_matrix(flights, self.codes))[:, 1]
        return scores

    def probability(self, flight: Mapping[str, Any]) -> float:
        """The probability of landing late of one flight; an absent value is None, an unknown airport counts as absent.

        A missing field is a KeyError, text in a number's place a ValueError, any other kind a TypeError.
        """
        row = [
            self.codes[name].get(flight[name], math.nan) if name in self.codes else _number(flight[name])
            for name in FEATURES
        ]
        return float(self.classifier.predict_proba(np.array([row]))[0, 1])

    def save(self, path: Path) -> None:
        """Write the model to a file that `load` reads."""
        import joblib

        joblib.dump(self, path)

    @classmethod
    def load(cls, path: Path) -> DelayModel:
        """Read a file that `save` wrote; only ever one's own, since a pickle can run code."""
        import joblib

        model: DelayModel = joblib.load(path)
        return model


def _number(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]  # its errors are the caller's answer


def _matrix(flights: pd.DataFrame, codes: Mapping[str, Mapping[str, int]]) -> NDArray[np.float64]:
    columns = [
        flights[name].map(codes[name]).to_numpy(np.float64) if name in codes else flights[name].to_numpy(np.float64)
        for name in FEATURES
    ]
    return np.column_stack(columns)
