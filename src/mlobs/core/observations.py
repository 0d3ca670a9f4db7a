"""The counts of one model's inputs, or of its outputs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.core.guard import Mute
from mlobs.otel import names
from mlobs.otel.points import Attributes, Exponential, Numbers, Points
from mlobs.sketch import CutMatrix, Cuts, Found, add_columns, numbers
from mlobs.sketch import Exponential as Sketch
from mlobs.sketch.categories import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlobs.columns import Block
    from mlobs.core.guard import Guard
    from mlobs.profile import Feature

    Counts = NDArray[np.int64]

# Where no reference says what the columns are: of the rows, the part that has to have a column for it to be one, and not
# data that somebody uses as keys; and how fine its values are told, three digits.
_COMMON: Final = 0.1
_FINEST: Final = 10
_NUMERIC: Final = ("numeric", "integer", "boolean")


class _Match(NamedTuple):
    """Which column of a block holds which feature, and what is wrong with the rest, by kind."""

    pairs: tuple[tuple[int, int], ...]
    violations: tuple[tuple[str, int], ...]
    reason: str | None = None


class Observations:
    """Counts blocks of rows against the features of a reference, or summarises them where there is none.

    Not thread-safe: whoever folds holds the counting lock. ``guard`` is told what could not be used.
    """

    def __init__(
        self,
        role: str,
        reference: Sequence[Feature],
        attributes: Attributes,
        guard: Guard,
        limit: int,
    ) -> None:
        self.role = role
        self.reference = tuple(reference)
        self._base = attributes
        self._attributes = attributes.extended((names.ROLE, role))
        self._guard = guard
        self.limit = limit
        sizes = [feature.partition.size for feature in self.reference]
        self.counts: Counts = np.zeros(sum(sizes), np.int64)
        self.parts: list[Counts] = np.split(self.counts, np.cumsum(sizes)[:-1]) if sizes else []
        self._series = [self._attributes.extended((names.FEATURE, feature.name)) for feature in self.reference]
        self._bins = [tuple(map(_bin, feature.partition.keys)) for feature in self.reference]
        self._matches: dict[object, _Match] = {}
        self._matrices: dict[tuple[int, ...], CutMatrix] = {}
        self._sketches: dict[str, Sketch] = {}
        self._sketch_series: dict[str, Attributes] = {}
        self._rows = 0  # summarised
        self._columns: set[str] = set()  # whose names may be told
        self.violations: Counter[tuple[str, str]] = Counter()
        self.schema: Counter[str] = Counter()

    @property
    def violated(self) -> int:
        """All violations so far."""
        return sum(self.violations.values()) + sum(self.schema.values())

    def twin(self) -> Observations:
        """Observations of the same reference that have counted nothing, and tell nobody what they could not use."""
        return Observations(self.role, self.reference, self._base, Mute(), self.limit)

    # ── counting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, block: Block) -> None:
        """Count a block of rows."""
        if not block.rows:
            return
        if block.names is not None and not {*map(type, block.names)} <= {str}:
            block = block._replace(names=tuple(map(str.__str__, block.names)))  # a label may be of any class of text
        if not self.reference:
            self._summarise(block)
            return
        match = self._match(block)
        for kind, count in match.violations:
            self.schema[kind] += count * block.rows
        if match.reason:
            self._guard.drop(match.reason, block.rows)
        self._count(block, match.pairs)

    def _count(self, block: Block, pairs: Sequence[tuple[int, int]]) -> None:
        """Count the numeric columns side by side, and the others one by one."""
        numeric = [pair for pair in pairs if self._is_numeric(pair[1])]
        if numeric:
            self._count_numbers(block, numeric)
        for column, index in pairs:
            if not self._is_numeric(index):
                self._found(index, self.reference[index].count(block.column(column), self.parts[index]), block.rows)

    def _is_numeric(self, index: int) -> bool:
        feature = self.reference[index]
        return feature.kind in _NUMERIC and isinstance(feature.partition, Cuts)

    def _count_numbers(self, block: Block, pairs: Sequence[tuple[int, int]]) -> None:
        columns = [column for column, _ in pairs]
        features = tuple(index for _, index in pairs)
        bad = [0] * len(pairs)
        matrix: NDArray[Any]
        if block.matrix is None:
            read = [numbers(block.column(column)) for column in columns]
            matrix = np.column_stack([values for values, _ in read])
            bad = [wrong for _, wrong in read]
        elif columns == list(range(block.matrix.shape[1])):
            matrix = block.matrix
        else:
            matrix = block.matrix[:, columns]
        counter = self._matrices.get(features)
        if counter is None:
            partitions: list[Any] = [self.reference[index].partition for index in features]
            counter = CutMatrix(partitions)
            if len(self._matrices) < 64:  # rows with ever other keys must not fill the memory
                self._matrices[features] = counter
        found = counter.count(matrix, [self.parts[index] for index in features])
        for index, one, wrong in zip(features, found, bad, strict=True):
            self._found(index, one._replace(missing=one.missing - wrong, type=wrong) if wrong else one, block.rows)

    def _found(self, index: int, found: Found, rows: int) -> None:
        if not any(found):
            return
        name = self.reference[index].name
        for kind, count in found._asdict().items():
            if count:
                self.violations[name, kind] += count
        if found.type == rows:
            self.schema["dtype"] += rows

    def _match(self, block: Block) -> _Match:
        key = block.names if block.names is not None else block.width
        match = self._matches.get(key)
        if match is None:
            match = self._pair(block)
            if len(self._matches) < 1000:
                self._matches[key] = match
        return match

    def _pair(self, block: Block) -> _Match:
        wanted = [feature.name for feature in self.reference]
        width = block.width
        given = block.names
        if given is None or (not set(given) & set(wanted) and (self.role == names.ROLE_OUTPUT or _positions(given))):
            if width == len(wanted):
                return _Match(tuple((index, index) for index in range(width)), ())
            if self.role == names.ROLE_OUTPUT:
                return _Match((), (), "output_shape")
            kind = "extra_column" if width > len(wanted) else "missing_column"
            return _Match((), ((kind, abs(width - len(wanted))),), "width")
        where = {name: column for column, name in reversed(list(enumerate(given)))}
        pairs = tuple((where[name], index) for index, name in enumerate(wanted) if name in where)
        if self.role == names.ROLE_OUTPUT:
            return _Match(pairs, (), "output_shape" if len(pairs) < len(wanted) else None)
        found: list[tuple[str, int]] = []
        if len(pairs) < len(wanted):
            found.append(("missing_column", len(wanted) - len(pairs)))
        if width > len(pairs):
            found.append(("extra_column", width - len(pairs)))
        columns = [column for column, _ in pairs]
        if columns != sorted(columns):
            found.append(("order", 1))
        if found:
            self._tell([name for name in wanted if name not in where], width - len(pairs), columns != sorted(columns))
        return _Match(pairs, tuple(found))

    def _tell(self, missing: list[str], extra: int, reordered: bool) -> None:  # noqa: FBT001 - three findings
        """Say once a model that its traffic has other columns; names of columns it was not made for stay unsaid."""
        model = dict(self._attributes.items())[names.MODEL_NAME]
        said = (
            [f"{len(missing)} missing ({', '.join(missing[:5])}{', …' if len(missing) > 5 else ''})"] if missing else []
        )
        said += [f"{extra} that the reference does not know"] if extra else []
        said += ["another order"] if reordered else []
        self._guard.tell(
            f"schema {self._attributes.items()}",
            "model %s: the input's columns are not the reference's: %s. What matches is observed; see "
            "mlobs.schema.violations.",
            model,
            "; ".join(said),
        )

    def _summarise(self, block: Block) -> None:
        if block.width > self.limit:
            self._guard.drop("feature_limit", block.rows)
            return
        self._rows += block.rows
        labels = block.names if block.names is not None else self.names(block.width)
        wrong: dict[str, int] = {}
        if block.matrix is not None:
            known = [column for column, name in enumerate(labels) if self._sketch(name, block.rows)]
            matrix: NDArray[Any] = block.matrix if len(known) == len(labels) else block.matrix[:, known]
        else:
            read = [(column, *numbers(block.column(column))) for column in range(block.width)]
            found = [one for one in read if self._holds_numbers(labels[one[0]], *one[1:])]
            known = [column for column, _, _ in found]
            wrong.update({labels[column]: count for column, _, count in found if count})
            matrix = np.column_stack([values for _, values, _ in found]) if found else np.empty((block.rows, 0))
        chosen = [labels[column] for column in known]
        before = {name: (self._sketches[name].missing, self._sketches[name].infinite) for name in chosen}
        add_columns([self._sketches[name] for name in chosen], matrix)
        for name, (missing, infinite) in before.items():
            sketch = self._sketches[name]
            sketch.missing -= wrong.get(name, 0)
            self.violations[name, "type"] += wrong.get(name, 0)
            self.violations[name, "missing"] += sketch.missing - missing
            self.violations[name, "infinite"] += sketch.infinite - infinite

    def _holds_numbers(self, name: str, values: NDArray[Any], wrong: int) -> bool:
        """Whether a column is summarised: text is not, unless among numbers; there is nothing else to hold it against."""
        before = self._sketches.get(name)
        among = not wrong or (before is not None and before.count) or not np.isnan(values).all()
        return bool(among) and self._sketch(name, len(values))

    def _sketch(self, name: str, rows: int) -> bool:
        """Whether there is a sketch of this name, or may be one from now on; else ``rows`` are left out of it."""
        if name in self._sketches:
            return True
        if len(self._sketches) >= self.limit:
            self._guard.drop("feature_limit", rows)
            return False
        self._sketches[name] = Sketch(finest=_FINEST)
        self._sketch_series[name] = self._attributes.extended((names.FEATURE, name))
        return True

    def _is_column(self, name: str) -> bool:
        """Whether a name without a reference may be told: a column is in many rows, a key that is data in few."""
        if self.reference or name in self._columns:
            return True
        sketch = self._sketches[name]
        rows = sketch.count + sketch.missing + sketch.infinite
        if rows < PRIVATE or rows < self._rows * _COMMON:
            return False
        self._columns.add(name)
        return True

    def names(self, width: int) -> tuple[str, ...]:
        """The names of columns known by position only."""
        if width == len(self.reference):
            return tuple(feature.name for feature in self.reference)
        if self.role == names.ROLE_INPUT:
            return tuple(f"f{index}" for index in range(width))
        return ("prediction",) if width == 1 else tuple(f"score_{index}" for index in range(width))

    # ── points ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def collect(self) -> Iterator[Points]:
        """Everything counted, and the reference it is counted against."""
        for feature, counts, series, bins in zip(self.reference, self.parts, self._series, self._bins, strict=True):
            ratios = [float(ratio) for ratio in feature.ratios]
            labels = [
                each.extended((names.LABEL, text)) for each, text in zip(bins, feature.partition.labels, strict=True)
            ]
            yield Numbers(names.FEATURE_OBSERVATIONS, series, counts.tolist(), bins)
            yield Numbers(names.FEATURE_REFERENCE_RATIO, series, ratios, bins)
            yield Numbers(names.FEATURE_REFERENCE_SAMPLES, series, (int(feature.samples),))
            yield Numbers(names.FEATURE_BIN_INFO, series, (1,) * len(bins), labels)
        for name, sketch in self._sketches.items():
            if sketch.count >= PRIVATE and self._is_column(name):
                yield _exponential(sketch, self._sketch_series[name])

    def collect_violations(self, attributes: Attributes) -> Iterator[Points]:
        """The violations, by feature and kind."""
        by_feature: dict[str, list[tuple[str, int]]] = {}
        for (name, kind), count in self.violations.items():
            if count and self._is_column(name):
                by_feature.setdefault(name, []).append((kind, count))
        for name, found in by_feature.items():
            yield Numbers(
                names.FEATURE_VIOLATIONS,
                attributes.extended((names.FEATURE, name)),
                [count for _, count in found],
                [_kind(kind) for kind, _ in found],
            )
        if self.schema:
            kinds = list(self.schema)
            yield Numbers(
                names.SCHEMA_VIOLATIONS, attributes, [self.schema[kind] for kind in kinds], list(map(_kind, kinds))
            )


def _positions(labels: Sequence[str]) -> bool:
    """Whether the labels are numbers only, as pandas names the columns of a frame made from an array."""
    return all(label.isdigit() for label in labels)


_shared: dict[tuple[str, str], Attributes] = {}


def _bin(key: str) -> Attributes:
    """The attribute of a bin, shared by all features."""
    return _shared.setdefault((names.BIN, key), Attributes((names.BIN, key)))


def _kind(key: str) -> Attributes:
    return _shared.setdefault((names.KIND, key), Attributes((names.KIND, key)))


def _exponential(sketch: Sketch, attributes: Attributes) -> Exponential:
    positive_offset, positive = sketch.positive
    negative_offset, negative = sketch.negative
    return Exponential(
        names.FEATURE_VALUE,
        attributes,
        sketch.scale,
        sketch.zero_count,
        positive_offset,
        [int(count) for count in positive],
        negative_offset,
        [int(count) for count in negative],
    )
