"""A file that is written whole or not at all, in the place of the one that is there."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW: Final = 0o666  # less the umask


@contextmanager
def replacement(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Text to be written to `path`: it stands there once the block has ended, and what was there until then.

    Permissions, and the owner where that may be, stay those of what is there; a link stays, and the file it leads to
    is replaced. Pipes and character devices, `/dev/null` say, are written into. Raises OSError, of `path`.
    """
    shown = Path(path)
    try:
        there = _there(shown)
        if there is not None and not stat.S_ISREG(there.st_mode):
            with shown.open("w", encoding="utf-8", newline="\n") as out:
                yield out
        else:
            with _beside(Path(os.path.realpath(shown)), there) as out:
                yield out
    except OSError as error:  # the file that waits is no concern of whoever reads this
        raise OSError(error.errno, error.strerror or str(error), os.fspath(shown)) from error


def _there(path: Path) -> os.stat_result | None:
    """What is at `path`, if anything is. Raises OSError for what takes no text: a folder, a disk, a socket."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not any(fits(found.st_mode) for fits in (stat.S_ISREG, stat.S_ISFIFO, stat.S_ISCHR)):
        raise OSError(errno.EINVAL, "is no file, pipe or character device")
    return found


@contextmanager
def _beside(target: Path, there: os.stat_result | None) -> Iterator[IO[str]]:
    """A file in the same folder, which takes the target's place; its name is short, for the target's may be of any length."""
    waiting = target.with_name(f".mlobs-{os.getpid()}-{os.urandom(4).hex()}")
    mode = _NEW if there is None else stat.S_IMODE(there.st_mode)
    try:
        # never readable by more than may read it in the end
        handle = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & _NEW)
        with open(handle, "w", encoding="utf-8", newline="\n") as out:  # noqa: PTH123 - of a handle
            if there is not None:
                _own(waiting, there)
                waiting.chmod(mode)
            yield out
        waiting.replace(target)
    finally:
        waiting.unlink(missing_ok=True)


def _own(waiting: Path, there: os.stat_result) -> None:
    """Give the file the owner and the group of another, or the group alone, as far as this process may."""
    made = waiting.stat()
    if made.st_uid != there.st_uid:
        with suppress(OSError):
            os.chown(waiting, there.st_uid, -1)
    if made.st_gid != there.st_gid:
        with suppress(OSError):
            os.chown(waiting, -1, there.st_gid)
