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


def undelivered(exporter: object, error: Exception | None = None) -> Answer:
    """Of an exporter of OpenTelemetry's or of somebody's own that says it failed, or raised."""
    name = type(exporter).__name__
    said = "reported a failure" if error is None else f"raised {type(error).__name__}: {error}".rstrip(".: ")
    return Answer(
        delivered=False, retryable=True, problem=f"{name} {said}. Look at its own log, and at where it sends to."
    )
