"""The table of kinds: which containers mlobs reads, and by which functions."""

from __future__ import annotations

import datetime
import decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import arrays, frames, rows
from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, Kind
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LARGE", "Kind", "blocks", "kind_of", "read"]

_SCALARS: Final = (
    int,
    float,
    complex,
    bool,
    str,
    bytes,
    decimal.Decimal,
    datetime.date,
    datetime.datetime,
    datetime.timedelta,
    np.generic,
)

# Types of packages that mlobs never imports are known by module and name, along a type's whole MRO.
_NAMED: Final[dict[tuple[str, str], Kind]] = {
    ("pandas", "DataFrame"): frames.FRAME,
    ("pandas", "Series"): frames.SERIES,
}

_TYPED: Final[dict[type, Kind]] = {
    np.ndarray: arrays.ARRAY,
    list: rows.LIST,
    tuple: rows.TUPLE,
    dict: rows.DICT,
    frames.Columns: frames.COLUMNS,
    frames.Row: frames.ROW,
    **dict.fromkeys(_SCALARS, rows.SCALAR),
}

# What was found for a concrete type. Bounded: a program may make classes as it goes.
_REMEMBERED: Final = 4096
_found: dict[type, Kind] = dict(_TYPED)


def kind_of(cls: type) -> Kind:
    """The kind that reads instances of ``cls``; a type nothing reads gets a kind whose every use is an error."""
    kind = _found.get(cls)
    if kind is None:
        kind = _search(cls)
        if len(_found) < _REMEMBERED:
            _found[cls] = kind
    return kind


def _search(cls: type) -> Kind:
    for base in cls.__mro__:
        if base in _TYPED:
            return _TYPED[base]
        named = _NAMED.get((base.__module__.partition(".")[0], base.__qualname__))
        if named is not None:
            return named
    if hasattr(cls, "__array__"):
        return arrays.ARRAY_LIKE
    return Kind(keep=_refuse, shape=_refuse, part=_refuse, blocks=_refuse, rows=_refuse)


def _refuse(value: object, *_: object) -> Any:  # noqa: ANN401 - stands in for functions of every return type
    cls = type(value)
    message = (
        f"mlobs cannot read a {cls.__module__}.{cls.__qualname__}: it reads arrays, lists, dicts, pandas frames and "
        "series. Give the part that holds the features: observe(inputs=lambda *args, **kwargs: ...)"
    )
    raise UnreadableError(message)


def blocks(snapshots: Iterable[Any], features: int | None = None) -> Iterator[Block]:
    """Read many snapshots at once, those of one type and shape together.

    ``features`` is how many columns a row is known to have: it tells whether ``[1.0, 2.0]`` is one row of two
    columns or two rows of one. None takes it for one row. Raises UnreadableError.
    """
    groups: dict[type, list[Any]] = {}
    for kept in snapshots:
        groups.setdefault(type(kept), []).append(kept)
    for cls, group in groups.items():
        yield from kind_of(cls).blocks(group, features)


def read(value: object, *, features: int | None = None) -> Block:
    """Read one value that nobody changes meanwhile; ``features`` as for `blocks`.

    Raises UnreadableError where the kind is unknown or its rows differ in their columns.
    """
    kind = kind_of(type(value))
    kept = kind.part(value, 1)
    found = list(kind_of(type(kept)).blocks([kept], features))
    if len(found) > 1:
        message = (
            f"mlobs cannot read this {type(value).__name__} as one table: its rows differ in their columns "
            f"({found[0].width} and {found[1].width}). Give every row the same columns."
        )
        raise UnreadableError(message, reason="ragged", rows=sum(block.rows for block in found))
    return found[0] if found else Block(0, (), [])
