"""polars and pyarrow: tables of named columns, without importing either."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.columns import frames, stack
from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, SMALL, Kind, itself, whole
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


class Rows(NamedTuple):
    """What is kept of a small polars frame: Python's own values, which share no memory with anything."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Table(NamedTuple):
    """What is kept of a large one: a copy of each numeric column, and the others' own, which nobody can change."""

    names: tuple[str, ...]
    columns: list[Any]
    rows: int


class Batches(NamedTuple):
    """What is kept of a small arrow table: its batches, written out."""

    schema: Any
    written: list[Any]
    rows: int


def _calm(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function; polars' panics, which are no Exceptions, are errors like any other."""

    @functools.wraps(function)
    def calm(*args: Any) -> Any:  # noqa: ANN401 - as the function
        try:
            return function(*args)
        except BaseException as error:
            if type(error).__name__ == "PanicException":
                raise UnreadableError("polars panicked while this was read") from None
            raise

    return calm


def _object(values: list[Any]) -> NDArray[Any]:
    """Values as they are, whatever they are, in an array of one dimension."""
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


# ── polars ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@_calm
def _keep_frame(frame: Any) -> object:  # noqa: ANN401 - a polars.DataFrame
    if frame.height * frame.width > SMALL:
        return LARGE
    return Rows(tuple(frame.columns), frame.rows())


@_calm
def _shape_frame(frame: Any) -> tuple[int, int]:  # noqa: ANN401 - a polars.DataFrame
    return frame.height, max(frame.width, int(frame.estimated_size()) // 8 // max(1, frame.height))


@_calm
def _part_frame(frame: Any, step: int) -> Table:  # noqa: ANN401 - a polars.DataFrame
    return Table(
        tuple(frame.columns), [_polars(series, step) for series in frame.get_columns()], -(-frame.height // step)
    )


def _polars(series: Any, step: int) -> Any:  # noqa: ANN401 - a polars.Series to an array, or to a series
    """A copy of what may lie in an array of numpy's; other columns are nobody's but polars'."""
    dtype = series.dtype
    if dtype.is_numeric() or dtype.is_temporal() or str(dtype) == "Boolean":
        try:
            return series.to_numpy()[::step].copy()
        except BaseException as error:  # numpy has no integers of 128 bits, and polars panics
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
    return series.clone() if step == 1 else series.gather_every(step)


def _list(series: Any) -> Any:  # noqa: ANN401 - what `_polars` or `_arrow` left, to a sequence
    if isinstance(series, np.ndarray):
        return series
    if hasattr(series, "to_list"):
        return series.to_list()
    return series.to_pylist()


@_calm
def _values_polars(series: Any, step: int) -> Any:  # noqa: ANN401 - a polars.Series to an array
    values = _list(_polars(series, step))
    return values if isinstance(values, np.ndarray) else _object(values)


def _keep_polars(series: Any) -> object:  # noqa: ANN401 - a polars.Series
    return LARGE if len(series) > SMALL else _part_polars(series, 1)


def _part_polars(series: Any, step: int) -> frames.Row:  # noqa: ANN401 - a polars.Series
    return frames.Row(None, series.name or None, _values_polars(series, step))


def _shape_series(series: Any) -> tuple[int, int]:  # noqa: ANN401 - a polars.Series, an arrow array
    return len(series), 1


# ── pyarrow ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Seen:
    """The last schema, and whether a batch of it can be written out alone: dictionaries would be left behind."""

    last: tuple[Any, bool] = (None, False)


def _writable(schema: Any) -> bool:  # noqa: ANN401 - a pyarrow.Schema
    last, writable = _Seen.last
    if last is None or not schema.equals(last):
        writable = not any("dictionary<" in str(kind) for kind in schema.types)
        _Seen.last = (schema, writable)
    return writable


def _keep_table(table: Any) -> object:  # noqa: ANN401 - a pyarrow.Table or RecordBatch
    rows = table.num_rows
    if rows * table.num_columns > SMALL:
        return LARGE
    schema = table.schema
    if not _writable(schema):
        return _part_table(table, 1)
    batches = table.to_batches() if hasattr(table, "to_batches") else [table]
    return Batches(schema, [batch.serialize() for batch in batches], rows)


def _shape_table(table: Any) -> tuple[int, int]:  # noqa: ANN401 - a pyarrow.Table or RecordBatch
    rows = table.num_rows
    return rows, max(table.num_columns, table.nbytes // 8 // max(1, rows))


def _part_table(table: Any, step: int) -> Table:  # noqa: ANN401 - a pyarrow.Table or RecordBatch
    columns = [_arrow(column, step) for column in table.columns]
    return Table(tuple(map(str, table.schema.names)), columns, -(-table.num_rows // step))


def _arrow(column: Any, step: int) -> Any:  # noqa: ANN401 - an arrow array to an array, or to an arrow array
    """A copy of what may lie in an array of numpy's; of text and the like every ``step``-th."""
    arrow = sys.modules["pyarrow"]
    if arrow.types.is_primitive(column.type):
        chunked = hasattr(column, "chunks")
        values = column.to_numpy() if chunked else column.to_numpy(zero_copy_only=False)
        return values[::step].copy()
    return column if step == 1 else column.take(arrow.array(np.arange(0, len(column), step)))


def _values_arrow(array: Any, step: int) -> Any:  # noqa: ANN401 - an arrow array to an array
    values = _list(_arrow(array, step))
    return values if isinstance(values, np.ndarray) else _object(values)


def _keep_arrow(array: Any) -> object:  # noqa: ANN401 - an arrow array
    return LARGE if len(array) > SMALL else _part_arrow(array, 1)


def _part_arrow(array: Any, step: int) -> frames.Row:  # noqa: ANN401 - an arrow array
    return frames.Row(None, None, _values_arrow(array, step))


# ── what was kept ───────────────────────────────────────────────────────────────────────────────────────────────────


def _blocks_rows(kept: list[Rows], features: int | None) -> Iterator[Block]:
    del features
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for one in kept:
        groups.setdefault(one.names, []).extend(one.rows)
    for names, rows in groups.items():
        yield stack.stack(rows, names) if rows else Block(0, names, [[] for _ in names])


def _shape_rows(kept: Rows) -> tuple[int, int]:
    return len(kept.rows), len(kept.names)


@_calm
def _blocks_table(kept: list[Table], features: int | None) -> Iterator[Block]:
    del features
    return iter([Block(one.rows, one.names, [_list(column) for column in one.columns]) for one in kept])


def _shape_kept(kept: Table | Batches) -> tuple[int, int]:
    return kept.rows, len(kept.columns) if isinstance(kept, Table) else len(kept.schema.names)


def _rows_kept(kept: list[Any], features: int | None) -> list[int]:
    del features
    return [len(one.rows) if isinstance(one, Rows) else one.rows for one in kept]


def _blocks_batches(kept: list[Batches], features: int | None) -> Iterator[Block]:
    arrow = sys.modules["pyarrow"]
    groups: list[tuple[Any, list[Any]]] = []
    for one in kept:
        same = next((group for schema, group in groups[-8:] if schema.equals(one.schema)), None)
        if same is None:
            same = []
            groups.append((one.schema, same))
        same.extend(arrow.ipc.read_record_batch(batch, one.schema) for batch in one.written)
    tables = [_part_table(arrow.Table.from_batches(batches, schema), 1) for schema, batches in groups]
    yield from _blocks_table(tables, features)


def _raw(part: Callable[[Any, int], Any], kind: Kind) -> tuple[Any, Any]:
    """`Kind.blocks` and `Kind.rows` of what was not kept: it is parted first."""

    def blocks(values: list[Any], features: int | None) -> Iterator[Block]:
        return kind.blocks([part(value, 1) for value in values], features)

    def rows(values: list[Any], features: int | None) -> list[int]:
        return kind.rows([part(value, 1) for value in values], features)

    return blocks, rows


ROWS: Final = Kind(itself, _shape_rows, whole, _blocks_rows, _rows_kept)
TABLE: Final = Kind(itself, _shape_kept, whole, _blocks_table, _rows_kept)
BATCHES: Final = Kind(itself, _shape_kept, whole, _blocks_batches, _rows_kept)
POLARS_FRAME: Final = Kind(_keep_frame, _shape_frame, _part_frame, *_raw(_part_frame, TABLE))
ARROW_TABLE: Final = Kind(_keep_table, _shape_table, _part_table, *_raw(_part_table, TABLE))

POLARS_SERIES: Final = Kind(
    _keep_polars, _shape_series, _part_polars, *_raw(_part_polars, frames.ROW), values=_values_polars
)
ARROW_ARRAY: Final = Kind(_keep_arrow, _shape_series, _part_arrow, *_raw(_part_arrow, frames.ROW), values=_values_arrow)
