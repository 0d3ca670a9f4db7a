"""Rows of Python values put on top of each other."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns.block import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_TABLE: Final = 2  # dimensions
_NUMBERS: Final = frozenset(map(id, (float, int, bool, np.float64, np.float32, np.int64, np.bool_)))


def stacked(rows: list[list[Any]]) -> Iterator[Block]:
    """Rows without names as blocks, one a width."""
    widths: dict[int, list[list[Any]]] = {}
    for row in rows:
        widths.setdefault(len(row), []).append(row)
    for group in widths.values():
        yield stack(group, None)


def stack(rows: Sequence[Sequence[Any]], names: tuple[str, ...] | None) -> Block:
    """Rows of one width as a block."""
    array = _array(rows)
    # numpy makes text of a row that mixes numbers and strings, so only a numeric result may be used whole
    if array.ndim == _TABLE and array.dtype.kind in "biuf":
        mixed = array.dtype.kind == "f" and array.shape[1] > 1
        return Block(len(rows), names, [], array, rows if mixed else None)
    return Block(len(rows), names, list(zip(*rows, strict=True)))


def matrix(rows: Sequence[Sequence[Any]]) -> Any:  # noqa: ANN401 - an array of two dimensions, or the rows as they are
    """Rows of numbers as an array; others as they are, each a value that is none."""
    array = _array(rows)
    return array if array.ndim == _TABLE and array.dtype.kind in "biuf" else rows


def texts(cells: Iterable[object]) -> bool:
    """Whether a text is among them, or a list that may hold one: numpy would give each cell the room of the longest.

    Never raises: classes are told apart by identity, for a metaclass may hash as it likes.
    """
    classes = {id(cls): cls for cls in map(type, cells)}
    return any(issubclass(cls, (str, bytes, list, tuple)) for cls in classes.values())


def _array(rows: Sequence[Sequence[Any]]) -> Any:  # noqa: ANN401 - an array of any kind
    try:
        if set(map(id, map(type, chain.from_iterable(rows)))) <= _NUMBERS or not texts(chain.from_iterable(rows)):
            return np.array(rows)
    except (ValueError, TypeError, OverflowError):
        pass
    return np.empty(0, object)
