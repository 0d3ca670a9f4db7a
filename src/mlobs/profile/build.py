"""From data to the features of a profile, in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.columns import is_container
from mlobs.errors import ProfileError
from mlobs.profile.kind import KINDS, Kind
from mlobs.profile.partitions import Sides, engine_of, summed

if TYPE_CHECKING:
    from mlobs.profile.feature import Feature

MOST: Final = 20
_END: Final = object()


class Built(NamedTuple):
    """What a profile is made of."""

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    rows: int


def build(
    data: Any,  # noqa: ANN401 - any container mlobs reads
    outputs: Any,  # noqa: ANN401 - any container mlobs reads
    kinds: Mapping[str, Kind],
    bins: int,
    like: tuple[tuple[Feature, ...], tuple[Feature, ...]] | None,
) -> Built:
    """Read data and outputs once, batch after batch. Raises ProfileError and UnreadableError."""
    _check(kinds, bins, told=like is not None)
    _check_data(data)
    if engine_of(data) is not None:
        sides = summed(data, outputs, kinds, like)
    else:
        sides = Sides.made(kinds, like)
        for batch, answers in _pairs(data, outputs):
            sides.add(batch, answers)
    ins, outs = sides
    if not ins.rows and like is None:
        raise ProfileError("there are no rows to build a profile from. Give the data the model learned from.")
    if outs.rows != ins.rows and outs.names:
        raise ProfileError(f"{ins.rows} rows of inputs come with {outs.rows} outputs. Give outputs with every batch.")
    unknown = [name for name in kinds if name not in {*ins.names, *outs.names}]
    if unknown:
        raise ProfileError(
            f"kinds= names columns that are not there: {unknown}. There are {[*ins.names, *outs.names]}."
        )
    with np.errstate(all="ignore"):  # the program may make errors of numpy's warnings
        return Built(ins.features(bins), outs.features(bins), ins.rows)


def _check(kinds: Mapping[str, Kind], bins: int, *, told: bool) -> None:
    if type(bins) is bool or not isinstance(bins, (int, np.integer)) or not 1 <= bins <= MOST:
        raise ProfileError(f"bins={bins!r} cannot be: choose a whole number from 1 to {MOST}; 10 is usual.")
    if not isinstance(kinds, Mapping):
        raise ProfileError(
            f"kinds= is a {type(kinds).__name__}, and kinds go by column. Give a dict: kinds={{'age': 'integer'}}."
        )
    if told and kinds:
        raise ProfileError("like= settles the kinds of all columns. Leave kinds= out.")
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise ProfileError(f"kinds={{{name!r}: {kind!r}}} cannot be: choose one of {', '.join(KINDS)}.")


def _check_data(data: object) -> None:
    if isinstance(data, (str, bytes, os.PathLike)):
        raise ProfileError(
            f"a {type(data).__name__} is no data, and mlobs.Profile.build reads no files. Give what the file holds, or "
            "try: mlobs profile training.csv -o reference.json"
        )


def _pairs(data: Any, outputs: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - any container mlobs reads
    """Batches of inputs, each with its outputs or None."""
    if not isinstance(data, Iterator):
        yield data, outputs
    elif outputs is None:
        for batch in data:
            yield _pair(batch)
    elif isinstance(outputs, Iterator):
        for batch in data:
            answers = next(outputs, _END)
            if answers is _END:
                raise ProfileError("the outputs end before the data does. Give one batch of outputs for each of data.")
            yield batch, answers
        if next(outputs, _END) is not _END:
            raise ProfileError("the data ends before the outputs do. Give one batch of outputs for each of data.")
    else:
        raise ProfileError(
            "data comes in batches and outputs in one piece. "
            "Let the batches be pairs (inputs, outputs), or give an iterator of outputs."
        )


def _pair(batch: Any) -> tuple[Any, Any]:  # noqa: ANN401 - any container mlobs reads
    """A batch's inputs, and its outputs where it is a tuple of both; a named tuple is a row."""
    if type(batch) is not tuple or len(batch) != 2:
        return batch, None
    if not any(map(is_container, batch)):
        types = " and ".join(type(item).__name__ for item in batch)
        raise ProfileError(
            f"data comes in tuples of two, which are pairs (inputs, outputs), and here both are single values: {types}. "
            "Let rows be dicts or named tuples."
        )
    inputs, outputs = batch
    return inputs, outputs
