"""numpy arrays, and whatever turns itself into one."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, SMALL, Kind
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

# A one-dimensional array longer than this is many rows of one column, not one row.
WIDEST: Final = 4096
_TABLE: Final = 2  # dimensions
_LAYOUT: Final = operator.attrgetter("dtype", "shape")


def _keep(array: Array) -> object:
    return array.copy() if array.size <= SMALL else LARGE


def _shape(array: Array) -> tuple[int, int]:
    if array.ndim >= _TABLE:
        rows = int(array.shape[0])
        return rows, int(array.size) // rows if rows else 0
    return (1, int(array.size)) if array.size <= WIDEST else (int(array.size), 1)


def _part(array: Array, step: int) -> Array:
    return array[::step].copy() if _shape(array)[0] > 1 else array.copy()


def _keep_like(value: Any) -> object:  # noqa: ANN401 - anything with __array__
    return _keep(np.array(value))


def _shape_like(value: Any) -> tuple[int, int]:  # noqa: ANN401 - anything with __array__
    return _shape(np.asarray(value))


def _part_like(value: Any, step: int) -> Array:  # noqa: ANN401 - anything with __array__
    return _part(np.asarray(value), step)


def table(array: Array, features: int | None) -> Array:
    """The array with rows and columns: a view (rows, columns) of ``array``.

    One dimension is one row, unless a row has one column, the values are text, or there are more than `WIDEST`.
    """
    if array.ndim == _TABLE:
        return array
    if array.ndim == 0:
        return array.reshape(1, 1)
    if array.ndim > _TABLE:
        message = f"mlobs reads tables of rows and columns, and this array has the shape {array.shape}"
        raise UnreadableError(message, reason="not_tabular", rows=int(array.shape[0]))
    alone = features == 1 or array.size > WIDEST or (features is None and array.dtype.kind in "US")
    return array.reshape(-1, 1) if alone else array.reshape(1, -1)


def _plain(array: Array) -> Array:
    if isinstance(array, np.ma.MaskedArray):
        plain = np.array(array.data, dtype=object)
        plain[np.ma.getmaskarray(array)] = None
        return plain
    return array


def block(array: Array, names: tuple[str, ...] | None = None) -> Block:
    """A block over a two-dimensional array of any dtype."""
    if array.dtype.kind in "biuf":
        return Block(len(array), names, [], array)
    return Block(len(array), names, [array[:, index] for index in range(array.shape[1])])


def _blocks(arrays: list[Array], features: int | None) -> Iterator[Block]:
    whole = _at_once(arrays, features)
    if whole is not None:
        yield block(whole)
        return
    groups: dict[tuple[int, bool], list[Array]] = {}
    for array in arrays:
        found = table(_plain(array), features)
        groups.setdefault((found.shape[1], found.dtype.kind in "biuf"), []).append(found)
    for group in groups.values():
        yield block(group[0] if len(group) == 1 else np.concatenate(group))


def _at_once(arrays: list[Array], features: int | None) -> Array | None:
    """All rows in one array, for the usual case of numbers of one dtype and shape; None for any other."""
    first = arrays[0]
    if first.__class__ is not np.ndarray or first.dtype.kind not in "biuf" or not _uniform(arrays):
        return None
    rows, width = table(first, features).shape
    if len(arrays) == 1:
        return first.reshape(rows, width)
    try:
        # the copies' bytes one after another: a fifth of what concatenate takes for many small arrays
        whole = np.frombuffer(b"".join(cast("list[bytes]", arrays)), first.dtype)
    except (ValueError, BufferError):  # not contiguous
        return None
    return whole.reshape(rows * len(arrays), width)


def _uniform(arrays: list[Array]) -> bool:
    return len(arrays) == 1 or len(set(map(_LAYOUT, arrays))) == 1


def _rows(arrays: list[Array], features: int | None) -> list[int]:
    if arrays[0].ndim <= _TABLE and _uniform(arrays):
        return [len(table(arrays[0], features))] * len(arrays)
    return [
        len(array) if array.ndim >= _TABLE else len(table(array, features))  # a view
        for array in arrays
    ]


ARRAY: Final = Kind(_keep, _shape, _part, _blocks, _rows)
ARRAY_LIKE: Final = Kind(_keep_like, _shape_like, _part_like, _blocks, _rows)
