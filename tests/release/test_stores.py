"""Join stores: SQLite and Redis keep the same promises."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.release.redis_server import Server

from mlobs.errors import ConfigurationError, MissingDependencyError
from mlobs.release.store import Met, Remembered, Session, Store, Swept, Told, default_path, open_store

TTL = 100.0
NOW = 1_700_000_000.0
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    started = Server(tmp_path_factory.mktemp("redis"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/some/where/predictions.sqlite"
    server: Server = request.getfixturevalue("server")
    import redis

    with closing(redis.Redis.from_url(server.url)) as client:
        client.flushall()
    return server.url


Opener = Callable[..., AbstractContextManager[Session]]


@pytest.fixture
def opened(url: str) -> Opener:
    return lambda ttl=TTL, entries=1000: open_store(url, ttl=ttl, entries=entries).session()


def prediction(key: str, body: str = "", time: float = NOW) -> Remembered:
    return Remembered(key.encode().ljust(16, b"\0"), (body or f"body of {key}").encode() + b"\0\xff", time)


def truth(key: str, value: str = "1", time: float = NOW, token: str = "") -> Told:
    return Told(key.encode().ljust(16, b"\0"), value.encode() + b"\0\xff", time, (token or f"{key} {value}").encode())


def body(key: str) -> bytes:
    return prediction(key).body


def test_a_truth_finds_its_prediction_once(opened: Opener) -> None:
    """The truth that comes second gets the prediction, a later one is a duplicate."""
    with opened() as session:
        assert session.put([prediction("a"), prediction("b")], NOW) == [None, None]
        assert session.take([truth("a")], NOW) == [body("a")]
        assert session.take([truth("a", "2"), truth("b")], NOW) == ["duplicate", body("b")]


def test_a_prediction_finds_the_truth_that_waits(opened: Opener) -> None:
    """The truth that comes first waits, and the prediction gets it; a second truth meanwhile is a duplicate."""
    with opened() as session:
        assert session.take([truth("a", time=NOW + 0.125)], NOW + 1) == [None]
        assert session.take([truth("a", "2")], NOW + 1) == ["duplicate"]
        assert session.put([prediction("a")], NOW + 2) == [Met(truth("a").truth, NOW + 0.125)]
        assert session.take([truth("a", "3")], NOW + 3) == ["duplicate"]


def test_the_first_prediction_of_an_id_stays(opened: Opener) -> None:
    """A second prediction with the same id is refused, in one call and in two, before the truth and after."""
    with opened() as session:
        assert session.put([prediction("a"), prediction("a", "other")], NOW) == [None, "duplicate_id"]
        assert session.put([prediction("a", "other")], NOW) == ["duplicate_id"]
        assert session.take([truth("a")], NOW) == [body("a")]
        assert session.put([prediction("a", "other")], NOW) == ["duplicate_id"]


def test_one_session_sees_what_another_left(opened: Opener) -> None:
    """What was stored is there in the next session."""
    with opened() as session:
        session.put([prediction("a")], NOW)
        session.take([truth("b")], NOW)
    with opened() as session:
        assert session.take([truth("a")], NOW) == [body("a")]
        assert session.put([prediction("b")], NOW) == [Met(truth("b").truth, NOW)]


def test_the_same_again_answers_the_same(opened: Opener) -> None:
    """An operation repeated because its answer was lost answers as the first time, and joins nothing twice."""
    with opened() as session:
        for _ in range(2):
            assert session.put([prediction("a")], NOW) == [None]
        for _ in range(2):
            assert session.take([truth("a")], NOW) == [body("a")]
        assert session.put([prediction("a")], NOW) == [None]  # joined by the truth, and not again by this
        for _ in range(2):
            assert session.take([truth("b")], NOW) == [None]
        for _ in range(2):
            assert session.put([prediction("b")], NOW) == [Met(truth("b").truth, NOW)]
        assert session.take([truth("b")], NOW) == [None]  # joined by the prediction


def test_the_oldest_are_forgotten(opened: Opener) -> None:
    """After the time to live predictions, waiting truths and pairs are gone, and each is counted as what it was."""
    with opened() as session:
        session.put([prediction("a"), prediction("b"), prediction("c", time=NOW + 50)], NOW + 50)
        session.take([truth("b"), truth("d"), truth("e")], NOW)
        assert session.sweep(NOW + TTL) == Swept()
        assert session.take([truth("a")], NOW + TTL + 1) == ["expired"]
        assert session.sweep(NOW + TTL + 1) == Swept(expired=1, unknown=2)
        assert session.sweep(NOW + TTL + 1) == Swept()
        assert session.take([truth("a"), truth("b"), truth("c")], NOW + TTL + 1) == [None, None, body("c")]
        assert session.put([prediction("d", "again")], NOW + TTL + 1) == [None]


def test_no_more_than_so_many(opened: Opener) -> None:
    """Beyond the bound the oldest go; those that were joined are no loss and are not counted."""
    with opened(entries=10) as session:
        session.put([prediction(f"{number:02}", time=NOW + number) for number in range(20)], NOW + 20)
        session.take([truth(f"{number:02}") for number in range(4)], NOW + 20)
        session.take([truth("early", time=NOW + 4.5)], NOW + 20)
        assert session.sweep(NOW + 20) == Swept(full=7)
        assert session.take([truth("09"), truth("10")], NOW + 20) == [None, b"body of 10" + b"\0\xff"]


def test_a_sweep_is_bounded(opened: Opener) -> None:
    """Very many entries are forgotten in several steps, that say so and count each once."""
    with opened() as session:
        rows = iter([prediction(str(number)) for number in range(12_000)])
        while batch := list(islice(rows, 500)):
            session.put(batch, NOW)
        swept = [session.sweep(NOW + 2 * TTL)]
        while swept[-1].more:
            swept.append(session.sweep(NOW + 2 * TTL))
        assert len(swept) > 2
        assert sum(one.expired for one in swept) == 12_000


def test_a_clock_that_is_ahead_keeps_nothing_for_ever(opened: Opener) -> None:
    """A time in the future counts as now."""
    with opened() as session:
        session.put([prediction("a", time=NOW * 2)], NOW)
        session.take([truth("b", time=NOW * 2)], NOW)
        assert session.sweep(NOW + TTL + 1) == Swept(expired=1, unknown=1)


def test_nothing_is_joined_of_nothing(opened: Opener) -> None:
    """No rows are no answers."""
    with opened() as session:
        assert session.put([], NOW) == session.take([], NOW) == []
        assert session.sweep(NOW) == Swept()


Step = tuple[str, int, int]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "take"]), st.integers(0, 4), st.integers(0, 2)), max_size=25))
def test_both_stores_are_the_same(tmp_path: Path, server: Server, steps: list[Step]) -> None:
    """Any sequence of predictions and truths, repeated ones among them, is answered alike by both."""
    import redis

    with closing(redis.Redis.from_url(server.url)) as client:
        client.flushall()
    (tmp_path / "same.sqlite").unlink(missing_ok=True)
    answers = []
    for place in (str(tmp_path / "same.sqlite"), server.url):
        with open_store(place, ttl=TTL, entries=6).session() as session:
            said: list[Any] = []
            for number, (verb, key, which) in enumerate(steps):
                now = NOW + 10 * number
                if verb == "put":
                    said += session.put([prediction(str(key), str(which), now)], now)
                else:
                    said += session.take([truth(str(key), str(which), now)], now)
                if number % 5 == 4:
                    said.append(session.sweep(now))
            answers.append(said)
    assert answers[0] == answers[1]


# ── many processes ──────────────────────────────────────────────────────────────────────────────────────────────────


def _insist(operation: Callable[..., list[Any]], *arguments: Any) -> list[Any]:
    """As mlobs does: what failed is tried again with the same rows."""
    while True:
        try:
            return operation(*arguments)
        except sqlite3.OperationalError:
            continue


def _work_on(url: str, number: int, ids: int, barrier: Any, found: Any) -> None:
    store = open_store(url, ttl=TTL, entries=10 * ids)
    joined, reasons = [], Counter[str]()
    barrier.wait()
    for start in range(0, ids, 50):
        keys = [str(key) for key in range(start, start + 50)]
        if number % 2:
            keys.reverse()
        predictions = [prediction(key, f"by {number}") for key in keys]
        truths = [truth(key, f"by {number}") for key in keys]
        steps = ("put", predictions), ("take", truths)
        for verb, rows in steps if number % 3 else reversed(steps):
            answers = _insist(lambda verb=verb, rows=rows: _session(store, verb, rows))
            for key, answer in zip(keys, answers, strict=True):
                if isinstance(answer, str):
                    reasons[answer] += 1
                elif answer is not None:
                    joined.append(key)
    found.put((joined, reasons))


def _session(store: Store, verb: str, rows: list[Any]) -> list[Any]:
    with store.session() as session:
        return getattr(session, verb)(rows, NOW)  # type: ignore[no-any-return]


def test_each_pair_is_handed_out_once_over_all_processes(url: str) -> None:
    """Four processes store the same ids and bring truths for them at once: each id is joined once, the rest is told."""
    ids, processes = 500, 4
    barrier, found = SPAWN.Barrier(processes), SPAWN.Queue()
    workers = [SPAWN.Process(target=_work_on, args=(url, one, ids, barrier, found)) for one in range(processes)]
    for worker in workers:
        worker.start()
    results = [found.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    joined = Counter(key for keys, _ in results for key in keys)
    assert joined == {str(key): 1 for key in range(ids)}
    reasons: Counter[str] = sum((said for _, said in results), Counter())
    assert reasons == {"duplicate": (processes - 1) * ids, "duplicate_id": (processes - 1) * ids}


def _store_until_killed(url: str, acknowledged: Any) -> None:
    store = open_store(url, ttl=TTL, entries=10**6)
    with store.session() as session:
        for start in range(0, 10**6, 10):
            session.put([prediction(str(key)) for key in range(start, start + 10)], NOW)
            acknowledged.send(start + 10)


def test_what_was_acknowledged_outlives_a_kill(url: str) -> None:
    """A process killed amid its work has lost nothing that the store had taken, and the store works on."""
    reader, writer = SPAWN.Pipe(duplex=False)
    worker = SPAWN.Process(target=_store_until_killed, args=(url, writer))
    worker.start()
    writer.close()
    while reader.recv() < 300:
        pass
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    known = 300
    try:
        while True:
            known = reader.recv()
    except EOFError:
        pass
    with open_store(url, ttl=TTL, entries=10**6).session() as session:
        answers = session.take([truth(str(key)) for key in range(known)], NOW)
    assert answers == [body(str(key)) for key in range(known)]


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody but the owner may read the file, its log or the folder made for it; nothing is made before it is used."""
    path = tmp_path / "new" / "predictions.sqlite"
    store = open_store(str(path), ttl=TTL, entries=10)
    assert not path.parent.exists()
    with store.session() as session:
        session.put([prediction("a")], NOW)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {f"predictions.sqlite{end}": 0o600 for end in ("", "-wal", "-shm")}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["predictions.sqlite"]  # the log is written back


def test_the_file_stays_bounded(tmp_path: Path) -> None:
    """What was swept is given back to the file system."""
    path = tmp_path / "predictions.sqlite"
    with open_store(str(path), ttl=TTL, entries=10**6).session() as session:
        for start in range(0, 20_000, 500):
            session.put([prediction(str(key)) for key in range(start, start + 500)], NOW)
    full = path.stat().st_size
    with open_store(str(path), ttl=TTL, entries=10**6).session() as session:
        while session.sweep(NOW + 2 * TTL).more:
            pass
    assert path.stat().st_size < full / 10


def test_a_newer_store_and_other_peoples_databases_are_left_alone(tmp_path: Path) -> None:
    """A schema of a later version, a database of something else and a file that is none are told, and not changed."""
    newer, other, none = tmp_path / "newer", tmp_path / "other", tmp_path / "none"
    with open_store(str(newer), ttl=TTL, entries=10).session() as session:
        session.put([prediction("a")], NOW)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    none.write_text("no database\n" * 1000)
    before = [path.read_bytes() for path in (newer, other, none)]
    with pytest.raises(ConfigurationError, match="made by a newer mlobs"), _opened(newer):
        pass
    with pytest.raises(ConfigurationError, match=r"database of something else.*join_store="), _opened(other):
        pass
    with pytest.raises(sqlite3.DatabaseError, match="not a database"), _opened(none):
        pass
    assert [path.read_bytes() for path in (newer, other, none)] == before


def _opened(path: Path) -> AbstractContextManager[Session]:
    return open_store(str(path), ttl=TTL, entries=10).session()


def test_a_locked_file_is_told_soon(tmp_path: Path) -> None:
    """An operation waits a moment for another process's lock, fails, and does all of it the next time."""
    path = tmp_path / "predictions.sqlite"
    with _opened(path) as session:
        session.put([prediction("a")], NOW)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                session.put([prediction("b")], NOW)
            other.execute("COMMIT")
        assert session.put([prediction("b")], NOW) == [None]
        assert session.take([truth("a"), truth("b")], NOW) == [body("a"), body("b")]


def test_a_full_disk_takes_all_or_nothing(tmp_path: Path) -> None:
    """Where the file may not grow, an operation fails as a whole; what was stored stays, and later it works again."""
    path = tmp_path / "predictions.sqlite"
    with _opened(path) as session:
        session.put([prediction("a")], NOW)
    code = f"""
import resource, signal, sqlite3
from mlobs.release.store import Remembered, open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
with open_store({str(path)!r}, ttl={TTL}, entries=10**6).session() as session:
    try:
        session.put([Remembered(str(key).encode(), bytes(500), {NOW}) for key in range(500)], {NOW})
    except sqlite3.OperationalError as error:
        print(error)
    print(session.put([Remembered(b"small", b"body", {NOW})], {NOW}))
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True, stderr=subprocess.STDOUT)
    assert said.splitlines() in (["disk I/O error", "[None]"], ["database or disk is full", "[None]"])
    with _opened(path) as session:
        assert session.sweep(NOW) == Swept()
        again = session.put([Remembered(str(key).encode(), bytes(500), NOW) for key in range(500)], NOW)
        assert again == [None] * 500
        assert session.take([truth("a")], NOW) == [body("a")]


# ── addresses ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "postgres://x", "sqlite://", "sqlite:///", "sqlite://relative", "redis://", "a\0b", 7, b"x"),
        *("\ud800", "sqlite:///a\0b", "~nobody-of-this-name/x"),
        *(
            ":memory:",
            "file::memory:",
            "sqlite:/x",
            "redis:localhost:6379",
            "rediss:/h",
            "unix:/run/redis.sock",
            "Redis:h",
        ),
    ],
)
def test_an_address_that_is_none_is_refused(url: Any) -> None:
    """What is no place for a store raises with what would be one."""
    with pytest.raises(ConfigurationError, match="sqlite:///absolute/path"):
        open_store(url, ttl=TTL, entries=10)


def test_a_password_is_not_told() -> None:
    """An error about an address does not quote its password."""
    for url in (
        "redsi://me:secret@host/0",
        "redis://me:secret@host:port/0",
        "sqlite://me:secret@[",
        "redis:/:secret@host:6379/0",
        "rediss:me:secret@host",
        "redsi://me:sec?ret@host",
        "redsi://host?password=secret@x",
    ):
        with pytest.raises(ConfigurationError) as caught:
            open_store(url, ttl=TTL, entries=10)
        assert not {"secret", "sec", "ret"} & set(re.findall(r"\w+", str(caught.value)))


def test_without_redis_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed, the error says how to get it."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingDependencyError, match=r"Try: pip install redis$"):
        open_store("redis://localhost", ttl=TTL, entries=10)


def test_the_default_place_is_that_of_the_desktop_specification() -> None:
    """$XDG_STATE_HOME where it is an absolute path, else ~/.local/state."""
    end = Path("mlobs") / "predictions.sqlite"
    assert default_path({"XDG_STATE_HOME": "/var/state", "HOME": "/home/me"}) == Path("/var/state") / end
    for environ in (
        {"HOME": "/home/me"},
        {"XDG_STATE_HOME": "", "HOME": "/home/me"},
        {"XDG_STATE_HOME": "x", "HOME": "/home/me"},
    ):
        assert default_path(environ) == Path("/home/me/.local/state") / end


def test_none_is_the_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an address the store lies at the default place."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for url in (None, "sqlite"):
        with open_store(url, ttl=TTL, entries=10).session() as session:
            session.put([prediction("a")], NOW)
    assert (tmp_path / "mlobs" / "predictions.sqlite").exists()
