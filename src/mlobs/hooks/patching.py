"""Changes to a framework, remembered so that they can be taken back."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import sys
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mlobs.core import calls
from mlobs.core.callers import Caller, Serving
from mlobs.core.guard import Guarded, name_of
from mlobs.core.inside import INSIDE
from mlobs.core.model import Identity
from mlobs.core.monitor import Monitor
from mlobs.core.reports import CallReport
from mlobs.core.task import Task
from mlobs.errors import ConfigurationError, MlobsError
from mlobs.hooks.changed import ABSENT, Changed, Living, function_of, ours
from mlobs.hooks.hooked import Hooked, Method, Suppressed, Switch
from mlobs.hooks.registry import Registration
from mlobs.hooks.requests import Requests, Under
from mlobs.integration import Named, Reading
from mlobs.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlobs.core.runtime import Runtime
    from mlobs.hooks.handed import Answering
    from mlobs.hooks.registry import Behind, Registry

AS_IT_IS: Final = Reading()
_BESIDE: Final = ".profile.json"


class Patches:
    """The `mlobs.integration.Hooks` of one integration."""

    def __init__(self, runtime: Runtime, registry: Registry, on: Callable[[], Sequence[str]] = tuple) -> None:
        self._on = on
        self._runtime = runtime
        self._registry = registry
        self._requests = Requests(runtime)
        self._changed: Living[Changed] = Living()
        # what was observed already when it was asked for, by another integration perhaps: its turn may come
        self._left: Living[Left] = Living()
        self._behind: list[Behind] = []
        self._switch = Switch()
        self.reached: set[str] = set()  # modules that were imported
        self.failed: dict[str, str] = {}  # modules whose hooks were not set, and why

    @property
    def changes(self) -> int:
        """How many attributes of the framework are changed."""
        return len(self._changed)

    @property
    def over(self) -> bool:
        """Whether everything was put back."""
        return self._switch.off

    # ── the contract ────────────────────────────────────────────────────────────────────────────────────────────────

    def observe(self, owner: type, name: str, reading: Reading = AS_IT_IS, *, inherited: bool = False) -> None:
        """See `mlobs.integration.Hooks`."""
        if isinstance(vars(owner).get(name), (classmethod, staticmethod)):
            return  # of no instance, and so of no model
        told = reading if reading.operation else reading._replace(operation=name)

        def make(original: Callable[..., Any]) -> Hooked:
            return Method(original, self._switch, told, self._runtime, self._registry)

        self._hook(owner, name, make, inherited=inherited)

    def suppress(self, owner: Any, name: str, *, also: Sequence[str] = ()) -> None:  # noqa: ANN401 - a class or a module
        """See `mlobs.integration.Hooks`."""
        self._hook(owner, name, lambda original: Suppressed(original, self._switch), also=also)

    def methods(
        self, base: type, observed: Sequence[str], suppressed: Sequence[str], reading: Reading = AS_IT_IS
    ) -> None:
        """See `mlobs.integration.Hooks`."""
        seen: weakref.WeakSet[type] = weakref.WeakSet((object,))

        def each(cls: type) -> None:
            for owner in cls.__mro__:
                if owner in seen:
                    continue
                seen.add(owner)
                for name in observed:
                    self.observe(owner, name, reading)
                for name in suppressed:
                    self.suppress(owner, name)

        self.subclasses(base, each)

    def subclasses(self, base: type, each: Callable[[type], None]) -> None:
        """See `mlobs.integration.Hooks`."""
        own = vars(base).get("__init_subclass__")
        above: Any = base

        def init_subclass(cls: type[Any], /, **kwargs: Any) -> None:  # noqa: ANN401 - a class's own keywords
            if own is None:
                super(above, cls).__init_subclass__(**kwargs)
            else:
                own.__get__(None, cls)(**kwargs)
            if self.over:
                return
            try:
                each(cls)
            except Exception as error:  # noqa: BLE001 - ours; the class is made all the same
                self._runtime.guard.error("hook", error)

        self.replace(base, "__init_subclass__", classmethod(init_subclass))
        for cls in _family(base):
            each(cls)

    def replace(self, owner: Any, name: str, value: object, *, also: Sequence[str] = ()) -> None:  # noqa: ANN401 - a class or a module
        """See `mlobs.integration.Hooks`."""
        before = vars(owner).get(name, ABSENT)
        for other in also:
            module = sys.modules.get(other)
            if module is not None and before is not ABSENT and vars(module).get(name) is before:
                self.replace(module, name, value)
        setattr(owner, name, value)
        self._changed.add(Changed(weakref.ref(owner), name, before, lambda found: found is value))

    def loaded(self, model: object, path: object, named: Named | None = None) -> None:
        """See `mlobs.integration.Hooks`."""
        try:
            name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
            if self.over or not isinstance(name, str):
                return
            beside, known = _beside(Path(name)), self._registry.get(model)
            if known is not None and not known.found:
                return
            if known is not None:  # it holds another file's model now
                self._registry.remove(model)
            if beside is None:
                return
            profile = Profile.load(beside)
            version = profile.version or (named and named.version)
            name = profile.model or (named.name if named else type(model).__name__)
            identity = Identity(name, *((version,) if version else ()))
            self._registry.add(model, Registration(identity, profile, found=True))
        except ConfigurationError:
            self._runtime.guard.tell(
                f"beside {path}",
                "mlobs does without the profile %s: what was loaded beside it is a %s, which cannot be followed. "
                "Try: mlobs.register(…, name=…, reference=%r) for the model inside.",
                beside, name_of(type(model)), str(beside),
            )  # fmt: skip
        except MlobsError as error:
            self._runtime.guard.tell(f"beside {path}", "mlobs does without a profile: %s", error)
        except Exception as error:  # noqa: BLE001 - ours; the model is loaded all the same
            self._runtime.guard.error("hook", error)

    def named(self, model: object) -> Named | None:
        """See `mlobs.integration.Hooks`."""
        found = self._registry.get(model)
        return None if found is None else Named(found.identity.name, found.identity.version, found.profile)

    def behind(self, find: Callable[[Any], object | None]) -> None:
        """See `mlobs.integration.Hooks`."""

        def found(thing: object) -> object | None:
            try:
                return find(thing)
            except Exception as error:  # noqa: BLE001 - the integration's, or an object that fails when it is looked at
                self._runtime.guard.error("hook", error)
                return None

        self._behind.append(found)
        self._registry.look_behind(found)

    def caller(self) -> Caller:
        """See `mlobs.integration.Hooks`."""
        try:
            return Caller.now()
        except Exception as error:  # noqa: BLE001 - a span of somebody's own kind
            self._runtime.guard.error("caller", error)
            return Caller.nobody()

    def serving(self, callers: Sequence[Any], rows: Sequence[int] | None = None) -> Serving:
        """See `mlobs.integration.Hooks`."""
        return Serving(callers, rows, self._runtime.guard, self._runtime.outcomes.tickets.header)

    def answering(self) -> Answering:
        """See `mlobs.integration.Hooks`."""
        return self._requests.answering()

    def report(self) -> CallReport | None:
        """See `mlobs.integration.Hooks`."""
        within = INSIDE.get()
        return CallReport(within) if type(within) is Monitor else None

    def worker(self) -> None:
        """See `mlobs.integration.Hooks`."""
        self._runtime.serve_an_engine()

    def task(self) -> Task:
        """See `mlobs.integration.Hooks`."""
        return Task(self._runtime.tasks)

    def flush(self) -> None:
        """See `mlobs.integration.Hooks`."""
        self._runtime.tasks.flush()

    def on(self) -> Sequence[str]:
        """See `mlobs.integration.Hooks`."""
        return self._on()

    def frames(self) -> Sequence[types.CodeType]:
        """See `mlobs.integration.Hooks`."""
        outer = (Hooked.stand_in, _above, calls.running)
        return [inner for one in outer for inner in one.__code__.co_consts if isinstance(inner, types.CodeType)]

    def guarded(self) -> Guarded:
        """See `mlobs.integration.Hooks`."""
        return Guarded(self._runtime.guard, "hook")

    def asgi(self, owner: type, name: str = "__call__", *, position: int = 1) -> None:
        """See `mlobs.integration.Hooks`."""
        self._serve(owner, name, self._requests.asgi, position)

    def wsgi(self, owner: type, name: str = "__call__") -> None:
        """See `mlobs.integration.Hooks`."""
        self._serve(owner, name, self._requests.wsgi)

    def under(self, headers: Mapping[str, Any]) -> Under:
        """See `mlobs.integration.Hooks`."""
        return self._requests.under(headers)

    # ── and back ────────────────────────────────────────────────────────────────────────────────────────────────────

    def restore(self) -> None:
        """Put back what nobody has changed since; what somebody has only stops observing."""
        self._switch.off = True
        self._requests.off = True
        self._runtime.news.come()
        while self._behind:
            self._registry.forget(self._behind.pop())
        for changed in reversed(list(self._changed)):
            changed.restore()
        self._changed.clear()
        self._left.clear()

    def again(self) -> None:
        """Another integration was taken back: hook what was left to it."""
        left, self._left = self._left, Living()
        for one in left:
            owner = one.owner()
            if owner is not None:
                self._hook(owner, one.name, one.make, inherited=one.inherited)

    def _serve(self, owner: type, name: str, wrap: Callable[..., Callable[..., Any]], position: int = 1) -> None:
        found = vars(owner).get(name)
        if inspect.isfunction(found):
            self.replace(owner, name, functools.wraps(found)(wrap(found, position=position)))

    def _hook(
        self,
        owner: Any,  # noqa: ANN401 - a class or a module
        name: str,
        make: Callable[[Callable[..., Any]], Hooked],
        *,
        inherited: bool = False,
        also: Sequence[str] = (),
    ) -> None:
        found = inspect.getattr_static(owner, name, None) if inherited else vars(owner).get(name)
        function = function_of(found)
        if not inspect.isfunction(function):
            return
        if ours(function):
            self._left.add(Left(weakref.ref(owner), name, make, inherited))
            return
        hooked = make(function if name in vars(owner) else _above(owner, name, function))
        hooked.before = vars(owner).get(name, ABSENT)
        stand_in: Any = hooked.stand_in()
        for other in also:
            module = sys.modules.get(other)
            if module is not None and vars(module).get(name) is found:
                self.replace(module, name, stand_in)
        if isinstance(found, (classmethod, staticmethod)):
            stand_in = type(found)(stand_in)
        elif found is not function:
            descriptor: Any = copy.copy(found)
            descriptor.fn = stand_in
            stand_in = descriptor
        setattr(owner, name, stand_in)
        self._changed.add(Changed(weakref.ref(owner), name, None, weakref.ref(hooked)))


class Left(NamedTuple):
    """A function that somebody else observes."""

    owner: weakref.ref[Any]
    name: str
    make: Callable[[Callable[..., Any]], Hooked]
    inherited: bool


def _above(owner: type, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
    """What ``owner`` has from above, looked up in each call: torch.fx and others patch it in its own class meanwhile."""
    # bound here: torch.compile of 2.6 imports the module whose globals a function looks names up in, built-in ones too,
    # and whoever loads this one by value has no mlobs
    look, upwards = getattr, super

    def above(self: object, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        return look(upwards(owner, self), name)(*args, **kwargs)

    return functools.wraps(found)(above)


def _family(base: type) -> Iterator[type]:
    """The class and all its subclasses, each once."""
    seen = {base}
    waiting: list[type] = [base]
    while waiting:
        cls = waiting.pop()
        yield cls
        below: type
        for below in type.__subclasses__(cls):
            if below not in seen:
                seen.add(below)
                waiting.append(below)


def _beside(file: Path) -> Path | None:
    """The profile beside a model's file."""
    for candidate in (file.with_suffix(_BESIDE), file.with_name(file.name + _BESIDE)):
        if candidate.is_file():
            return candidate
    return None
