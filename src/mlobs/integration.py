"""The contract between mlobs and an integration: what one declares, and what mlobs does for it. Types only.

An integration is a flat module, found through the entry-point group ``mlobs_integration``; the entry point names an
`Integration`. Whatever it changes it changes through `Hooks`, so that `mlobs.uninstrument` can put everything back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

__all__ = ["Hooks", "Integration"]


class Hooks(Protocol):
    """What an integration may ask for. Nothing here raises for a name that ``owner`` does not have itself."""

    def observe(self, owner: type, name: str) -> None:
        """Observe a method that ``owner`` defines: each outermost call is a prediction of its instance.

        The instance's identity and reference are those it was registered with, else its class name. The first
        argument after the instance is the input, the result is the output. Plain functions only, and descriptors that
        keep theirs in ``fn``; what is observed already, by `mlobs.observe` say, is left as it is.
        """

    def suppress(self, owner: Any, name: str) -> None:  # noqa: ANN401 - a class or a module
        """Count nothing that is predicted inside a method or function: training, scoring, workers of one call."""

    def subclasses(self, base: type, each: Callable[[type], None]) -> None:
        """Call ``each`` with ``base`` and all its subclasses: those there are, and those there will be."""

    def replace(self, owner: Any, name: str, value: object) -> None:  # noqa: ANN401 - a class or a module
        """Set an attribute, until `mlobs.uninstrument`."""

    def loaded(self, model: object, path: object) -> None:
        """A model was read from this file: a profile saved beside it says its name, version and reference.

        Beside ``churn.joblib`` that is ``churn.profile.json``. ``path`` may be anything a loader takes.
        """

    def asgi(self, owner: type, name: str = "__call__") -> None:
        """A method that is an ASGI application: what it serves runs under the caller's span."""

    def wsgi(self, owner: type, name: str = "__call__") -> None:
        """A method that is a WSGI application, likewise."""


class Integration(NamedTuple):
    """One framework.

    name
        as in ``mlobs.instrument("sklearn")`` and in the extra ``mlobs[sklearn]``.
    distribution, lowest
        the package that brings it, and its lowest version that is supported, as the extra says.
    modules
        what to do once a module of the framework has been imported. Modules nobody imports are never imported, and
        what is done to one that is there already is done at once. An error in here is counted, never raised.
    """

    name: str
    distribution: str
    lowest: str
    modules: Mapping[str, Callable[[Hooks], None]]
