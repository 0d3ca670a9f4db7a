"""Numbers in the small files of the Linux kernel. What cannot be read or understood is None or left out."""

from __future__ import annotations

import os


def content(path: str) -> bytes:
    """A file's bytes; none where it cannot be read. One read: a second could belong to another moment."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(handle, 65536)
    except OSError:  # a controller that is off: EOPNOTSUPP
        return b""
    finally:
        os.close(handle)


def number(path: str) -> int | None:
    """The whole number a file holds; None for ``max``, which is no limit."""
    return whole(content(path))


def whole(text: bytes) -> int | None:
    """A whole number, or None; so is one that no exporter could send."""
    try:
        value = int(text)
    except ValueError:
        return None
    return value if abs(value) < 1 << 63 else None


def table(path: str) -> dict[bytes, int]:
    """Lines of a name and a number, as in ``memory.stat``; others are left out."""
    found = {}
    for line in content(path).splitlines():
        name, _, rest = line.partition(b" ")
        value = whole(rest)
        if value is not None:
            found[name] = value
    return found
