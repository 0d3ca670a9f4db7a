"""What waits for the join store: nothing is lost, nothing counts twice, and no caller waits or sees an error."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.release.redis_server import Server

from mlobs.release.ids import hashed
from mlobs.release.joins import LIMIT, Joins
from mlobs.release.prediction import Prediction
from mlobs.release.store import Remembered, Told, open_store

NOW = 1_700_000_000.0
TTL = 1000.0


def made(label: Any = "late", time: float = NOW) -> Prediction:
    return Prediction(os.urandom(12), "delay", "1", "champion", time, (1, 2, 1), "binary", label, 0.75)


class Place:
    """Joins over one store, and what they handed out."""

    def __init__(self, url: str | None, entries: int = 10**6) -> None:
        self.pairs: list[tuple[Prediction, Any, float]] = []
        self.refused: Counter[str] = Counter()
        self.told: list[str] = []
        self.joins = Joins(
            url,
            ttl=TTL,
            entries=entries,
            joined=lambda *pair: self.pairs.append(pair),
            refused=lambda reason, count: self.refused.update({reason: count}),
            told=lambda key, message, *values: self.told.append(f"{key}: {message % values}"),
            recovered=lambda key: self.told.append(f"{key} recovered"),
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "predictions.sqlite"))


def test_pairs_come_back_as_they_were(place: Place) -> None:
    """A pair has the prediction to its last bit, the truth with its kind, and the time it was told."""
    predictions = [made(label) for label in ("late", 3, 1.5, True, None)]
    truths = ["in time", np.int64(4), 2.5, np.bool_(False), "é" * 500]
    for number, (prediction, actual) in enumerate(zip(predictions, truths, strict=True)):
        assert place.joins.remember(f"id {number}", prediction)
        assert place.joins.truth(f"id {number}", actual, NOW + number)
    assert place.pairs == []
    assert len(place.joins) == 10
    place.joins.work(NOW + 10)
    assert len(place.joins) == 0
    assert place.pairs == list(
        zip(predictions, ["in time", 4, 2.5, False, "é" * 500], [NOW + number for number in range(5)], strict=True)
    )
    assert not place.refused
    assert not place.told


def test_many_in_any_order(place: Place) -> None:
    """Thousands of both, truths before their predictions and after them, each join once; repeated ones are told."""
    for number in range(3000):
        one, other = (place.joins.remember, made(number)), (place.joins.truth, number, NOW)
        for verb, *rest in (one, other) if number % 3 else (other, one):
            assert verb(f"id {number}", *rest)
        if number % 10 == 0:
            assert place.joins.truth(f"id {number}", number, NOW)
            assert place.joins.remember(f"id {number}", made(number))
    place.joins.work(NOW)
    assert Counter(prediction.label for prediction, _, _ in place.pairs) == Counter(range(3000))
    assert all(prediction.label == actual for prediction, actual, _ in place.pairs)
    assert place.refused == {"duplicate": 300, "duplicate_id": 300}


def test_two_processes_meet_in_the_store(tmp_path: Path) -> None:
    """What one remembers, another joins: each has its own queue."""
    url = str(tmp_path / "predictions.sqlite")
    serving, judging = Place(url), Place(url)
    serving.joins.remember("a", made())
    serving.joins.work(NOW)
    judging.joins.truth("a", "late", NOW)
    judging.joins.truth("b", "late", NOW)
    judging.joins.work(NOW)
    serving.joins.remember("b", made())
    serving.joins.work(NOW)
    assert (len(serving.pairs), len(judging.pairs)) == (1, 1)


@pytest.mark.parametrize(
    ("one", "other"), [("17", 17), ("17", np.int64(17)), (str(uuid.UUID(int=5)), uuid.UUID(int=5)), ("a", np.str_("a"))]
)
def test_ids_are_what_they_say(place: Place, one: object, other: object) -> None:
    """A number, a UUID and text of another class are the text they are written as."""
    assert place.joins.remember(one, made())
    assert place.joins.truth(other, 1, NOW)
    place.joins.work(NOW)
    assert len(place.pairs) == 1


class Hostile(str):
    __slots__ = ()

    def encode(self, *args: Any) -> bytes:
        raise SystemExit

    __len__ = __str__ = __eq__ = __hash__ = encode  # type: ignore[assignment]


def test_bad_ids_are_counted(place: Place) -> None:
    """What is no id is refused as bad_id, whatever it is, and nothing of it reaches the store."""
    bad = [None, "", "x" * 513, "x" * 10**7, "half \ud800", b"a", 1.5, True, 10**5000, ["a"], object(), np.float64(1),
           np.timedelta64(1, "s"), Hostile("")]  # fmt: skip
    for key in bad:
        assert not place.joins.remember(key, made())
        assert not place.joins.truth(key, 1, NOW)
    assert place.refused == {"bad_id": 2 * len(bad)}
    assert len(place.joins) == 0
    assert place.joins.remember(Hostile("a"), made())


def test_bad_truths_are_counted(place: Place) -> None:
    """A truth that is neither text nor a finite number is refused as invalid."""
    bad = [None, math.nan, math.inf, -math.inf, np.float32("nan"), 1j, b"a", [1], object(), 10**700]
    for actual in bad:
        assert not place.joins.truth("a", actual, NOW)
    assert place.refused == {"invalid": len(bad)}


def test_what_cannot_be_written_down_keeps_nothing_else(place: Place) -> None:
    """A prediction that is none is refused as invalid; those beside it are stored, and times that are none are now."""
    place.joins.remember("bad", made()._replace(model=7))  # type: ignore[arg-type]
    place.joins.remember("good", made(time=math.nan))
    place.joins.truth("good", 1, math.inf)
    place.joins.work(NOW)
    assert place.refused == {"invalid": 1}
    assert len(place.pairs) == 1


def test_a_damaged_body_is_counted(tmp_path: Path) -> None:
    """What somebody else has written into the store is refused as damaged."""
    place = Place(str(tmp_path / "predictions.sqlite"))
    with open_store(str(tmp_path / "predictions.sqlite"), ttl=TTL, entries=10).session() as session:
        session.put([Remembered(hashed("a") or b"", b"nonsense", NOW)], NOW)
        session.take([Told(hashed("b") or b"", b"\x09", NOW, b"token")], NOW)
    place.joins.truth("a", 1, NOW)
    place.joins.remember("b", made())
    place.joins.work(NOW)
    assert place.refused == {"damaged": 2}
    assert not place.pairs


def test_what_is_forgotten_is_counted(tmp_path: Path) -> None:
    """Truths that found nothing are unknown, those of old predictions expired, and what made room is store_full."""
    place = Place(str(tmp_path / "predictions.sqlite"), entries=10)
    for number in range(15):
        place.joins.remember(f"a {number}", made(time=NOW + number))
    place.joins.work(NOW + 20)
    assert place.refused == {"store_full": 5}
    place.joins.truth("nobody's", 1, NOW + 30)
    place.joins.work(NOW + 30)
    place.joins.truth("a 14", 1, NOW + TTL + 15)
    place.joins.work(NOW + TTL + 15)
    assert place.refused == {"store_full": 5, "expired": 1}
    place.joins.work(NOW + TTL + 100)  # nothing new, and swept all the same
    assert place.refused == {"store_full": 5, "expired": 1, "unknown": 1}


def test_the_queue_is_bounded(place: Place) -> None:
    """Beyond 100,000 entries the newest are refused as queue_full; all that were taken in arrive."""
    prediction = made()
    taken = [place.joins.remember(str(number), prediction) for number in range(LIMIT + 10)]
    assert taken == [True] * LIMIT + [False] * 10
    assert not place.joins.truth("0", 1, NOW)
    assert place.refused == {"queue_full": 11}
    assert len(place.joins) == LIMIT


def test_a_locked_database_loses_nothing(tmp_path: Path) -> None:
    """While another process holds the lock everything waits and that is told; afterwards it is joined, each once."""
    path = tmp_path / "predictions.sqlite"
    place = Place(str(path))
    place.joins.remember("before", made())
    place.joins.work(NOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(600):
            place.joins.remember(number, made(number))
        for _ in range(2):
            place.joins.work(NOW)
            for number in range(300):
                place.joins.truth(number, number, NOW)
        assert len(place.joins) == 1200
        assert not place.pairs
        other.execute("COMMIT")
    assert len(place.told) == 2
    assert "database is locked" in place.told[0]
    assert "600 entries wait" in place.told[0]
    place.joins.work(NOW)
    assert len(place.joins) == 0
    assert sorted(actual for _, actual, _ in place.pairs) == list(range(300))
    assert place.refused == {"duplicate": 300}
    assert place.told[2:] == ["join store recovered"]


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """While the file may not grow everything waits; when there is room again all is joined."""
    path = tmp_path / "predictions.sqlite"
    place = Place(str(path))
    place.joins.remember("before", made())
    place.joins.work(NOW)
    resource = pytest.importorskip("resource")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
        for number in range(2000):
            place.joins.remember(number, made(number))
        place.joins.work(NOW)
        waiting = len(place.joins)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert waiting > 0
    assert place.told
    for number in range(2000):
        place.joins.truth(number, number, NOW)
    place.joins.work(NOW)
    assert sorted(actual for _, actual, _ in place.pairs) == list(range(2000))
    assert not place.refused


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    started = Server(tmp_path)
    started.start()
    yield started
    started.stop()


def test_a_server_that_goes_and_comes_back_loses_nothing(server: Server) -> None:
    """While Redis is gone everything waits; when it is there again, with what it had, each is joined once."""
    place = Place(server.url)
    for number in range(700):
        place.joins.remember(number, made(number))
    place.joins.work(NOW)
    assert not place.told
    server.stop()
    for number in range(700, 1400):
        place.joins.remember(number, made(number))
    for number in range(1400):
        place.joins.truth(number, number, NOW)
    place.joins.work(NOW)
    place.joins.work(NOW)
    assert len(place.joins) == 2100
    assert "ConnectionError" in place.told[0]
    server.start()
    place.joins.work(NOW)
    assert len(place.joins) == 0
    assert sorted(actual for _, actual, _ in place.pairs) == list(range(1400))
    assert not place.refused


def test_an_answer_that_got_lost_counts_once(server: Server) -> None:
    """Where Redis did the work and its answer never came, the second attempt hands out the pairs, each once."""
    place = Place(server.url)
    place.joins.remember("a", made())
    place.joins.truth("b", 2, NOW)
    place.joins.work(NOW)
    place.joins.truth("a", 1, NOW)
    place.joins.remember("b", made())
    store = place.joins._store
    for verb in ("_take", "_put"):
        answered = getattr(store, verb)

        def lost(*args: Any, answered: Any = answered, **kwargs: Any) -> Any:
            answered(*args, **kwargs)
            raise TimeoutError("no answer")

        setattr(store, verb, lost)
        place.joins.work(NOW)
        setattr(store, verb, answered)
    assert len(place.told) == 2
    place.joins.work(NOW)
    assert sorted(actual for _, actual, _ in place.pairs) == [1, 2]
    assert not place.refused


def test_a_server_that_hangs_is_given_up_at_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread still waits for counts once, as refused, whatever the server answers later; nothing is raised there."""
    monkeypatch.setattr("mlobs.release.joins._PATIENCE", 0.05)
    assert server.process is not None
    place = Place(server.url)
    place.joins.remember("before", made())
    place.joins.work(NOW)
    place.joins.remember("id", made())
    place.joins.truth("id", 1, NOW)
    place.joins.truth("before", 1, NOW)
    os.kill(server.process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        try:
            waits = pool.submit(place.joins.work, NOW)
            while not place.joins._predictions:
                pass
            place.joins.close(NOW)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        assert waits.exception() is None
    assert (place.pairs, place.told, place.refused) == ([], [], {"store_failed": 3})


def test_a_store_that_cannot_be_is_told_and_counted(tmp_path: Path) -> None:
    """A place that is none raises nothing: it is told with the cure, and at the end what waited is store_failed."""
    (tmp_path / "file").touch()
    for url in ("nowhere://x", str(tmp_path / "file" / "below" / "a.sqlite")):
        place = Place(url)
        assert place.joins.remember("a", made())
        assert place.joins.truth("a", 1, NOW)
        place.joins.work(NOW)
        assert len(place.joins) == 2
        place.joins.close(NOW)
        assert place.refused == {"store_failed": 2}
        assert len(place.joins) == 0
        assert "join store" in place.told[0]


def test_another_store(tmp_path: Path) -> None:
    """What the one before has stays there; what never reached it goes to the new one, and a new failure is news."""
    place = Place(str(tmp_path / "first.sqlite"))
    assert place.joins.remember("a", made())
    place.joins.work(NOW)
    place.joins.move("nowhere://x", ttl=TTL, entries=10)
    assert place.joins.remember("b", made())
    place.joins.work(NOW)
    place.joins.move("nowhere://y", ttl=TTL, entries=10)
    assert place.joins.truth("a", 0, NOW)
    assert place.joins.truth("b", 1, NOW)
    place.joins.work(NOW)
    assert [line.split(" (")[0] for line in place.told[:2]] == [
        "join store: mlobs cannot use its join store, and tries again",
        "join store recovered",
    ]
    assert "nowhere://y" in place.told[2]
    place.joins.move(str(tmp_path / "second.sqlite"), ttl=TTL, entries=10)
    place.joins.work(NOW)
    assert [actual for _, actual, _ in place.pairs] == [1]
    place.joins.move(str(tmp_path / "first.sqlite"), ttl=TTL, entries=10)
    assert place.joins.truth("a", 0, NOW)
    place.joins.work(NOW)
    assert [actual for _, actual, _ in place.pairs] == [1, 0]
    assert not place.refused


def test_an_error_of_whoever_counts_is_theirs(place: Place) -> None:
    """What the receiver of pairs raises passes through, and the other pairs come at the next work."""
    seen: list[Any] = []

    def joined(prediction: Prediction, actual: object, time: float) -> None:
        seen.append(actual)
        if actual == 1:
            raise RuntimeError("theirs")

    place.joins._joined = joined
    for number in range(3):
        place.joins.remember(number, made())
        place.joins.truth(number, number, NOW)
    with pytest.raises(RuntimeError, match="theirs"):
        place.joins.work(NOW)
    place.joins.work(NOW)
    assert seen == [0, 1, 2]
    assert not place.told


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_with_nothing(place: Place) -> None:
    """What waited at a fork is the parent's alone; the child works with the same store, and so does the parent."""
    place.joins.remember("mine", made())
    place.joins.truth("mine", 1, NOW)
    child = os.fork()
    if child == 0:
        try:
            place.joins.renew()
            place.joins.remember("child's", made())
            place.joins.truth("child's", 2, NOW)
            place.joins.work(NOW)
            os._exit(0 if [actual for _, actual, _ in place.pairs] == [2] and not place.told else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    place.joins.truth("child's", 2, NOW)
    place.joins.work(NOW)
    assert [actual for _, actual, _ in place.pairs] == [1]
    assert place.refused == {"duplicate": 1}


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_forked_amid_the_work_work_too(place: Place) -> None:
    """Children forked while a thread works with the store use the same store, and neither they nor it lose anything."""
    done = threading.Event()

    def fill() -> None:
        number = 0
        while not done.is_set() or number % 100:
            place.joins.remember(number, made())
            place.joins.truth(number, number, NOW)
            place.joins.work(NOW)
            number += 1

    worker = threading.Thread(target=fill)
    worker.start()
    children = []
    for child in range(20):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                place.pairs.clear()
                place.joins.renew()
                place.joins.remember(f"of child {child}", made())
                place.joins.truth(f"of child {child}", -child, NOW)
                for _ in range(20):
                    place.joins.work(NOW)
                os._exit(0 if [actual for _, actual, _ in place.pairs] == [-child] else 1)
            finally:
                os._exit(2)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
    done.set()
    worker.join()
    place.joins.work(NOW)
    assert [actual for _, actual, _ in place.pairs] == list(range(len(place.pairs)))
    assert not place.refused
    for child in range(20):
        place.joins.truth(f"of child {child}", 1, NOW)
    place.joins.work(NOW)
    assert place.refused == {"duplicate": 20}


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_torn_from_the_work_is_told(tmp_path: Path) -> None:
    """A child forked from within the store's work leaves the file alone: it tells, and counts what it cannot store."""
    place = Place(str(tmp_path / "predictions.sqlite"))
    with open_store(str(tmp_path / "predictions.sqlite"), ttl=TTL, entries=10).session():
        child = os.fork()
        if child == 0:
            try:
                place.joins.remember("a", made())
                place.joins.close(NOW)
                os._exit(0 if place.refused == {"store_failed": 1} and "was forked while" in place.told[0] else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0


def test_threads_share_one(place: Place) -> None:
    """Several threads remember, tell and work at once: each pair is handed out once, nothing is lost."""
    done = threading.Event()

    def fill(start: int) -> None:
        for number in range(start, start + 1000):
            place.joins.remember(number, made(number))
            place.joins.truth(number, number, NOW)

    def drain() -> None:
        while not done.is_set():
            place.joins.work(NOW)

    fillers = [threading.Thread(target=fill, args=(1000 * one,)) for one in range(3)]
    drainers = [threading.Thread(target=drain) for _ in range(2)]
    for thread in (*fillers, *drainers):
        thread.start()
    for thread in fillers:
        thread.join()
    done.set()
    for thread in drainers:
        thread.join()
    place.joins.work(NOW)
    assert sorted(actual for _, actual, _ in place.pairs) == list(range(3000))
    assert not place.refused
    assert not place.told


def test_work_inside_work_returns(place: Place) -> None:
    """Work asked for from within it, by a signal handler say, returns at once and harms nothing."""
    inner: list[int] = []

    def joined(*pair: Any) -> None:
        place.joins.work(NOW)
        inner.append(1)

    place.joins._joined = joined
    place.joins.remember("a", made())
    place.joins.truth("a", 1, NOW)
    place.joins.work(NOW)
    assert inner == [1]


def test_what_is_stored_holds_no_id(tmp_path: Path) -> None:
    """The file has a hash of each id, and not the id."""
    path = tmp_path / "predictions.sqlite"
    place = Place(str(path))
    place.joins.remember("customer-4711-of-the-north", made())
    place.joins.work(NOW)
    assert b"customer-4711" not in path.read_bytes()
