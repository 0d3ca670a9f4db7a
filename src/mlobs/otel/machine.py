"""The telemetry contract of the machine: the process, its container and its GPUs. All other names are in `names`.

Names are OpenTelemetry's where it has them; docs/resources.md says what each is read from.
"""

from __future__ import annotations

from typing import Final

from mlobs.otel.instrument import Instrument
from mlobs.otel.names import ERROR_TYPE, REASON

# ── attributes ──────────────────────────────────────────────────────────────────────────────────────────────────────

CPU_MODE: Final = "cpu.mode"
DISK_DIRECTION: Final = "disk.io.direction"
SWITCH_TYPE: Final = "process.context_switch.type"
FAULT_TYPE: Final = "system.paging.fault.type"
GC_GENERATION: Final = "cpython.gc.generation"
RESOURCE: Final = "resource"
HW_ID: Final = "hw.id"
HW_NAME: Final = "hw.name"
HW_PARENT: Final = "hw.parent"
HW_TYPE: Final = "hw.type"
HW_VENDOR: Final = "hw.vendor"
GPU_TASK: Final = "hw.gpu.task"

ATTRIBUTES: Final[dict[str, str]] = {
    CPU_MODE: "`user` or `system`.",
    DISK_DIRECTION: "`read` or `write`.",
    SWITCH_TYPE: "`voluntary` (the process waited) or `involuntary` (it was made to wait).",
    FAULT_TYPE: "`major` (read from a disk) or `minor`.",
    GC_GENERATION: "`0`, `1` or `2`.",
    RESOURCE: "`cpu`, `memory` or `io`: what was waited for.",
    HW_ID: "The UUID of a GPU, or of a part of one (MIG).",
    HW_NAME: "The GPU's name as its driver tells it.",
    HW_PARENT: "On parts of a GPU (MIG): the UUID of the whole.",
    HW_TYPE: "`gpu`.",
    HW_VENDOR: "`NVIDIA`.",
    GPU_TASK: "`general`, `encoder` or `decoder`.",
}

# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PROCESS_CPU_TIME: Final = Instrument(
    "process.cpu.time", "counter", "s", "Total CPU seconds of the process, by mode.", (CPU_MODE,)
)
PROCESS_CPU_UTILIZATION: Final = Instrument(
    "process.cpu.utilization",
    "gauge",
    "1",
    "CPU seconds since the last reading, over its length × `mlobs.capacity.cpu.limit`.",
    (CPU_MODE,),
)
PROCESS_MEMORY_USAGE: Final = Instrument("process.memory.usage", "updowncounter", "By", "Physical memory in use.")
PROCESS_MEMORY_VIRTUAL: Final = Instrument(
    "process.memory.virtual", "updowncounter", "By", "Virtual memory, of which most may never be touched."
)
PROCESS_DISK_IO: Final = Instrument(
    "process.disk.io", "counter", "By", "Bytes that the process had disks read and write.", (DISK_DIRECTION,)
)
PROCESS_THREAD_COUNT: Final = Instrument("process.thread.count", "updowncounter", "{thread}", "Threads of the process.")
PROCESS_FILE_DESCRIPTORS: Final = Instrument(
    "process.unix.file_descriptor.count", "updowncounter", "{file_descriptor}", "File descriptors in use."
)
PROCESS_CONTEXT_SWITCHES: Final = Instrument(
    "process.context_switches",
    "counter",
    "{context_switch}",
    "How often threads of the process gave up a CPU.",
    (SWITCH_TYPE,),
)
PROCESS_PAGING_FAULTS: Final = Instrument(
    "process.paging.faults", "counter", "{fault}", "Page faults of the process.", (FAULT_TYPE,)
)
PROCESS_UPTIME: Final = Instrument("process.uptime", "gauge", "s", "How long the process has been running.")
GC_COLLECTIONS: Final = Instrument(
    "cpython.gc.collections",
    "counter",
    "{collection}",
    "Runs of Python's garbage collector since mlobs was loaded or the process forked.",
    (GC_GENERATION,),
)
GC_COLLECTED: Final = Instrument(
    "cpython.gc.collected_objects", "counter", "{object}", "Objects they freed.", (GC_GENERATION,)
)
GC_UNCOLLECTABLE: Final = Instrument(
    "cpython.gc.uncollectable_objects", "counter", "{object}", "Garbage that they could not free.", (GC_GENERATION,)
)
CONTAINER_CPU_TIME: Final = Instrument(
    "container.cpu.time",
    "counter",
    "s",
    "CPU seconds of the process' control group since mlobs began to read, by mode. Every process of the group says the "
    "same: take one, not the sum.",
    (CPU_MODE,),
)
CONTAINER_MEMORY_USAGE: Final = Instrument(
    "container.memory.usage", "updowncounter", "By", "Memory of the process' control group, cached files included."
)
CONTAINER_MEMORY_WORKING_SET: Final = Instrument(
    "container.memory.working_set",
    "updowncounter",
    "By",
    "The same without cached files that are not in use, which the kernel takes back first.",
)
CONTAINER_MEMORY_AVAILABLE: Final = Instrument(
    "container.memory.available",
    "updowncounter",
    "By",
    "Limit less working set, the smallest of the control group and those around it; absent without a limit.",
)
CAPACITY_CPU_LIMIT: Final = Instrument(
    "mlobs.capacity.cpu.limit",
    "gauge",
    "{cpu}",
    "CPUs that the process may use: the smallest of its control groups' quotas and its affinity.",
)
CAPACITY_CPU_PERIODS: Final = Instrument(
    "mlobs.capacity.cpu.periods",
    "counter",
    "{period}",
    "Periods in which the control group's CPU quota was in force and something ran.",
)
CAPACITY_CPU_THROTTLED_PERIODS: Final = Instrument(
    "mlobs.capacity.cpu.throttled.periods", "counter", "{period}", "Those of them in which the quota ran out."
)
CAPACITY_CPU_THROTTLED_TIME: Final = Instrument(
    "mlobs.capacity.cpu.throttled.time", "counter", "s", "How long the control group stood still for want of quota."
)
CAPACITY_MEMORY_LIMIT: Final = Instrument(
    "mlobs.capacity.memory.limit",
    "gauge",
    "By",
    "Memory that the process may use: the smallest of its control groups' limits and the machine's memory.",
)
CAPACITY_MEMORY_HEADROOM: Final = Instrument(
    "mlobs.capacity.memory.headroom",
    "gauge",
    "By",
    "What is left of it: the smaller of `container.memory.available` and what the machine has available.",
)
CAPACITY_MEMORY_KILLS: Final = Instrument(
    "mlobs.capacity.memory.oom_kills",
    "counter",
    "{kill}",
    "Processes of the control group that the kernel killed for want of memory.",
)
CAPACITY_STALLED_TIME: Final = Instrument(
    "mlobs.capacity.stalled.time",
    "counter",
    "s",
    "How long at least one task of the control group waited for a resource (pressure stall information).",
    (RESOURCE,),
)
_GPU: Final = (HW_ID, HW_NAME, HW_VENDOR, HW_TYPE, HW_PARENT)
GPU_UTILIZATION: Final = Instrument(
    "hw.gpu.utilization", "gauge", "1", "Share of time in which the GPU worked on a task.", (*_GPU, GPU_TASK)
)
GPU_MEMORY_USAGE: Final = Instrument("hw.gpu.memory.usage", "updowncounter", "By", "GPU memory in use.", _GPU)
GPU_MEMORY_LIMIT: Final = Instrument("hw.gpu.memory.limit", "updowncounter", "By", "Size of the GPU's memory.", _GPU)
GPU_MEMORY_UTILIZATION: Final = Instrument(
    "hw.gpu.memory.utilization", "gauge", "1", "GPU memory in use over its size.", _GPU
)
GPU_MEMORY_OWN: Final = Instrument(
    "mlobs.gpu.memory.usage", "updowncounter", "By", "GPU memory that this process uses.", _GPU
)
GPU_POWER: Final = Instrument("hw.power", "gauge", "W", "Power that the GPU draws.", _GPU)
GPU_ENERGY: Final = Instrument("hw.energy", "counter", "J", "Energy it has used since mlobs began to read.", _GPU)
GPU_TEMPERATURE: Final = Instrument("hw.temperature", "gauge", "Cel", "Temperature of the GPU.", _GPU)
GPU_ERRORS: Final = Instrument(
    "hw.errors",
    "counter",
    "{error}",
    "Errors of the GPU's memory since mlobs began to read (ECC).",
    (*_GPU, ERROR_TYPE),
)
GPU_THROTTLED: Final = Instrument(
    "mlobs.gpu.throttled",
    "gauge",
    "{reason}",
    "1 while the reason holds the GPU's clocks down, else 0, at the moment of the reading.",
    (*_GPU, REASON),
)

INSTRUMENTS: Final[tuple[Instrument, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Instrument)
)
