"""Ids that people give to predictions and events."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Final

import numpy as np

_LONGEST: Final = 512  # characters


def hashed(key: object) -> bytes | None:
    """What an id is called here: 16 bytes, whatever its length, and nothing of what it says.

    None for what is no id: text of 1 to 512 characters, a whole number or a UUID. Raises nothing.
    """
    try:
        text = key if type(key) is str else _text(key)
        if text is None or not 0 < len(text) <= _LONGEST:
            return None
        return hashlib.blake2b(text.encode(), digest_size=16).digest()
    except Exception:  # noqa: BLE001 - half of a surrogate pair, or somebody's subclass
        return None


def _text(key: Any) -> str | None:  # noqa: ANN401 - whatever arrives
    """The text of an id that is none: a number where it is served may be a text where the truth is read from a file."""
    kind = type(key)
    if issubclass(kind, str):
        return str.__str__(key)
    if issubclass(kind, np.integer) and not issubclass(kind, np.timedelta64):
        return str(int(key))
    if kind is int:
        return str(key) if abs(key) < 2**128 else None
    return str(key) if kind is uuid.UUID else None
