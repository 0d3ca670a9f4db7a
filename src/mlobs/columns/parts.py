"""Several containers in one list or tuple: parts of the same rows beside each other, or rows below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import arrays, lookup, stack
from mlobs.columns.block import Block
from mlobs.columns.dispatched import settled
from mlobs.columns.kind import FLAT
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TABLE: Final = 2  # dimensions


def beside(value: Sequence[Any]) -> bool:
    """Whether, as far as can be told without a reference, these stand beside each other.

    A list of (n, k) arrays does, as multi-output classifiers answer with, and a tuple: (labels, scores). Several
    one-dimensional arrays in a list are rows.
    """
    if not all(is_array(item, 1, _TABLE) for item in value) or len({len(item) for item in value}) != 1:
        return False
    return isinstance(value, tuple) or any(_dimensions(item) == _TABLE for item in value)


def columns(value: Sequence[Any], features: int | None) -> bool:
    """Whether a tuple of lists holds columns: where the reference says so, or where it is an answer."""
    if any(isinstance(item, np.ndarray) for item in value):
        return True
    if not all(isinstance(item, list) for item in value) or len({len(item) for item in value}) != 1:
        return False
    flat = all(type(item[0]) in FLAT for item in value if item)
    return flat and (features == 0 or (features == len(value) and features != len(value[0])))


def blocks(value: Sequence[Any], features: int | None) -> Iterator[Block]:
    """What a list or a tuple of containers holds. Raises UnreadableError."""
    items = [settled(item) for item in value if item is not None]
    if any(isinstance(item, np.ndarray) for item in items) or isinstance(items[0], list):
        items = _arrays(items)
    if not all(isinstance(item, np.ndarray) and not item.dtype.names for item in items):
        _check(items)
        yield from lookup.blocks(items, features)
        return
    most = max(item.ndim for item in items)
    if most > _TABLE:
        message = f"mlobs reads tables of rows and columns, and this is a {type(value).__name__} of larger arrays"
        raise UnreadableError(message, reason="not_tabular", rows=len(items))
    if most == 0:
        yield stack.stack([[item[()]] for item in items] if arrays.alone(features) else [[i[()] for i in items]], None)
        return
    items = [item.reshape(1) if item.ndim == 0 else item for item in items]
    if _below(items, features, tied=isinstance(value, tuple)):
        yield from _rows(items)
        return
    if len({len(item) for item in items}) > 1:
        message = f"arrays of {sorted({len(item) for item in items})} rows do not stand beside each other"
        raise UnreadableError(message, reason="ragged", rows=max(map(len, items)))
    yield _beside(items)


def _arrays(items: list[Any]) -> list[Any]:
    """Lists as arrays, beside what is one. Raises UnreadableError: tensors with a gradient, say, refuse."""
    try:
        return [np.array(item, None if _plain(item) else object) if isinstance(item, list) else item for item in items]
    except Exception as error:
        rows = max((len(item) for item in items if isinstance(item, np.ndarray) and item.ndim), default=len(items))
        raise UnreadableError("lists of objects that make no array are no columns", rows=rows) from error


def _below(items: list[Any], features: int | None, *, tied: bool) -> bool:
    """Whether arrays are rows, or batches of rows, and not columns; ``features`` decides where it can."""
    lengths = {len(item) for item in items}
    if any(item.ndim == _TABLE for item in items):
        widths = {item.shape[1] if item.ndim == _TABLE else 1 for item in items}
        fits = len(widths) == 1 and features is not None and features > 1 and features in widths
        return fits or (len(lengths) > 1 and len(widths) == 1)
    if len(lengths) > 1:
        return True
    [length] = lengths
    if tied:
        return features == length and features != len(items)
    return not (features == len(items) and features != length)


def _rows(items: list[Any]) -> Iterator[Block]:
    """Rows, or batches of rows of one width."""
    if any(item.ndim == _TABLE for item in items):
        yield from arrays.blocks([item if item.ndim == _TABLE else item.reshape(-1, 1) for item in items], None)
    elif all(item.dtype.kind in "biuf" and not isinstance(item, np.ma.MaskedArray) for item in items):
        yield from arrays.blocks([item.reshape(1, -1) for item in items], None)
    else:
        yield from stack.stacked([[None if cell is np.ma.masked else cell for cell in item] for item in items])


def _beside(items: list[Any]) -> Block:
    kinds = {item.dtype.kind == "f" for item in items}  # whole numbers beside fractions stay what they are
    if len(kinds) == 1 and all(item.dtype.kind in "biuf" and not isinstance(item, np.ma.MaskedArray) for item in items):
        return Block(len(items[0]), None, [], np.column_stack(items))
    found: list[Any] = []
    for item in items:
        found += list(item.T) if item.ndim == _TABLE else [item]
    return Block(len(items[0]), None, found)


def _check(items: list[Any]) -> None:
    """Containers of several kinds in one list are nobody's rows."""
    readable = [item for item in items if type(item) not in FLAT and lookup.readable(type(item))]
    if len(readable) < len(items) or len({isinstance(item, np.ndarray) for item in items}) > 1:
        raise UnreadableError("containers of several kinds do not make one table", reason="ragged", rows=len(items))


def _plain(item: list[Any]) -> bool:
    return len(set(map(type, item))) == 1 and type(item[0]) in FLAT and not stack.texts(item[:1])


def is_array(item: Any, *dimensions: int) -> bool:  # noqa: ANN401 - an item of a list
    """Whether this is a list, or like an array of so many dimensions."""
    if isinstance(item, list):
        return True
    kind = lookup.kind_of(type(item))
    names = getattr(getattr(item, "dtype", None), "names", None)
    sized = hasattr(type(item), "__len__")
    return kind.values is not None and sized and not names and _dimensions(item) in dimensions


def _dimensions(item: Any) -> int:  # noqa: ANN401 - an item of a list
    return int(getattr(item, "ndim", 1))
