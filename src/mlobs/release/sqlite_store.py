"""The embedded join store: one SQLite file for the processes of one machine."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from mlobs.errors import ConfigurationError
from mlobs.release.forks import Forks
from mlobs.release.store import Met, Swept

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlobs.release.store import Remembered, Told

_APPLICATION: Final = 0x6D6C6F62  # "mlob", in the file's header: tells a store from somebody's database
_VERSION: Final = 1
_STEP: Final = 1000  # rows that one sweep forgets
_PAGES: Final = 2000  # that one sweep gives back to the file system
_PATIENCE: Final = 0.25  # seconds that one operation waits for another process; the caller tries again

_FORKS: Final = Forks()

# A row is a prediction (body), a truth that came first (truth, told, token), or both: then they are joined, and `early`
# says whether it was the prediction that found its truth.
_SCHEMA: Final = """
    CREATE TABLE entry (
        key BLOB PRIMARY KEY, time REAL NOT NULL, body BLOB, truth BLOB, told REAL, token BLOB, early INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX oldest ON entry (time);
"""


class SqliteStore:
    """A `Store` in a file: write-ahead log, any number of processes, readable for its owner only.

    What was acknowledged outlives the process, also one that is killed; a power failure may take the last moments, but
    not the file (`synchronous = NORMAL`). The write-ahead log needs shared memory: the file must lie on a disk of this
    machine, not on a network's.
    """

    def __init__(self, path: Path, *, ttl: float, entries: int) -> None:
        self._path = path
        self._ttl = ttl
        self._entries = entries

    @contextmanager
    def session(self) -> Iterator[SqliteSession]:
        """A connection of its own, 0.4 ms, and no fork meanwhile. Closing the last one writes the log into the file.

        A child that inherits a connection can neither use it nor open another to the same file: SQLite would take the
        parent's locks for its own. Where that has happened all the same, this raises ConfigurationError.
        """
        if _FORKS.torn:
            raise ConfigurationError(
                f"this process was forked while its parent wrote into the join store {self._path}, and cannot use it. "
                "Try: mlobs.configure(join_store='redis://…'), or start it with 'spawn'"
            )
        with _FORKS.kept_out(), closing(_connect(self._path)) as connection:
            yield SqliteSession(connection, self._ttl, self._entries)


class SqliteSession:
    """A `Session` over one connection."""

    def __init__(self, connection: sqlite3.Connection, ttl: float, entries: int) -> None:
        self._connection = connection
        self._ttl = ttl
        self._entries = entries

    def put(self, rows: Sequence[Remembered], now: float) -> list[Met | str | None]:
        """As `Session` says."""
        with self._writing() as cursor:
            return [_put(cursor, row, min(row.time, now)) for row in rows]

    def take(self, rows: Sequence[Told], now: float) -> list[bytes | str | None]:
        """As `Session` says."""
        with self._writing() as cursor:
            return [_take(cursor, row, now, now - self._ttl) for row in rows]

    def sweep(self, now: float) -> Swept:
        """As `Session` says."""
        with self._writing() as cursor:
            expired, unknown, old = _forget(cursor, "WHERE time < ?", (now - self._ttl, _STEP))
            over = full = 0
            if old < _STEP:  # else what is over may be too old as well
                over = cursor.execute("SELECT COUNT(*) FROM entry").fetchone()[0] - self._entries
            if over > 0:
                full = sum(_forget(cursor, "", (min(over, _STEP),))[:2])
        # a step of this statement gives back one page and no row: only `executescript` goes on to the end
        self._connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
        return Swept(expired, unknown, full, more=old == _STEP or over > _STEP)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        """A transaction that holds the only right to write from its beginning."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise


def _put(cursor: sqlite3.Cursor, row: Remembered, time: float) -> Met | str | None:
    cursor.execute("INSERT OR IGNORE INTO entry (key, time, body) VALUES (?, ?, ?)", (row.key, time, row.body))
    if cursor.rowcount:
        return None
    found = cursor.execute("SELECT body, truth, told, early FROM entry WHERE key = ?", (row.key,)).fetchone()
    body, truth, told, early = found
    if body is None:
        cursor.execute("UPDATE entry SET body = ?, early = 1 WHERE key = ?", (row.body, row.key))
    elif body != row.body:
        return "duplicate_id"
    elif not early:  # the same again, and no truth, or one that was joined where it came
        return None
    return Met(truth, told)


def _take(cursor: sqlite3.Cursor, row: Told, now: float, oldest: float) -> bytes | str | None:
    found = cursor.execute("SELECT time, body, token, early FROM entry WHERE key = ?", (row.key,)).fetchone()
    if found is None:
        cursor.execute(
            "INSERT INTO entry (key, time, truth, told, token) VALUES (?, ?, ?, ?, ?)",
            (row.key, min(row.time, now), row.truth, row.time, row.token),
        )
        return None
    time, body, token, early = found
    if token is not None:
        if token != row.token:
            return "duplicate"
        return None if body is None or early else bytes(body)  # the same again
    if time < oldest:
        return "expired"
    cursor.execute(
        "UPDATE entry SET truth = ?, told = ?, token = ? WHERE key = ?", (row.truth, row.time, row.token, row.key)
    )
    return bytes(body)


def _forget(cursor: sqlite3.Cursor, where: str, values: tuple[float, ...]) -> tuple[int, int, int]:
    """Delete the oldest rows: predictions without truth, truths without prediction, and how many in all."""
    rows = cursor.execute(
        f"SELECT key, truth IS NULL, body IS NULL FROM entry {where} ORDER BY time LIMIT ?",  # noqa: S608 - ours
        values,
    ).fetchall()
    cursor.executemany("DELETE FROM entry WHERE key = ?", [(row[0],) for row in rows])
    return sum(row[1] for row in rows), sum(row[2] for row in rows), len(rows)


def _connect(path: Path) -> sqlite3.Connection:
    import sqlite3

    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make it as the umask says
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the schema of a new file, or see that it is ours."""

    def pragma(text: str) -> int:
        row = connection.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row and isinstance(row[0], int) else 0

    if not pragma("page_count"):
        pragma("auto_vacuum = INCREMENTAL")  # before the first page is written
    if not pragma("application_id") and not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        pragma("journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not pragma("application_id"):  # nobody was faster
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                pragma(f"application_id = {_APPLICATION}")
                pragma(f"user_version = {_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.rollback()
            raise
    if pragma("application_id") != _APPLICATION:
        raise _refused(path, "is a database of something else")
    version = pragma("user_version")
    if version > _VERSION:
        raise _refused(path, f"was made by a newer mlobs: its schema is {version}, and this one knows {_VERSION}")
    pragma("synchronous = NORMAL")
    pragma("journal_size_limit = 4194304")


def _refused(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"the join store {path} {why}. Try: mlobs.configure(join_store='/another/file')")
