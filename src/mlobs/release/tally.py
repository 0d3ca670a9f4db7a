"""What is known of the truth of one (model, version, variant)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.otel import names
from mlobs.otel.histogram import Histogram
from mlobs.otel.points import Attributes, Exemplar, Exponential, Numbers, Points
from mlobs.release.hour import Hour
from mlobs.release.label import class_name
from mlobs.release.objective import CLASSES
from mlobs.release.packing import plain
from mlobs.release.quality import Quality
from mlobs.sketch import Exponential as Sketch
from mlobs.sketch import scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlobs.release.objective import Objective
    from mlobs.release.packing import Label
    from mlobs.release.prediction import Prediction

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86400.0
# seconds; from a click to a loan
_DELAYS: Final = (
    1.0, 10.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 3 * _DAY,
    7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY,
)  # fmt: skip
_HOURS: Final = 200  # that are kept apart; older ones are one
_OLDER: Final = -1
_WAITING: Final = 500  # delays and errors that are added together
_KPIS: Final = 50
_CURRENCIES: Final = 20
_OTHER: Final = "_OTHER"
_SAMPLED: Final = 1
_FINEST: Final = 10
_LARGEST: Final = 1e150  # an error whose square is still a number

_SCORES: Final = tuple(
    Attributes((names.BIN, key), (names.ACTUAL, actual)) for actual in ("0", "1") for key in scores.KEYS
)


class Tally:
    """Counts of truths, by what was predicted. Not thread-safe: whoever adds or collects holds the lock.

    Memory is bounded: 20 classes, 200 hours, 50 kinds of events, 20 currencies.
    """

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._expected = 0
        self._total = Hour()
        self._hours: dict[int, Hour] = {}
        self._classes: set[str] = set()
        self._delays = Histogram(_DELAYS)
        self._waiting: list[float] = []
        self._errors: list[float] = []
        self._sketch = Sketch(finest=_FINEST)
        self._events: dict[str, int] = {}
        self._currencies: set[str] = set()
        self._pairs: dict[tuple[str, ...], Attributes] = {}

    def expected(self, count: int) -> None:
        """So many predictions were given a ticket or an id."""
        self._expected += count

    @property
    def score_counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Scores of joined negatives and positives by bin, shape (40,) each."""
        counts = np.array(self._total.scores, np.int64)
        return counts[: scores.SIZE], counts[scores.SIZE :]

    # ── truths ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, prediction: Prediction, actual: object, now: float, objective: Objective | None) -> str | None:
        """Count a truth that arrived ``now``; None, or the reason why not.

        ``invalid``: none (None, NaN, infinite, no text and no number), or of a kind that the task has not;
        ``unknown_class``: of no class that the objective names; ``early``: it came over a minute before the prediction.
        """
        truth = plain(actual)
        if truth is None or (type(truth) is float and not math.isfinite(truth)):
            return "invalid"
        delay = now - prediction.time
        if delay < -_MINUTE:
            return "early"
        hour = self._hour(prediction.time)
        task = (objective.task if objective is not None else None) or prediction.task or _told(prediction, truth)
        if task == "regression":
            reason = self._regression(prediction, truth, hour)
        elif task:
            reason = self._class(prediction, truth, hour, objective, binary=task == "binary")
        else:
            reason = None
        if reason is not None:
            return reason
        self._total.joined += 1
        hour.joined += 1
        self._waiting.append(delay if delay > 0 else 0.0)
        if len(self._waiting) >= _WAITING:
            self._settle()
        trace = prediction.trace
        if trace is not None and trace[2] & _SAMPLED:
            self._delays.exemplify(Exemplar(max(0.0, delay), int(now * 1e9), trace[0], trace[1]))
        return None

    def _class(
        self, prediction: Prediction, truth: Label, hour: Hour, objective: Objective | None, *, binary: bool
    ) -> str | None:
        actual = class_name(truth)
        if objective is not None and objective.names and actual not in objective.names:
            return "unknown_class"
        positive, negative = ("1", "0") if objective is None else (objective.positive, objective.negative)
        label, score = prediction.label, prediction.score
        found: str | None = None
        if label is not None and not (binary and type(label) is float):
            found = class_name(label)
        elif binary and score is not None:
            threshold = 0.5 if objective is None else objective.threshold
            found = positive if score >= threshold else negative
        at = scores.score_bin(score) if binary and score is not None else None
        if at is not None:
            at += scores.SIZE if actual == positive else 0
            self._total.scores[at] += 1
            hour.scores[at] += 1
        if found is None:
            return None
        pair = (self._known(found), self._known(actual))
        self._total.confusion[pair] = self._total.confusion.get(pair, 0) + 1
        hour.confusion[pair] = hour.confusion.get(pair, 0) + 1
        if objective is not None:
            money = objective.worth.get((found, actual))
            if money:
                self._total.earn("prediction", objective.currency, money)
                hour.earn("prediction", objective.currency, money)
        return None

    def _regression(self, prediction: Prediction, truth: Label, hour: Hour) -> str | None:
        label = prediction.label
        if type(truth) not in (int, float) or (label is not None and type(label) not in (int, float)):
            return "invalid"
        if label is None:
            return None
        try:
            error = float(label) - float(truth)  # type: ignore[arg-type]
        except OverflowError:
            return "invalid"
        if not abs(error) < _LARGEST:
            return "invalid"
        self._total.err(error)
        hour.err(error)
        self._errors.append(abs(error))
        if len(self._errors) >= _WAITING:
            self._settle()
        return None

    def _known(self, name: str) -> str:
        if name in self._classes:
            return name
        if len(self._classes) >= CLASSES:
            return _OTHER
        self._classes.add(name)
        return name

    def _hour(self, time: float) -> Hour:
        number = int(time // _HOUR)
        found = self._hours.get(number)
        if found is None:
            if len(self._hours) > _HOURS:
                oldest = min(key for key in self._hours if key != _OLDER)
                if number < oldest:
                    return self._hours.setdefault(_OLDER, Hour())
                self._hours.setdefault(_OLDER, Hour()).merge([self._hours.pop(oldest)])
            found = self._hours[number] = Hour()
        return found

    def _settle(self) -> None:
        self._delays.add(self._waiting)
        self._waiting.clear()
        if self._errors:
            self._sketch.add(np.array(self._errors))
            self._errors.clear()

    # ── business ────────────────────────────────────────────────────────────────────────────────────────────────────

    def business(self, kpi: object, value: object, currency: object) -> str | None:
        """Count an event, and its money; None, or what is wrong with it: ``kpi``, ``value``, ``currency``."""
        if type(kpi) is not str or not kpi or (kpi not in self._events and len(self._events) >= _KPIS):
            return "kpi"
        if value is not None:
            money = plain(value)
            try:
                amount = float(money) if type(money) in (int, float) else math.nan  # type: ignore[arg-type]
            except OverflowError:
                amount = math.inf
            if not math.isfinite(amount):
                return "value"
            if type(currency) is not str or not (len(currency) == 3 and currency.isascii() and currency.isupper()):
                return "currency"
            if currency not in self._currencies and len(self._currencies) >= _CURRENCIES:
                return "currency"
            self._currencies.add(currency)
            self._total.earn(kpi, currency, amount)
        self._events[kpi] = self._events.get(kpi, 0) + 1
        return None

    # ── what is known ───────────────────────────────────────────────────────────────────────────────────────────────

    def quality(self, since: float | None, until: float | None, objective: Objective | None) -> Quality:
        """Of predictions made between two times, in whole hours; what is older than 200 hours with truths is one."""
        found = self._total
        if since is not None or until is not None:
            first = -math.inf if since is None else since // _HOUR
            last = math.inf if until is None else until // _HOUR
            found = Hour().merge(
                hour
                for number, hour in self._hours.items()
                if (since is None if number == _OLDER else first <= number <= last)
            )
        value: dict[str, float] = {}
        for (_, currency, direction), money in found.money.items():
            value[currency] = value.get(currency, 0.0) + (money if direction == "gain" else -money)
        quality = Quality(
            self._expected,
            found.joined,
            self._total.joined / self._expected if self._expected else None,
            dict(found.confusion),
            value=value,
        )
        quality = _classes(quality, "1" if objective is None else objective.positive)
        quality = _scored(quality, found, objective)
        if found.errors:
            quality = quality._replace(
                mae=(found.over + found.under) / found.errors,
                rmse=math.sqrt(found.squared / found.errors),
                bias=(found.over - found.under) / found.errors,
            )
        return quality

    def collect(self) -> Iterator[Points]:
        """Everything counted."""
        self._settle()
        total = self._total
        yield Numbers(names.OUTCOME_EXPECTED, self._attributes, (self._expected,))
        yield Numbers(names.OUTCOME_JOINED, self._attributes, (total.joined,))
        if total.joined:
            yield self._delays.collect(names.OUTCOME_DELAY, self._attributes)
        if total.confusion:
            each = [self._pair((names.PREDICTED, one), (names.ACTUAL, other)) for one, other in total.confusion]
            yield Numbers(names.OUTCOME_CONFUSION, self._attributes, list(total.confusion.values()), each)
        if any(total.scores):
            yield Numbers(names.OUTCOME_SCORE, self._attributes, list(total.scores), _SCORES)
        if total.errors:
            sides = [self._pair((names.DIRECTION, side)) for side in ("over", "under")]
            yield Numbers(names.OUTCOME_ERROR_ABSOLUTE, self._attributes, (total.over, total.under), sides)
            yield Numbers(names.OUTCOME_ERROR_SQUARED, self._attributes, (total.squared,))
            offset, counts = self._sketch.positive
            whole = [int(count) for count in counts]
            sketch = self._sketch
            yield Exponential(
                names.OUTCOME_ERROR, self._attributes, sketch.scale, sketch.zero_count, offset, whole, 0, []
            )
        if self._events:
            kpis = [self._pair((names.KPI, kpi)) for kpi in self._events]
            yield Numbers(names.BUSINESS_EVENTS, self._attributes, list(self._events.values()), kpis)
        if total.money:
            each = [
                self._pair((names.KPI, kpi), (names.CURRENCY, currency), (names.DIRECTION, direction))
                for kpi, currency, direction in total.money
            ]
            yield Numbers(names.BUSINESS_VALUE, self._attributes, list(total.money.values()), each)

    def _pair(self, *pairs: tuple[str, str]) -> Attributes:
        key = tuple(part for pair in pairs for part in pair)
        found = self._pairs.get(key)
        if found is None:
            found = self._pairs[key] = Attributes(*pairs)
        return found


def _told(prediction: Prediction, truth: Label) -> str:
    """The task that a prediction and its truth are of; empty where nothing was predicted."""
    label, score = prediction.label, prediction.score
    kind = type(truth)
    if score is not None and type(label) is not str and (kind is bool or (kind is int and truth in (0, 1))):
        return "binary"
    if type(label) is float and kind in (int, float):
        return "regression"
    return "multiclass" if label is not None else ""


def _classes(quality: Quality, positive: str) -> Quality:
    """The figures of the confusion matrix."""
    confusion = quality.confusion
    total = sum(confusion.values())
    if not total:
        return quality
    right = sum(count for (predicted, actual), count in confusion.items() if predicted == actual != _OTHER)
    hit = confusion.get((positive, positive), 0)
    predicted = sum(count for (one, _), count in confusion.items() if one == positive)
    actual = sum(count for (_, one), count in confusion.items() if one == positive)
    return quality._replace(
        accuracy=right / total,
        precision=hit / predicted if predicted else None,
        recall=hit / actual if actual else None,
        f1=2 * hit / (predicted + actual) if predicted + actual else None,
    )


def _scored(quality: Quality, found: Hour, objective: Objective | None) -> Quality:
    """The figures of the score bins."""
    counts: NDArray[Any] = np.array(found.scores, np.int64)
    negatives, positives = counts[: scores.SIZE], counts[scores.SIZE :]
    threshold = 0.5 if objective is None else objective.threshold
    real = scores.realized(negatives, positives, threshold=threshold)
    rates = None if objective is None else objective.rates
    hoped = scores.expected(negatives + positives, threshold=threshold, rates=rates)
    if real is None or hoped is None:
        return quality
    return quality._replace(
        auc=real.auc,
        log_loss=real.log_loss,
        brier=real.brier,
        calibration_error=real.calibration_error,
        expected_accuracy=hoped.accuracy.value,
        expected_f1=None if hoped.f1 is None else hoped.f1.value,
        expected_auc=None if hoped.auc is None else hoped.auc.value,
    )
