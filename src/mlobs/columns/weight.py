"""How much memory kept values hold beside their numbers: texts and bytes, which are as long as somebody makes them."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOME: Final = 64  # of many values, evenly spaced, which stand for the others
_FEW: Final = 4  # of frames: asking one takes as long as asking a hundred dicts
_DEEPEST: Final = 4
_TEXTS: Final = frozenset(map(id, (str, bytes)))  # a class may fail where it is compared
_SINGLE: Final = _TEXTS | frozenset(map(id, (int, float, bool, type(None), np.float64, np.float32, np.int64)))
_PLAIN: Final[tuple[type[list[Any]], type[tuple[Any, ...]]]] = (list, tuple)


def weight(kept: Sequence[Any], depth: int = 0) -> int:
    """About how many bytes of text so many values hold together; what is no container of Python's, numpy's or pandas' holds none.

    Never raises. Of somebody's own classes nothing is called, but what pandas calls of objects in a frame.
    """
    if not kept or depth > _DEEPEST:
        return 0
    if set(map(id, map(type, kept))) <= _SINGLE:
        return sum(sys.getsizeof(one) for one in kept if id(type(one)) in _TEXTS)
    some = kept[:: -(-len(kept) // (_FEW if _is_frame(kept[0]) else _SOME))]
    return sum(_of(one, depth) for one in some) * len(kept) // len(some)


def _of(one: Any, depth: int) -> int:  # noqa: ANN401 - whatever was kept
    cls = type(one)
    if id(cls) in _TEXTS:
        return sys.getsizeof(one)
    for plain in _PLAIN:
        if issubclass(cls, plain):
            return weight(plain.__getitem__(one, slice(None)), depth + 1)
    if cls is dict:
        return weight(list(one.values()), depth + 1)
    if cls is np.ndarray:
        return weight(one.ravel().tolist(), depth + 1) if one.dtype.kind == "O" else 0
    with suppress(Exception):  # of an object in a cell
        if _is_frame(one):
            return int(one.memory_usage(deep=True).sum())
    return 0


def _is_frame(one: Any) -> bool:  # noqa: ANN401 - whatever was kept
    """Whether it is pandas' own, which need not be there."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(one) is getattr(pandas, "DataFrame", None)
