"""What a context knows of predictions: the call that runs in it, the variant it runs under.

A context variable: tasks and threads that serve different users never see each other's.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Inside:
    """Which observed call is running in this context: only the outermost counts.

    Its `Monitor`; True where nothing counts; a `Variant`, which is false, where none is running and one was chosen; else
    False. So what is true is an inner call. These are the methods of a context variable, which cannot be pickled, and
    this, which observed functions hold, can.
    """

    __slots__ = ("get", "reset", "set")

    def __init__(self) -> None:
        variable: ContextVar[Any] = ContextVar("mlobs_inside", default=False)
        self.get = variable.get
        self.set = variable.set
        self.reset = variable.reset

    def __reduce__(self) -> str:
        return "INSIDE"


INSIDE: Final = Inside()


class Variant:
    """The variant that calls of a context are predictions of; ``flag`` is what their spans say of the choice."""

    __slots__ = ("flag", "name")

    def __init__(self, name: str, flag: Mapping[str, str]) -> None:
        self.name = name
        self.flag = flag

    def __bool__(self) -> bool:
        return False


def uncounted(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
    """Call; nothing that is predicted inside counts."""
    token = INSIDE.set(True)
    try:
        return function(*args, **kwargs)
    finally:
        INSIDE.reset(token)


def counts() -> bool:
    """Whether a call that begins now is an outermost one."""
    return not INSIDE.get()
