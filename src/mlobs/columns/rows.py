"""Plain Python: lists, tuples, dicts and single values."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import arrays
from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, SMALL, Kind
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NESTED: Final = (list, tuple, dict, np.ndarray)


# ── lists and tuples ────────────────────────────────────────────────────────────────────────────────────────────────


def _keep_list(value: list[Any]) -> object:
    if len(value) > SMALL:
        return LARGE
    if value and isinstance(value[0], _NESTED):
        if len(value) * len(value[0]) > SMALL:
            return LARGE
        return [row.copy() if isinstance(row, (list, dict, np.ndarray)) else row for row in value]
    return value.copy()


def _keep_tuple(value: tuple[Any, ...]) -> object:
    return _keep_list(list(value))


def _shape_list(value: Sequence[Any]) -> tuple[int, int]:
    if value and isinstance(value[0], _NESTED):
        return len(value), len(value[0])
    return (1, len(value)) if len(value) <= arrays.WIDEST else (len(value), 1)


def _part_list(value: Sequence[Any], step: int) -> list[Any]:
    if _shape_list(value)[0] == 1:
        step = 1
    return [row.copy() if isinstance(row, (list, dict, np.ndarray)) else row for row in value[::step]]


def _blocks_list(lists: list[list[Any]], features: int | None) -> Iterator[Block]:
    flat: list[list[Any]] = []
    for value in lists:
        first = _first(value)
        if isinstance(first, dict):
            yield from _blocks_dict([row for row in value if isinstance(row, dict)], features)
            yield from _odd(row for row in value if not isinstance(row, dict))
        elif isinstance(first, _NESTED):
            flat.extend(row if isinstance(row, list) else _listed(row) for row in value)
        elif _alone(value, features):
            flat.extend([item] for item in value)
        elif value:
            flat.append(value)
    yield from _stacked(flat)


def _rows_list(lists: list[list[Any]], features: int | None) -> list[int]:
    return [
        len(value) if not value or isinstance(_first(value), _NESTED) or _alone(value, features) else 1
        for value in lists
    ]


def _first(value: Sequence[Any]) -> object:
    """The first item that says what the list holds."""
    if value and value[0] is not None:
        return value[0]
    return next((item for item in value if item is not None), None)


def _alone(value: Sequence[Any], features: int | None) -> bool:
    """Whether the items of a flat list are rows of one column each."""
    return features == 1 or len(value) > arrays.WIDEST or (features is None and isinstance(_first(value), (str, bytes)))


def _listed(row: object) -> list[Any]:
    if isinstance(row, np.ndarray):
        return list(row.ravel())
    return list(row) if isinstance(row, tuple) else [row]


def _odd(rows: Iterable[object]) -> Iterator[Block]:
    """Rows that are not what the first row of their list is: a row without columns."""
    count = sum(1 for _ in rows)
    if count:
        yield Block(count, (), [])


def _stacked(rows: list[list[Any]], names: tuple[str, ...] | None = None) -> Iterator[Block]:
    widths: dict[int, list[list[Any]]] = {}
    for row in rows:
        widths.setdefault(len(row), []).append(row)
    for group in widths.values():
        yield _stack(group, names)


def _stack(rows: Sequence[Sequence[Any]], names: tuple[str, ...] | None) -> Block:
    try:
        array = np.array(rows)
    except (ValueError, TypeError, OverflowError):
        array = np.empty(0, object)
    # numpy makes text of a row that mixes numbers and strings, so only a numeric result may be used whole
    if array.ndim == 2 and array.dtype.kind in "biuf":
        return Block(len(rows), names, [], array)
    return Block(len(rows), names, list(zip(*rows, strict=True)))


# ── dicts: one row, or one sequence a column ────────────────────────────────────────────────────────────────────────


def _columnar(value: dict[Any, Any]) -> bool:
    return any(isinstance(column, _NESTED) for column in itertools.islice(value.values(), 1))


def _keep_dict(value: dict[Any, Any]) -> object:
    if len(value) > SMALL:
        return LARGE
    for column in value.values():
        if isinstance(column, _NESTED):
            return LARGE
        break
    return value.copy()


def _shape_dict(value: dict[Any, Any]) -> tuple[int, int]:
    if _columnar(value):
        return len(next(iter(value.values()))), len(value)
    return 1, len(value)


def _part_dict(value: dict[Any, Any], step: int) -> dict[Any, Any]:
    if not _columnar(value):
        return value.copy()
    return {
        name: column[::step].copy() if isinstance(column, (np.ndarray, list)) else column
        for name, column in value.items()
    }


def _blocks_dict(dicts: list[dict[Any, Any]], features: int | None) -> Iterator[Block]:
    del features
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in dicts:
        if _columnar(row):
            yield _columns(row)
        else:
            groups.setdefault(tuple(row), []).append(tuple(row.values()))
    for names, group in groups.items():
        yield _stack(group, tuple(map(str, names)))


def _rows_dict(dicts: list[dict[Any, Any]], features: int | None) -> list[int]:
    del features
    return [_shape_dict(value)[0] for value in dicts]


def _columns(value: dict[Any, Any]) -> Block:
    columns = [column if isinstance(column, (list, tuple, np.ndarray)) else [column] for column in value.values()]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        message = f"a dict of columns needs columns of one length, and these have {sorted(lengths)}"
        raise UnreadableError(message, reason="ragged", rows=max(lengths))
    return Block(lengths.pop(), tuple(map(str, value)), columns)


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
    array = np.array(values) if len(set(map(type, values))) == 1 else np.empty(0, object)
    if array.ndim == 1 and array.dtype.kind in "biuf":
        yield Block(len(values), None, [], array.reshape(-1, 1))
    else:
        yield _stack([[value] for value in values], None)


def _rows_scalar(values: list[Any], features: int | None) -> list[int]:
    del features
    return [1] * len(values)


LIST: Final = Kind(_keep_list, _shape_list, _part_list, _blocks_list, _rows_list)
TUPLE: Final = Kind(_keep_tuple, _shape_list, _part_list, _blocks_list, _rows_list)
DICT: Final = Kind(_keep_dict, _shape_dict, _part_dict, _blocks_dict, _rows_dict)
SCALAR: Final = Kind(_keep_scalar, _shape_scalar, _part_scalar, _blocks_scalar, _rows_scalar)
