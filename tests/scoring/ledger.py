"""What arrived at a sink, as tests of batch engines ask for it, and the model that they score with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from tests.sink import Sink

ROWS: Final = 5000


def table() -> Any:
    """The rows of column a and b that are scored."""
    ordinal = np.arange(float(ROWS))
    return np.column_stack([ordinal, ordinal % 7])


def trained() -> Any:
    """A small model of columns a and b."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0], [3.0, 2.0]], [0, 1, 0, 1])


def rows(sink: Sink) -> Counter[str]:
    """Rows predicted, by model, over all processes."""
    return _sums(sink, "mlobs.prediction.rows", "model.name")


def dropped(sink: Sink) -> Counter[str]:
    """What was left out, by reason, over all processes."""
    return _sums(sink, "mlobs.sdk.dropped", "reason")


def errors(sink: Sink) -> Counter[str]:
    """Errors of mlobs itself, by place, over all processes."""
    return _sums(sink, "mlobs.sdk.errors", "reason")


def bins(sink: Sink, model: str) -> Counter[str]:
    """Values counted in the bins of a model's reference, by feature."""
    found: Counter[str] = Counter()
    for point, of in _points(sink, "mlobs.feature.observations"):
        if of["model.name"] == model:
            found[of["feature"]] += _number(point)
    return found


def _sums(sink: Sink, metric: str, key: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for point, of in _points(sink, metric):
        found[of[key]] += _number(point)
    return +found


def _points(sink: Sink, metric: str) -> list[tuple[Any, dict[str, str]]]:
    return [
        (point, {pair.key: pair.value.string_value for pair in point.attributes})
        for metrics in sink.latest().values()
        if metric in metrics
        for point in metrics[metric].sum.data_points
    ]


def _number(point: Any) -> int:
    return int(point.as_int or point.as_double)
