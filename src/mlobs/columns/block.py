"""A block of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Block(NamedTuple):
    """Rows with named, or merely ordered, columns.

    ``names`` is None where columns are known by position only. A block whose columns are all numbers holds them in
    ``matrix`` (rows, columns), any numeric or boolean dtype, and leaves ``columns`` empty; any other block holds one
    sequence of length ``rows`` a column.
    """

    rows: int
    names: tuple[str, ...] | None
    columns: Sequence[Sequence[Any] | NDArray[Any]]
    matrix: NDArray[np.generic] | None = None

    @property
    def width(self) -> int:
        """How many columns."""
        return len(self.columns) if self.matrix is None else int(self.matrix.shape[1])

    def column(self, index: int) -> Sequence[Any] | NDArray[Any]:
        """The values of one column, length ``rows``."""
        return self.columns[index] if self.matrix is None else self.matrix[:, index]
