"""How one kind of container is kept and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from mlobs.columns.block import Block

# Values a call may hand over without anybody counting bytes: 2 KB as float64.
SMALL: Final = 256


class _Large:
    """What `Kind.keep` answers for a value too large to copy without asking the ring for room."""

    __slots__ = ()


LARGE: Final = _Large()


class Kind(NamedTuple):
    """The five functions of one kind of container.

    keep(value)
        the caller's thread, every call: a copy that later changes to ``value`` cannot reach, or `LARGE`.
    shape(value) -> (rows, values a row)
        how much there is, without reading it.
    part(value, step)
        a copy of every ``step``-th row.
    blocks(copies, features)
        mlobs' own thread: many copies of this kind become blocks of rows.
    rows(copies, features)
        mlobs' own thread: how many rows each copy has, as `blocks` will have them.
    """

    keep: Callable[[Any], Any]
    shape: Callable[[Any], tuple[int, int]]
    part: Callable[[Any, int], Any]
    blocks: Callable[[list[Any], int | None], Iterator[Block]]
    rows: Callable[[list[Any], int | None], list[int]]
