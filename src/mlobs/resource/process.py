"""CPU, memory, threads, files and waits of this process, as OpenTelemetry's process conventions name them."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mlobs.otel import machine
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

    from mlobs.otel.points import Points

_MODES: Final = (Attributes((machine.CPU_MODE, "user")), Attributes((machine.CPU_MODE, "system")))
_SWITCHES: Final = tuple(Attributes((machine.SWITCH_TYPE, kind)) for kind in ("voluntary", "involuntary"))
_FAULTS: Final = tuple(Attributes((machine.FAULT_TYPE, kind)) for kind in ("major", "minor"))
_DIRECTIONS: Final = tuple(Attributes((machine.DISK_DIRECTION, direction)) for direction in ("read", "write"))


class Process:
    """Read once a collection, never by a caller. What the system does not tell is left out.

    ``cpus`` says how many CPUs the process may use: what utilisation is a share of.
    """

    def __init__(self, cpus: Callable[[], float]) -> None:
        self._cpus = cpus
        self._process: psutil.Process | None = None
        self._last: tuple[float, float, float] | None = None
        self._began = 0.0

    def prepare(self) -> None:
        """Load psutil."""
        import psutil

        self._process = psutil.Process()
        self._began = time.monotonic() - max(0.0, time.time() - self._process.create_time())

    def collect(self) -> Iterator[Points]:
        """The readings of now; utilisation needs an earlier one and comes from the second collection on."""
        process = self._process
        if process is None:
            return
        with process.oneshot():
            for read in (self._times, self._memory, self._threads, self._files, self._disks):
                with suppress(Exception):  # this system does not tell it, or not us: the others are read all the same
                    yield from read(process)
        yield Numbers(machine.PROCESS_UPTIME, NO_ATTRIBUTES, (time.monotonic() - self._began,))

    def _times(self, process: psutil.Process) -> Iterator[Points]:
        """CPU time, and what the kernel says beside it: of all threads, to the microsecond, in one call.

        ``/proc`` has CPU time by hundredths of a second, and context switches of the main thread only.
        """
        if sys.platform == "win32":
            times = process.cpu_times()
            yield from self._cpu(times.user, times.system)
            switches = process.num_ctx_switches()
            yield Numbers(machine.PROCESS_CONTEXT_SWITCHES, NO_ATTRIBUTES, (switches.voluntary,), _SWITCHES[:1])
            return
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield from self._cpu(usage.ru_utime, usage.ru_stime)
        yield Numbers(machine.PROCESS_CONTEXT_SWITCHES, NO_ATTRIBUTES, (usage.ru_nvcsw, usage.ru_nivcsw), _SWITCHES)
        yield Numbers(machine.PROCESS_PAGING_FAULTS, NO_ATTRIBUTES, (usage.ru_majflt, usage.ru_minflt), _FAULTS)

    def _cpu(self, user: float, system: float) -> Iterator[Points]:
        now = (time.monotonic(), user, system)
        yield Numbers(machine.PROCESS_CPU_TIME, NO_ATTRIBUTES, now[1:], _MODES)
        last, self._last = self._last, now
        if last is not None and now[0] > last[0]:
            available = (now[0] - last[0]) * self._cpus()
            shares = [max(0.0, (after - before) / available) for after, before in zip(now[1:], last[1:], strict=True)]
            yield Numbers(machine.PROCESS_CPU_UTILIZATION, NO_ATTRIBUTES, shares, _MODES)

    def _memory(self, process: psutil.Process) -> Iterator[Points]:
        memory = process.memory_info()
        yield Numbers(machine.PROCESS_MEMORY_USAGE, NO_ATTRIBUTES, (int(memory.rss),))
        yield Numbers(machine.PROCESS_MEMORY_VIRTUAL, NO_ATTRIBUTES, (int(memory.vms),))

    def _threads(self, process: psutil.Process) -> Iterator[Points]:
        yield Numbers(machine.PROCESS_THREAD_COUNT, NO_ATTRIBUTES, (int(process.num_threads()),))

    def _files(self, process: psutil.Process) -> Iterator[Points]:
        """From Linux 6.2 on the folder's size is their number; to list ten thousand would take milliseconds."""
        count = os.stat("/proc/self/fd").st_size if sys.platform == "linux" else 0  # noqa: PTH116 - half the time of Path
        yield Numbers(machine.PROCESS_FILE_DESCRIPTORS, NO_ATTRIBUTES, (count or int(process.num_fds()),))

    def _disks(self, process: psutil.Process) -> Iterator[Points]:
        counts = process.io_counters()
        yield Numbers(machine.PROCESS_DISK_IO, NO_ATTRIBUTES, (counts.read_bytes, counts.write_bytes), _DIRECTIONS)
