"""Which integrations there are, and which are on."""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from importlib import metadata
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.errors import ConfigurationError, MissingDependencyError, quoted
from mlobs.hooks import reloaded
from mlobs.hooks.changed import stands_in
from mlobs.hooks.patching import Patches

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from mlobs.core.runtime import Runtime
    from mlobs.hooks.registry import Registry
    from mlobs.integration import Hooks, Integration

_GROUP: Final = "mlobs_integration"
_BARE: Final = (
    "there is no integration here, for the metadata of the installed package lists them. Install mlobs by pip; a program that is "
    "frozen takes its metadata along, with PyInstaller by --copy-metadata mlobs"
)


class Status(NamedTuple):
    """How one integration stands in this process.

    ``installed`` is the version of the framework's package, None where nothing says it;
    ``usable`` whether it is there and new enough; ``hooked`` how many of its methods
    and functions were changed; ``waiting`` the modules that nobody has imported yet; ``problem`` why calls are not
    observed, with the cure, or None.
    """

    name: str
    distribution: str
    lowest: str
    installed: str | None
    usable: bool
    on: bool
    hooked: int
    waiting: tuple[str, ...]
    problem: str | None


class Integrations:
    """Turns integrations on and off. Those that are on wait for their framework to be imported."""

    def __init__(self, runtime: Runtime, registry: Registry) -> None:
        self._runtime = runtime
        self._registry = registry
        self._on: dict[str, Patches] = {}
        self._imported: dict[str, Callable[[ModuleType], None]] = {}  # of those that are on
        self._awaited: set[str] = set()  # modules
        self._lock = threading.RLock()

    def on(self, wanted: tuple[str, ...]) -> None:
        """Turn on those that are named, or all there are; those that are on already stay as they are.

        Raises ConfigurationError for a name that no integration has, MissingDependencyError where the named one's
        framework is not installed or too old.
        """
        found = {entry.name: entry for entry in metadata.entry_points(group=_GROUP)}
        _known(wanted, found, "instrument")
        if not found:
            self._runtime.guard.tell("integrations", "mlobs.instrument() observes nothing: %s", _BARE)
        with self._lock:
            reloaded.keep(stands_in)
            for name in wanted or sorted(found):
                try:
                    integration: Integration = found[name].load()
                except Exception as error:
                    if wanted:
                        raise
                    self._runtime.guard.error(f"integration {name}", error)
                    continue
                if wanted:
                    _installed(integration)
                if name not in self._on:
                    self._on[name] = self._hook(name, integration)

    def off(self, wanted: tuple[str, ...]) -> None:
        """Put back what those that are named, or all, have changed. Raises ConfigurationError for an unknown name."""
        _known(wanted, {entry.name for entry in metadata.entry_points(group=_GROUP)} | set(self._on), "uninstrument")
        with self._lock:
            for name in wanted or tuple(self._on):
                self._imported.pop(name, None)
                patches = self._on.pop(name, None)
                if patches is not None:
                    patches.restore()
            for patches in self._on.values():
                patches.again()

    def status(self) -> list[Status]:
        """How every integration stands, by name."""
        entries = {entry.name: entry for entry in metadata.entry_points(group=_GROUP)}
        return [self._status(name, entries[name]) for name in sorted(entries)]

    def _status(self, name: str, entry: metadata.EntryPoint) -> Status:
        try:
            integration: Integration = entry.load()
        except Exception as error:  # noqa: BLE001 - somebody's module; it is what is to be told
            return Status(name, "", "", None, False, False, 0, (), f"{entry.value} cannot be loaded: {error!r}")
        patches = self._on.get(name)
        version = _version(integration)
        missing = problem = _missing(integration)
        if missing is not None:
            problem = f"{integration.distribution} {missing}. {_cure(integration)}"
        elif patches is None:
            problem = f"it is not on. Try: mlobs.instrument({name!r})"
        elif patches.failed:
            problem = "; ".join(f"{module}: {said}" for module, said in patches.failed.items())
        waiting = tuple(module for module in integration.modules if patches is None or module not in patches.reached)
        hooked = 0 if patches is None else patches.changes
        return Status(
            name,
            integration.distribution,
            integration.lowest,
            version,
            missing is None,
            patches is not None,
            hooked,
            waiting,
            problem,
        )

    def _hook(self, entry: str, integration: Integration) -> Patches:
        patches = Patches(self._runtime, self._registry, lambda: tuple(self._on))
        modules = {**_shared(integration), **integration.modules}
        names = tuple(modules)

        def imported(module: ModuleType) -> None:
            """Never raises: it would fail the import."""
            try:
                hook = modules.pop(module.__name__, None)
                if hook is not None and not patches.over and self._supported(integration):
                    patches.reached.add(module.__name__)
                    hook(patches)
            except Exception as error:  # noqa: BLE001 - the framework works all the same
                patches.failed[module.__name__] = f"{type(error).__name__}: {error}"
                self._runtime.guard.error(f"integration {integration.name}", error)

        self._imported[entry] = imported
        for name in names:
            self._await(name, imported)
        return patches

    def _await(self, name: str, imported: Callable[[ModuleType], None]) -> None:
        """Of a module that is there already say so now. Of another one we are told once, however often we are turned on and off."""
        import wrapt

        module = sys.modules.get(name)
        if module is not None:
            imported(module)
        elif name not in self._awaited:
            self._awaited.add(name)
            wrapt.register_post_import_hook(self._arrived, name)

    def _arrived(self, module: ModuleType) -> None:
        """Somebody has imported it. Takes no lock: a child may be forked while a thread is in here."""
        self._awaited.discard(module.__name__)
        for imported in list(self._imported.values()):
            imported(module)

    def _supported(self, integration: Integration) -> bool:
        version = _version(integration)
        if version is not None and _numbers(version) < _numbers(integration.lowest):
            self._runtime.guard.tell(
                f"version {integration.name}",
                "mlobs observes %s from %s on, and this is %s: its calls are not observed. Try: pip install '%s>=%s'",
                integration.distribution,
                integration.lowest,
                version,
                integration.distribution,
                integration.lowest,
            )
            return False
        return True


def _known(wanted: tuple[str, ...], found: dict[str, metadata.EntryPoint] | set[str], verb: str) -> None:
    for name in wanted:
        if not isinstance(name, str):
            hint = f"mlobs.{verb}('sklearn', 'xgboost')"
            raise ConfigurationError(f"mlobs.{verb}({quoted(name)}): expected names, each an argument. Try: {hint}.")
        if name not in found:
            why = f"there is no such integration, only {', '.join(sorted(found))}." if found else _BARE
            raise ConfigurationError(f"mlobs.{verb}({quoted(name)}): {why}")


def _installed(integration: Integration) -> None:
    reason = _missing(integration)
    if reason is not None:
        raise MissingDependencyError(
            f"mlobs.instrument({integration.name!r}): {integration.distribution} {reason}. {_cure(integration)}"
        )


def _shared(integration: Integration) -> dict[str, Callable[[Hooks], None]]:
    """The hooks of other integrations that this one needs, too."""
    found: dict[str, Callable[[Hooks], None]] = {}
    for name, modules in integration.shares.items():
        for entry in metadata.entry_points(group=_GROUP, name=name):
            other: Integration = entry.load()
            found.update({module: other.modules[module] for module in modules})
    return found


def _missing(integration: Integration) -> str | None:
    """Why the framework cannot be observed."""
    version = _version(integration)
    first = next(iter(integration.modules))
    if version is None and importlib.util.find_spec(first.partition(".")[0]) is None:
        return "is not installed"
    if version is not None and _numbers(version) < _numbers(integration.lowest):
        return f"is {version}, and mlobs observes it from {integration.lowest} on"
    return None


def _cure(integration: Integration) -> str:
    return f"Try: pip install '{integration.distribution}>={integration.lowest}'"


def _version(integration: Integration) -> str | None:
    """The installed version, None where nothing says it."""
    try:
        return metadata.version(integration.distribution)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers a release begins with: (1, 10) of 1.10rc1."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
