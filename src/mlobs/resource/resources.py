"""Everything that is told of the machine a process runs on."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from mlobs.resource.container import Container
from mlobs.resource.elsewhere import emitted_elsewhere
from mlobs.resource.garbage import Garbage
from mlobs.resource.gpu import Gpus
from mlobs.resource.growth import Growth
from mlobs.resource.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlobs.otel.points import Points


class Resources:
    """One a process, made anew in a forked child; it outlives settings, for its counters go on.

    Silent about what is not there, and about metrics that OpenTelemetry's own instrumentation emits. Nothing raises:
    an error of ours is handed to ``report`` with its place.
    """

    def __init__(self, report: Callable[[str, Exception], object] = lambda place, error: None) -> None:  # noqa: ARG005 - nobody listens by default
        growth = Growth()
        self._report = report
        self._container = Container(growth)
        self._process = Process(self._container.cpus)
        self._garbage = Garbage()
        self._gpus = Gpus(growth)
        self._pid = 0
        self._lock = threading.RLock()  # a scrape and an export may come at once

    def prepare(self) -> None:
        """Load psutil and NVML, find control groups, and read once what their counters begin from. Again does no harm."""
        with self._lock:
            for prepare in (self._process.prepare, self._container.prepare, self._gpus.prepare):
                try:
                    prepare()
                except Exception as error:  # noqa: BLE001 - ours; the others are prepared all the same
                    self._report("resources", error)
            self._pid = os.getpid()
            self._read(self._container.collect)

    def collect(self) -> list[Points]:
        """The readings of now; none before `prepare`, and none in a child that was forked since."""
        if self._pid != os.getpid():
            return []
        elsewhere = emitted_elsewhere()
        with self._lock:
            sources = (self._process.collect, self._garbage.collect, self._container.collect, self._gpus.collect)
            return [one for collect in sources for one in self._read(collect) if one.instrument.name not in elsewhere]

    def _read(self, collect: Callable[[], Iterable[Points]]) -> list[Points]:
        """What one source says up to its first error, if any."""
        found: list[Points] = []
        try:
            found.extend(collect())
        except Exception as error:  # noqa: BLE001 - ours; the others are read all the same
            self._report("resources", error)
        return found
