"""Finds, once, how to pick the input out of a call's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from mlobs.errors import ConfigurationError

Inputs = str | Sequence[str] | Callable[..., Any] | None
Locate = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]


class Where(NamedTuple):
    """How a call's data is found.

    ``position`` and ``name`` of the input argument, the position -1 where only ``pick`` can tell, which is given
    (args, kwargs); ``call`` is asked instead where there is one, with the call's own arguments. ``answer`` makes what is read
    as predictions out of what the call returned. ``capture``: what of it may be told, by this function's own decorator.
    """

    position: int
    name: str | None
    pick: Locate
    answer: Callable[[Any], Any] | None = None
    call: Callable[..., Any] | None = None
    capture: frozenset[str] = frozenset()


class Absent:
    """A call has no such argument: there is nothing to observe."""

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()
_SELF: Final = ("self", "cls")


def taken(inputs: Inputs) -> Inputs:
    """The inputs as `locate` takes them. Raises ConfigurationError for what names no argument and is no function."""
    if inputs is None or isinstance(inputs, str) or callable(inputs):
        return inputs
    with suppress(Exception):  # what cannot be read is no list
        names = list(inputs)
        if names and all(isinstance(name, str) for name in names):
            return names
    message = (
        f"mlobs.observe(inputs=…) is a {type(inputs).__name__}: expected an argument's name, several in a list, or a "
        "function of the call's arguments. Try: inputs='rows'."
    )
    raise ConfigurationError(message)


def locate(function: Callable[..., Any], inputs: Inputs, *, position: int | None = None) -> Where:
    """Where the input is among a function's arguments.

    ``inputs`` names the argument, or several that together are one row (a dict of them is read), or is a callable
    given the call's arguments where there is none at ``position``. None means the argument at ``position``, by default the
    first after ``self``.
    Raises ConfigurationError where the function has no such argument.
    """
    if callable(inputs):
        known = -1 if position is None else position

        def pick(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
            return args[known] if 0 <= known < len(args) else inputs(*args, **kwargs)

        return Where(known, None, pick, call=inputs)
    names, keywords, open_ended = _parameters(function)
    if inputs is None:
        if position is None:
            position = 1 if names and names[0] in _SELF else 0
        name = names[position] if position < len(names) else None if names else next(iter(keywords), None)
        return Where(position, name, _picker(position, name))
    if isinstance(inputs, str):
        position = _index(function, names, keywords, inputs, open_ended=open_ended)
        return Where(position, inputs, _picker(position, inputs))
    pickers = {
        name: _picker(_index(function, names, keywords, name, open_ended=open_ended), name, absent=None)
        for name in inputs
    }
    return Where(-1, None, lambda args, kwargs: {name: pick(args, kwargs) for name, pick in pickers.items()})


def _picker(position: int, name: str | None, *, absent: object = ABSENT) -> Locate:
    def pick(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
        if 0 <= position < len(args):
            return args[position]
        if name is not None and name in kwargs:
            return kwargs[name]
        return absent

    return pick


def _parameters(function: Callable[..., Any]) -> tuple[list[str], list[str], bool]:
    """The arguments that have a position, those that are given by name only, and whether any other name is taken."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return [], [], True
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    return positional, keywords, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _index(function: Callable[..., Any], names: list[str], keywords: list[str], name: str, *, open_ended: bool) -> int:
    if name in names:
        return names.index(name)
    if open_ended or name in keywords:
        return -1
    shown = getattr(function, "__qualname__", repr(function))
    known = ", ".join(names + keywords) or "none"
    message = f"observe(inputs={name!r}): {shown} has no argument of that name, only {known}."
    raise ConfigurationError(message)
