"""Reads what calls kept, and hands it on as blocks of rows; what cannot be read is dropped under its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlobs import columns
from mlobs.core.ring import NOTHING, Left, Part
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.columns import Block
    from mlobs.core.guard import Guard
    from mlobs.core.observations import Observations

_SPECIAL: Final = frozenset({Left, Part})


class Intake:
    """Fills the observations of one role. The caller holds the counting lock.

    ``features`` is how many columns a row is known to have, None where nobody knows.
    """

    def __init__(self, into: Observations, features: int | None, guard: Guard) -> None:
        self._into = into
        self._features = features
        self._guard = guard

    def take(self, kept: list[Any]) -> list[int]:
        """Count the data of many calls; the rows of each whose rows could be told, in no particular order."""
        rows: list[int] = []
        groups: dict[type, list[Any]] = {}
        types = set(map(type, kept))
        if len(types) == 1 and not types & _SPECIAL:
            groups[types.pop()] = kept
        else:
            for one in kept:
                if one.__class__ is Part:
                    self._part(one, rows)
                elif one.__class__ is Left:
                    self._left(one, rows)
                else:
                    groups.setdefault(type(one), []).append(one)
        for group in groups.values():
            self._observe(group, rows)
        return rows

    def _part(self, part: Part, rows: list[int]) -> None:
        taken: list[int] = []
        self._observe([part.kept], taken)
        self._guard.drop("ring_full", part.rows - sum(taken))
        rows.append(part.rows)

    def _left(self, left: Left, rows: list[int]) -> None:
        if left.rows >= 0:
            rows.append(left.rows)
        if left is not NOTHING:
            self._guard.drop(left.reason, max(1, left.rows), left.detail)

    def _observe(self, group: list[Any], rows: list[int]) -> None:
        for block in self._read(group, rows):
            try:
                self._into.add(block)
            except Exception as error:  # noqa: BLE001 - ours; the host goes on
                self._guard.drop("fold_failed", block.rows)
                self._guard.error("fold", error)

    def _read(self, kept: list[Any], rows: list[int]) -> Iterator[Block]:
        """Blocks of copies of one type; the rows of each call are added to ``rows``."""
        try:
            kind = columns.kind_of(type(kept[0]))
            counted = kind.rows(kept, self._features)
            found = list(kind.blocks(kept, self._features))
        except Exception as error:  # noqa: BLE001 - one of many cannot be read: find out which
            if len(kept) > 1:
                for one in kept:
                    yield from self._read([one], rows)
            elif isinstance(error, UnreadableError):
                rows.append(error.rows)
                self._guard.drop(error.reason, error.rows, str(error))
            else:
                self._guard.drop("unreadable", 1, f"{type(kept[0]).__name__}: {type(error).__name__}")
            return
        rows.extend(counted)
        yield from found
