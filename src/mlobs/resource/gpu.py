"""What GPUs do, as OpenTelemetry's hardware conventions name it: NVIDIA's, through NVML."""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mlobs.otel import machine, names
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Numbers
from mlobs.resource.nvml import LostError, Nvml, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlobs.otel.instrument import Instrument
    from mlobs.otel.points import Points
    from mlobs.resource.growth import Growth
    from mlobs.resource.nvml import Gpu

_RETRY: Final = 300.0  # seconds until what was lost is looked for again: to initialise NVML can take seconds
_TASKS: Final = {task: Attributes((machine.GPU_TASK, task)) for task in ("general", "encoder", "decoder")}
_ERRORS: Final = (
    ("NVML_MEMORY_ERROR_TYPE_CORRECTED", Attributes((names.ERROR_TYPE, "corrected"))),
    ("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", Attributes((names.ERROR_TYPE, "uncorrected"))),
)
# The bits of nvmlClocksEventReasons. Bit 0 is left out: a GPU without work lowers its clocks, and nobody waits for it.
_REASONS: Final = {
    0x2: "applications_clocks",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clocks",
}
_OTHER_REASONS: Final = ~(0x1 | sum(_REASONS))
_BY_REASON: Final = [Attributes((names.REASON, reason)) for reason in (*_REASONS.values(), "_OTHER")]


class Gpus:
    """The GPUs that CUDA would show to this process. Silent without nvidia-ml-py, without a driver, without a GPU.

    One that is lost is left out, and looked for again after five minutes.
    """

    def __init__(self, growth: Growth, clock: Callable[[], float] = time.monotonic) -> None:
        self._growth = growth
        self._clock = clock
        self._nvml: Nvml | None = None
        self._gpus: list[Gpu] = []
        self._again = math.inf
        self._pid = 0

    def prepare(self) -> None:
        """Load the package. A child that was forked begins anew; preparing again does nothing else.

        NVML is initialised by the first reading, not here, where a fork would have to wait for it.
        """
        if self._pid != os.getpid():
            self._pid, self._nvml, self._gpus, self._again = os.getpid(), None, [], math.inf
            with suppress(Exception):  # not installed, or broken
                load()
                self._again = -math.inf

    def collect(self) -> Iterator[Points]:
        """The readings of now."""
        if self._clock() >= self._again:
            self._open()
        for gpu in list(self._gpus):
            try:
                yield from self._whole(gpu)
                for part in gpu.parts:
                    yield from self._memory(part)
            except LostError:
                self._gpus.remove(gpu)
                self._again = min(self._again, self._clock() + _RETRY)

    def _open(self) -> None:
        """Initialise NVML and list the GPUs; what fails is tried again later."""
        self._gpus, self._again = [], math.inf
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is not None and visible.strip() in {"", "-1"}:
            return  # no need to wake a driver
        if self._nvml is not None:
            with suppress(Exception):  # it may be what is broken
                self._nvml.close()
        self._nvml, complete = None, False
        with suppress(Exception):  # no driver, no GPU, or one that does not answer: silence is the answer
            self._nvml = Nvml()
            self._gpus, complete = self._nvml.gpus(visible)
        if not complete:
            self._again = self._clock() + _RETRY

    # ── readings ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _whole(self, gpu: Gpu) -> Iterator[Points]:
        """A divided GPU's memory is its parts', and NVML does not know how busy it is."""
        if not gpu.divided:
            yield from self._memory(gpu)
            yield from self._utilization(gpu)
        yield from _one(machine.GPU_POWER, gpu, gpu.ask("PowerUsage"), 1e3)
        energy = gpu.ask("TotalEnergyConsumption")
        if energy is not None:
            yield from _one(machine.GPU_ENERGY, gpu, self._growth.of((gpu.uuid, "energy"), energy), 1e3)
        yield from _one(machine.GPU_TEMPERATURE, gpu, self._ask(gpu, "Temperature", "NVML_TEMPERATURE_GPU"))
        yield from self._errors(gpu)
        yield from self._throttling(gpu)

    def _ask(self, gpu: Gpu, function: str, *constants: str) -> int | None:
        """Ask with constants, which are looked up: they are pynvml's."""
        found = [None if self._nvml is None else self._nvml.constant(name) for name in constants]
        return None if None in found else gpu.ask(function, *found)

    def _memory(self, gpu: Gpu) -> Iterator[Points]:
        """Version 2 of the answer, where the driver has it, does not take what the driver keeps for itself for used."""
        version = None if self._nvml is None else self._nvml.constant("nvmlMemory_v2")
        memory = (version and gpu.ask("MemoryInfo", version)) or gpu.ask("MemoryInfo")
        if memory is not None and memory.total > 0:
            yield from _one(machine.GPU_MEMORY_USAGE, gpu, memory.used)
            yield from _one(machine.GPU_MEMORY_LIMIT, gpu, memory.total)
            yield from _one(machine.GPU_MEMORY_UTILIZATION, gpu, memory.used / memory.total)
        for process in gpu.ask("ComputeRunningProcesses") or ():
            if process.pid == self._pid:
                yield from _one(machine.GPU_MEMORY_OWN, gpu, process.usedGpuMemory)

    def _utilization(self, gpu: Gpu) -> Iterator[Points]:
        rates = gpu.ask("UtilizationRates")
        shares = [("general", None if rates is None else rates.gpu)]
        for task, function in (("encoder", "EncoderUtilization"), ("decoder", "DecoderUtilization")):
            answer = gpu.ask(function)
            shares.append((task, None if answer is None else answer[0]))
        known = [(share / 100, _TASKS[task]) for task, share in shares if share is not None]
        if known:
            values, each = zip(*known, strict=True)
            yield Numbers(machine.GPU_UTILIZATION, gpu.attributes, values, each)

    def _errors(self, gpu: Gpu) -> Iterator[Points]:
        """Those since the driver was loaded, of every kind of memory together."""
        values, each = [], []
        for constant, attributes in _ERRORS:
            count = self._ask(gpu, "TotalEccErrors", constant, "NVML_VOLATILE_ECC")
            if count is not None:
                values.append(self._growth.of((gpu.uuid, constant), count))
                each.append(attributes)
        if values:
            yield Numbers(machine.GPU_ERRORS, gpu.attributes, values, each)

    def _throttling(self, gpu: Gpu) -> Iterator[Points]:
        """Drivers before 535 know the reasons by an older name."""
        reasons = gpu.ask("CurrentClocksEventReasons")
        if reasons is None:
            reasons = gpu.ask("CurrentClocksThrottleReasons")
        if reasons is not None:
            holding = [*(int(bool(reasons & bit)) for bit in _REASONS), int(bool(reasons & _OTHER_REASONS))]
            yield Numbers(machine.GPU_THROTTLED, gpu.attributes, holding, _BY_REASON)


def _one(instrument: Instrument, gpu: Gpu, value: float | None, unit: float | None = None) -> Iterator[Points]:
    if value is not None:
        yield Numbers(instrument, gpu.attributes, (value if unit is None else value / unit,), (NO_ATTRIBUTES,))
