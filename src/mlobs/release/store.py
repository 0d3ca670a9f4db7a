"""Join stores: where predictions and truths wait for each other, by the ids that users have for them.

What a store keeps of a prediction is what a ticket holds, not sealed: model, version, variant, time, trace context,
predicted label and score; of a truth its value and time; of an id a hash. No feature is stored.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mlobs.errors import ConfigurationError, quoted
from mlobs.otel.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

REMOTE: Final = ("redis", "rediss", "unix")
# SQLite's names for memory, which each operation would find empty, and a URL that lacks slashes
_MISTYPED: Final = re.compile(r"\s*(?::memory:|(?:redis|rediss|unix|sqlite|file):)", re.IGNORECASE)
_EXPECTED: Final = (
    "expected 'sqlite' or None for a file of its own, a file's path, 'sqlite:///absolute/path', or a Redis server's "
    "'redis://host:6379/0', 'rediss://…' or 'unix:///path/of/socket'"
)


class Remembered(NamedTuple):
    """A prediction to be stored."""

    key: bytes
    """Hash of the id."""
    body: bytes
    time: float


class Told(NamedTuple):
    """A truth to be stored."""

    key: bytes
    truth: bytes
    time: float
    token: bytes
    """Random: tells the same truth, sent again because no answer came, from a second one."""


class Met(NamedTuple):
    """A truth that waited for its prediction."""

    truth: bytes
    time: float


class Swept(NamedTuple):
    """What a store has forgotten."""

    expired: int = 0
    """Predictions that grew older than the time to live without a truth."""
    unknown: int = 0
    """Truths that waited as long without a prediction."""
    full: int = 0
    """Predictions without truth, and truths without prediction, that made room for younger ones."""
    more: bool = False
    """Whether there is more to forget now; each call does a bounded part."""


class Session(Protocol):
    """The operations of a store. Each is atomic, over all threads, processes and machines that share the store.

    A pair is handed out once: by `take` where the truth came second, by `put` where the prediction did. They raise what
    the database raises; then nothing was done, or all of it was, and calling again with the same rows answers what the
    first call would have answered. Times are in seconds since the epoch.
    """

    def put(self, rows: Sequence[Remembered], now: float) -> list[Met | str | None]:
        """Store predictions. For each: the truth that waited; "duplicate_id", if another has this id; or None.

        Of two predictions with one id the first stays.
        """
        ...

    def take(self, rows: Sequence[Told], now: float) -> list[bytes | str | None]:
        """Join truths. For each: its prediction's body; a reason; or None, then it waits for its prediction.

        "duplicate": a truth for this id came before, and is not forgotten yet; "expired": the prediction is too old.
        """
        ...

    def sweep(self, now: float) -> Swept:
        """Forget a bounded part of what is too old, and of the oldest where there are more than `entries`."""
        ...


class Store(Protocol):
    """Keeps predictions until their truths come, and truths that come first: for `ttl` seconds, `entries` of them."""

    def session(self) -> AbstractContextManager[Session]:
        """The store, opened for an operation or a few: a fork may have to wait until it is closed."""
        ...


def open_store(url: str | None, *, ttl: float, entries: int) -> Store:
    """The store at a place. Nothing is connected or created until it is first used.

    `None` and "sqlite" are an SQLite file at `$XDG_STATE_HOME/mlobs/predictions.sqlite`, `~/.local/state` where that is
    not set. Raises ConfigurationError for a place that is none, MissingDependencyError for Redis without its package.
    """
    if url is None or url == "sqlite":
        return _embedded(default_path(os.environ), ttl, entries)
    if not isinstance(url, str):
        raise ConfigurationError(f"join_store={quoted(url)}: {_EXPECTED}.")
    scheme, separator, rest = url.partition("://")
    if scheme == "sqlite" and separator and rest.startswith("/") and len(rest) > 1:
        return _embedded(_file(rest, url), ttl, entries)
    if scheme in REMOTE and rest:
        from mlobs.release.redis_store import RedisStore

        return RedisStore(url, ttl=ttl, entries=entries)
    if separator or _MISTYPED.match(url):
        raise _refused(url)
    return _embedded(_file(url, url), ttl, entries)


def _file(path: str, url: str) -> Path:
    """A path that a file can have."""
    try:
        os.fsencode(path)  # half of a surrogate pair has no bytes
        if not path.strip() or "\0" in path:
            raise _refused(url)
        return Path(path).expanduser()
    except (RuntimeError, UnicodeError) as error:  # nobody of that name has a home here
        raise _refused(url) from error


def _refused(url: str) -> ConfigurationError:
    return ConfigurationError(f"join_store={shown(url)!r}: {_EXPECTED}.")


def default_path(environ: Mapping[str, str]) -> Path:
    """Where the embedded store lies unless told otherwise, as the XDG base directory specification has it."""
    state = Path(environ.get("XDG_STATE_HOME") or "-")
    if not state.is_absolute():  # the specification: a relative one is to be ignored
        state = Path(environ.get("HOME") or "~").expanduser() / ".local" / "state"
    return state / "mlobs" / "predictions.sqlite"


def _embedded(path: Path, ttl: float, entries: int) -> Store:
    from mlobs.release.sqlite_store import SqliteStore

    return SqliteStore(path, ttl=ttl, entries=entries)
