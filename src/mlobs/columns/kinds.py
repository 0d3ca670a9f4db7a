"""The table of kinds: which containers mlobs reads, and by which functions."""

from __future__ import annotations

import datetime
import decimal
import types
from typing import Any, Final

import numpy as np

from mlobs.columns import arrays, dicts, dispatched, frames, lookup, native, records, rows, sparse, tables, tensors
from mlobs.columns.block import Block, Joined
from mlobs.columns.kind import LARGE, SMALL, Kind, TracedError
from mlobs.columns.lookup import blocks, kind_of
from mlobs.errors import UnreadableError

__all__ = ["LARGE", "SMALL", "Kind", "TracedError", "blocks", "is_container", "kind_of", "read"]

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
lookup.NAMED.update(
    {
        ("_catboost", "FeaturesData"): native.FEATURES,
        ("catboost", "Pool"): native.POOL,
        ("pandas", "DataFrame"): frames.FRAME,
        ("pandas", "Series"): frames.SERIES,
        ("polars", "DataFrame"): tables.POLARS_FRAME,
        ("polars", "LazyFrame"): lookup.refusing("a LazyFrame is a query: collect() it first"),
        ("polars", "Series"): tables.POLARS_SERIES,
        ("pyarrow", "Array"): tables.ARROW_ARRAY,
        ("pyarrow", "ChunkedArray"): tables.ARROW_ARRAY,
        ("pyarrow", "RecordBatch"): tables.ARROW_TABLE,
        ("pyarrow", "Table"): tables.ARROW_TABLE,
        ("scipy", "_spbase"): sparse.MATRIX,
        ("scipy", "spmatrix"): sparse.MATRIX,  # before scipy 1.11
        ("jax", "Array"): dispatched.ARRAY,
        ("jax", "Tracer"): dispatched.TRACER,
        ("torch", "FakeTensor"): dispatched.TRACER,
        ("torch", "Proxy"): dispatched.TRACER,  # of torch.fx
        ("torch", "Tensor"): tensors.TENSOR,
        ("xgboost", "DMatrix"): native.MATRIX,
        ("xgboost", "ExtMemQuantileDMatrix"): native.QUANTILES,
        ("xgboost", "QuantileDMatrix"): native.QUANTILES,
    }
)

# what a plain function answers that some decorator has made of a coroutine function
_COROUTINE: Final = lookup.refusing(
    "it has not run yet, and where a call answers it neither its time nor its errors are the prediction's",
    "Put mlobs.observe right above the `async def`, beneath what makes a plain function of it",
)

lookup.TYPED.update(
    {
        np.matrix: arrays.MATRIX,
        np.ndarray: arrays.ARRAY,
        np.void: arrays.RECORD,
        list: rows.LIST,
        tuple: rows.TUPLE,
        dict: dicts.DICT,
        frames.Columns: frames.COLUMNS,
        frames.Row: frames.ROW,
        native.Matrix: native.KEPT,
        sparse.Sparse: sparse.SPARSE,
        tables.Batches: tables.BATCHES,
        tables.Rows: tables.ROWS,
        tables.Table: tables.TABLE,
        types.CoroutineType: _COROUTINE,
        **dict.fromkeys(_SCALARS, rows.SCALAR),
    }
)

lookup.MAKERS.extend((arrays.made, records.made))


def is_container(value: object) -> bool:
    """Whether a value is read as more than a single value."""
    kind = kind_of(type(value))
    return kind is not rows.SCALAR and kind is not lookup.UNKNOWN


def read(value: object, *, features: int | None = None) -> Block:
    """Read one value that nobody changes meanwhile; ``features`` as for `blocks`.

    Raises UnreadableError where the kind is unknown or its rows differ in their columns.
    """
    kind = kind_of(type(value))
    kept = kind.part(value, 1)
    found = list(kind_of(type(kept)).blocks([kept], features))
    if not found:
        return Block(0, (), [])
    found = [block.ordered(found[0].names) for block in found]
    if len(found) > 1 and len({(block.names, block.width) for block in found}) > 1:
        widths = sorted({block.width for block in found})
        message = (
            f"mlobs cannot read this {type(value).__name__} as one table: its rows differ in their columns "
            f"({' and '.join(map(str, widths)) if len(widths) > 1 else 'their names'}). "
            "Give every row the same columns."
        )
        raise UnreadableError(message, reason="ragged", rows=sum(block.rows for block in found))
    return found[0] if len(found) == 1 else _joined(found)


def _joined(found: list[Block]) -> Block:
    """Blocks of the same columns as one."""
    rows = sum(block.rows for block in found)
    matrices: list[Any] = [block.matrix for block in found if block.matrix is not None]
    if len(matrices) == len(found):
        return Block(rows, found[0].names, [], np.concatenate(matrices))
    return Block(rows, found[0].names, Joined(found))
