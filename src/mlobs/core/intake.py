"""Reads what calls kept, and hands it on as blocks of rows; what cannot be read is dropped under its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlobs import columns
from mlobs.core.answers import vector
from mlobs.core.guard import name_of, passes
from mlobs.core.ring import NOTHING, Left, Part, sane
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlobs.columns import Block
    from mlobs.core.guard import Guard
    from mlobs.core.model import Margins, Model
    from mlobs.core.observations import Observations
    from mlobs.core.pack import Pack


class Intake:
    """Fills the observations of one role: a model's inputs, or, by the model itself, its answers.

    The caller holds the counting lock.

    ``features`` is how many columns a row is known to have, None where nobody knows.
    """

    def __init__(self, into: Observations | Model | Margins, features: int | None, guard: Guard) -> None:
        self._into = into
        self._features = features
        self._guard = guard

    def take(
        self, kept: list[Any], packed: Sequence[tuple[Pack, Sequence[bytes]]] = (), *, single: bool = False
    ) -> list[int]:
        """Count the data of many calls; the rows of each whose rows could be told, in no particular order.

        ``single``: these are answers, each to one row of input, and blocks say how long those are that are vectors. Never
        raises, whatever the data is: classes are told apart by identity, for a metaclass may hash as it likes.
        """
        rows: list[int] = []
        groups: dict[int, list[Any]] = {}
        types = set(map(id, map(type, kept)))
        if len(types) == 1 and type(kept[0]) is not Left and type(kept[0]) is not Part:
            groups[0] = kept
        else:
            lefts: dict[int, list[Left]] = {}
            for one in kept:
                cls = type(one)
                if cls is Part:
                    self._part(one, rows)
                elif cls is Left:
                    lefts.setdefault(id(one), []).append(one)
                else:
                    groups.setdefault(id(cls), []).append(one)
            for alike in lefts.values():
                self._left(alike[0], len(alike), rows)
        for group in groups.values():
            lengths = set(map(vector, group)) if single else {0}
            self._observe(group, rows, lengths.pop() if len(lengths) == 1 else 0)
        for pack, many in packed:
            whole, each = pack.joined(many, self._features)
            self._observe([whole], [], pack.shape[0] if single and len(pack.shape) == 1 else 0)
            rows += [each] * len(many)
        return rows

    def _part(self, part: Part, rows: list[int]) -> None:
        taken: list[int] = []
        self._observe([part.kept], taken)
        if part.rows > sum(taken):
            self._guard.drop("ring_full", part.rows - sum(taken))
        rows.append(part.rows)

    def _left(self, left: Left, times: int, rows: list[int]) -> None:
        if left.rows >= 0:
            rows.extend([left.rows] * times)
        if left is not NOTHING:
            self._guard.drop(left.reason, max(1, left.rows) * times, left.detail)

    def _observe(self, group: list[Any], rows: list[int], length: int = 0) -> None:
        for block in self._read(group, rows):
            try:
                self._into.add(block._replace(vector=length) if length else block)
            except BaseException as error:
                if passes(error):
                    raise
                self._guard.drop("fold_failed", block.rows)
                self._guard.error("fold", error)

    def _read(self, kept: list[Any], rows: list[int]) -> Iterator[Block]:
        """Blocks of copies of one type; the rows of each call are added to ``rows``."""
        try:
            kind = columns.kind_of(type(kept[0]))
            counted = kind.rows(kept, self._features)
            found = list(kind.blocks(kept, self._features))
            whole, read = sane(sum(counted)), sum(block.rows for block in found)
            if read > whole:
                # one of many has more rows than it says: find out which
                counted = _alone(kept, read)
        except BaseException as error:  # one of many cannot be read: find out which
            if passes(error):
                raise
            if len(kept) > 1:
                for one in kept:
                    yield from self._read([one], rows)
            elif isinstance(error, UnreadableError):
                rows.append(error.rows)
                self._guard.drop(error.reason, error.rows, str(error))
            else:
                rows.append(1)
                self._guard.drop("unreadable", 1, f"{name_of(type(kept[0]))}: {name_of(type(error))}")
            return
        if read < whole:
            self._guard.drop("ragged", whole - read)
        rows.extend(counted)
        yield from found


def _alone(kept: list[Any], rows: int) -> list[int]:
    if len(kept) > 1:
        raise UnreadableError("containers with more rows than they say")
    return [rows]
