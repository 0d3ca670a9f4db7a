"""Dicts: one row by name, or one sequence a column. What is nested in a row is named by its path: ``user.age``."""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import arrays, lookup, stack
from mlobs.columns.dispatched import settled
from mlobs.columns.kind import FLAT, LARGE, SMALL, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.columns.block import Block

_DEEPEST: Final = 8
_WIDEST: Final = 4096  # values of one nested row
_SEQUENCES: Final = (list, tuple)
_tracked = gc.is_tracked  # a dict that holds no container that could hold others is none of the collector's


class _Hint:
    """Whether rows lately held arrays beside single values: then every value is looked at, for an array may be large."""

    arrays = False


# ── what a dict holds ───────────────────────────────────────────────────────────────────────────────────────────────


def _simple(value: dict[Any, Any]) -> bool:
    """Whether this is, as far as can be told at once, a row of single values."""
    if _tracked(value) or _Hint.arrays:
        return False
    for first in value.values():
        return type(first) in FLAT or not isinstance(first, np.ndarray)
    return True


def _spread(value: dict[Any, Any]) -> dict[Any, Any]:
    """A dict whose values are no rows with names themselves."""
    for item in value.values():
        if type(item) not in FLAT and _inner(item) is not None:
            flat: dict[Any, Any] = {}
            _spread_into(flat, value, "", 0)
            return flat
    return value


def _spread_into(flat: dict[Any, Any], value: dict[Any, Any], path: str, depth: int) -> None:
    for name, item in value.items():
        inner = None if type(item) in FLAT else _inner(item)
        if inner is None:
            flat[f"{path}{name}" if path else name] = item
        elif depth < _DEEPEST and len(flat) < _WIDEST:
            _spread_into(flat, inner, f"{path}{name}.", depth + 1)
        else:
            flat[f"{path}{name}"] = []


def _inner(item: Any) -> dict[Any, Any] | None:  # noqa: ANN401 - any value
    """A row with names inside another."""
    if isinstance(item, dict):
        return item
    spread = lookup.kind_of(type(item)).spread
    return None if spread is None else spread(item)


def _is_column(item: Any) -> bool:  # noqa: ANN401 - any value
    """Whether a dict that begins with this value is one of columns."""
    if type(item) in FLAT:
        return False
    if isinstance(item, _SEQUENCES):
        return True
    return lookup.kind_of(type(item)).values is not None and getattr(item, "ndim", 1) != 0


def _columnar(flat: dict[Any, Any]) -> bool:
    for first in flat.values():
        return _is_column(first)
    return False


def taken(item: Any, step: int) -> Any:  # noqa: ANN401 - any value
    """A copy of every ``step``-th value of a column."""
    if type(item) in FLAT:
        return item
    if isinstance(item, _SEQUENCES):
        column = list(item[::step])
        if column and isinstance(column[0], (*_SEQUENCES, np.ndarray)):
            column = [row.copy() if isinstance(row, (list, np.ndarray)) else row for row in column]
        return column
    values = lookup.kind_of(type(item)).values
    return item if values is None else values(item, step)


def cell(item: Any) -> Any:  # noqa: ANN401 - any value
    """One value of a row. A container in its place is no value: it stands there as an empty list."""
    if type(item) in FLAT:
        return item
    if isinstance(item, _SEQUENCES):
        return item[0] if len(item) == 1 and type(item[0]) in FLAT else []
    kind = lookup.kind_of(type(item))
    if kind.values is not None:
        if getattr(item, "ndim", 1) == 0:
            return kind.values(item, 1)[()]
        return []
    return [] if kind.spread is not None else item  # a category may be of any class


def row(value: dict[Any, Any]) -> dict[Any, Any]:
    """A copy of a dict that is one row, as those of a list are."""
    if _simple(value):
        return value.copy()
    return {name: cell(item) for name, item in _spread(value).items()}


def size(item: Any) -> int:  # noqa: ANN401 - any value
    """How many values there are in one."""
    if type(item) in FLAT:
        return 1
    if isinstance(item, _SEQUENCES):
        return len(item) * (size(item[0]) if item and isinstance(item[0], (*_SEQUENCES, np.ndarray)) else 1)
    shape = getattr(item, "shape", None)
    if isinstance(shape, tuple):
        return math.prod(shape)
    return len(item) if hasattr(type(item), "__len__") else 1


# ── the kind ────────────────────────────────────────────────────────────────────────────────────────────────────────


def keep(value: dict[Any, Any]) -> object:
    """A copy of a small dict."""
    if len(value) > SMALL:
        return LARGE
    if _simple(value):
        return value.copy()
    flat = _spread(value)
    if _columnar(flat):
        if sum(map(size, flat.values())) > SMALL:
            return LARGE
        return {name: taken(item, 1) for name, item in flat.items()}
    return LARGE if len(flat) > SMALL else {name: cell(item) for name, item in flat.items()}


def shape(value: dict[Any, Any]) -> tuple[int, int]:
    """Rows and values a row."""
    if _simple(value):
        return 1, len(value)
    flat = _spread(value)
    if _columnar(flat):
        count = len(next(iter(flat.values())))
        return count, -(-sum(map(size, flat.values())) // max(1, count))
    return 1, len(flat)


def part(value: dict[Any, Any], step: int) -> dict[Any, Any]:
    """A copy of every ``step``-th row."""
    if _simple(value):
        return value.copy()
    flat = _spread(value)
    if _columnar(flat):
        return {name: taken(item, step) for name, item in flat.items()}
    return {name: cell(item) for name, item in flat.items()}


def blocks(dicts: list[dict[Any, Any]], features: int | None) -> Iterator[Block]:
    """Many dicts as blocks of rows."""
    del features
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for one in dicts:
        if _columnar(one):
            yield _columns(one)
        else:
            groups.setdefault(tuple(one), []).append(tuple(one.values()))
    for names, group in groups.items():
        if not _Hint.arrays and any(isinstance(item, np.ndarray) for item in group[0]):
            _Hint.arrays = True
        yield stack.stack(group, tuple(map(str, names)))


def rows(dicts: list[dict[Any, Any]], features: int | None) -> list[int]:
    """How many rows each dict has."""
    del features
    return [_columns(value).rows if _columnar(value) else 1 for value in dicts]


def _columns(value: dict[Any, Any]) -> Block:
    count = len(next(iter(value.values())))
    return arrays.named([(str(name), _values(item, count)) for name, item in value.items()])


def _values(column: Any, count: int) -> Any:  # noqa: ANN401 - what was kept of one column
    """The values of a column; a single value beside columns is that of every row."""
    column = settled(column)
    if not isinstance(column, (*_SEQUENCES, np.ndarray)):
        return [column] * count
    if isinstance(column, np.ndarray) and not column.ndim:
        return np.repeat(column, count)
    if not isinstance(column, np.ndarray) and column and isinstance(column[0], (*_SEQUENCES, np.ndarray)):
        return stack.matrix(column) if len(column[0]) > 1 else [cell(item) for item in column]
    return column


DICT: Final = Kind(keep, shape, part, blocks, rows)
