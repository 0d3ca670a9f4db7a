"""Frames that lie on many machines, of Spark and Dask: each partition is read where it lies, and the sums are merged here.

What a column's summary is depends on its values, not on their order or parts; so the profile is the one of all rows in
one place. Known by module and name: neither package is ever imported.
"""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.errors import MlobsError, ProfileError
from mlobs.profile.table import Table, check_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlobs.profile.feature import Feature
    from mlobs.profile.kind import Kind

    Like = tuple[tuple[Feature, ...], tuple[Feature, ...]] | None

_READ: Final = frozenset(
    {
        *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal"),
        *("string", "char", "varchar", "date", "timestamp", "timestamp_ntz", "void"),
    }
)


class Sides(NamedTuple):
    """The tables of the inputs and of the outputs, of the same rows."""

    inputs: Table
    outputs: Table

    @classmethod
    def made(cls, kinds: Mapping[str, Kind], like: Like) -> Sides:
        """Empty ones."""
        return cls(Table("input", kinds, like[0] if like else None), Table("output", kinds, like[1] if like else None))

    def add(self, batch: Any, answers: Any) -> None:  # noqa: ANN401 - any container mlobs reads
        """A batch of rows with their answers, if there are any. Raises ProfileError and UnreadableError."""
        with np.errstate(all="ignore"):  # the program may make errors of numpy's warnings
            rows = self.inputs.add(batch)
            answered = rows if answers is None else self.outputs.add(answers)
        if answered != rows:
            raise ProfileError(
                f"{rows} rows of inputs come with {answered} outputs. Give one output for each row"
                + (": the columns themselves, names are for frames of Spark and Dask." if _names(answers) else ".")
            )

    def merge(self, other: Sides) -> None:
        """The rows of another partition."""
        self.inputs.merge(other.inputs)
        self.outputs.merge(other.outputs)


def _names(answers: object) -> bool:
    return isinstance(answers, str) or (isinstance(answers, list) and all(isinstance(one, str) for one in answers))


def engine_of(data: object) -> str | None:
    """``pyspark`` or ``dask`` where this is a frame of theirs."""
    for base in type(data).__mro__:
        if base.__qualname__ == "DataFrame":
            root, _, rest = base.__module__.partition(".")
            if root == "pyspark" and rest.startswith("sql"):  # pandas on Spark is neither
                return root
            if root in ("dask", "dask_expr"):
                return "dask"
    return None


def summed(data: Any, outputs: Any, kinds: Mapping[str, Kind], like: Like) -> Sides:  # noqa: ANN401 - a frame of Spark or Dask, and what a person gives
    """The tables of all partitions. Raises ProfileError."""
    engine = engine_of(data)
    columns = [str(name) for name in data.columns]
    check_names(columns, "column")
    answers = _answers(outputs, columns)
    if engine == "pyspark":
        _check_types(data)
    names = [name for name in columns if name not in answers]
    found = (_of_spark if engine == "pyspark" else _of_dask)(data, Partition(names, answers, kinds, like))
    whole = Sides.made(kinds, like)
    for part in found:
        if isinstance(part, MlobsError):
            raise part
        whole.merge(part)
    return whole


class Partition(NamedTuple):
    """How a partition is read, on the machine where it lies."""

    names: Sequence[str]
    answers: Sequence[str]
    kinds: Mapping[str, Kind]
    like: Like

    def read(self, batches: Iterable[Any]) -> Sides | ProfileError:
        """What it holds; an error comes back as a value, to be raised on our machine."""
        sides = Sides.made(self.kinds, self.like)
        try:
            for batch in batches:
                pick = _picker(batch)
                sides.add(pick(self.names), pick(self.answers) if self.answers else None)
        except MlobsError as error:
            return ProfileError(str(error))
        return sides


def _picker(batch: Any) -> Callable[[Sequence[str]], Any]:  # noqa: ANN401 - of Arrow or pandas
    """What takes columns out of a batch, by their names as texts; those that are not there are left out."""
    arrow = hasattr(batch, "from_pydict")
    where = {str(name): index for index, name in enumerate(batch.schema.names if arrow else batch.columns)}

    def pick(names: Sequence[str]) -> Any:  # noqa: ANN401 - a batch
        found = [where[name] for name in names if name in where]
        return batch.select(found) if arrow else batch.iloc[:, found]

    return pick


def _of_spark(frame: Any, partition: Partition) -> Iterator[Sides | ProfileError]:  # noqa: ANN401 - Spark's
    columns = list(frame.columns)

    def summary(batches: Iterator[Any]) -> Iterator[Any]:
        arrow: Any = sys.modules["pyarrow"]
        named = (arrow.RecordBatch.from_arrays(batch.columns, columns) for batch in batches)
        yield arrow.RecordBatch.from_pydict({"summary": [pickle.dumps(partition.read(named))]})

    # Spark looks columns up by name, where a dot means a field, and capitals mean nothing
    plain = frame.toDF(*(f"c{index}" for index in range(len(columns))))
    found = plain.mapInArrow(summary, "summary binary").collect()
    return (pickle.loads(row[0]) for row in found)  # noqa: S301 - of our own making


def _of_dask(frame: Any, partition: Partition) -> Iterator[Sides | ProfileError]:  # noqa: ANN401 - Dask's
    dask: Any = sys.modules["dask"]
    read = dask.delayed(partition.read, pure=False)
    yield from dask.compute(*(read([part]) for part in frame.to_delayed()))


def _answers(outputs: Any, columns: Sequence[str]) -> list[str]:  # noqa: ANN401 - what a person gives
    if outputs is None:
        return []
    answers = [outputs] if isinstance(outputs, str) else outputs
    if not isinstance(answers, (list, tuple)) or not all(isinstance(name, str) for name in answers):
        raise ProfileError(
            "the outputs of a Spark or Dask frame are columns of that frame. Name them: outputs=['prediction']."
        )
    missing = sorted(set(answers) - set(columns))
    if missing:
        raise ProfileError(f"outputs= names columns that are not there: {missing}. There are {list(columns)}.")
    return list(answers)


def _check_types(frame: Any) -> None:  # noqa: ANN401 - Spark's
    for name, kind in frame.dtypes:
        if kind.partition("(")[0] not in _READ:
            raise ProfileError(
                f"column {name!r} is {kind}, and a profile is made of numbers, text, booleans, dates and timestamps. "
                f"Take it apart first, or leave it out: frame.drop({name!r})."
            )
