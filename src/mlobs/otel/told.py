"""Warnings about variables that cannot hold: several places read the same ones, and a process says each once."""

from __future__ import annotations

import logging
from typing import Final

_logger = logging.getLogger("mlobs")
_told: Final[set[str]] = set()


def tell(message: str, *values: object, of: str | None = None) -> None:
    """Log a warning, if this process has not yet said it in these words, or anything ``of`` the same."""
    said = message % values if of is None else of
    if said not in _told:
        _told.add(said)
        _logger.warning(message, *values)


def again() -> None:
    """What was told is news again."""
    _told.clear()
