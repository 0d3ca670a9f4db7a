"""Instances whose observed function has been found, and when it must be looked for anew."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

from mlobs.core.forgetful import Forgetful

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlobs.core.calls import Run

_REMEMBERED: Final = 1024  # instances of one method


class Found(weakref.ref[Any]):
    """What an instance's calls are handed to: its observed function, and what that does of outermost calls."""

    __slots__ = ("observed", "run")

    observed: Callable[..., Any]
    run: Run


class Known(Forgetful[int, Found]):
    """By the number of an instance, while it lives: what was found for it.

    Without a lock, for the garbage collector calls in at any time: each change is one step.
    """

    def add(self, instance: object, observed: Callable[..., Any], run: Run | None) -> None:
        """Remember an instance. Raises TypeError where it cannot be referred to weakly."""
        key = id(instance)

        def forget(_: object) -> None:
            self.pop(key, None)

        found = Found(instance, forget)
        found.observed = observed
        found.run = run or _runs(observed)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[key] = found


def _runs(observed: Callable[..., Any]) -> Run:
    def run(args: tuple[Any, ...], kwargs: Mapping[str, Any], _: object) -> Any:  # noqa: ANN401 - passed on
        return observed(*args, **kwargs)

    return run


class News:
    """When something is told of an object, whatever was found before is found anew."""

    def __init__(self) -> None:
        self.epoch = object()
        # weakly: what a class that is gone had must not stay for our sake
        self._holding: weakref.WeakValueDictionary[int, Known] = weakref.WeakValueDictionary()

    def tell(self, known: Known, epoch: object) -> None:
        """``known`` holds what was found in ``epoch``."""
        self._holding[id(known)] = known
        if self.epoch is not epoch:
            known.clear()

    def come(self) -> None:
        """Another epoch begins."""
        self.epoch = object()
        holding, self._holding = self._holding, weakref.WeakValueDictionary()
        for known in list(holding.values()):
            known.clear()
