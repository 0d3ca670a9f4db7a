"""Containers of boosting libraries, without importing them: xgboost's DMatrix, and those that tell only how many rows they have.

A DMatrix is made once and nobody can change its values, so that it is kept itself, and its values are copied on mlobs'
own thread. They are what the model sees: 32-bit floats, the missing ones left out.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, Kind, itself, whole
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


# What a DMatrix takes beside its values, as many values: 8 KB. It bounds how many small ones wait, and are read at once.
_LEAST: Final = 1024
# Whoever has one of these may have made a DMatrix of an array on a GPU.
_DEVICES: Final = ("cudf", "cupy", "jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13", "numba.cuda")


class Matrix(NamedTuple):
    """What is kept of an xgboost.DMatrix: its feature names, or None, and itself."""

    names: tuple[str, ...] | None
    matrix: Any


def _keep(matrix: Any) -> object:  # noqa: ANN401 - an xgboost.DMatrix
    del matrix
    return LARGE  # however small: the ring accounts for what is not copied


def _shape(matrix: Any) -> tuple[int, int]:  # noqa: ANN401 - an xgboost.DMatrix
    rows = int(matrix.num_row())
    return rows, max(int(matrix.num_col()), -(-_LEAST // max(1, rows)))


def _part(matrix: Any, step: int) -> Matrix:  # noqa: ANN401 - an xgboost.DMatrix
    rows = int(matrix.num_row())
    if "c" in (matrix.feature_types or ()):
        message = "a DMatrix has only the codes of its categories, not the categories: give the frame it was made from"
        raise UnreadableError(message, rows=rows)
    names = matrix.feature_names
    if step > 1:
        try:
            matrix = matrix.slice(np.arange(0, rows, step, dtype=np.int32), allow_groups=True)
        except Exception as error:  # in external memory, say
            raise UnreadableError(f"this DMatrix cannot be read in part: {error}", rows=rows) from error
    return Matrix(None if names is None else tuple(names), matrix)


def _values(matrix: Any) -> NDArray[np.float32]:  # noqa: ANN401 - an xgboost.DMatrix
    """The rows as an array (rows, columns), NaN where there is no value."""
    rows, width = int(matrix.num_row()), int(matrix.num_col())
    try:
        compressed = matrix.get_data()
    except Exception as error:
        raise UnreadableError(f"this DMatrix does not hand out its values: {error}", rows=rows) from error
    dense = np.full((rows, width), np.nan, np.float32)
    dense[np.repeat(np.arange(rows), np.diff(compressed.indptr)), compressed.indices] = compressed.data
    return dense


def _devices() -> bool:
    """Whether a DMatrix may lie on a GPU: to read it would move it, under the hands of whoever predicts from it."""
    if any(name in sys.modules for name in _DEVICES):
        return True
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda is not None and bool(cuda.is_initialized())


def _blocks(kept: list[Matrix], features: int | None) -> Iterator[Block]:
    if _devices():
        message = "a DMatrix may lie in a GPU's memory here. Predict from a frame or an array in the CPU's"
        raise UnreadableError(message, rows=sum(_rows(kept, features)))
    groups: dict[tuple[Any, int], list[NDArray[np.float32]]] = {}
    for names, matrix in kept:
        values = _values(matrix)
        groups.setdefault((names, values.shape[1]), []).append(values)
    for (names, _), group in groups.items():
        array = group[0] if len(group) == 1 else np.concatenate(group)
        yield Block(len(array), names, [], array)


def _rows(kept: list[Matrix], features: int | None) -> list[int]:
    del features
    return [int(one.matrix.num_row()) for one in kept]


def _shape_kept(kept: Matrix) -> tuple[int, int]:
    return _shape(kept.matrix)


def _counted(rows: Callable[[Any], int], why: str) -> Kind:
    """A kind of which only the number of rows is told."""

    def refuse(value: object, *_: object) -> Any:  # noqa: ANN401 - stands in for functions of every return type
        cls = type(value)
        raise UnreadableError(f"mlobs cannot read a {cls.__module__}.{cls.__qualname__}: {why}", rows=rows(value))

    def shape(value: object) -> tuple[int, int]:
        return rows(value), 1

    return Kind(keep=refuse, shape=shape, part=refuse, blocks=refuse, rows=refuse)


MATRIX: Final = Kind(_keep, _shape, _part, _blocks, _rows)
KEPT: Final = Kind(itself, _shape_kept, whole, _blocks, _rows)
QUANTILES: Final = _counted(
    lambda matrix: int(matrix.num_row()), "it has only its quantiles. Predict from a DMatrix or an array"
)
POOL: Final = _counted(lambda pool: int(pool.num_row()), "it hands out no values. Predict from a frame or an array")
FEATURES: Final = _counted(
    lambda data: int(data.get_object_count()), "it is catboost's own. Predict from a frame or an array"
)
