"""Keeps mlobs' own troubles away from the host: drop, count, log once."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import Counter
from types import TracebackType
from typing import Final

_logger = logging.getLogger("mlobs")

# What a drop means for a reader of the log.
_MEANINGS = {
    "ring_full": "rows came faster than they could be folded, or in one input or answer larger than a quarter of "
    "settings.ring_bytes; some were left out of the distributions",
    "sampled": "reading all large inputs and answers would take more of a core than settings.read_share; an even sample of the "
    "calls is in the distributions",
    "unreadable": "data of a kind mlobs does not read",
    "not_tabular": "arrays of more than two dimensions have no columns to observe",
    "ragged": "rows or columns of different lengths",
    "width": "rows whose number of columns is not the reference's",
    "output_shape": "predictions that are not shaped like the reference's outputs",
    "feature_limit": "more features than settings.max_features; the rest are not observed",
    "span_queue_full": "spans waited for a receiver until there was no room",
    "span_refused": "the receiver refused spans",
    "span_unsent": "spans waited for a receiver when new settings turned their export off",
    "fold_failed": "rows whose counting failed inside mlobs; mlobs.sdk.errors has the cause",
    "rejected": "the receiver took the request but refused some points",
    "model_limit": "more models than settings.max_models; the rest are counted as one",
    "operation_limit": "more than 100 operations of one model; the rest are counted as one",
    "ticket_key": "a ticket was asked for, and no key seals it. Try: mlobs.configure(ticket_keys=[…]) with 32 bytes in hex, "
    "as `openssl rand -hex 32` prints them",
    "ticket_call": "a ticket or an id was given for no call: none was observed in this task or thread, or the last failed, "
    "or answered no row",
    "ticket_header": "predictions of a request with more rows than go into a header, or of a batch whose answer says not which rows "
    "are whose. Take mlobs.tickets() into the answer",
    "id_rows": "ids that are not as many as the rows of the answer",
    "business_value": "business events whose value is no finite number",
    "business_currency": "business events whose value has no currency, or none of three letters",
    "business_kpi": "business events whose name is no text, or `prediction`, which is the cost matrix', or more names than 50",
    "business_model": "business events without a ticket, a model or a call",
    "business_event_id": "business events whose event_id is no text of 1 to 512 characters, whole number or UUID",
    "business_duplicate": "business events whose event_id came before",
    "gpu_time": "GPU time that is no number of seconds, is longer than any process lives, or is of no call",
    "gpu_pending": "calls whose GPU time was not known while thousands came after them",
    "report": "a stage or a generation whose time or number of tokens is no finite number",
    "report_full": "stages or generations came faster than they could be folded",
    "stage": "a stage whose name is no text",
    "score_unread": "rows of a classifier's answers that say neither a score nor a label; docs/outcomes.md has what is read",
    "class_width": "rows of more or fewer probabilities than the objective has classes. Try: "
    "mlobs.objective(classes=[…]) with all of them, in the order of the columns",
    "truth_unjudged": "truths whose prediction says neither a label nor a score, or none of its task: they are joined, and in no "
    "figure. Try: mlobs.ticket(label=…, score=…); docs/outcomes.md has what is read of an answer",
    "task_failed": "rows of a task that failed: its engine runs it again, and what it had predicted is not counted",
}


# Counted, and not worth a line: one span less of many alike.
_QUIET = frozenset({"span_limit"})

# Where no data is at hand, so that an error's message may be told: elsewhere messages quote values.
_OPEN = ("start", "integration")

OURS: Final = "mlobs-"  # how the names of mlobs' own threads begin


def name_of(cls: type) -> str:
    """A class's name, whatever its metaclass would say."""
    return type.__dict__["__name__"].__get__(cls)  # type: ignore[no-any-return]


def _shown(text: str) -> str:
    """A text without what ends a line, and what commands a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def passes(error: BaseException) -> bool:
    """Whether an error met while data is read is not for us to keep: Ctrl-C, or a time limit, in a caller's thread."""
    return not isinstance(error, Exception) and not threading.current_thread().name.startswith(OURS)


class Guard:
    """Counts what was dropped and what went wrong, by reason.

    ``strict`` re-raises our own errors: mlobs' tests set it, nobody else does.
    """

    def __init__(self) -> None:
        self.strict = False
        self.dropped: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._told: set[str] = set()
        # a signal handler or __del__ may predict, and drop, while its own thread is in here
        self._lock = threading.RLock()

    def drop(self, reason: str, count: int = 1, detail: str = "") -> None:
        """``count`` items are not taken in. The first of a reason is logged."""
        with self._lock:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        if reason in _QUIET:
            return
        self.tell(f"drop {reason}", "mlobs left something out (%s): %s%s. Counted in mlobs.sdk.dropped.", reason,
                  _MEANINGS.get(reason, reason), f" - {detail}" if detail else "")  # fmt: skip

    def error(self, place: str, error: BaseException) -> None:
        """One of our own errors; the host goes on.

        The first of a place and type is logged with its stack, and without its message, which may quote data.
        """
        if self.strict:
            raise error
        with self._lock:
            self.errors[place] = self.errors.get(place, 0) + 1
        try:
            kind = name_of(type(error))
            key = f"error {place} {kind}"
            if key not in self._told:
                stack = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
                said = f"{kind}: {error}" if place.startswith(_OPEN) else kind
                self._say(key, "mlobs failed in %s and went on. Counted in mlobs.sdk.errors.\n"
                          "Traceback (most recent call last):\n%s%s", place, stack, said)  # fmt: skip
        except Exception:  # noqa: BLE001 - it is counted, and that has to do
            pass

    def tell(self, key: str, message: str, *values: object) -> None:
        """Log a warning of one line, once for this key in this process; names in it may come from anywhere."""
        self._say(key, message, *(_shown(value) if isinstance(value, str) else value for value in values))

    def _say(self, key: str, message: str, *values: object) -> None:
        with self._lock:
            if key in self._told:
                return
            self._told.add(key)
        try:
            _logger.warning(message, *values)
        except BaseException as error:  # of somebody's filter or handler: on our own thread nobody waits for it
            if passes(error):
                raise

    def again(self, key: str) -> None:
        """The next `tell` of this key is news."""
        with self._lock:
            self._told.discard(key)

    def renew(self) -> None:
        """A forked child starts from nothing, with a lock of its own."""
        self._lock = threading.RLock()
        self.dropped.clear()
        self.errors.clear()


class Mute(Guard):
    """Of what is read twice: the first reader has told it."""

    def tell(self, key: str, message: str, *values: object) -> None:
        """Say nothing."""


class Guarded:
    """A block whose errors are counted under a place, and go no further."""

    __slots__ = ("_guard", "_place")

    def __init__(self, guard: Guard, place: str) -> None:
        self._guard = guard
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._guard.error(self._place, error)
        return True
