"""Functions that stand in for a framework's own, and what they consist of.

In place of a function stands a function of its kind: frameworks ask `inspect.isfunction` of what they find in a class,
servers ask whether it is a coroutine function, and pickle asks for the very object that its name leads to. It only calls
an object of this file; that object is what a pickle by value (cloudpickle, for classes of ``__main__``) meets, and it
reduces to the original, so that whoever loads it needs no mlobs.
"""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mlobs.core import streams
from mlobs.core.calls import observing
from mlobs.core.inside import INSIDE, counts, uncounted
from mlobs.core.known import Known
from mlobs.core.locate import Where, locate
from mlobs.core.model import Identity
from mlobs.core.reports import CallReport
from mlobs.errors import ConfigurationError, MlobsError
from mlobs.hooks.registry import Registration
from mlobs.hooks.watched import watched
from mlobs.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from mlobs.core.calls import Run
    from mlobs.core.runtime import Runtime
    from mlobs.hooks.registry import Registry
    from mlobs.integration import Reading

_ALWAYS: Final = functools.partial(bool, 1)
_REMEMBERED: Final = 1024  # identities whose observed function one method remembers


class _Within(functools.partial[object]):
    """Whether an observed call is running, by one call of C; for whoever loads it by value, all are inner ones."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return copy.copy, (object,)  # what that makes is true


_WITHIN: Final = _Within(INSIDE.get)


class Switch:
    """Whether an integration's stand-ins still do anything: somebody may hold one after it was put back."""

    __slots__ = ("off",)

    def __init__(self) -> None:
        self.off = False


class Hooked:
    """The original, called as if we were not there. ``unless``: asked before this object is."""

    def __init__(self, original: Callable[..., Any], switch: Switch, unless: Callable[[], bool] | None = None) -> None:
        self.original = original
        self.before: object = None  # what stood there
        self._stands_in: weakref.ref[Callable[..., Any]] | None = None
        self.switch = switch
        self.unless = unless
        self.known = Known()
        self.serving: Callable[[Any], bool] | None = None
        self.when: Callable[..., bool] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What is called in place of the original."""
        return self.find(args, kwargs)(*args, **kwargs)

    def find(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
        """What these arguments are handed to. Never raises."""
        del args, kwargs
        return self.original

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return copy.copy, (self.original,)  # the copy of a function is the function itself

    def stand_in(self) -> Callable[..., Any]:
        """A function with the original's name, signature, documentation and kind that calls this object."""
        hooked, original, unless, within = self, self.original, self.unless, _WITHIN
        # of whom nothing else is asked in each call are handed on at once; bound here, for torch.compile: see `_above`
        known, number = (self.known if self.when is None else Known()).get, id
        stands_in: Callable[..., Any]
        if inspect.iscoroutinefunction(original):

            async def stands_in(*args: Any, **kwargs: Any) -> Any:
                return await hooked(*args, **kwargs)

        elif inspect.isasyncgenfunction(original):
            stands_in = streams.driving(hooked)
        elif inspect.isgeneratorfunction(original):

            def stands_in(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                return (yield from hooked(*args, **kwargs))

        elif unless is not None:
            # torch.export of 2.6 names what a model holds by how its function names the model
            def stands_in(self: object, /, *args: Any, **kwargs: Any) -> Any:
                if unless():
                    return original(self, *args, **kwargs)
                inner = within()
                if inner:
                    return original(self, *args, **kwargs)
                found = known(number(self))
                if found is not None:
                    try:
                        serves = hooked.serving is None or hooked.serving(self)
                    except Exception:  # noqa: BLE001 - the integration's, and asked again to be counted
                        serves = False
                    if serves:
                        return found.run((self, *args), kwargs, inner)
                return hooked.find((self, *args), kwargs)(self, *args, **kwargs)

        else:

            def stands_in(*args: Any, **kwargs: Any) -> Any:
                inner = within()
                if inner:  # an inner call, of which a network has many, asks no more than this
                    return original(*args, **kwargs)
                found = known(number(args[0])) if args else None
                if found is not None and hooked.serving is None:
                    return found.run(args, kwargs, inner)
                return hooked.find(args, kwargs)(*args, **kwargs)

        stand_in = functools.wraps(original)(stands_in)
        stand_in.__mlobs__ = True  # type: ignore[attr-defined]
        self._stands_in = weakref.ref(stand_in)
        return stand_in

    def made(self, function: object) -> bool:
        """Whether this is its stand-in."""
        return function is not None and self._stands_in is not None and self._stands_in() is function


class Suppressed(Hooked):
    """Nothing that is predicted inside counts."""

    def find(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
        """The original; observed calls made from there are inner ones."""
        del args, kwargs
        return self.original if self.switch.off or not counts() else functools.partial(quietly, self.original)


def quietly(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call, and count nothing that is predicted inside; of a coroutine or generator function what it makes, likewise."""
    if inspect.iscoroutinefunction(function):
        return _quiet_coroutine(function, *args, **kwargs)
    if inspect.isgeneratorfunction(function):
        return streams.quiet(function(*args, **kwargs))
    return uncounted(function, *args, **kwargs)


async def _quiet_coroutine(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = INSIDE.set(True)
    try:
        return await function(*args, **kwargs)
    finally:
        with suppress(ValueError):  # one thrown away half done ends in somebody else's context
            INSIDE.reset(token)


class Method(Hooked):
    """A method whose outermost calls are predictions of the instance."""

    def __init__(
        self, original: Callable[..., Any], switch: Switch, reading: Reading, runtime: Runtime, registry: Registry
    ) -> None:
        super().__init__(original, switch, reading.unless)
        self._reading = reading
        self.serving = reading.serving
        self.when = reading.when
        self._runtime = runtime
        self._registry = registry
        self._models: object = None
        self._observed: dict[Identity, tuple[Callable[..., Any], Run | None]] = {}
        self._where = _where(original, reading)

    def find(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
        """The original, observed as the instance's model where this is the outermost call."""
        if self.switch.off or not args or INSIDE.get():
            return self.original
        instance = args[0]
        if self.serving is not None or self.when is not None:
            try:
                serves = self.serving is None or self.serving(instance)
                serves = serves and (self.when is None or self.when(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - the integration's
                self._runtime.guard.error("hook", error)
                serves = True
            if not serves:
                return functools.partial(quietly, self.original)
        found = self.known.get(id(instance))
        return self._find(instance) if found is None else found.observed

    def _find(self, called: object) -> Callable[..., Any]:
        """The original observed under the identity of the instance that is called. Never raises."""
        instance, news = called, self._runtime.news
        # before anything is looked up: what another thread tells meanwhile is news next time
        epoch, models = news.epoch, self._runtime.models
        try:
            if models is not self._models or len(self._observed) > _REMEMBERED:
                self._observed = {}
                self._models = models
            known = self._registry.get(instance)
            if known is None and self._reading.model is not None:
                instance = self._reading.model(instance)
                known = self._registry.get(instance)
            known = known or self._ask(instance)
            identity = Identity(type(instance).__name__) if known is None else known.identity
            found = self._observed.get(identity)
            if found is None:
                found = self._observed[identity] = self._make(identity, None if known is None else known.profile)
            observed, run = found
            with suppress(TypeError):  # it takes no weak reference, and is looked up each time
                self.known.add(called, observed, run)
                news.tell(self.known, epoch)
            if self.switch.off:
                self.known.clear()
        except Exception as error:  # noqa: BLE001 - ours, or an instance that cannot be called by a name
            self._runtime.guard.error("hook", error)
            return self.original
        return observed

    def _make(self, identity: Identity, profile: Profile | None) -> tuple[Callable[..., Any], Run | None]:
        reading, runtime = self._reading, self._runtime
        monitor = runtime.monitor(runtime.model(identity, profile), str(reading.operation))
        function = self.original
        monitor.iterates = function.__name__ == "__next__"
        if reading.watch is not None:
            watching = reading.watching or _ALWAYS
            function = watched(function, reading.watch, watching, CallReport(monitor), runtime.guard)
        return observing(function, monitor, runtime.tracing, self._where)

    def _ask(self, instance: object) -> Registration | None:
        """What the integration knows of an instance that nobody registered; remembered where it can be."""
        ask = self._reading.identity
        if ask is None:
            return None
        named_so = Registration(Identity(type(instance).__name__), None, found=True)
        try:
            named = ask(instance)
            found = self._registry.get(instance)
            if found is not None:  # by `Hooks.loaded`, as it was asked
                return found
            if named is not None:
                identity = Identity(named.name, *((named.version,) if named.version else ()))
                named_so = Registration(identity, self._reference(named.reference), found=True)
        except Exception as error:  # noqa: BLE001 - the integration's: the model goes by its class
            self._runtime.guard.error("identity", error)
        with suppress(ConfigurationError):  # it takes no weak reference, and is asked each time
            self._registry.add(instance, named_so)
        return named_so

    def _reference(self, reference: Any) -> Profile | None:
        """The profile, or None where the file is none: the model is observed all the same."""
        try:
            return reference if reference is None or isinstance(reference, Profile) else Profile.load(reference)
        except MlobsError as error:
            self._runtime.guard.tell(f"beside {reference}", "mlobs does without a profile: %s", error)
            return None


def _where(original: Callable[..., Any], reading: Reading) -> Where:
    position = 1 if reading.inputs is None or reading.first else None
    return locate(original, reading.inputs, position=position)._replace(answer=reading.answer)
