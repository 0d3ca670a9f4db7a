"""A block of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WHOLE: Final = (int, np.integer, np.bool_)


class Block(NamedTuple):
    """Rows with named, or merely ordered, columns.

    ``names`` is None where columns are known by position only. A block whose columns are all numbers holds them in
    ``matrix`` (rows, columns), any numeric or boolean dtype, and leaves ``columns`` empty; any other block holds one
    sequence of length ``rows`` a column. ``source`` are the rows of a matrix whose whole numbers may have become
    fractions beside others. ``vector``: of answers to one row of input each, how many numbers each has that are rows here; else 0.
    """

    rows: int
    names: tuple[str, ...] | None
    columns: Sequence[Sequence[Any] | NDArray[Any]]
    matrix: NDArray[np.generic] | None = None
    source: Sequence[Sequence[Any]] | None = None
    vector: int = 0

    @property
    def width(self) -> int:
        """How many columns."""
        return len(self.columns) if self.matrix is None else int(self.matrix.shape[1])

    def column(self, index: int) -> Sequence[Any] | NDArray[Any]:
        """The values of one column, length ``rows``."""
        return self.columns[index] if self.matrix is None else self.matrix[:, index]

    def ordered(self, names: tuple[str, ...] | None) -> Block:
        """The block with its columns in the order of ``names``, where it has these."""
        mine = self.names
        if mine is None or names is None or mine == names or sorted(mine) != sorted(names):
            return self
        order = [mine.index(name) for name in names]
        if self.matrix is not None:
            return self._replace(names=names, matrix=self.matrix[:, order], source=None)
        return self._replace(names=names, columns=[self.columns[index] for index in order])

    def whole(self, index: int) -> bool:
        """Whether a column of a matrix came as whole numbers or truth values."""
        if self.source is None:
            return self.matrix is not None and self.matrix.dtype.kind in "iub"
        return all(issubclass(type(row[index]), _WHOLE) for row in self.source)


class Joined(Sequence["Sequence[Any] | NDArray[Any]"]):
    """The columns of several blocks below each other, each joined when it is asked for."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks

    def __len__(self) -> int:
        return self._blocks[0].width

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - a sequence or an array
        parts = [block.column(index) for block in self._blocks]
        if all(isinstance(part, np.ndarray) for part in parts) and len({part.dtype.kind for part in parts}) == 1:  # type: ignore[union-attr] # arrays
            return np.concatenate(parts)
        return [value for part in parts for value in part]
