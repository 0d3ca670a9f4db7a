"""scipy's sparse matrices and arrays, without importing scipy and without making them dense.

A row of a sparse matrix is a row with zeros: its columns are made one at a time, for as many rows as fit a few
megabytes, and only where they are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, SMALL, Kind, itself, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_DENSE: Final = 2**19  # values of a block once its columns are all made: 4 MB as float64
_FEWEST: Final = 64  # rows of a block, however wide


class Sparse(NamedTuple):
    """Rows in compressed form: those of row i are ``data[pointers[i]:pointers[i + 1]]``, in the columns ``indices``."""

    width: int
    data: NDArray[Any]
    indices: NDArray[Any]
    pointers: NDArray[Any]


class _Columns(Sequence["NDArray[Any]"]):
    """The dense columns of sparse rows, each made when it is asked for."""

    def __init__(self, width: int, rows: int, where: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> None:
        self._width = width
        self._rows = rows
        self._where = where  # row, column and value of each entry
        self._sorted: tuple[NDArray[Any], ...] | None = None

    def __len__(self) -> int:
        return self._width

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as any Sequence
        if self._sorted is None:
            rows, columns, values = self._where
            order = np.argsort(columns, kind="stable")
            self._sorted = (columns[order], rows[order], values[order])
        columns, rows, values = self._sorted
        start, end = np.searchsorted(columns, (index, index + 1))
        dense = np.zeros(self._rows, values.dtype)
        np.add.at(dense, rows[start:end], values[start:end])  # entries of one place add up
        return dense


def _compressed(matrix: Any) -> Any:  # noqa: ANN401 - any sparse matrix or array
    if len(matrix.shape) == 1:
        matrix = matrix.reshape(1, -1)
    return matrix if matrix.format == "csr" else matrix.tocsr()


def _keep(matrix: Any) -> object:  # noqa: ANN401 - any sparse matrix or array
    if matrix.nnz > SMALL or matrix.shape[0] > SMALL:
        return LARGE
    return _part(matrix, 1)


def _shape(matrix: Any) -> tuple[int, int]:  # noqa: ANN401 - any sparse matrix or array
    rows = int(matrix.shape[0]) if len(matrix.shape) > 1 else 1
    return rows, 1 + 2 * int(matrix.nnz) // max(1, rows)


def _part(matrix: Any, step: int) -> Sparse:  # noqa: ANN401 - any sparse matrix or array
    rows = _compressed(matrix)
    if step > 1:
        rows = rows[::step]
    return Sparse(int(rows.shape[1]), rows.data.copy(), rows.indices.copy(), rows.indptr.copy())


def _shape_kept(kept: Sparse) -> tuple[int, int]:
    return len(kept.pointers) - 1, kept.width


def _blocks(kept: list[Sparse], features: int | None) -> Iterator[Block]:
    del features
    groups: dict[tuple[int, bool], list[Sparse]] = {}
    for one in kept:
        groups.setdefault((one.width, one.data.dtype.kind in "biuf"), []).append(one)
    for (width, _), group in groups.items():
        rows = np.concatenate([np.diff(one.pointers) for one in group])
        # entries beyond the last row's end are room that was allocated and is not used
        data = np.concatenate([one.data[: one.pointers[-1]] for one in group])
        indices = np.concatenate([one.indices[: one.pointers[-1]] for one in group])
        ends = np.concatenate([[0], np.cumsum(rows)])
        most = max(_FEWEST, _DENSE // max(1, width))
        for start in range(0, len(rows), most):
            lengths = rows[start : start + most]
            entries = slice(int(ends[start]), int(ends[start + len(lengths)]))
            where = (np.repeat(np.arange(len(lengths)), lengths), indices[entries], data[entries])
            yield Block(len(lengths), None, _Columns(width, len(lengths), where))


def _rows(kept: list[Sparse], features: int | None) -> list[int]:
    del features
    return [len(one.pointers) - 1 for one in kept]


def _blocks_raw(matrices: list[Any], features: int | None) -> Iterator[Block]:
    return _blocks([_part(matrix, 1) for matrix in matrices], features)


def _rows_raw(matrices: list[Any], features: int | None) -> list[int]:
    del features
    return [_shape(matrix)[0] for matrix in matrices]


MATRIX: Final = Kind(_keep, _shape, _part, _blocks_raw, _rows_raw)
SPARSE: Final = Kind(itself, _shape_kept, whole, _blocks, _rows)
