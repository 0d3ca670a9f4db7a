"""The verbs of what comes after a prediction: its ticket, its truth, its value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from mlobs.api import runtime
from mlobs.core.ended import last
from mlobs.core.inside import INSIDE, Variant, counts
from mlobs.core.model import Identity
from mlobs.core.monitor import Monitor
from mlobs.core.settings import LONGEST
from mlobs.core.tickets import Given
from mlobs.errors import ConfigurationError, quoted
from mlobs.otel import names
from mlobs.release.number import number
from mlobs.release.packing import plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlobs.release import Quality

Task = Literal["binary", "multiclass", "regression"]
Label = str | int | float | bool
Moment = float | datetime | None

_MISSING: Any = object()


def objective(
    *,
    model: str,
    version: str | None = None,
    task: Task | None = None,
    threshold: float = 0.5,
    positive: Label = True,
    classes: Sequence[Label] | NDArray[Any] | None = None,
    costs: Mapping[tuple[Label, Label], float] | None = None,
    currency: str = "USD",
    calibration: tuple[Any, Any] | None = None,
) -> None:
    """Say what a model's predictions are to be judged by.

    Call it at the start, in the process that predicts and in the one where the truth arrives. Of a version, or of all
    versions that have none of their own.

    task
        what is predicted. Two classes, or a ``positive`` that is neither True nor False, are a binary task, more classes a
        multiclass one; without either it is told from each prediction and its truth (docs/outcomes.md).
    threshold
        the score from which on the positive class is predicted, where an answer is a score only.
    positive
        the class whose probability a score is, one of ``classes`` where they are given; ``True`` is 1 too.
    classes
        the classes there are, at most 20, in the order of the columns of probabilities, as `classes_` of scikit-learn has
        them: a truth of another is refused. Without it the first 20 that come.
    costs
        what a prediction is worth, by (predicted, actual): a gain, or, negative, a loss. Pairs left out are worth 0.
    currency
        of the costs, three letters as ISO 4217 has them.
    calibration
        scores of held-out rows and their labels, two sequences of the same length: what a score really stands for, by
        which accuracy, F1 and AUC are expected before any truth has come. Without it a score is taken for a probability.

    Raises ConfigurationError for what cannot hold.
    """
    from mlobs.release.objective import Objective

    runtime.judge(
        Objective.of(
            model=model,
            version=version,
            task=task,
            threshold=threshold,
            positive=positive,
            classes=classes,
            costs=costs,
            currency=currency,
            calibration=calibration,
        )
    )


def ticket(*, label: Label | None = None, score: float | None = None) -> str | None:
    """A ticket for a prediction: with it `outcome` finds back to it from any process, at any later time.

    Called after an observed call, in the same task or thread: for what that call answered (its first row). Called inside
    one: for that call, whose answer is not known yet, so say what it will be. ``label`` is the class or the value that
    is predicted, ``score`` the probability of the positive class; given, they go before what the answer says.

    A text of some 180 characters of the URL-safe alphabet, sealed and unreadable without the key
    (``mlobs.configure(ticket_keys=[…])`` or the variable ``MLOBS_TICKET_KEYS``). None, and counted, where there is no
    key or no call. Never raises.
    """
    return runtime.outcomes.tickets.ticket(Given(label, score))


def tickets() -> list[str]:
    """Tickets for the observed call that has just ended in this task or thread, one a row of its answer.

    Empty, and counted, where there is no key or no call. Never raises.
    """
    return runtime.outcomes.tickets.tickets()


def remember(prediction_id: str | Sequence[str], *, label: Label | None = None, score: float | None = None) -> bool:
    """Keep a prediction under an id of your own until its truth comes: ``outcome(prediction_id=…)``.

    Of the same call as `ticket` would be; several ids, in a list, a tuple, an array or a series, are those of the rows of its
    answer. The join store
    (``join_store``) has it within a second. Whether it was taken; what was not is counted. Never raises.
    """
    return runtime.outcomes.remember(_each(prediction_id), Given(label, score))


@overload
def outcome(ticket: str | None, /, *, actual: object) -> bool: ...
@overload
def outcome(*, prediction_id: str, actual: object) -> bool: ...
def outcome(ticket: object = _MISSING, /, *, prediction_id: object = _MISSING, actual: object) -> bool:
    """Say what really happened: the class, or the value, that the prediction should have been.

    The prediction is named by its ticket or by its id. Counted for the model, version and variant that made it. Whether
    it was counted (by ticket), or taken to be joined (by id). A ticket that is damaged, forged, expired, of another key or
    used before, and a truth that is none (None, NaN, infinite), are counted in ``mlobs.outcome.unjoined`` by reason and
    never raised. Raises ConfigurationError where neither or both are given.
    """
    if (ticket is _MISSING) == (prediction_id is _MISSING):
        raise ConfigurationError(
            "mlobs.outcome: give the ticket or the prediction_id, one of them: mlobs.outcome(ticket, actual=True)."
        )
    if ticket is not _MISSING:
        return runtime.outcomes.outcome(ticket, actual)
    return runtime.outcomes.outcome_of(prediction_id, actual)


def quality(*, since: Moment = None, until: Moment = None) -> dict[str, Quality]:
    """How good predictions were, by the truths that arrived in this process.

    By model name (``name:version:variant`` where one name has several). ``since`` and ``until`` choose by the time the
    predictions were made, in whole hours: seconds since the epoch or a datetime. Raises ConfigurationError for others.
    """
    return runtime.outcomes.quality(_moment("since", since), _moment("until", until))


def business(
    kpi: str,
    *,
    value: float | None = None,
    currency: str | None = None,
    ticket: str | None = None,
    model: str | None = None,
    version: str | None = None,
    variant: str | None = None,
    event_id: str | None = None,
) -> bool:
    """Count a business event, and the money it brought (or cost: negative), for the version and variant behind it.

    Whose it is says the ticket of the prediction that led to it, else ``model``, ``version`` and ``variant``, else the
    observed call that runs here or has just ended here. An event is counted once for an ``event_id``, as far as this
    process remembers. Whether it was counted; what was not is counted in ``mlobs.sdk.dropped``. Never raises.
    """
    identity = None
    if model is not None and ticket is None:
        name = _text(model, "")
        if not name:
            if not runtime.outcomes.off:
                runtime.guard.drop("business_model")
            return False
        identity = Identity(name, _text(version, names.UNVERSIONED), _text(variant, names.CHAMPION))
    return runtime.outcomes.business(kpi, value, currency, ticket=ticket, identity=identity, event=event_id)


@contextmanager
def variant(name: Any) -> Iterator[None]:  # noqa: ANN401 - a text, or what a flag said
    """Observed calls of the block, in this task or thread, are predictions of this variant.

    ``name`` is a text, or the details of an OpenFeature flag (``client.get_string_details(…)``): then the variant is the
    flag's, and spans carry ``feature_flag.key``, ``feature_flag.result.variant`` and ``feature_flag.result.reason``. Inside
    an observed call it changes nothing. Raises ConfigurationError for what is neither.
    """
    chosen = _variant(name)
    if not counts():
        yield
        return
    token = INSIDE.set(chosen)
    try:
        yield
    finally:
        try:
            INSIDE.reset(token)
        except ValueError:  # it ends in another context, of a server's thread say, than it began in
            if INSIDE.get() is chosen:
                INSIDE.set(False)


def gpu_time(seconds: float) -> None:
    """Say how long the observed call that runs here kept a GPU busy, as CUDA events or a server's statistics tell.

    Never raises; a time that is none, a text or longer than any process lives, is counted as left out.
    """
    if runtime.outcomes.off:
        return
    within = INSIDE.get()
    handed = last()
    monitor = within if isinstance(within, Monitor) else handed.monitor if handed is not None else None
    if monitor is None:
        runtime.hand()  # from now on there is one
        runtime.guard.drop("gpu_time")
        return
    try:
        taken = math.nan if isinstance(seconds, (str, bytes, bool)) else float(seconds)  # a tensor's, too
    except Exception:  # noqa: BLE001 - no number
        taken = math.nan
    if not 0 <= taken <= LONGEST:
        runtime.guard.drop("gpu_time")
        return
    monitor.ring.gpu.append(taken)


def _text(said: object, otherwise: str) -> str:
    """A name; what is none is ``otherwise``."""
    label = plain(said)
    return otherwise if label is None or label == "" else str(label)


def _each(ids: Any) -> list[object]:  # noqa: ANN401 - whatever arrives
    """One id, or several; of somebody's kind of list only what lists themselves do is called."""
    kind = type(ids)
    if issubclass(kind, list):
        return list.copy(ids)
    if issubclass(kind, tuple):
        return list(tuple.__iter__(ids))
    with suppress(Exception):  # a column that cannot be read is one id, and none
        if issubclass(kind, np.ndarray):
            return list(np.ndarray.tolist(np.ndarray.ravel(ids)))
        if kind.__name__ == "Series" and kind.__module__.partition(".")[0] in ("pandas", "polars"):
            return list(ids.to_list())
    return [ids]


def _variant(name: Any) -> Variant:  # noqa: ANN401 - likewise
    if isinstance(name, str) and name:
        return Variant(name, {})
    key = getattr(name, "flag_key", None)
    chosen = getattr(name, "variant", None) or getattr(name, "value", None)
    if not isinstance(key, str) or not isinstance(chosen, str) or not chosen:
        raise ConfigurationError(
            f"mlobs.variant({quoted(name)}): expected a text that is not empty, or the details of an OpenFeature flag whose "
            "variant or value is one. Try: with mlobs.variant('challenger')."
        )
    reason = getattr(name, "reason", None)
    flag = {names.FLAG_KEY: key, names.FLAG_VARIANT: chosen}
    if reason is not None:
        flag[names.FLAG_REASON] = str(getattr(reason, "value", reason)).lower()
    return Variant(chosen, flag)


def _moment(name: str, given: Moment) -> float | None:
    if given is None:
        return None
    if isinstance(given, datetime):
        try:
            return given.timestamp()
        except (ValueError, OverflowError, OSError):  # too near the ends of time for a time zone
            return given.replace(tzinfo=timezone.utc).timestamp()
    with suppress(ValueError):
        seconds = number(given)
        if math.isfinite(seconds):
            return seconds
    raise ConfigurationError(
        f"mlobs.quality({name}={quoted(given)}): expected seconds since the epoch or a datetime. Try: time.time() - 86400."
    )
