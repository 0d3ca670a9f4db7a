"""Keeps mlobs' own troubles away from the host: drop, count, log once."""

from __future__ import annotations

import logging
import threading
from collections import Counter

_logger = logging.getLogger("mlobs")

# What a drop means for a reader of the log.
_MEANINGS = {
    "ring_full": "rows came faster than they could be folded; some were left out of the distributions",
    "unreadable": "data of a kind mlobs does not read",
    "not_tabular": "arrays of more than two dimensions have no columns to observe",
    "ragged": "rows or columns of different lengths",
    "width": "rows whose number of columns is not the reference's",
    "output_shape": "predictions that are not shaped like the reference's outputs",
    "feature_limit": "more features than settings.max_features; the rest are not observed",
    "span_queue_full": "spans waited for a receiver until there was no room",
    "span_refused": "the receiver refused spans",
    "fold_failed": "rows whose counting failed inside mlobs; mlobs.sdk.errors has the cause",
    "rejected": "the receiver took the request but refused some points",
    "model_limit": "more models than settings.max_models; the rest are counted as one",
}


# Counted, and not worth a line: one span less of many alike.
_QUIET = frozenset({"span_limit"})


class Guard:
    """Counts what was dropped and what went wrong, by reason.

    ``strict`` re-raises our own errors: mlobs' tests set it, nobody else does.
    """

    def __init__(self) -> None:
        self.strict = False
        self.dropped: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def drop(self, reason: str, count: int = 1, detail: str = "") -> None:
        """``count`` items are not taken in. The first of a reason is logged."""
        with self._lock:
            self.dropped[reason] += count
        if reason in _QUIET:
            return
        self.tell(f"drop {reason}", "mlobs left something out (%s): %s%s. Counted in mlobs.sdk.dropped.", reason,
                  _MEANINGS.get(reason, reason), f" - {detail}" if detail else "")  # fmt: skip

    def error(self, place: str, error: BaseException) -> None:
        """One of our own errors; the host goes on. The first of a place and type is logged with its traceback."""
        if self.strict:
            raise error
        with self._lock:
            self.errors[place] += 1
        self.tell(
            f"error {place} {type(error).__name__}",
            "mlobs failed in %s and went on. Counted in mlobs.sdk.errors.",
            place,
            error=error,
        )

    def tell(self, key: str, message: str, *values: object, error: BaseException | None = None) -> None:
        """Log a warning, once for this key in this process."""
        with self._lock:
            if key in self._told:
                return
            self._told.add(key)
        _logger.warning(message, *values, exc_info=error)

    def again(self, key: str) -> None:
        """The next `tell` of this key is news."""
        with self._lock:
            self._told.discard(key)

    def renew(self) -> None:
        """A forked child starts from nothing, with a lock of its own."""
        self._lock = threading.Lock()
        self.dropped.clear()
        self.errors.clear()
