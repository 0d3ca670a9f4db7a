"""What came of an export."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """What came of a request: ``body`` is the server's, ``problem`` says in a line what failed and the cure.

    ``rejected`` items of a delivered request were not taken, ``problem`` says why. ``large``: a smaller request may be taken.
    ``pause`` is how many seconds the server asks to be left alone.
    """

    delivered: bool
    retryable: bool = False
    body: bytes = b""
    problem: str = ""
    rejected: int = 0
    pause: float = 0.0
    large: bool = False
