"""Finds the kind of a value by its type; `kinds.py` fills the tables."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

from mlobs.columns.kind import Kind
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlobs.columns.block import Block

TYPED: Final[dict[type, Kind]] = {}
# Types of packages that mlobs never imports are known by module and name.
NAMED: Final[dict[tuple[str, str], Kind]] = {}
# Asked, in this order, for a type that is in neither table.
MAKERS: Final[list[Callable[[type], Kind | None]]] = []

# What was found for a concrete type, by its number while it lives: a program may make classes as it goes, and none must stay
# for our sake. Bounded, and without a lock: each change is one step.
_REMEMBERED: Final = 4096
_found: dict[int, Kind] = {}
_living: dict[int, weakref.ref[type]] = {}
_CURE: Final = "Give the part that holds the features, of a call by observe(inputs=lambda *args, **kwargs: ...)"


def kind_of(cls: type) -> Kind:
    """The kind that reads instances of ``cls``; a type nothing reads gets a kind whose every use is an error."""
    kind = _found.get(id(cls))
    if kind is None:
        kind = _search(cls)
        if len(_found) < _REMEMBERED:
            _remember(cls, kind)
    return kind


def _remember(cls: type, kind: Kind) -> None:
    number = id(cls)

    def forget(_: object) -> None:
        _found.pop(number, None)
        _living.pop(number, None)

    _living[number] = weakref.ref(cls, forget)
    _found[number] = kind


def _search(cls: type) -> Kind:
    for base in cls.__mro__:
        if base is tuple and hasattr(cls, "_fields"):
            break  # a named tuple is a row with names first
        if base in TYPED:
            return TYPED[base]
        named = NAMED.get((base.__module__.partition(".")[0], base.__qualname__))
        if named is not None:
            return named
    return next((kind for kind in (make(cls) for make in MAKERS) if kind is not None), UNKNOWN)


def refusing(hint: str = "", cure: str = _CURE) -> Kind:
    """A kind whose every use is an error that says what is read, and what to do."""

    def refuse(value: object, *_: object) -> Any:  # noqa: ANN401 - stands in for functions of every return type
        cls = type(value)
        message = hint or (
            "it reads arrays, CPU tensors, lists, tuples, dicts, dataclasses and models, the frames and series of "
            "pandas and polars, arrow tables and sparse matrices"
        )
        raise UnreadableError(f"mlobs cannot read a {cls.__module__}.{cls.__qualname__}: {message}. {cure}")

    return Kind(keep=refuse, shape=refuse, part=refuse, blocks=refuse, rows=refuse)


UNKNOWN: Final = refusing()


def readable(cls: type) -> bool:
    """Whether any kind reads instances of ``cls``; single values are read, too."""
    return kind_of(cls) is not UNKNOWN


def blocks(snapshots: Iterable[Any], features: int | None = None) -> Iterator[Block]:
    """Read many snapshots at once, those of one type and shape together.

    ``features`` is how many columns a row is known to have: it tells whether ``[1.0, 2.0]`` is one row of two
    columns or two rows of one. None takes it for one row; 0, where nobody knows but a value is an answer, for two.
    Raises UnreadableError.
    """
    groups: dict[type, list[Any]] = {}
    for kept in snapshots:
        groups.setdefault(type(kept), []).append(kept)
    for cls, group in groups.items():
        yield from kind_of(cls).blocks(group, features)
