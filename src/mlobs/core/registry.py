"""Which object is which model: identities given by `mlobs.register`."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from mlobs.core.known import News
    from mlobs.core.model import Identity
    from mlobs.profile import Profile


class Registration(NamedTuple):
    """What is known of an object."""

    identity: Identity
    profile: Profile | None


class Registry:
    """Objects by identity, not by equality; an object that is gone is forgotten, and none is kept alive or changed.

    Without a lock, for the garbage collector calls in at any time, in a forked child too: each change is one step.
    """

    def __init__(self, news: News) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], Registration]] = {}
        self._news = news

    def add(self, thing: object, registration: Registration) -> None:
        """Remember ``thing``. Raises ConfigurationError where it cannot be referred to weakly."""
        key = id(thing)

        def forget(_: weakref.ref[Any]) -> None:
            self._known.pop(key, None)

        try:
            reference = weakref.ref(thing, forget)
        except TypeError as error:
            message = (
                f"mlobs.register: a {type(thing).__name__} cannot be followed, for it takes no weak reference. "
                "Name the model where it is called: mlobs.observe(model=…, version=…)."
            )
            raise ConfigurationError(message) from error
        self._known[key] = (reference, registration)
        self._news.come()

    def get(self, thing: object) -> Registration | None:
        """What is known of ``thing``."""
        found = self._known.get(id(thing))
        return found[1] if found is not None and found[0]() is thing else None
