"""What stands between callers and the join store: a bounded queue, so that nobody waits for a disk or a network."""

from __future__ import annotations

import math
import os
import threading
from collections import Counter, deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from mlobs.errors import MlobsError
from mlobs.release.ids import hashed
from mlobs.release.packing import pack, pack_truth, plain, unpack, unpack_truth
from mlobs.release.store import Met, Remembered, Told, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mlobs.release.packing import Label
    from mlobs.release.prediction import Prediction
    from mlobs.release.store import Session, Store

LIMIT: Final = 100_000  # entries that wait for the store
_BATCH: Final = 1000
_SWEEP_EVERY: Final = 60.0  # seconds
_SWEEP_AFTER: Final = 50_000  # entries
_SWEEPS: Final = 100  # steps at once; the rest at the next work
_PATIENCE: Final = 2.0  # seconds that one thread waits for another's work
_ID: Final = 12  # bytes of a prediction's own id

Waiting = tuple[bytes, "Prediction | None", "Label", float]  # hash of the id, prediction or None, truth, its time


class Joins:
    """Takes in predictions and truths by their ids, and hands out pairs.

    `remember` and `truth` append to a queue and return; `work` brings the queue to the store. What the store does not
    take stays and is tried again at the next `work`; nothing is lost until 100,000 entries wait, and what comes then is
    refused and counted. `ttl` is in seconds, `entries` the most that the store keeps.

    `joined(prediction, actual, time)` gets each pair, `refused(reason, count)` what will never be one, and `told(key,
    message, *values)` what a person should read; `recovered(key)` says that the next of a key is news again. They are
    called from `work` without any lock that callers need, `refused` from `remember` and `truth` too.

    A pair is handed out at most once over all processes: one that is killed between the store's answer and its next
    export loses what it joined in between, as it loses every other count since its last export.

    Reasons: bad_id (no text of 1 to 512 characters, whole number or UUID), invalid (a truth that is neither text nor a
    finite number), queue_full, store_failed (it waited for the store until the process ended), duplicate_id (a
    prediction whose id another has), duplicate, expired, unknown (a truth that found no prediction within `ttl`),
    store_full, damaged (the store holds what this mlobs cannot read). The place of the store is looked at when it is
    first needed; one that cannot be is told like one that fails. ``loading`` is held while its package is imported: a process
    forked in the middle of that could never finish it.
    """

    def __init__(
        self,
        url: str | None,
        *,
        ttl: float,
        entries: int,
        joined: Callable[[Prediction, Label, float], object],
        refused: Callable[[str, int], object],
        told: Callable[..., object],
        recovered: Callable[[str], object] | None = None,
        loading: AbstractContextManager[object] | None = None,
    ) -> None:
        self._place = self._next = (url, ttl, entries)
        self._joined = joined
        self._refused = refused
        self._told = told
        self._recovered = recovered
        self._loading = loading or nullcontext()
        self._store: Store | None = None
        self.renew()

    def renew(self) -> None:
        """Begin with an empty queue: in a forked child, whose parent keeps its own. A store is opened anew."""
        self._empty()
        self._lock = threading.Lock()
        self._worker = 0
        self._swept = -math.inf
        self._since = 0
        self._failed = False
        self._handing = False

    def _empty(self) -> None:
        self._queue: deque[Waiting] = deque()
        self._predictions: list[Remembered] = []  # drawn from the queue, and not acknowledged by the store
        self._truths: list[Told] = []
        self._pairs: deque[tuple[bytes, bytes, float]] = deque()  # acknowledged, and not handed out

    @property
    def fails(self) -> bool:
        """Whether the store did not take what was brought last: who is in a hurry does not try."""
        return self._failed

    def __len__(self) -> int:
        """How many entries wait for the store."""
        return len(self._queue) + len(self._predictions) + len(self._truths) + len(self._pairs)

    def remember(self, key: object, prediction: Prediction) -> bool:
        """A prediction under its id; whether it was taken in. Raises nothing for any id."""
        name = hashed(key)
        if name is None:
            return self._refuse("bad_id")
        if len(self._queue) >= LIMIT:
            return self._refuse("queue_full")
        self._queue.append((name, prediction, None, 0.0))
        return True

    def truth(self, key: object, actual: object, time: float) -> bool:
        """A truth, the id of its prediction and when it came; whether it was taken in. Raises nothing."""
        name = hashed(key)
        if name is None:
            return self._refuse("bad_id")
        value = plain(actual)
        if value is None or (type(value) is float and not math.isfinite(value)):
            return self._refuse("invalid")
        if len(self._queue) >= LIMIT:
            return self._refuse("queue_full")
        self._queue.append((name, None, value, time))
        return True

    def move(self, url: str | None, *, ttl: float, entries: int) -> None:
        """From the next `work` on another store, or the same by other rules; what has not reached the one before goes there."""
        self._next = (url, ttl, entries)

    def work(self, now: float) -> None:
        """Bring what waits to the store, and hand out what is joined. Called by a thread that may wait.

        Two threads do not work at once: the second waits two seconds at most. Raises nothing that a
        store raises; what `joined` raises passes through, and that pair is gone.
        """
        me, lock = threading.get_ident(), self._lock
        if self._worker == me or not lock.acquire(timeout=_PATIENCE):  # a signal handler amid this very work
            return
        self._worker = me
        self._handing = False
        try:
            self._work(now)
            if self._failed:
                self._failed = False
                if self._recovered is not None:
                    self._recovered("join store")
        except Exception as error:  # whatever a database raises, the entries stay
            if self._handing:  # not the database, but who counts the pairs
                raise
            self._failed = True
            self._told(
                "join store",
                "mlobs cannot use its join store, and tries again (%d entries wait, of at most %d): %s%s",
                len(self), LIMIT, "" if isinstance(error, MlobsError) else f"{type(error).__name__}: ", error,
            )  # fmt: skip
        finally:
            self._worker = 0
            lock.release()

    def close(self, now: float) -> None:
        """The last work of a process; what the store does not take now is refused as store_failed.

        Another thread may be waiting for the store still: what that is answered counts no more.
        """
        self.work(now)
        left = len(self)
        if left:
            self._empty()
            self._refused("store_failed", left)

    def _refuse(self, reason: str) -> bool:
        self._refused(reason, 1)
        return False

    def _work(self, now: float) -> None:
        if self._place is not self._next:
            self._settle()
        due = self._since >= _SWEEP_AFTER or not 0 <= now - self._swept < _SWEEP_EVERY
        left = len(self._queue)  # what comes meanwhile is for the next time, or this would never end
        if not len(self) and not (due and self._store is not None):
            return
        if self._store is None:
            url, ttl, entries = self._place
            with self._loading:
                self._store = open_store(url, ttl=ttl, entries=entries)
        self._bring(self._store, now)
        while left > 0:
            drawn = self._draw(now)
            left -= drawn
            self._since += drawn
            self._bring(self._store, now)
        if due:
            self._sweep(self._store, now)

    def _settle(self) -> None:
        """At the place that `move` said."""
        before, self._place = self._place, self._next
        if before != self._place:
            self._store, self._swept, self._since = None, -math.inf, 0
            if self._failed and self._recovered is not None:
                self._recovered("join store")  # that the new one fails too is news

    def _draw(self, now: float) -> int:
        """Make the next entries ready for the store; how many have left the queue.

        The predictions among them go before the truths: whichever comes first, they meet.
        """
        queue = self._queue
        drawn = 0
        while queue and drawn < _BATCH:
            key, prediction, actual, time = queue.popleft()
            drawn += 1
            try:
                if prediction is None:
                    truth = Told(key, pack_truth(actual), _finite(time, now), os.urandom(8))
                    self._truths.append(truth)
                else:
                    body = prediction.id[:_ID].ljust(_ID, b"\0") + pack(prediction)
                    self._predictions.append(Remembered(key, body, _finite(prediction.time, now)))
            except Exception:  # noqa: BLE001 - it cannot be written down, and must not keep the others
                self._refused("invalid", 1)
        return drawn

    def _bring(self, store: Store, now: float) -> None:
        """What was drawn goes to the store, and what it joined is handed out."""
        reasons: Counter[str] = Counter()
        if self._predictions or self._truths:
            with store.session() as session:
                reasons.update(self._put(session, now) if self._predictions else ())
                reasons.update(self._take(session, now) if self._truths else ())
        for reason, count in reasons.items():
            self._refused(reason, count)
        while self._pairs:
            self._hand_out(*self._pairs.popleft())

    def _put(self, session: Session, now: float) -> list[str]:
        rows = self._predictions
        found = session.put(rows, now)
        if self._predictions is not rows:  # they were given up meanwhile
            return []
        self._predictions = []
        self._pairs.extend(
            (row.body, met.truth, met.time) for row, met in zip(rows, found, strict=True) if isinstance(met, Met)
        )
        return [met for met in found if isinstance(met, str)]

    def _take(self, session: Session, now: float) -> list[str]:
        rows = self._truths
        found = session.take(rows, now)
        if self._truths is not rows:
            return []
        self._truths = []
        self._pairs.extend(
            (body, told.truth, told.time) for told, body in zip(rows, found, strict=True) if isinstance(body, bytes)
        )
        return [body for body in found if isinstance(body, str)]

    def _hand_out(self, body: bytes, truth: bytes, time: float) -> None:
        try:
            prediction, actual = unpack(body[:_ID], body[_ID:]), unpack_truth(truth)
        except ValueError:  # of a later mlobs, or somebody wrote into the store
            self._refused("damaged", 1)
            return
        self._handing = True
        self._joined(prediction, actual, time)
        self._handing = False

    def _sweep(self, store: Store, now: float) -> None:
        for _ in range(_SWEEPS):
            with store.session() as session:
                swept = session.sweep(now)
            for reason, count in (("unknown", swept.unknown), ("store_full", swept.full)):
                if count:
                    self._refused(reason, count)
            if not swept.more:
                self._swept, self._since = now, 0
                return


def _finite(time: float, now: float) -> float:
    return time if math.isfinite(time) else now
