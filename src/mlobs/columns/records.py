"""Objects whose fields are columns: dataclasses, pydantic and attrs models, named tuples, mappings that are no dict."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mlobs.columns import dicts, lookup
from mlobs.columns.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlobs.columns.block import Block

    Spread = Callable[[Any], dict[Any, Any]]

_PYDANTIC: Final = "pydantic"


def made(cls: type) -> Kind | None:
    """The kind of a class with fields, one of its own; None for any other class."""
    if _base(cls, "RootModel"):
        return _rooted()
    names = _fields(cls)
    if names is not None:
        return _kind(_spreader(names, extra=_base(cls, "BaseModel")))
    return _kind(dict) if issubclass(cls, Mapping) else None


def _base(cls: type, name: str) -> bool:
    return any(base.__qualname__ == name and base.__module__.partition(".")[0] == _PYDANTIC for base in cls.__mro__)


def _fields(cls: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - a class
    """The names of the fields, by the door each of these libraries has for others to ask."""
    if _base(cls, "BaseModel"):
        return tuple(cls.model_fields if hasattr(cls, "model_fields") else cls.__fields__)  # pydantic 2, and 1
    if issubclass(cls, tuple):
        return tuple(cls._fields) if hasattr(cls, "_fields") else None
    if hasattr(cls, "__dataclass_fields__"):
        return tuple(name for name, field in cls.__dataclass_fields__.items() if field._field_type.name == "_FIELD")  # noqa: SLF001 - as dataclasses.fields does
    if hasattr(cls, "__attrs_attrs__"):
        return tuple(field.name for field in cls.__attrs_attrs__)
    return tuple(cls.__struct_fields__) if hasattr(cls, "__struct_fields__") else None  # msgspec


def _spreader(names: Sequence[str], *, extra: bool) -> Spread:
    if not names:
        plain: Spread = lambda value: {}  # noqa: ARG005, E731 - an object of no fields
    elif len(names) == 1:
        [only] = names
        one = operator.attrgetter(only)
        plain = lambda value: {only: one(value)}  # noqa: E731 - three of a kind
    else:
        fields = operator.attrgetter(*names)
        plain = lambda value: dict(zip(names, fields(value), strict=True))  # noqa: E731 - three of a kind
    if not extra:
        return plain

    def spread(value: Any) -> dict[Any, Any]:  # noqa: ANN401 - a pydantic model
        more = getattr(value, "__pydantic_extra__", None)
        return {**plain(value), **more} if more else plain(value)

    return spread


def _kind(spread: Spread) -> Kind:
    """What is kept of such an object is a dict."""

    def keep(value: Any) -> object:  # noqa: ANN401 - an object with fields
        return dicts.keep(spread(value))

    def shape(value: Any) -> tuple[int, int]:  # noqa: ANN401 - an object with fields
        return dicts.shape(spread(value))

    def part(value: Any, step: int) -> object:  # noqa: ANN401 - an object with fields
        return dicts.part(spread(value), step)

    def blocks(values: list[Any], features: int | None) -> Iterator[Block]:
        return dicts.blocks([dicts.part(spread(value), 1) for value in values], features)

    def rows(values: list[Any], features: int | None) -> list[int]:
        return dicts.rows([dicts.part(spread(value), 1) for value in values], features)

    return Kind(keep, shape, part, blocks, rows, spread=spread)


def _rooted() -> Kind:
    """A model that is nothing but its root."""

    def keep(value: Any) -> object:  # noqa: ANN401 - a pydantic.RootModel
        return lookup.kind_of(type(value.root)).keep(value.root)

    def shape(value: Any) -> tuple[int, int]:  # noqa: ANN401 - a pydantic.RootModel
        return lookup.kind_of(type(value.root)).shape(value.root)

    def part(value: Any, step: int) -> object:  # noqa: ANN401 - a pydantic.RootModel
        return lookup.kind_of(type(value.root)).part(value.root, step)

    def blocks(values: list[Any], features: int | None) -> Iterator[Block]:
        return lookup.blocks([part(value, 1) for value in values], features)

    def rows(values: list[Any], features: int | None) -> list[int]:
        return [sum(block.rows for block in blocks([value], features)) for value in values]

    return Kind(keep, shape, part, blocks, rows)
