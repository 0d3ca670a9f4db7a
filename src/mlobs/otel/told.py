"""Warnings about variables that cannot hold: several places read the same ones, and a process says each once."""

from __future__ import annotations

import logging
from typing import Final

_logger = logging.getLogger("mlobs")
_told: Final[set[str]] = set()


def tell(message: str, *values: object) -> None:
    """Log a warning, if this process has not yet said it in these words."""
    text = message % values
    if text not in _told:
        _told.add(text)
        _logger.warning(message, *values)


def again() -> None:
    """What was told is news again."""
    _told.clear()
