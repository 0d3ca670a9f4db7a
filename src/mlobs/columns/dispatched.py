"""Arrays of jax in the CPU's memory: what a call returns may not have been computed yet, and nobody waits for it but the folder.

jax is not imported. What is ready is copied; what is not is held, for its values cannot change, and read when it is folded.
A tracer stands for values that there are not: a function that is called with one is being compiled, and predicts nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import arrays
from mlobs.columns.kind import LARGE, SMALL, Kind, TracedError
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.columns.block import Block

_PATIENCE: Final = 0.5  # seconds that one fold waits for what has been dispatched
_TIRED: Final = 1.0  # seconds after a wait in vain in which nobody waits again: what else was dispatched is behind it
_STEP: Final = 0.001


class _Wait:
    """When somebody has last waited in vain."""

    ended = -_TIRED


def _rows(value: Any) -> int:  # noqa: ANN401 - a jax.Array
    return arrays.shape(value)[0]


def _check(value: Any) -> None:  # noqa: ANN401 - a jax.Array
    """Raises UnreadableError for what lies elsewhere, is gone, or is no numbers."""
    if value.is_deleted():
        raise UnreadableError("this array of jax was donated to a computation and is gone", rows=_rows(value))
    platforms = {device.platform for device in value.devices()}
    if platforms != {"cpu"} or not value.is_fully_addressable:
        raise UnreadableError(
            f"this array of jax is on {' and '.join(sorted(platforms))}, and reading it would keep its memory there. "
            "Give what is in the CPU's memory, of a call by observe(inputs=lambda *args, **kwargs: ...)",
            rows=_rows(value),
        )


def _copy(value: Any) -> Any:  # noqa: ANN401 - a jax.Array that is ready
    """A copy that leaves the array nothing: what jax remembers of `numpy.asarray` would keep its buffer from being donated."""
    try:
        return np.from_dlpack(value).copy()
    except (BufferError, RuntimeError, TypeError, ValueError):  # bfloat16, or in parts on several devices
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.kind == "V" else array.copy()


def _keep(value: Any) -> object:  # noqa: ANN401 - a jax.Array
    _check(value)
    if value.size > SMALL:
        return LARGE
    return _copy(value) if value.is_ready() else value


def _part(value: Any, step: int) -> Any:  # noqa: ANN401 - a jax.Array
    return _some(value, step if _rows(value) > 1 else 1)


def _values(value: Any, step: int) -> Any:  # noqa: ANN401 - a jax.Array
    return _some(value, step if value.ndim else 1)


def _some(value: Any, step: int) -> Any:  # noqa: ANN401 - a jax.Array
    """Every ``step``-th row, or the array itself where it is not ready."""
    _check(value)
    if value.is_ready():
        copy = _copy(value)
        return copy if step == 1 else copy[::step].copy()
    if step == 1:
        return value
    raise UnreadableError(
        "an array of jax too large to be held until it is ready", reason="ring_full", rows=_rows(value)
    )


def settled(kept: Any) -> Any:  # noqa: ANN401 - what was kept of any value
    """The values of an array that was held, by now; anything else as it is. Raises UnreadableError."""
    return kept if isinstance(kept, np.ndarray) or not hasattr(kept, "is_ready") else _settle([kept])[0]


def _settle(held: list[Any]) -> list[Any]:
    now = time.monotonic()
    until = now if now < _Wait.ended + _TIRED else now + _PATIENCE
    for value in held:
        _check(value)
        while not value.is_ready() and time.monotonic() < until:
            time.sleep(_STEP)
        if not value.is_ready():
            _Wait.ended = time.monotonic()
            raise UnreadableError("jax had not computed it by the time it was to be counted", rows=_rows(value))
    return [_copy(value) for value in held]


def _blocks(held: list[Any], features: int | None) -> Iterator[Block]:
    yield from arrays.blocks(_settle(held), features)


def _count(held: list[Any], features: int | None) -> list[int]:
    """By the shape alone: an array whose values are lost has had its rows."""
    return arrays.rows([np.broadcast_to(np.empty((), bool), value.shape) for value in held], features)


def _traced(value: object, *_: object) -> Any:  # noqa: ANN401 - stands in for functions of every return type
    raise TracedError(type(value).__name__)


ARRAY: Final = Kind(_keep, arrays.shape, _part, _blocks, _count, _values)
TRACER: Final = Kind(_traced, _traced, _traced, _traced, _traced, _traced)
