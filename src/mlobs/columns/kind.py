"""How one kind of container is kept and read."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mlobs.columns.block import Block

# Values a call may hand over without anybody counting bytes: 2 KB as float64.
SMALL: Final = 256

# The classes of single values, as they are met in rows. A member holds nothing that could change or be large.
FLAT: Final[frozenset[type]] = frozenset(
    {
        *(float, int, bool, str, bytes, complex, type(None)),
        *(decimal.Decimal, datetime.date, datetime.datetime, datetime.time, datetime.timedelta),
        *(np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.bool_, np.str_),
        *(np.uint64, np.uint32, np.uint16, np.uint8, np.datetime64, np.timedelta64, np.bytes_),
    }
)


class _Large:
    """What `Kind.keep` answers for a value too large to copy without asking the ring for room."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "LARGE"  # an observed function that is pickled by value meets this very object again


LARGE: Final = _Large()


class TracedError(Exception):
    """What was given stands for values to come: the function is being traced for a compiler, and this is no prediction."""


class Kind(NamedTuple):
    """The functions of one kind of container: five that each has, and two that tell what it is inside another.

    keep(value)
        the caller's thread, every call: a copy that later changes to ``value`` cannot reach, or `LARGE`.
    shape(value) -> (rows, values a row)
        how much there is, without reading it; a value is eight bytes.
    part(value, step)
        a copy of every ``step``-th row.
    blocks(copies, features)
        mlobs' own thread: many copies of this kind become blocks of rows.
    rows(copies, features)
        mlobs' own thread: how many rows each copy has, as `blocks` will have them.
    values(value, step)
        of what can be a column: a copy of every ``step``-th of its values as an array.
    spread(value)
        of what is a row with names: its values by name, not copied.
    """

    keep: Callable[[Any], Any]
    shape: Callable[[Any], tuple[int, int]]
    part: Callable[[Any, int], Any]
    blocks: Callable[[list[Any], int | None], Iterator[Block]]
    rows: Callable[[list[Any], int | None], list[int]]
    values: Callable[[Any, int], Any] | None = None
    spread: Callable[[Any], dict[Any, Any]] | None = None


def itself(kept: Any) -> Any:  # noqa: ANN401 - `Kind.keep` of what is a copy already
    """The value as it is."""
    return kept


def whole(kept: Any, step: int) -> Any:  # noqa: ANN401 - `Kind.part` of what is a copy already
    """The value as it is."""
    del step
    return kept
