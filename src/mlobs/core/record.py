"""What a rare call leaves: one that failed, was slow, or has a span."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from mlobs.core.monitor import Monitor


class Failure(NamedTuple):
    """What is kept of an exception: never the object, which holds the caller's frames and values."""

    type: str
    frames: tuple[tuple[str, int, str], ...]
    message: str | None


class Extra(NamedTuple):
    """What a rare call has beside its numbers.

    When it began (perf_counter_ns), its live span, its failure, and whether it ran under no other span: only then
    may a span be made after the fact, for under a request the request's sampling has been decided. ``capture``: what of its
    data may be on a span.
    """

    began: int
    span: Span | None
    failure: Failure | None
    alone: bool
    capture: frozenset[str] = frozenset()


class Record(NamedTuple):
    """A call with more to say than its numbers: it failed, was slow, or has a span."""

    took: int
    cpu: int
    kept: Any
    answer: Any
    extra: Extra


After = Callable[["Monitor", Record, "int | None"], "Span | None"]
