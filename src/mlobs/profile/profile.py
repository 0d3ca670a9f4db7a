"""What a model's data looked like when it was made."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlobs.errors import ProfileError
from mlobs.profile import file
from mlobs.profile.build import build
from mlobs.profile.feature import LARGEST, Feature, make_cuts
from mlobs.sketch import Categories, Cuts

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from mlobs.profile.kind import Kind


@dataclass(frozen=True, eq=False)
class Profile:
    """The reference that traffic is compared with: every column's bins and counts, and its least and greatest number.

    Build one from the data the model learned from, and save it beside the model::

        mlobs.Profile.build(training_data, outputs=predictions).save("reference.json")

    created: ISO 8601 in UTC. Two profiles are equal when their ids are, whenever they were created.
    """

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    rows: int
    created: str
    model: str | None = None
    version: str | None = None

    @classmethod
    def build(
        cls,
        data: Any,  # noqa: ANN401 - any container mlobs reads
        *,
        outputs: Any = None,  # noqa: ANN401 - any container mlobs reads
        kinds: Mapping[str, Kind] | None = None,
        bins: int = 10,
        like: Profile | None = None,
        model: str | None = None,
        version: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Profile:
        """Build a profile from data in memory, or in one pass from an iterator of batches larger than memory.

        data: a frame, a 2-D array (columns f0, f1, …), a dict of columns, a list of dicts or rows; or an iterator of
            such batches. A one-dimensional array, list or series is one column. A DataFrame of Spark or Dask is read
            where its partitions lie; mlobs has to be installed there.
        outputs: what the model answered to these rows, likewise; where data is an iterator, an iterator too, unless
            the batches are tuples (inputs, outputs); a named tuple is a row. One column without a name is
            `prediction`, several are `score_0`, `score_1`, … Of a frame of Spark or Dask, the names of its columns
            that are outputs.
        kinds: columns' kinds, where they are not those of the data: numeric, integer, boolean, categorical, text
            (counted by length), datetime. What does not fit a kind is counted as missing.
        bins: how many bins of equal share to aim at, from 1 to 20.
        like: count in another profile's bins, so that the two can be merged. Range and categories are the data's own.
        model, version: whose profile it is, as texts.

        Inferred are: boolean, integer, numeric and datetime from dtypes and types; strings are categorical, or text
        where the different ones are more than 200 and more than half of all; a column without a value is numeric.
        Up to 65,536 different values bins are exact quantiles, beyond within 0.1%; counts are exact always.
        Raises ProfileError for data that makes no profile, UnreadableError for a container mlobs does not read.
        """
        _check(model, version)
        given = None if like is None else _profile("like=", like)
        told = {} if kinds is None else kinds
        made = build(data, outputs, told, bins, (given.inputs, given.outputs) if given else None)
        return cls(*made, _text(clock()), model, version)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Profile:
        """Read a profile. Raises ProfileError, with reason and cure, for what is absent, damaged, foreign or newer."""
        return cls(*file.parse(file.read(path), f"the profile {path}"))

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Read a profile from a file's text; errors as `load`."""
        return cls(*file.parse(text, "the profile"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the profile to a JSON file, all of it or nothing."""
        file.write(path, self.to_json())

    def to_json(self) -> str:
        """The text of the profile's file."""
        return file.dump(self._content())

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that stand for everything but the time of creation."""
        return file.identify(self._content())

    def merge(self, *others: Profile) -> Profile:
        """One profile of all rows; bins have to be the same, see `build(like=...)`. Raises ProfileError."""
        merged = self
        for other in others:
            _profile("what is to be merged", other)
            inputs = _merge_all(merged.inputs, other.inputs)
            outputs = _merge_all(merged.outputs, other.outputs)
            created = max(merged.created, other.created)
            merged = replace(merged, inputs=inputs, outputs=outputs, rows=merged.rows + other.rows, created=created)
        return merged

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Profile) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        of = f" of {self.model} {self.version or ''}".rstrip() if self.model else ""
        columns = f"{_plural(len(self.inputs), 'input')}, {_plural(len(self.outputs), 'output')}"
        return f"<mlobs.Profile {self.id}{of}: {columns}, {_plural(self.rows, 'row')}, {self.created}>"

    def _content(self) -> file.Content:
        return file.Content(self.inputs, self.outputs, self.rows, self.created, self.model, self.version)


def _check(model: object, version: object) -> None:
    for name, value in (("model", model), ("version", version)):
        if value is not None and (not isinstance(value, str) or not value):
            raise ProfileError(f"{name}={value!r} cannot be: give a text that is not empty.")


def _profile(what: str, given: object) -> Profile:
    if not isinstance(given, Profile):
        raise ProfileError(
            f"{what} is a {type(given).__name__}: expected a mlobs.Profile. "
            "Read one that was saved: mlobs.Profile.load('reference.json')."
        )
    return given


def _merge_all(mine: tuple[Feature, ...], theirs: tuple[Feature, ...]) -> tuple[Feature, ...]:
    found = {feature.name: feature for feature in theirs}
    if {feature.name for feature in mine} != set(found):
        raise ProfileError(
            f"profiles of other columns cannot be merged: {sorted(feature.name for feature in mine)} and "
            f"{sorted(found)}. Build both from the same columns, the second with like=the first."
        )
    return tuple(_merge(feature, found[feature.name]) for feature in mine)


def _merge(mine: Feature, theirs: Feature) -> Feature:
    one, other = mine.partition, theirs.partition
    if mine.kind != theirs.kind or one != other:
        raise ProfileError(
            f"profiles with other bins of {mine.name!r} cannot be merged: {mine!r} and {theirs!r}. "
            "Build the second with like=the first."
        )
    if mine.samples + theirs.samples > LARGEST:
        raise ProfileError(
            f"profiles cannot be merged whose counts of {mine.name!r} are together more than {LARGEST}: "
            f"{mine.samples} and {theirs.samples}. Merge fewer of them."
        )
    joined = mine.partition
    if isinstance(one, Cuts) and isinstance(other, Cuts):
        sides = ((one, mine.counts), (other, theirs.counts))
        met = [part for part, counts in sides if counts[:-1].any()] or [one]  # where nothing is, there is no range
        low, high = min(part.low for part in met), max(part.high for part in met)
        joined = make_cuts(mine.kind, one.edges, low, high)
    elif isinstance(one, Categories) and isinstance(other, Categories):
        joined = Categories(one.names, one.known | other.known)
    return replace(mine, partition=joined, counts=np.add(mine.counts, theirs.counts))


def _text(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
