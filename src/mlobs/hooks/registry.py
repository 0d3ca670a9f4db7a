"""Which object is which model: identities given by `mlobs.register`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from mlobs.core.known import News
    from mlobs.core.model import Identity
    from mlobs.profile import Profile

Behind = Callable[[object], "object | None"]  # what an object hands its calls on to, if it is such a one; never raises


class Registration(NamedTuple):
    """What is known of an object; ``found`` beside its file or in itself, and not said by a person."""

    identity: Identity
    profile: Profile | None
    found: bool = False


class Registry:
    """Objects by identity, not by equality; an object that is gone is forgotten, and none is kept alive or changed.

    Without a lock, for the garbage collector calls in at any time, in a forked child too: each change is one step.
    """

    def __init__(self, news: News) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], Registration]] = {}
        self._news = news
        self._behind: list[Behind] = []

    def add(self, thing: object, registration: Registration) -> None:
        """Remember ``thing``, and what stands behind it. Raises ConfigurationError where it cannot be referred to weakly."""
        try:
            self._remember(thing, registration)
        except TypeError as error:
            message = (
                f"mlobs.register: a {type(thing).__name__} cannot be followed, for it takes no weak reference. "
                "Name the model where it is called: mlobs.observe(model=…, version=…)."
            )
            raise ConfigurationError(message) from error
        for behind in tuple(self._behind):
            self._look_behind(behind, thing, registration)
        self._news.come()

    def remove(self, thing: object) -> None:
        """Forget what is known of ``thing``, and of what stands behind it."""
        for known in (thing, *(behind(thing) for behind in tuple(self._behind))):
            if self.get(known) is not None:
                self._known.pop(id(known), None)
        self._news.come()

    def look_behind(self, behind: Behind) -> None:
        """From now on, until it is forgotten, who registers an object also registers what ``behind`` finds there."""
        self._behind.append(behind)
        for reference, registration in list(self._known.values()):
            self._look_behind(behind, reference(), registration)
        self._news.come()

    def forget(self, behind: Behind) -> None:
        """Look there no more."""
        self._behind.remove(behind)

    def _look_behind(self, behind: Behind, thing: object, registration: Registration) -> None:
        found = None if thing is None else behind(thing)
        if found is not None:
            with suppress(TypeError):
                self._remember(found, registration)

    def _remember(self, thing: object, registration: Registration) -> None:
        key = id(thing)

        def forget(_: weakref.ref[Any]) -> None:
            self._known.pop(key, None)

        self._known[key] = (weakref.ref(thing, forget), registration)

    def get(self, thing: object) -> Registration | None:
        """What is known of ``thing``."""
        found = self._known.get(id(thing))
        return found[1] if found is not None and found[0]() is thing else None
