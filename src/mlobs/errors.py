"""Every error mlobs raises to a person.

::

    MlobsError
    ├── ConfigurationError      (ValueError)   a setting that cannot hold
    ├── ProfileError            (ValueError)   a reference profile that cannot be built, read or merged
    ├── UnreadableError         (TypeError)    data of a kind mlobs does not read
    └── MissingDependencyError  (ImportError)  an optional package that is not installed

A message names the thing, the reason and the cure. Inside an observed call mlobs raises none of them: it counts.
"""

from __future__ import annotations

import reprlib
from typing import Final

_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


class MlobsError(Exception):
    """The root of everything mlobs raises."""


class ConfigurationError(MlobsError, ValueError):
    """A setting, an argument or an environment variable that cannot hold."""


class ProfileError(MlobsError, ValueError):
    """A reference profile that cannot be built, read, written or merged."""


class UnreadableError(MlobsError, TypeError):
    """Data of a kind that mlobs does not read.

    ``reason`` is the value of the ``reason`` attribute under which the loss is counted, ``rows`` how many rows it
    held as far as that could be told.
    """

    def __init__(self, message: str, *, reason: str = "unreadable", rows: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.rows = min(max(rows, 0), 2**40)  # a container may say anything of its length


class MissingDependencyError(MlobsError, ImportError):
    """An optional package that is not installed; the message says how to get it."""


def quoted(value: object) -> str:
    """As much of a value as a message has room for; what cannot be written, by its class."""
    try:
        return _SHORT.repr(value)
    except Exception:  # noqa: BLE001 - a whole number too long to be written, somebody's own __repr__
        return f"<{type(value).__name__}>"
