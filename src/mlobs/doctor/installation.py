"""The second step: what is installed, and what of it can work together."""

from __future__ import annotations

import importlib.util
import platform
import re
from importlib import metadata
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.doctor.finding import INSTALLATION, Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.doctor.setup import Setup
    from mlobs.integration import Integration

_GROUP: Final = "mlobs_integration"
_AGENT: Final = "opentelemetry_instrumentor"
_SHOWN: Final = ("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp", "numpy")
_LIST: Final = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]*\])?\s*\(?>=\s*(?P<lowest>[\w.]+)\)?(?P<rest>.*)")
_EXTRA: Final = re.compile(r"""extra\s*==\s*['"](?P<extra>[\w-]+)['"]""")


class Need(NamedTuple):
    """A package that mlobs, or one of its extras, needs."""

    distribution: str
    lowest: str
    extra: str | None


def needs() -> list[Need]:
    """What the installed mlobs says of itself."""
    found = []
    for text in metadata.requires("mlobs") or ():
        one = _LIST.match(text)
        if one:
            extra = _EXTRA.search(one["rest"])
            found.append(Need(one["name"], one["lowest"], extra and extra["extra"]))
    return found


def installation(setup: Setup) -> Iterator[Finding]:
    """Versions, extras, integrations and entry points."""
    wanted = needs()
    versions = [f"{name} {version(name) or 'absent'}" for name in _SHOWN]
    yield ok(INSTALLATION, f"Python {platform.python_version()}, mlobs {version('mlobs')}, {', '.join(versions)}")
    for need in wanted:
        if need.extra is None:
            yield from _base(need)
    yield from _extras(setup, wanted)
    yield from _integrations()


def _base(need: Need) -> Iterator[Finding]:
    has = version(need.distribution)
    if has is None or numbers(has) < numbers(need.lowest):
        said = f"{need.distribution} is {has or 'not installed'}, and mlobs needs {need.lowest} or later"
        yield fail(INSTALLATION, said, f"Try: pip install '{need.distribution}>={need.lowest}'")


def _extras(setup: Setup, wanted: list[Need]) -> Iterator[Finding]:
    """Which are whole, and which of those that are not the settings ask for."""
    extras = sorted({need.extra for need in wanted if need.extra is not None})
    lacking = {extra: [need for need in wanted if need.extra == extra and not _has(need)] for extra in extras}
    whole = [extra for extra in extras if not lacking[extra]]
    if extras:
        yield ok(INSTALLATION, f"extras installed: {', '.join(whole) or 'none'}")
    asked = {
        "prometheus": (setup.metrics.exporter == "prometheus", "OTEL_METRICS_EXPORTER=prometheus"),
        "redis": (setup.settings.join_store.startswith(("redis:", "rediss:", "unix:")), "MLOBS_JOIN_STORE"),
    }
    for extra, (wants, why) in asked.items():
        if wants and lacking.get(extra):
            said = f"{why} needs {', '.join(need.distribution for need in lacking[extra])}, which is not installed"
            packages = " ".join(f"'{need.distribution}>={need.lowest}'" for need in lacking[extra])
            yield fail(INSTALLATION, said, f"Try: pip install {packages}")


def _integrations() -> Iterator[Finding]:
    entries = sorted(metadata.entry_points(group=_GROUP), key=lambda entry: entry.name)
    if not entries:
        said = f"there are no entry points {_GROUP}: mlobs.instrument() finds no integration"
        yield fail(INSTALLATION, said, "Try: install mlobs again, from where it came: pip install --force-reinstall …")
    on, absent = [], []
    for entry in entries:
        try:
            integration: Integration = entry.load()
        except Exception as error:  # noqa: BLE001 - anybody's integration
            said = f"the integration {entry.name} cannot be loaded: {type(error).__name__}: {error}"
            yield fail(INSTALLATION, said, "Reinstall the package that brings it, or remove it.")
            continue
        has = version(integration.distribution)
        if has is None and not any(map(_importable, integration.modules)):
            absent.append(integration.name)
        elif has is not None and numbers(has) < numbers(integration.lowest):
            said = f"{integration.distribution} is {has}: its calls are observed from {integration.lowest} on"
            yield warn(INSTALLATION, said, f"Try: pip install '{integration.distribution}>={integration.lowest}'")
        else:
            on.append(f"{integration.name} ({integration.distribution} {has or 'of no known version'})")
    agent = any(entry.name == "mlobs" for entry in metadata.entry_points(group=_AGENT))
    runs = agent and _importable("opentelemetry.instrumentation")
    door = "mlobs.instrument() and opentelemetry-instrument turn" if runs else "mlobs.instrument() turns"
    others = f"; not installed: {', '.join(absent)}" if absent else ""
    yield ok(INSTALLATION, f"{door} on: {', '.join(on) or 'nothing that is installed'}{others}")


def _importable(module: str) -> bool:
    try:
        return (
            importlib.util.find_spec(module.partition(".")[0] if "opentelemetry" not in module else module) is not None
        )
    except (ImportError, ValueError):
        return False


def _has(need: Need) -> bool:
    has = version(need.distribution)
    return has is not None and numbers(has) >= numbers(need.lowest)


def version(distribution: str) -> str | None:
    """The installed version of a package."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def numbers(text: str) -> tuple[int, ...]:
    """The numbers a release begins with: (1, 10) of 1.10rc1."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()
