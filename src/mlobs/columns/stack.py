"""Rows of Python values put on top of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlobs.columns.block import Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TABLE = 2  # dimensions


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
        return Block(len(rows), names, [], array)
    return Block(len(rows), names, list(zip(*rows, strict=True)))


def matrix(rows: Sequence[Sequence[Any]]) -> Any:  # noqa: ANN401 - an array of two dimensions, or the rows as they are
    """Rows of numbers as an array; others as they are, each a value that is none."""
    array = _array(rows)
    return array if array.ndim == _TABLE and array.dtype.kind in "biuf" else rows


def _array(rows: Sequence[Sequence[Any]]) -> Any:  # noqa: ANN401 - an array of any kind
    try:
        return np.array(rows)
    except (ValueError, TypeError, OverflowError):
        return np.empty(0, object)
