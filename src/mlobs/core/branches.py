"""One observed function, under the variants that contexts choose for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlobs.core import again

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlobs.core.inside import Variant
    from mlobs.core.monitor import Monitor

_MOST: Final = 64  # variants of one function; the rest are one
_OTHER: Final = "_OTHER"


class Branches:
    """The function observed once more for each variant; ``make`` wraps it for a monitor.

    A variant is made when it is first met, under the name and version of the function's own monitor.
    """

    def __init__(self, monitor: Monitor, make: Callable[[Monitor], Callable[..., Any]]) -> None:
        self._monitor = monitor
        self._make = make
        self._made: dict[str, Callable[..., Any]] = {}
        self._models: object = None

    def __reduce__(self) -> tuple[type[Branches], tuple[Any, ...]]:
        return Branches, (self._monitor, self._make)

    def find(self, variant: Variant) -> Callable[..., Any]:
        """The function observed as this variant. Never raises: what goes wrong is counted, and the call goes on."""
        try:
            models = again.models()
            if models is not self._models:  # a test has put other ones in their place
                self._made = {}
                self._models = models
            found = self._made.get(variant.name)
            if found is None:
                name = variant.name if len(self._made) < _MOST else _OTHER
                found = self._made.get(name)
                if found is None:
                    found = self._made[name] = self._make(again.branch(self._monitor, name))
        except Exception as error:  # noqa: BLE001 - ours
            self._monitor.guard.error("variant", error)
            return self._make(self._monitor)
        return found
