"""numpy arrays, and whatever turns itself into one."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, SMALL, Kind
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

# A one-dimensional array longer than this is many rows of one column, not one row.
WIDEST: Final = 4096
# A column of more numbers a row than this is an embedding: one column that holds no number.
EMBEDDING: Final = 64
_TABLE: Final = 2  # dimensions
_LAYOUT: Final = operator.attrgetter("dtype", "shape")
_CPU: Final = 1  # DLPack's number of the device


def keep(array: Array) -> object:
    """A copy of a small array."""
    return array.copy() if array.size <= SMALL else LARGE


def shape(array: Array) -> tuple[int, int]:
    """Rows and values a row, also of a tensor."""
    sizes = tuple(array.shape)
    if len(sizes) == _TABLE and not getattr(array.dtype, "names", None):
        return sizes
    size = math.prod(sizes)
    names = getattr(array.dtype, "names", None)
    if names:
        return size, len(names)
    if len(sizes) >= _TABLE:
        rows = int(sizes[0])
        return rows, size // rows if rows else 0
    return (1, size) if size <= WIDEST else (size, 1)


def part(array: Array, step: int) -> Array:
    """A copy of every ``step``-th row."""
    return array[::step].copy() if step > 1 and shape(array)[0] > 1 else array.copy()


def values(array: Array, step: int) -> Array:
    """A copy of every ``step``-th item."""
    return array[::step].copy() if step > 1 and array.ndim else array.copy()


def alone(features: int | None) -> bool:
    """Whether a row is known to have one column, or taken to."""
    return features is not None and features <= 1


def table(array: Array, features: int | None) -> Array:
    """The array with rows and columns: a view (rows, columns) of ``array``.

    One dimension is one row, unless a row has one column, the values are text, or there are more than `WIDEST`.
    Records are rows.
    """
    if array.dtype.names:
        return array.reshape(-1, 1)
    if array.ndim == _TABLE:
        return array
    if array.ndim == 0:
        return array.reshape(1, 1)
    if array.ndim > _TABLE:
        message = f"mlobs reads tables of rows and columns, and this array has the shape {array.shape}"
        raise UnreadableError(message, reason="not_tabular", rows=int(array.shape[0]))
    one = alone(features) or array.size > WIDEST or (features is None and array.dtype.kind in "US")
    return array.reshape(-1, 1) if one else array.reshape(1, -1)


def joined(
    many: Sequence[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], features: int | None
) -> tuple[Array, int]:
    """The rows of many arrays of one layout, from their bytes, below each other; and how many each has."""
    each, width = table(np.frombuffer(many[0], dtype).reshape(shape), features).shape
    return np.frombuffer(b"".join(many), dtype).reshape(each * len(many), width), each


def _plain(array: Array) -> Array:
    if isinstance(array, np.ma.MaskedArray) and not array.dtype.names:
        plain = np.array(array.data, dtype=object)
        plain[np.ma.getmaskarray(array)] = None
        return plain
    return array


def block(array: Array, names: tuple[str, ...] | None = None) -> Block:
    """A block over a two-dimensional array of any dtype."""
    if array.dtype.names:
        return named(_fields(array.reshape(-1)))
    if array.dtype.kind in "biuf":
        return Block(len(array), names, [], array)
    return Block(len(array), names, [array[:, index] for index in range(array.shape[1])])


def named(columns: Sequence[tuple[str, Any]]) -> Block:
    """A block of columns of one length; a column of a few numbers a row is as many columns."""
    flat = [found for name, column in columns for found in spread(name, column)]
    lengths = {len(column) for _, column in flat}
    if len(lengths) > 1:
        message = f"columns need one length, and these have {sorted(lengths)}"
        raise UnreadableError(message, reason="ragged", rows=max(lengths))
    return Block(lengths.pop() if lengths else 0, tuple(name for name, _ in flat), [column for _, column in flat])


def spread(name: str, column: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - an array or a sequence
    """A column of rows, (n, k) with a small k, as k columns; any other as it is."""
    if not isinstance(column, np.ndarray) or column.ndim == 1:
        return [(name, column)]
    if column.ndim == _TABLE and column.shape[1] == 1:
        return [(name, column[:, 0])]
    if column.ndim == _TABLE and column.shape[1] <= EMBEDDING:
        return [(f"{name}_{index}", column[:, index]) for index in range(column.shape[1])]
    return [(name, [[] for _ in range(len(column))])]


def _fields(records: Array, within: str = "") -> list[tuple[str, Array]]:
    found: list[tuple[str, Array]] = []
    for name in records.dtype.names or ():
        column = records[name]
        found += _fields(column, f"{within}{name}.") if column.dtype.names else [(f"{within}{name}", column)]
    return found


def blocks(arrays: list[Array], features: int | None) -> Iterator[Block]:
    """Many arrays as blocks of rows."""
    whole = _at_once(arrays, features)
    if whole is not None:
        yield block(whole)
        return
    groups: dict[tuple[Any, ...], list[Array]] = {}
    for array in arrays:
        found = table(_plain(array), features)
        layout = found.dtype if found.dtype.names else found.dtype.kind in "biuf"
        groups.setdefault((found.shape[1], layout), []).append(found)
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


def rows(arrays: list[Array], features: int | None) -> list[int]:
    """How many rows each array has."""
    if arrays[0].ndim <= _TABLE and _uniform(arrays):
        return [len(table(arrays[0], features))] * len(arrays)
    return [
        len(array) if array.ndim > _TABLE and not array.dtype.names else len(table(array, features))  # a view
        for array in arrays
    ]


# ── whatever turns itself into an array ─────────────────────────────────────────────────────────────────────────────


def _array(value: Any) -> Array:  # noqa: ANN401 - anything with __array__ or __dlpack__
    """A copy. Never of what lies on a device: reading that would make the caller wait for it."""
    cls = type(value)
    device = getattr(cls, "__dlpack_device__", None)
    if device is not None and int(device(value)[0]) != _CPU:
        raise UnreadableError(
            f"this {cls.__module__}.{cls.__qualname__} is not in the CPU's memory, and reading it would make the call "
            "wait for its device. Give what is, of a call by observe(inputs=lambda *args, **kwargs: ...)"
        )
    return np.array(value) if hasattr(cls, "__array__") else np.from_dlpack(value).copy()


def _keep_like(value: Any) -> object:  # noqa: ANN401 - anything with __array__
    array = _array(value)
    return array if array.size <= SMALL else LARGE


def _shape_like(value: Any) -> tuple[int, int]:  # noqa: ANN401 - anything with __array__
    return shape(_array(value))


def _part_like(value: Any, step: int) -> Array:  # noqa: ANN401 - anything with __array__
    return part(_array(value), step)


def _values_like(value: Any, step: int) -> Array:  # noqa: ANN401 - anything with __array__
    return values(_array(value), step)


def _keep_matrix(matrix: Array) -> object:
    return keep(np.asarray(matrix))


def _part_matrix(matrix: Array, step: int) -> Array:
    return part(np.asarray(matrix), step)


def _keep_record(value: np.void) -> object:
    return np.array(value).copy()  # a record is a view into its array, and so is an array of it


def _part_record(value: np.void, step: int) -> Array:
    del step
    return np.array(value).copy()


def _shape_record(value: np.void) -> tuple[int, int]:
    return 1, len(value.dtype.names or ())


ARRAY: Final = Kind(keep, shape, part, blocks, rows, values)
ARRAY_LIKE: Final = Kind(_keep_like, _shape_like, _part_like, blocks, rows, _values_like)
# What is kept is a plain array: a column of a matrix, of `todense()` say, would be a matrix again.
MATRIX: Final = Kind(_keep_matrix, shape, _part_matrix, blocks, rows, _part_matrix)
RECORD: Final = Kind(_keep_record, _shape_record, _part_record, blocks, rows)


def made(cls: type) -> Kind | None:
    """The kind of a class that turns itself into an array."""
    return ARRAY_LIKE if hasattr(cls, "__array__") or hasattr(cls, "__dlpack__") else None
