"""What was changed of classes and modules, and how it is put back.

By weak references: a class that is made and forgotten while the program runs must not stay for our sake.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from mlobs.hooks.hooked import Hooked

ABSENT: Final = object()
_ROOM: Final = 1024  # entries after which those of classes that are gone are looked for


class Changed(NamedTuple):
    """An attribute that was changed.

    A class' functions refer to it. So of a stand-in all is reached through ``ours``, which refers weakly to what knows what
    stood there ``before``; of anything else ``ours`` knows it.
    """

    owner: weakref.ref[Any]
    name: str
    before: object
    ours: weakref.ref[Hooked] | Callable[[object], bool]

    def restore(self) -> None:
        """Put back what was there, unless somebody has put something else there."""
        owner = self.owner()
        if owner is None:
            return
        found, before, ours = vars(owner).get(self.name), self.before, self.ours
        if isinstance(ours, weakref.ref):
            hooked = ours()
            if hooked is None or not hooked.made(function_of(found)):
                return
            before = hooked.before
        elif not ours(found):
            return
        if before is ABSENT:
            delattr(owner, self.name)
        else:
            setattr(owner, self.name, before)


class _Owned(Protocol):
    @property
    def owner(self) -> weakref.ref[Any]: ...


T = TypeVar("T", bound=_Owned)


class Living(Generic[T]):
    """Entries about classes and modules, oldest first; those about what is gone are forgotten in time."""

    def __init__(self) -> None:
        self._entries: list[T] = []
        self._room = _ROOM
        self._looking = threading.Lock()  # never waited for: a child may be forked while a thread is in here

    def add(self, one: T) -> None:
        """The newest one."""
        self._entries.append(one)
        if len(self._entries) > self._room and self._looking.acquire(blocking=False):
            seen = len(self._entries)  # what other threads add meanwhile comes behind these
            self._entries[:seen] = [each for each in self._entries[:seen] if each.owner() is not None]
            self._room = max(_ROOM, 2 * len(self._entries))
            self._looking.release()

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries)


def stands_in(found: object) -> bool:
    """Whether what stands in a class is one of our functions."""
    return ours(function_of(found))


def ours(function: object) -> bool:
    """Whether a function is one that we have put somewhere."""
    return inspect.isfunction(function) and bool(getattr(function, "__mlobs__", False))


def function_of(found: Any) -> Any:  # noqa: ANN401 - what stands in a class
    """The function itself, of one that is bound otherwise: a class method, say, or one of scikit-learn's `available_if`."""
    if isinstance(found, (classmethod, staticmethod)):
        return found.__func__
    return found if inspect.isfunction(found) else inspect.getattr_static(found, "fn", None)
