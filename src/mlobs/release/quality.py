"""How good predictions were: the record that `mlobs.quality` gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlobs.sketch.scores import Measured


class Quality(NamedTuple):
    """Of the predictions whose truth has come; what does not apply, or cannot be told from none, is None.

    expected, joined, coverage
        predictions that had a ticket or an id, those of them whose truth came, and their share. Of all that this process
        gave and took, whatever times were asked for.
    confusion
        counts by the names of (predicted, actual) class; accuracy is exact, precision, recall and f1 are those of the
        positive class.
    auc, log_loss, brier, calibration_error
        from the score bins: the value, and how far that of the raw scores can be from it.
    expected_accuracy, expected_f1, expected_auc
        what the same scores promised before their truth came.
    mae, rmse, bias
        of regressions; bias is the mean of predicted less actual.
    value
        gains less losses by currency: of the cost matrix and of business events.
    """

    expected: int
    joined: int
    coverage: float | None
    confusion: Mapping[tuple[str, str], int]
    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    auc: Measured | None = None
    log_loss: Measured | None = None
    brier: Measured | None = None
    calibration_error: Measured | None = None
    expected_accuracy: float | None = None
    expected_f1: float | None = None
    expected_auc: float | None = None
    mae: float | None = None
    rmse: float | None = None
    bias: float | None = None
    value: Mapping[str, float] = {}
