"""pandas frames and series, without importing pandas."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.columns import arrays
from mlobs.columns.block import Block
from mlobs.columns.kind import LARGE, SMALL, Kind, itself, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Columns(NamedTuple):
    """What is kept of a frame: its labels, and either one array (rows, columns) or one array a column."""

    labels: Any
    values: Any


class Row(NamedTuple):
    """What is kept of a series: its labels, its name and its values."""

    labels: Any
    name: Any
    values: Any


class _Hint:
    """Whether the last small frame had columns of several dtypes: it picks the cheaper of two correct copies."""

    mixed = False


def _keep_frame(frame: Any) -> object:  # noqa: ANN401 - a pandas.DataFrame
    labels = frame.columns
    if len(labels) * len(frame) > SMALL:  # frame.size costs ten times as much
        return LARGE
    if _Hint.mixed:
        # pandas 3 copies on write, so a shallow copy is out of the caller's reach; pandas 2 needs a deep one.
        return frame.copy(deep=sys.modules["pandas"].__version__ < "3")
    # A frame of one dtype hands out its own memory, hence the copy; a mixed one boxes its cells into a new array.
    values = frame.to_numpy(copy=True)
    _Hint.mixed = values.dtype == object
    return Columns(labels, values)


def _blocks_frame(frames: list[Any], features: int | None) -> Iterator[Block]:
    kept = [_part_frame(_joined(group), 1) for group in _alike(frames)]
    _Hint.mixed = any(isinstance(values, list) for _, values in kept)
    yield from _blocks_columns(kept, features)


def _alike(frames: list[Any]) -> list[list[Any]]:
    """The frames in groups of equal labels."""
    if sys.modules["pandas"].__version__ < "3":  # its concat warns about columns without a value
        return [[frame] for frame in frames]
    groups: list[list[Any]] = []
    for frame in frames:
        for group in groups[-8:]:
            if frame.columns.equals(group[0].columns):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _joined(frames: list[Any]) -> Any:  # noqa: ANN401 - one frame
    """Frames of equal labels as one: reading it costs the same as reading one row."""
    return frames[0] if len(frames) == 1 else sys.modules["pandas"].concat(frames, ignore_index=True)


def _shape_frame(frame: Any) -> tuple[int, int]:  # noqa: ANN401 - a pandas.DataFrame
    return frame.shape  # type: ignore[no-any-return]


def _part_frame(frame: Any, step: int) -> Columns:  # noqa: ANN401 - a pandas.DataFrame
    if len({dtype.kind for dtype in frame.dtypes}) == 1:
        array = frame.to_numpy()
        if array.dtype.kind in "biuf":
            return Columns(frame.columns, array[::step].copy())
    return Columns(frame.columns, [_column(frame.iloc[::step, index]) for index in range(frame.shape[1])])


def _column(series: Any) -> Any:  # noqa: ANN401 - a pandas.Series to an array
    values = series.to_numpy(copy=True)
    if values.dtype == object and series.dtype.kind in "iufb":  # nullable numbers
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _blocks_columns(kept: list[Columns], features: int | None) -> Iterator[Block]:
    del features
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for labels, values in kept:
        if isinstance(values, list):
            yield Block(len(values[0]) if values else 0, _names(labels), values)
        else:
            groups.setdefault((values.shape[1], id(labels)), []).append((labels, values))
    tables: dict[tuple[bool, tuple[str, ...]], list[Any]] = {}
    for group in groups.values():
        names = _names(group[0][0])
        for _, values in group:
            tables.setdefault((values.dtype.kind in "biuf", names), []).append(values)
    for (_, names), values in tables.items():
        yield arrays.block(values[0] if len(values) == 1 else np.concatenate(values), names)


def _shape_columns(kept: Columns) -> tuple[int, int]:
    if isinstance(kept.values, list):
        return (len(kept.values[0]), len(kept.values)) if kept.values else (0, 0)
    return kept.values.shape  # type: ignore[no-any-return]


def _names(labels: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, labels))


def _keep_series(series: Any) -> object:  # noqa: ANN401 - a pandas.Series
    return LARGE if series.size > SMALL else _part_series(series, 1)


def _shape_series(series: Any) -> tuple[int, int]:  # noqa: ANN401 - a pandas.Series
    return (1, series.size) if _is_row(series.index) else (series.size, 1)


def _part_series(series: Any, step: int) -> Row:  # noqa: ANN401 - a pandas.Series
    if _is_row(series.index):
        return Row(series.index, series.name, _column(series))
    return Row(None, series.name, _column(series.iloc[::step]))


def _values_series(series: Any, step: int) -> Any:  # noqa: ANN401 - a pandas.Series to an array
    return _column(series if step == 1 else series.iloc[::step])


def _shape_row(kept: Row) -> tuple[int, int]:
    return (len(kept.values), 1) if kept.labels is None else (1, len(kept.values))


def _is_row(labels: Any) -> bool:  # noqa: ANN401 - a pandas.Index
    """Whether the labels name columns: a row taken from a frame is labelled by its column names."""
    return bool(len(labels)) and isinstance(labels[0], str)


def _blocks_series(kept: list[Row], features: int | None) -> Iterator[Block]:
    for labels, name, values in kept:
        # where a row has one column labels are of rows: customers, say, whose scores are the answer
        if labels is not None and not arrays.alone(features):
            yield arrays.block(values.reshape(1, -1), _names(labels))
        else:
            yield arrays.block(values.reshape(-1, 1), None if name is None or arrays.alone(features) else (str(name),))


def _rows_frame(frames: list[Any], features: int | None) -> list[int]:
    del features
    return [len(frame) for frame in frames]


def _rows_columns(kept: list[Columns], features: int | None) -> list[int]:
    del features
    return [_shape_columns(one)[0] for one in kept]


def _rows_row(kept: list[Row], features: int | None) -> list[int]:
    return [len(one.values) if arrays.alone(features) else _shape_row(one)[0] for one in kept]


FRAME: Final = Kind(_keep_frame, _shape_frame, _part_frame, _blocks_frame, _rows_frame)
SERIES: Final = Kind(_keep_series, _shape_series, _part_series, _blocks_series, _rows_row, _values_series)
COLUMNS: Final = Kind(itself, _shape_columns, whole, _blocks_columns, _rows_columns)
ROW: Final = Kind(itself, _shape_row, whole, _blocks_series, _rows_row)
