"""Where the control groups of this process are: versions 1 and 2, nested, and seen from within a namespace.

Formats: cgroups(7), proc_pid_mountinfo(5), and the kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.resource.reading import content

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_UNIFIED: Final = ""  # what stands for a controller's name in the line of version 2
# The machine's root is no container. The first file is in no other group of version 1, the second in all others of 2.
_AT_ROOT: Final = "cgroup.sane_behavior"
_NOT_AT_ROOT: Final = "cgroup.events"


class Mount(NamedTuple):
    """A hierarchy as it is mounted: ``within`` of it is at ``at``."""

    within: str
    at: str
    controllers: frozenset[str]


class Groups(NamedTuple):
    """Folders of the groups, the process' own first, then those around it as far as they can be seen.

    A controller belongs to one version at a time: the other's folders are empty. Left out are folders in which the
    controller keeps no books, and the machine's root.
    """

    memory: tuple[str, ...] = ()
    cpu: tuple[str, ...] = ()
    memory_v1: tuple[str, ...] = ()
    cpu_v1: tuple[str, ...] = ()
    accounting_v1: tuple[str, ...] = ()


def find_groups(root: Path) -> Groups:
    """The groups of this process; ``root`` is where ``/`` is. All are empty where there are no control groups."""
    paths = dict(_paths(root))
    mounts = list(_mounts(root))
    at = {
        controller: _levels(PurePosixPath(path), [mount for mount in mounts if controller in mount.controllers], root)
        for controller, path in paths.items()
        if controller in {_UNIFIED, "memory", "cpu", "cpuacct"}
    }
    unified = [level for level in at.get(_UNIFIED, ()) if _there(level / _NOT_AT_ROOT)]
    old = {name: [level for level in levels if not _there(level / _AT_ROOT)] for name, levels in at.items()}
    return Groups(
        memory=() if "memory" in paths else _keeping("memory.current", unified),
        cpu=() if "cpu" in paths else _keeping("cpu.stat", unified),
        memory_v1=_keeping("memory.usage_in_bytes", old.get("memory", [])),
        cpu_v1=_keeping("cpu.stat", old.get("cpu", [])),
        accounting_v1=_keeping("cpuacct.usage", old.get("cpuacct", [])),
    )


def _paths(root: Path) -> Iterator[tuple[str, str]]:
    """Controllers, each with the path of its group: ``4:memory:/docker/1f…``, ``0::/`` for version 2."""
    for line in os.fsdecode(content(str(root / "proc/self/cgroup"))).splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            yield from ((controller, parts[2]) for controller in parts[1].split(","))


def _mounts(root: Path) -> Iterator[Mount]:
    for line in os.fsdecode(content(str(root / "proc/self/mountinfo"))).splitlines():
        mounted, _, kind = line.partition(" - ")
        fields, kinds = mounted.split(" "), kind.split(" ")
        if len(fields) < 6 or len(kinds) < 3 or kinds[0] not in {"cgroup", "cgroup2"}:
            continue
        controllers = {_UNIFIED} if kinds[0] == "cgroup2" else set(kinds[2].split(","))
        yield Mount(_plain(fields[3]), _plain(fields[4]), frozenset(controllers))


def _plain(field: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)


def _levels(path: PurePosixPath, mounts: list[Mount], root: Path) -> list[Path]:
    """The group's folder and those above it, up to where the hierarchy is mounted.

    Without a namespace of its own a container sees the machine's paths in /proc, and its own group where the hierarchy
    is mounted. A path that leads to no folder is that of the mount itself.
    """
    for mount in mounts:
        try:
            relative = path.relative_to(mount.within)
        except ValueError:
            continue
        top = root / mount.at.lstrip("/")
        if ".." not in relative.parts and _there(top / relative):
            return [top / level for level in (relative, *relative.parents)]
    return [root / mounts[0].at.lstrip("/")] if mounts else []


def _keeping(file: str, levels: list[Path]) -> tuple[str, ...]:
    return tuple(str(level) for level in levels if _there(level / file))


def _there(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):  # Path.exists raises where a folder may not be entered
        return False
    return True
