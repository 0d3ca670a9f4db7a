"""The columns of one role while a profile is built: batches in, features out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from mlobs.columns import Block, is_container, read
from mlobs.errors import ProfileError
from mlobs.profile.column import Column, Recount
from mlobs.profile.kind import declared

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlobs.profile.feature import Feature, Role
    from mlobs.profile.kind import Kind

ROWS: Final = 65_536  # in-memory data is read in parts of this many rows
CODES: Final = 2**24  # of all columns' quantiles together: 256 MB at most


class Table:
    """Reads batches of rows into columns. All batches need the same columns; arrays may leave their names out."""

    def __init__(self, role: Role, kinds: Mapping[str, Kind], like: Sequence[Feature] | None = None) -> None:
        self.role = role
        self.rows = 0
        self._kinds = kinds
        self._columns: dict[str, Column | Recount] = {}
        if like is not None:
            self._columns = {feature.name: Recount(feature) for feature in like}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(self._columns)

    def add(self, batch: Any) -> int:  # noqa: ANN401 - any container mlobs reads
        """Add a batch of rows; returns how many. Raises ProfileError and UnreadableError."""
        rows = 0
        for part in _parts(batch):
            rows += self._add(part)
        self.rows += rows
        return rows

    def merge(self, other: Table) -> None:
        """The rows that another table has read of the same columns. Raises ProfileError."""
        if not other._columns:
            return
        if not self._columns:
            self._columns, self.rows = other._columns, other.rows
            return
        self._agree(other._columns)
        for name, column in self._columns.items():
            column.merge(other._columns[name])
        self.rows += other.rows

    def features(self, bins: int) -> tuple[Feature, ...]:
        """The finished columns, in the order of the first batch."""
        return tuple(column.feature(bins) for column in self._columns.values())

    def _add(self, part: Any) -> int:  # noqa: ANN401 - any container mlobs reads
        alone = _is_column(part)
        unknown = 0 if self.role == "output" else None  # as in a call
        block = read(_unlabelled(part) if alone else part, features=1 if alone else unknown)
        if not block.width and (not block.rows or not self._columns):
            return 0
        names = self._names(block, alone=alone)
        dtypes = _dtypes(part, block.width)
        if not self._columns:
            limit = min(65_536, max(2_048, CODES // block.width))
            for name, dtype in zip(names, dtypes, strict=True):
                told = self._kinds.get(name) or ("categorical" if declared(dtype) == "categorical" else None)
                self._columns[name] = Column(name, self.role, told, limit)
        self._agree(names)
        for index, (name, dtype) in enumerate(zip(names, dtypes, strict=True)):
            self._columns[name].add(block.column(index), declared(dtype), None if dtype is None else str(dtype))
        return block.rows

    def _agree(self, names: Collection[str]) -> None:
        if set(names) != set(self._columns):
            missing, extra = sorted(set(self._columns) - set(names)), sorted(set(names) - set(self._columns))
            raise ProfileError(
                f"a batch of {self.role}s lacks the columns {missing} and has {extra} besides. "
                "Give every batch the columns of the first."
            )

    def _names(self, block: Block, *, alone: bool) -> tuple[str, ...]:
        names = block.names
        if names is None or (alone and self.role == "output"):
            if len(self._columns) == block.width:
                return self.names
            if self.role == "input":
                names = tuple(f"f{index}" for index in range(block.width))
            else:
                several = tuple(f"score_{index}" for index in range(block.width))
                names = ("prediction",) if block.width == 1 else several
        check_names(names, f"{self.role} column")
        return names


def check_names(names: Iterable[str], what: str) -> None:
    """Raises ProfileError where two of them are the same."""
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ProfileError(f"more than one {what} is called {', '.join(twice)}. Give each its own name.")


def _parts(batch: Any) -> Iterator[Any]:  # noqa: ANN401 - any container mlobs reads
    """The batch in slices of at most `ROWS` rows, where it can be sliced without being copied."""
    if hasattr(batch, "tocsr") or not hasattr(type(batch), "__len__"):  # sparse: its columns are made one at a time
        yield batch
        return
    slices = hasattr(batch, "slice")  # polars, arrow
    sliced = getattr(batch, "iloc", batch if getattr(batch, "ndim", 0) else None)
    if (sliced is None and not slices) or len(batch) <= ROWS:
        yield batch
        return
    for start in range(0, len(batch), ROWS):
        yield batch.slice(start, ROWS) if sliced is None else sliced[start : start + ROWS]


def _is_column(part: Any) -> bool:  # noqa: ANN401 - any container mlobs reads
    """Whether these are the values of one column, where the same in a call would be one row."""
    if isinstance(part, (list, tuple)):
        first = next((item for item in part if item is not None), None)
        return not is_container(first)
    if getattr(getattr(part, "dtype", None), "names", None):
        return False  # records are rows
    column = hasattr(part, "slice") and not hasattr(type(part), "columns")  # of polars, of arrow
    return column or getattr(part, "ndim", 0) == 1


def _unlabelled(part: Any) -> Any:  # noqa: ANN401 - any container mlobs reads
    """A series without its labels, which could be taken for the names of columns."""
    return part.reset_index(drop=True) if hasattr(part, "reset_index") else part


def _dtypes(part: Any, width: int) -> list[Any]:  # noqa: ANN401 - any container mlobs reads
    """What the container itself says of its columns, where it says something."""
    dtypes = getattr(part, "dtypes", None)
    if dtypes is not None and getattr(part, "ndim", 0) > 1:
        return list(dtypes)
    if dtypes is not None and hasattr(part, "slice"):  # polars says in brackets which categories there are
        return [str(dtype).partition("(")[0] for dtype in dtypes]
    dtype = getattr(part, "dtype", None)
    if hasattr(part, "slice") and dtype is not None:
        dtype = str(dtype).partition("(")[0]
    return [None if getattr(dtype, "names", None) else dtype] * width
