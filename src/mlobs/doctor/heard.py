"""What libraries say in their logs while something is tried."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlobs.otel import told

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Ear(logging.Handler):
    """Keeps messages, each once."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        message = record.getMessage()
        if message not in self._said:
            self._said.append(message)


@contextmanager
def heard(*names: str) -> Iterator[list[str]]:
    """The warnings of these loggers, which are told nowhere else meanwhile."""
    said: list[str] = []
    told.again()
    ear = _Ear(said)
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.propagate, logger.level, logger.disabled, logger.filters) for logger in loggers]
    for logger in loggers:
        logger.addHandler(ear)
        logger.propagate, logger.disabled, logger.filters = False, False, []  # OpenTelemetry's leave out repetitions
        logger.setLevel(logging.WARNING)
    try:
        yield said
    finally:
        for logger, (propagate, level, disabled, filters) in zip(loggers, before, strict=True):
            logger.removeHandler(ear)
            logger.propagate, logger.disabled, logger.filters = propagate, disabled, filters
            logger.setLevel(level)
        told.again()
