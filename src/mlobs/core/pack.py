"""Small arrays of one layout: what most calls of a model have, kept as bytes alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlobs.columns import SMALL, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MOST: Final = 8  # layouts of one model's inputs, or of its answers
_TABLE: Final = 2  # dimensions


class Pack:
    """Arrays of one dtype and shape. Their bytes cost a caller less than copies, and the folder needs to ask none for its layout.

    A caller may still hold one when its ring packs another layout: it stays what it is, and is drained with the others.
    """

    __slots__ = ("dtype", "kept", "shape")

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.shape = shape
        self.kept: list[bytes] = []

    @property
    def nbytes(self) -> int:
        """Of each array."""
        return self.dtype.itemsize * math.prod(self.shape)

    def array(self, kept: bytes) -> NDArray[Any]:
        """One of them again."""
        return np.frombuffer(kept, self.dtype).reshape(self.shape)

    def joined(self, many: Sequence[bytes], features: int | None) -> tuple[NDArray[Any], int]:
        """The rows of many, below each other, and how many each has; ``features`` as for `columns.blocks`."""
        return joined(many, self.dtype, self.shape, features)


_NONE: Final = Pack(np.dtype([("of nobody's array", "u1")]), ())


class Packs:
    """The layouts that one role's arrays have had; ``now`` is the one that is packed, others are copied."""

    def __init__(self) -> None:
        self.now = _NONE
        self._packs: dict[tuple[Any, ...], Pack] = {}

    def settle(self, kept: Sequence[Any], packed: Sequence[tuple[Pack, Sequence[bytes]]]) -> None:
        """Choose what is packed from now on, by what calls have left since the last time; the folder's."""
        if len(kept) <= sum(len(many) for _, many in packed):
            return
        last = kept[-1]
        if type(last) is not np.ndarray or last.dtype.kind not in "biuf" or not last.dtype.isnative:
            return
        if 0 < last.ndim <= _TABLE and 0 < last.size <= SMALL:
            layout = last.dtype, last.shape
            found = self._packs.get(layout)
            if found is None and len(self._packs) < _MOST:
                found = self._packs[layout] = Pack(*layout)
            self.now = found or self.now

    def drain(self) -> list[tuple[Pack, list[bytes]]]:
        """What waits in each, oldest first."""
        found = []
        for pack in self._packs.values():
            many = pack.kept[: len(pack.kept)]  # each step is atomic, and what is appended between them stays
            del pack.kept[: len(many)]
            if many:
                found.append((pack, many))
        return found


def unpacked(pack: Pack | None, kept: Any) -> Any:  # noqa: ANN401 - what was kept of anything
    """What was kept, as an array where only its bytes were."""
    return kept if pack is None else pack.array(kept)
