"""Plain Python: lists, tuples and single values; what lists hold may be of any kind."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import arrays, dicts, frames, lookup, parts, stack
from mlobs.columns.block import Block
from mlobs.columns.kind import FLAT, LARGE, SMALL, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_FEW: Final = 8  # a tuple of several things has no more
_ROWS: Final = (list, dict, tuple)
_MUTABLE: Final = (list, np.ndarray)
_tracked = gc.is_tracked


# ── the caller's thread ─────────────────────────────────────────────────────────────────────────────────────────────


def _keep_list(value: list[Any]) -> object:
    count = len(value)
    if count > SMALL:
        return LARGE
    if not count or type(value[0]) in FLAT:
        return value.copy()
    first = value[0]
    if not isinstance(first, _ROWS):
        return _keep_items(value)
    if count * len(first) > SMALL:
        return LARGE
    if isinstance(first, dict):
        try:
            kept = [_row(row) if _tracked(row) else row.copy() for row in value]
        except AttributeError:  # None among dicts, say
            kept = list(map(_row, value))
        return LARGE if _tracked(first) and sum(map(_size, kept)) > SMALL else kept
    return [row.copy() if isinstance(row, _MUTABLE) else row for row in value]


def _keep_tuple(value: tuple[Any, ...]) -> object:
    if len(value) > SMALL:
        return LARGE
    if not value or type(value[0]) in FLAT:
        if len(value) > _FEW or all(type(item) in FLAT for item in value):
            return value
    elif isinstance(value[0], (dict, tuple)):
        return _keep_list(list(value))
    kept = _keep_items(list(value))
    return tuple(kept) if isinstance(kept, list) else kept


def _keep_items(value: list[Any]) -> object:
    """A copy of a list of containers, or of what only looks like that."""
    spread = lookup.kind_of(type(value[0])).spread
    if spread is not None:
        first = spread(value[0])
        if len(value) * len(first) > SMALL:
            return LARGE
        return list(map(_row, value))
    kept = []
    size = 0
    for item in value:
        one = _taken(item, 1, small=True)
        if one is LARGE:
            return LARGE
        size += _size(one)
        if size > SMALL:
            return LARGE
        kept.append(one)
    return kept


def _row(item: Any) -> Any:  # noqa: ANN401 - an item of a list
    """One row of a list of rows with names."""
    spread = dict if isinstance(item, dict) else lookup.kind_of(type(item)).spread
    return item if spread is None else dicts.row(spread(item))


def _taken(item: Any, step: int, *, small: bool = False) -> Any:  # noqa: ANN401 - an item of a list
    """A copy of an item, or of every ``step``-th of its rows; single values as they are."""
    if type(item) in FLAT or not lookup.readable(type(item)):
        return item
    kind = lookup.kind_of(type(item))
    if kind.spread is not None or isinstance(item, dict):
        return _row(item)
    if isinstance(item, (list, tuple)):
        return LARGE if small and len(item) > SMALL else dicts.taken(item, step)
    kept = kind.keep(item) if small else kind.part(item, step)
    if isinstance(kept, frames.Row) and kept.labels is None:
        return kept.values
    return kept


def _size(item: Any) -> int:  # noqa: ANN401 - an item of a list
    cls = type(item)
    if cls in FLAT or not lookup.readable(cls):
        return 1
    if isinstance(item, np.ndarray) or cls is list:
        return dicts.size(item)
    rows, width = lookup.kind_of(cls).shape(item)
    return rows * width


def _shape_list(value: Sequence[Any]) -> tuple[int, int]:
    first: Any = value[0] if value else None
    if type(first) in FLAT or not lookup.readable(type(first)):
        return (1, len(value)) if len(value) <= arrays.WIDEST else (len(value), 1)
    kind = lookup.kind_of(type(first))
    if isinstance(first, dict) or kind.spread is not None:
        return len(value), len(_row(first))
    if _of_rows(value):
        return len(value), len(first)
    if parts.beside(value):
        shapes = [(len(first), -(-dicts.size(item) // max(1, len(first)))) for item in value]
        return len(first), sum(width for _, width in shapes)
    shapes = [_shape_item(item) for item in value]
    count = sum(rows for rows, _ in shapes)
    return count, -(-sum(rows * width for rows, width in shapes) // max(1, count))


def _of_rows(value: Sequence[Any]) -> bool:
    """Whether each item is a row: a sequence, or something like an array of one dimension."""
    if _is_sequence(value[0]):
        return not _of_columns(value)
    return not isinstance(value, tuple) and all(parts.is_array(item, 1) for item in value)


def _of_columns(value: Sequence[Any]) -> bool:
    """Whether a tuple of lists is one of columns for sure: it holds an array, too, or they are longer than a row."""
    if not isinstance(value, tuple) or len(value) > _FEW:
        return False
    lists = all(isinstance(item, list) and len(item) > arrays.WIDEST for item in value)
    return lists or any(isinstance(item, np.ndarray) for item in value)


def _shape_item(item: Any) -> tuple[int, int]:  # noqa: ANN401 - an item of a list
    if lookup.readable(type(item)) and type(item) not in FLAT:
        return lookup.kind_of(type(item)).shape(item)
    return 1, 1


def _part_list(value: Sequence[Any], step: int) -> list[Any]:
    if _shape_list(value)[0] == 1:
        step = 1
    first = value[0] if value else None
    if type(first) in FLAT:
        return list(value[::step])
    if isinstance(first, (list, tuple)) and not _of_columns(value):
        return [row.copy() if isinstance(row, _MUTABLE) else row for row in value[::step]]
    if isinstance(first, dict) or lookup.kind_of(type(first)).spread is not None:
        return [_row(row) for row in value[::step]]
    if not parts.beside(value) and len(value) >= step:
        return [_taken(item, 1) for item in value[::step]]
    return [_taken(item, step) for item in value]


def _part_tuple(value: tuple[Any, ...], step: int) -> object:
    if value and isinstance(value[0], (dict, tuple)):
        return _part_list(list(value), step)
    return tuple(_part_list(value, step))


# ── mlobs' own thread ───────────────────────────────────────────────────────────────────────────────────────────────


def _blocks_list(lists: list[list[Any]], features: int | None) -> Iterator[Block]:
    flat: list[list[Any]] = []
    for value in lists:
        first = _first(value)
        if isinstance(first, dict):
            rows = [dicts.row(row) if _tracked(row) else row for row in value if isinstance(row, dict)]
            yield from dicts.blocks(rows, features)
            yield from _odd(row for row in value if not isinstance(row, dict))
        elif lookup.kind_of(type(first)).spread is not None:  # named tuples
            yield from _blocks_list([[_row(row) for row in value]], features)
        elif _is_sequence(first):
            flat.extend(row if isinstance(row, list) else _listed(row) for row in value)
        elif _is_scalar(first):
            if _alone(value, features):
                flat.extend([item] for item in value)
            elif value:
                flat.append(value)
        else:
            yield from parts.blocks(value, features)
    yield from stack.stacked(flat)


def _rows_list(lists: list[list[Any]], features: int | None) -> list[int]:
    return [_count(value, features) for value in lists]


def _count(value: list[Any], features: int | None) -> int:
    first = _first(value)
    if not value or isinstance(first, dict) or _is_sequence(first):
        return len(value)
    if _is_scalar(first):
        return len(value) if _alone(value, features) else 1
    return sum(block.rows for block in parts.blocks(value, features))


def _blocks_tuple(tuples: list[tuple[Any, ...]], features: int | None) -> Iterator[Block]:
    """A tuple is several things that belong together: one row, or the columns of many."""
    flat: list[list[Any]] = []
    lists: list[list[Any]] = []
    for value in tuples:
        first = _first(value)
        if _is_scalar(first):
            if _apart(value, features):
                flat.extend([item] for item in value)
            elif value:
                flat.append(_spread(value))
        elif isinstance(first, list) and not parts.columns(value, features):
            lists.append(list(value))
        else:
            yield from parts.blocks(value, features)
    yield from stack.stacked(flat)
    yield from _blocks_list(lists, features)


def _rows_tuple(tuples: list[tuple[Any, ...]], features: int | None) -> list[int]:
    counted = []
    for value in tuples:
        if _is_scalar(_first(value)):
            counted.append(len(value) if not value or _apart(value, features) else 1)
        else:
            counted.append(sum(block.rows for block in _blocks_tuple([value], features)))
    return counted


def _spread(value: Sequence[Any]) -> list[Any]:
    """A label and its probabilities, say, as one row."""
    row: list[Any] = []
    for item in value:
        if isinstance(item, list) or (isinstance(item, np.ndarray) and item.ndim == 1):
            row.extend(item if len(item) <= arrays.EMBEDDING else [[]])
        else:
            row.append(dicts.cell(item))
    return row


def _is_sequence(first: object) -> bool:
    """A row of a list; what is kept of other containers are tuples of a kind, too."""
    return isinstance(first, list) or (isinstance(first, tuple) and not _is_snapshot(first))


def _is_snapshot(first: object) -> bool:
    kind = lookup.kind_of(type(first))
    return kind is not TUPLE and kind.spread is None


def _is_scalar(first: object) -> bool:
    cls = type(first)
    return cls in FLAT or lookup.kind_of(cls) is SCALAR or not lookup.readable(cls)


def _first(value: Sequence[Any]) -> object:
    """The first item that says what the list holds."""
    if value and value[0] is not None:
        return value[0]
    return next((item for item in value if item is not None), None)


def _is_text(item: object) -> bool:
    return item is None or isinstance(item, (str, bytes))


def _alone(value: Sequence[Any], features: int | None) -> bool:
    """Whether the items of a flat list are rows of one column each."""
    if arrays.alone(features) or len(value) > arrays.WIDEST:
        return True
    return features is None and isinstance(_first(value), (str, bytes)) and all(map(_is_text, value))


def _apart(value: Sequence[Any], features: int | None) -> bool:
    """The same of a tuple: only a reference, or its length, makes of one row many."""
    return bool(features or len(value) > arrays.WIDEST) and _alone(value, features)


def _listed(row: object) -> list[Any]:
    if isinstance(row, np.ndarray):
        return list(row.ravel())
    return list(row) if isinstance(row, tuple) else [row]


def _odd(rows: Iterable[object]) -> Iterator[Block]:
    """Rows that are not what the first row of their list is: a row without columns."""
    count = sum(1 for _ in rows)
    if count:
        yield Block(count, (), [])


# ── single values ───────────────────────────────────────────────────────────────────────────────────────────────────


def _keep_scalar(value: object) -> object:
    return value


def _shape_scalar(value: object) -> tuple[int, int]:
    del value
    return 1, 1


def _part_scalar(value: object, step: int) -> object:
    del step
    return value


def _blocks_scalar(values: list[Any], features: int | None) -> Iterator[Block]:
    del features
    alike = len(set(map(type, values))) == 1 and not stack.texts(values[:1])
    array = np.array(values) if alike else np.empty(0, object)
    if array.ndim == 1 and array.dtype.kind in "biuf":
        yield Block(len(values), None, [], array.reshape(-1, 1))
    else:
        yield stack.stack([[value] for value in values], None)


def _rows_scalar(values: list[Any], features: int | None) -> list[int]:
    del features
    return [1] * len(values)


LIST: Final = Kind(_keep_list, _shape_list, _part_list, _blocks_list, _rows_list)
TUPLE: Final = Kind(_keep_tuple, _shape_list, _part_tuple, _blocks_tuple, _rows_tuple)
SCALAR: Final = Kind(_keep_scalar, _shape_scalar, _part_scalar, _blocks_scalar, _rows_scalar)
