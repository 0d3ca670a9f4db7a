"""Functions that stand in for a framework's own, and what they consist of.

In place of a function stands a function: frameworks ask `inspect.isfunction` of what they find in a class, and pickle
asks for the very object that its name leads to. It only calls an object of this file; that object is what a pickle
by value (cloudpickle, for classes of ``__main__``) meets, and it reduces to the original, so that whoever loads it
needs no mlobs.
"""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any, Final

from mlobs.core.calls import wrap
from mlobs.core.inside import INSIDE, counts
from mlobs.core.locate import locate
from mlobs.core.model import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.core.registry import Registry
    from mlobs.core.runtime import Runtime

_REMEMBERED: Final = 1024  # identities whose observed function one method remembers


class Switch:
    """Whether an integration's stand-ins still do anything: somebody may hold one after it was put back."""

    __slots__ = ("off",)

    def __init__(self) -> None:
        self.off = False


class Hooked:
    """The original, called as if we were not there."""

    def __init__(self, original: Callable[..., Any], switch: Switch) -> None:
        self.original = original
        self.switch = switch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What is called in place of the original."""
        return self.original(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return copy.copy, (self.original,)  # the copy of a function is the function itself

    def stand_in(self) -> Callable[..., Any]:
        """A function with the original's name, signature and documentation that calls this object."""
        hooked = self

        @functools.wraps(self.original)
        def stands_in(*args: Any, **kwargs: Any) -> Any:
            return hooked(*args, **kwargs)

        return stands_in


class Suppressed(Hooked):
    """Nothing that is predicted inside counts."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the original; observed calls made from there are inner ones."""
        if self.switch.off or not counts():
            return self.original(*args, **kwargs)
        token = INSIDE.set(True)
        try:
            return self.original(*args, **kwargs)
        finally:
            INSIDE.reset(token)


class Method(Hooked):
    """A method whose outermost calls are predictions of the instance."""

    def __init__(
        self, original: Callable[..., Any], switch: Switch, name: str, runtime: Runtime, registry: Registry
    ) -> None:
        super().__init__(original, switch)
        self._name = name
        self._runtime = runtime
        self._registry = registry
        self._models: object = None
        self._observed: dict[Identity, Callable[..., Any]] = {}
        self._where = locate(original, None, position=1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the original, observed as the instance's model where this is the outermost call."""
        if self.switch.off or not args or not counts():
            return self.original(*args, **kwargs)
        return self._find(args[0])(*args, **kwargs)

    def _find(self, instance: object) -> Callable[..., Any]:
        """The original observed under this instance's identity. Never raises."""
        try:
            if self._runtime.models is not self._models or len(self._observed) > _REMEMBERED:
                self._observed = {}
                self._models = self._runtime.models
            known = self._registry.get(instance)
            identity = Identity(type(instance).__name__) if known is None else known.identity
            found = self._observed.get(identity)
            if found is None:
                model = self._runtime.model(identity, None if known is None else known.profile)
                monitor = self._runtime.monitor(model, self._name)
                found = self._observed[identity] = wrap(self.original, monitor, self._runtime.tracing, self._where)
        except Exception as error:  # noqa: BLE001 - ours, or an instance that cannot be called by a name
            self._runtime.guard.error("hook", error)
            return self.original
        return found
