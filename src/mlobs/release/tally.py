"""What is known of the truth of one (model, version, variant)."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from mlobs.otel import names
from mlobs.otel.histogram import Histogram
from mlobs.otel.points import Attributes, Exemplar, Exponential, Numbers, Points, sendable
from mlobs.release.hour import Hour
from mlobs.release.hours import Hours
from mlobs.release.label import class_name
from mlobs.release.objective import CLASSES, LARGEST, is_currency
from mlobs.release.packing import plain
from mlobs.release.quality import ANOTHER, OTHER, SHARES, Whole, judged, magnitudes
from mlobs.sketch import Exponential as Sketch
from mlobs.sketch import scores
from mlobs.sketch.categories import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from mlobs.release.objective import Objective
    from mlobs.release.packing import Label
    from mlobs.release.prediction import Prediction
    from mlobs.release.quality import Quality

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86400.0
# seconds; from a click to a loan
_DELAYS: Final = (
    1.0, 10.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 3 * _DAY,
    7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY,
)  # fmt: skip
_OWN_KPI: Final = "prediction"  # of the money of the cost matrix
_WAITING: Final = 500  # delays and errors that are added together
_KPIS: Final = 50
_CURRENCIES: Final = 20
_SAMPLED: Final = 1
_SIDES: Final = ("0", "1")
_THRESHOLD: Final = 0.5
_DIGITS: Final = 3  # of a number that may be somebody's; a class has fewer
_FINEST: Final = 10

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
        self.unjudged = 0  # truths that were joined and are in no figure: nothing was predicted that they could judge
        self._total = Hour()
        self._hours = Hours()
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

    @property
    def trust(self) -> NDArray[np.float64]:
        """Of more than two classes: predictions with a probability, the sum of these, and how many were right."""
        total = self._total
        return np.array((total.confident, total.confidence, total.confirmed), np.float64)

    # ── truths ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, prediction: Prediction, actual: object, now: float, objective: Objective | None) -> str | None:
        """Count a truth that arrived ``now``; None, or the reason why not.

        ``invalid``: none (None, NaN, infinite, no text and no number), or of a kind that the task has not;
        ``unknown_class``: of no class that the objective names, or of neither of two; ``early``: it came over a minute
        before the prediction. What is refused is counted nowhere. Never raises, whatever ``actual`` is.
        """
        truth = plain(actual)
        if truth is None or (type(truth) is float and not math.isfinite(truth)):
            return "invalid"
        delay = now - prediction.time
        if not -_MINUTE <= delay < math.inf:
            return "early"
        task = (objective.task if objective is not None else None) or prediction.task or _task(prediction, truth)
        if task == "regression":
            reason = self._regression(prediction, truth)
        elif task:
            reason = self._class(prediction, truth, objective, binary=task == "binary")
        else:
            reason = None
            self.unjudged += 1
        if reason is not None:
            return reason
        self._total.joined += 1
        self._hours.at(prediction.time).joined += 1
        self._waiting.append(delay if delay > 0 else 0.0)
        if len(self._waiting) >= _WAITING:
            self._settle()
        trace = prediction.trace
        if trace is not None and trace[2] & _SAMPLED:
            self._delays.exemplify(Exemplar(max(0.0, delay), int(now * 1e9), trace[0], trace[1]))
        return None

    def _class(self, prediction: Prediction, truth: Label, objective: Objective | None, *, binary: bool) -> str | None:
        actual, label = class_name(truth), plain(prediction.label)
        label = None if binary and type(label) is float else label  # the score once more
        two = binary and actual in (_SIDES if objective is None else (objective.positive, objective.negative))
        if _strange(actual, label, objective, neither=binary and not two):
            return "unknown_class"
        at = None if prediction.score is None else scores.score_bin(prediction.score)
        found = class_name(label) if label is not None else _decided(prediction, at, objective) if two else None
        self.unjudged += found is None
        pair = None if found is None else (self._known(found), self._known(actual))
        money = 0.0 if objective is None or found is None else objective.worth.get((found, actual), 0.0)
        both = self._total, self._hours.at(prediction.time)
        for counts in both:
            if pair is not None:
                counts.count(pair, right=found == actual)
            if money and objective is not None:
                counts.earn(_OWN_KPI, objective.currency, money)
        if at is not None and two:
            if actual == ("1" if objective is None else objective.positive):
                at += scores.SIZE
            for counts in both:
                counts.scores[at] += 1
        elif at is not None and found is not None and prediction.score is not None:
            for counts in both:
                counts.trust(prediction.score, right=found == actual)
        return None

    def _regression(self, prediction: Prediction, truth: Label) -> str | None:
        label = plain(prediction.label)
        if type(truth) not in (int, float) or (label is not None and type(label) not in (int, float)):
            return "invalid"
        if label is None:
            self.unjudged += 1
            return None
        try:
            error = float(label) - float(truth)  # type: ignore[arg-type]
        except OverflowError:
            return "invalid"
        if not abs(error) < LARGEST:
            return "invalid"
        self._total.err(error)
        self._hours.at(prediction.time).err(error)
        self._errors.append(abs(error))
        if len(self._errors) >= _WAITING:
            self._settle()
        return None

    def _known(self, name: str) -> str:
        if name in self._classes:
            return name
        if len(self._classes) >= CLASSES:
            return OTHER
        self._classes.add(name)
        return name

    def _settle(self) -> None:
        self._delays.add(self._waiting)
        self._waiting.clear()
        if self._errors:
            self._sketch.add(np.array(self._errors))
            self._errors.clear()

    # ── business ────────────────────────────────────────────────────────────────────────────────────────────────────

    def business(self, kpi: object, value: object, currency: object) -> str | None:
        """Count an event, and its money; None, or what is wrong with it: ``kpi``, ``value``, ``currency``.

        A kpi is a text, one of 50, and not `prediction`, which is the cost matrix'; a value a finite number, with a
        currency of three capital letters, one of 20. What is refused is counted nowhere. Never raises.
        """
        name = plain(kpi)
        if type(name) is not str or not name or name == _OWN_KPI:
            return "kpi"
        name = sendable(name)
        if name not in self._events and len(self._events) >= _KPIS:
            return "kpi"
        if value is not None:
            amount = _amount(value)
            if amount is None:
                return "value"
            unit = plain(currency)
            if not is_currency(unit) or (unit not in self._currencies and len(self._currencies) >= _CURRENCIES):
                return "currency"
            self._currencies.add(unit)
            self._total.earn(name, unit, amount)
        self._events[name] = self._events.get(name, 0) + 1
        return None

    # ── what is known ───────────────────────────────────────────────────────────────────────────────────────────────

    def quality(
        self, since: float | None, until: float | None, objective: Objective | None, *, settled: bool = False
    ) -> Quality:
        """Of predictions made between two times: of all hours that overlap, what is older than 200 of them being one.

        ``settled``: as far as delays and errors have been counted; for who asks while they are.
        """
        if not settled:
            self._settle()
        total = found = self._total
        if since is not None or until is not None:
            found = self._hours.between(since, until)
        delays = (
            {share: min(self._delays.quantile(share), self._delays.high) for share in SHARES} if total.joined else {}
        )
        errors = magnitudes(self._sketch) if total.errors else {}
        return judged(found, Whole(self._expected, total.joined, delays, errors), objective)

    def collect(self, objective: Objective | None = None) -> Iterator[Points]:
        """Everything counted; what the objective says will be counted is told from 0 on.

        Prometheus takes the first value of a series for its beginning: what came before it would be in no increase.
        """
        self._settle()
        total = self._total
        task = None if objective is None else objective.task
        confusion, money = (total.confusion, total.money) if objective is None else _begun(total, objective)
        confusion = _told(_apart(confusion, total.right), objective.names if objective is not None else ())
        yield Numbers(names.OUTCOME_EXPECTED, self._attributes, (self._expected,))
        yield Numbers(names.OUTCOME_JOINED, self._attributes, (total.joined,))
        if total.joined:
            yield self._delays.collect(names.OUTCOME_DELAY, self._attributes)
        if confusion:
            each = [self._pair((names.PREDICTED, one), (names.ACTUAL, other)) for one, other in confusion]
            yield Numbers(names.OUTCOME_CONFUSION, self._attributes, list(confusion.values()), each)
        if task == "binary" or any(total.scores):
            yield Numbers(names.OUTCOME_SCORE, self._attributes, list(total.scores), _SCORES)
        if task == "regression" or total.errors:
            sides = [self._pair((names.DIRECTION, side)) for side in ("over", "under")]
            yield Numbers(names.OUTCOME_ERROR_ABSOLUTE, self._attributes, (total.over, total.under), sides)
            yield Numbers(names.OUTCOME_ERROR_SQUARED, self._attributes, (total.squared,))
        if total.errors:
            offset, counts = self._sketch.positive
            whole = [int(count) for count in counts]
            sketch = self._sketch
            yield Exponential(
                names.OUTCOME_ERROR, self._attributes, sketch.scale, sketch.zero_count, offset, whole, 0, []
            )
        if self._events:
            kpis = [self._pair((names.KPI, kpi)) for kpi in self._events]
            yield Numbers(names.BUSINESS_EVENTS, self._attributes, list(self._events.values()), kpis)
        if money:
            each = [
                self._pair((names.KPI, kpi), (names.CURRENCY, currency), (names.DIRECTION, direction))
                for kpi, currency, direction in money
            ]
            yield Numbers(names.BUSINESS_VALUE, self._attributes, list(money.values()), each)

    def _pair(self, *pairs: tuple[str, str]) -> Attributes:
        key = tuple(part for pair in pairs for part in pair)
        found = self._pairs.get(key)
        if found is None:
            found = self._pairs[key] = Attributes(*pairs)
        return found


def _begun(total: Hour, objective: Objective) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str, str], float]]:
    """Confusion and money, with zeros where an objective says what will be counted."""
    sides = (objective.negative, objective.positive) if objective.task == "binary" else ()
    confusion = dict.fromkeys(((one, other) for one in sides for other in sides), 0)
    directions = {"gain" if money > 0 else "loss" for money in objective.worth.values() if money}
    money = dict.fromkeys(((_OWN_KPI, objective.currency, direction) for direction in sorted(directions)), 0.0)
    return {**confusion, **total.confusion}, {**money, **total.money}


def _apart(confusion: dict[tuple[str, str], int], right: int) -> dict[tuple[str, str], int]:
    """The same, with what is wrong among classes without a name apart: on the diagonal stands what is right, and no more."""
    if (OTHER, OTHER) not in confusion:
        return confusion
    nameless = right - sum(count for (one, other), count in confusion.items() if one == other != OTHER)
    return {**confusion, (OTHER, OTHER): nameless, (OTHER, ANOTHER): confusion[OTHER, OTHER] - nameless}


def _told(confusion: dict[tuple[str, str], int], named: Iterable[str]) -> dict[tuple[str, str], int]:
    """The pairs whose names may leave: those that the objective names, small numbers, and what is no rarity.

    A text that a model answers once may be somebody's words. A pair is told whole once both its names may be.
    """
    met: Counter[str] = Counter()
    for pair, count in confusion.items():
        met.update(dict.fromkeys(pair, count))
    public = {
        OTHER,
        ANOTHER,
        *named,
        *(name for name, count in met.items() if count >= PRIVATE or (len(name) < _DIGITS and name.isdigit())),
    }
    return {pair: count for pair, count in confusion.items() if public.issuperset(pair)}


def _strange(actual: str, label: Label, objective: Objective | None, *, neither: bool) -> bool:
    """Whether a class is unknown: of none that the objective names, or ``neither`` of the two of a binary task.

    Where there is no objective, nobody said here what the two are called, and a predicted label can be compared all the same.
    """
    if objective is None:
        return neither and label is None
    return neither or (bool(objective.names) and actual not in objective.names)


def _decided(prediction: Prediction, at: int | None, objective: Objective | None) -> str | None:
    """The name of the one of two classes that a score predicts; None for what is no score."""
    if at is None or prediction.score is None:
        return None
    if objective is None:
        return _SIDES[prediction.score >= _THRESHOLD]
    return objective.positive if prediction.score >= objective.threshold else objective.negative


def _amount(value: object) -> float | None:
    """Money as a float; None for truth values, texts, NaN and what is too large to be added up."""
    known = value if type(value) is Decimal else plain(value)
    if type(known) is not float and type(known) is not int and type(known) is not Decimal:
        return None
    try:
        amount = float(known)
    except (OverflowError, ValueError):  # a signalling NaN
        return None
    return amount if abs(amount) < LARGEST else None


def _task(prediction: Prediction, truth: Label) -> str:
    """The task that a prediction and its truth are of; empty where nothing was predicted."""
    label, score = prediction.label, prediction.score
    kind = type(truth)
    one_of_two = type(label) is not str and (type(label) is not int or label in (0, 1))
    if score is not None and one_of_two and (kind is bool or (kind is int and truth in (0, 1))):
        return "binary"
    if type(label) is float:  # never a class: its digits would be told
        return "regression"
    return "multiclass" if label is not None else ""
