"""What the process' control group uses, and what it may use: memory and CPUs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.otel import machine
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Numbers
from mlobs.resource.groups import Groups, find_groups
from mlobs.resource.reading import content, number, table, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlobs.otel.instrument import Instrument
    from mlobs.otel.points import Points
    from mlobs.resource.growth import Growth

MODES: Final = (Attributes((machine.CPU_MODE, "user")), Attributes((machine.CPU_MODE, "system")))
_PRESSURES: Final = tuple((name, Attributes((machine.RESOURCE, name))) for name in ("cpu", "memory", "io"))
# of cpu.stat, with the unit of each that is a time
_THROTTLING: Final[dict[bytes, tuple[Instrument, float]]] = {
    b"nr_periods": (machine.CAPACITY_CPU_PERIODS, 0),
    b"nr_throttled": (machine.CAPACITY_CPU_THROTTLED_PERIODS, 0),
    b"throttled_usec": (machine.CAPACITY_CPU_THROTTLED_TIME, 1e6),
    b"throttled_time": (machine.CAPACITY_CPU_THROTTLED_TIME, 1e9),
}
_FILES: Final = ("memory.current", b"inactive_file", "memory.max")
_FILES_V1: Final = ("memory.usage_in_bytes", b"total_inactive_file", "memory.limit_in_bytes")
_ENDLESS: Final = 1 << 60  # version 1 says "no limit" with the largest number of whole pages


class Memory(NamedTuple):
    """One group's memory in bytes; None is what it does not tell, or a limit that it does not have."""

    usage: int | None
    inactive: int | None
    limit: int | None

    @property
    def working_set(self) -> int | None:
        """What Kubernetes takes for it: usage less the cached files that were not used of late."""
        if self.usage is None or self.inactive is None:
            return None
        return max(0, self.usage - self.inactive)

    @property
    def available(self) -> int | None:
        """What is left of the limit; where the cached files are not known, as if none could be taken back."""
        used = self.usage if self.inactive is None else self.working_set
        return None if self.limit is None or used is None else max(0, self.limit - used)


class Container:
    """Read once a collection. A file that is absent or unreadable costs its own metric only."""

    def __init__(self, growth: Growth, root: Path = Path("/")) -> None:
        self._growth = growth
        self._root = root
        self._groups = Groups()

    def prepare(self) -> None:
        """Find the groups. A process that is moved to another one later goes on reading this one."""
        self._groups = find_groups(self._root)

    def cpus(self) -> float:
        """CPUs that the process may use: the smallest quota of its groups, and its affinity."""
        return min([_affinity(), *self._quotas()])

    def collect(self) -> Iterator[Points]:
        """The readings of now; counters are what has come since the first of them."""
        yield from self._memory()
        yield Numbers(machine.CAPACITY_CPU_LIMIT, NO_ATTRIBUTES, (float(self.cpus()),))
        yield from self._cpu_time()
        yield from self._throttling()
        yield from self._kills()
        yield from self._stalls()

    # ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _memory(self) -> Iterator[Points]:
        levels = [*_memories(self._groups.memory, *_FILES), *_memories(self._groups.memory_v1, *_FILES_V1)]
        for own in levels[:1]:
            yield from _reading(machine.CONTAINER_MEMORY_USAGE, own.usage)
            yield from _reading(machine.CONTAINER_MEMORY_WORKING_SET, own.working_set)
        left = _least(level.available for level in levels)
        yield from _reading(machine.CONTAINER_MEMORY_AVAILABLE, left)
        total, free = self._machine()
        yield from _reading(machine.CAPACITY_MEMORY_LIMIT, _least([*(level.limit for level in levels), total]))
        yield from _reading(machine.CAPACITY_MEMORY_HEADROOM, _least([left, free]))

    def _machine(self) -> tuple[int | None, int | None]:
        """Memory of the machine, and how much of it is available, in bytes."""
        if sys.platform == "linux":
            found: dict[bytes, int] = {}
            for line in content(str(self._root / "proc/meminfo")).splitlines()[:8]:
                name, _, rest = line.partition(b":")
                value = whole(rest.removesuffix(b"kB"))
                if value is not None:
                    found[name] = value * 1024
            return found.get(b"MemTotal"), found.get(b"MemAvailable")
        import psutil

        memory = psutil.virtual_memory()
        return memory.total, memory.available

    def _kills(self) -> Iterator[Points]:
        """Version 2 counts those of the groups inside too, version 1 only the group's own (from Linux 4.13 on)."""
        files = [f"{level}/memory.events" for level in self._groups.memory[:1]]
        files += [f"{level}/memory.oom_control" for level in self._groups.memory_v1[:1]]
        for file in files:
            kills = table(file).get(b"oom_kill")
            if kills is not None:
                yield from _reading(machine.CAPACITY_MEMORY_KILLS, self._growth.of("oom_kill", kills))

    # ── CPU ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _quotas(self) -> Iterator[float]:
        for level in self._groups.cpu:
            quota, _, period = content(f"{level}/cpu.max").partition(b" ")
            yield from _cores(whole(quota), whole(period))
        for level in self._groups.cpu_v1:
            yield from _cores(number(f"{level}/cpu.cfs_quota_us"), number(f"{level}/cpu.cfs_period_us"))

    def _cpu_time(self) -> Iterator[Points]:
        for seconds in (*map(_cpu_time, self._groups.cpu[:1]), *map(_cpu_time_v1, self._groups.accounting_v1[:1])):
            if seconds is not None:
                grown = [self._growth.of(mode, value) for mode, value in zip(MODES, seconds, strict=True)]
                yield Numbers(machine.CONTAINER_CPU_TIME, NO_ATTRIBUTES, grown, MODES)

    def _throttling(self) -> Iterator[Points]:
        """Sums over the groups: each quota counts its own standstills, not those of the quotas around it."""
        grown: dict[Instrument, float] = {}
        for level in (*self._groups.cpu, *self._groups.cpu_v1):
            found = table(f"{level}/cpu.stat")
            for name, (instrument, unit) in _THROTTLING.items():
                if name in found:
                    value = self._growth.of((level, name), found[name])
                    grown[instrument] = grown.get(instrument, 0) + (value / unit if unit else value)
        for instrument, value in grown.items():
            yield Numbers(instrument, NO_ATTRIBUTES, (value,))

    def _stalls(self) -> Iterator[Points]:
        """Pressure stall information, which version 2 alone has, and many kernels leave off."""
        values, each = [], []
        for level in (self._groups.cpu or self._groups.memory)[:1]:
            for resource, attributes in _PRESSURES:
                total = whole(content(f"{level}/{resource}.pressure").partition(b"\n")[0].rpartition(b"total=")[2])
                if total is not None:
                    values.append(self._growth.of((level, resource), total) / 1e6)
                    each.append(attributes)
        if values:
            yield Numbers(machine.CAPACITY_STALLED_TIME, NO_ATTRIBUTES, values, each)


def _reading(instrument: Instrument, value: float | None) -> Iterator[Points]:
    if value is not None:
        yield Numbers(instrument, NO_ATTRIBUTES, (value,))


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _memories(levels: tuple[str, ...], usage: str, inactive: bytes, limit: str) -> Iterator[Memory]:
    """The group itself, and of those around it the ones that have a limit."""
    for place, level in enumerate(levels):
        most = number(f"{level}/{limit}")
        if most is not None and most >= _ENDLESS:
            most = None
        if place == 0 or most is not None:
            yield Memory(number(f"{level}/{usage}"), table(f"{level}/memory.stat").get(inactive), most)


def _cores(quota: int | None, period: int | None) -> Iterator[float]:
    if quota is not None and period is not None and quota > 0 and period > 0:
        yield quota / period


def _cpu_time(level: str) -> tuple[float, float] | None:
    found = table(f"{level}/cpu.stat")
    if b"user_usec" not in found or b"system_usec" not in found:
        return None
    return found[b"user_usec"] / 1e6, found[b"system_usec"] / 1e6


def _cpu_time_v1(level: str) -> tuple[float, float] | None:
    user, system = number(f"{level}/cpuacct.usage_user"), number(f"{level}/cpuacct.usage_sys")
    if user is not None and system is not None:
        return user / 1e9, system / 1e9
    found = table(f"{level}/cpuacct.stat")  # before Linux 4.6
    if b"user" not in found or b"system" not in found:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return found[b"user"] / ticks, found[b"system"] / ticks


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):  # forbidden
            return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
