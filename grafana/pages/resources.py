"""Resources and capacity: what runs out first, where, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from board import INSTANCES, JOBS, MODELS, VARIANTS, VERSIONS, Page, Section
from panels import Panel, Query, Steps, drawn, stated
from signals import MODEL, PROCESS, WHO, calls, rate
from vocabulary import prometheus

from mlobs.otel import machine, names

if TYPE_CHECKING:
    from mlobs.otel.instrument import Instrument

AT: Final = "job, instance"
LEGEND: Final = "{{job}} {{instance}}"
GPU: Final = "{{hw_name}} {{hw_id}}"
BUSY: Final[Steps] = ((0.7, "orange"), (0.9, "red"))
HELD: Final[Steps] = ((0.05, "orange"), (0.25, "red"))
SPARE: Final[Steps] = ((0.1, "orange"), (0.2, "green"))  # below: red


def gauge(instrument: Instrument, how: str = "sum", by: str = AT, more: str = "") -> str:
    """What a gauge says, by process."""
    return f"{how} by ({by}) ({prometheus(instrument)}{{{PROCESS}{more}}})"


def used() -> str:
    """CPU time over what the process may use."""
    return gauge(machine.PROCESS_CPU_UTILIZATION)


def held() -> str:
    """The share of periods in which the CPU quota ran out."""
    return f"{rate(machine.CAPACITY_CPU_THROTTLED_PERIODS, PROCESS, AT)} / ({rate(machine.CAPACITY_CPU_PERIODS, PROCESS, AT)} > 0)"


def spare() -> str:
    """The share of memory that is left."""
    return f"{gauge(machine.CAPACITY_MEMORY_HEADROOM, 'min')} / {gauge(machine.CAPACITY_MEMORY_LIMIT, 'max')}"


def soon(hours: int = 4) -> str:
    """Memory that will be left if the last hour goes on."""
    return f"min by ({AT}) (predict_linear({prometheus(machine.CAPACITY_MEMORY_HEADROOM)}{{{PROCESS}}}[1h], {hours} * 3600))"


def _now() -> list[Panel]:
    kills = f"increase({prometheus(machine.CAPACITY_MEMORY_KILLS)}{{{PROCESS}}}[$__range])"
    return [
        stated(
            "CPU of the busiest",
            "CPU time over the CPUs that the process may use, of the process with the most.",
            "percentunit",
            Query(f"max({used()})"),
            steps=BUSY,
            decimals=0,
        ),
        stated(
            "Held back by its CPU quota",
            "The share of periods in which a container's CPU quota ran out, of the one with the most: calls wait for it.",
            "percentunit",
            Query(f"max({held()})"),
            steps=HELD,
            decimals=0,
            empty="no quota",
        ),
        stated(
            "Least memory left",
            "Memory left over the limit, of the process with the least; red below a tenth.",
            "percentunit",
            Query(f"min({spare()})"),
            steps=SPARE,
            base="red",
            decimals=0,
        ),
        stated(
            "Memory left in 4 hours",
            "What will be left where the last hour goes on, of the process with the least; below zero it is killed.",
            "bytes",
            Query(f"min({soon()})"),
            steps=((1, "green"),),
            base="red",
        ),
        stated(
            "Killed for want of memory",
            "Processes that the kernel killed in the time shown, of the containers that survived it.",
            "short",
            Query(f"sum(max by (job, instance) ({kills}))"),
            steps=((0.5, "red"),),
            decimals=0,
            empty="no container",
        ),
        stated(
            "Calls in flight",
            "Calls that have begun and not ended, of the models chosen: what scaling is to follow.",
            "short",
            Query(f"sum({prometheus(names.PREDICTION_ACTIVE)}{{{WHO}, {PROCESS}}})"),
            decimals=0,
        ),
    ]


def _gpus() -> list[list[Panel]]:
    card = "hw_name, hw_id"
    errors = f"sum by ({card}, error_type) (increase({prometheus(machine.GPU_ERRORS)}{{{PROCESS}}}[$__rate_interval]))"
    return [
        [
            drawn(
                "GPU busy",
                "The share of time in which each GPU worked on a task; processes of one machine say the same.",
                "percentunit",
                Query(gauge(machine.GPU_UTILIZATION, "max", f"{card}, hw_gpu_task"), f"{GPU} {{{{hw_gpu_task}}}}"),
                most=1,
            ),
            drawn(
                "GPU memory in use",
                "GPU memory in use over its size; dashed where the next batch may not fit.",
                "percentunit",
                Query(gauge(machine.GPU_MEMORY_UTILIZATION, "max", card), GPU),
                steps=BUSY,
                most=1,
            ),
            drawn(
                "GPU memory by process",
                "What each process holds of each GPU, beside the GPU's size.",
                "bytes",
                Query(gauge(machine.GPU_MEMORY_OWN, "sum", f"{AT}, {card}"), f"{LEGEND} on {GPU}"),
                Query(gauge(machine.GPU_MEMORY_LIMIT, "max", card), f"size of {GPU}"),
            ),
            drawn(
                "GPU clocks held down",
                "1 while a reason holds a GPU's clocks down: heat, power, or somebody's setting.",
                "short",
                Query(gauge(machine.GPU_THROTTLED, "max", f"{card}, reason"), f"{{{{reason}}}} {GPU}"),
                most=1,
            ),
        ],
        [
            drawn(
                "GPU temperature",
                "Temperature of each GPU.",
                "celsius",
                Query(gauge(machine.GPU_TEMPERATURE, "max", card), GPU),
                steps=((80, "orange"), (90, "red")),
            ),
            drawn(
                "GPU power",
                "Power that each GPU draws, as it says and as its energy counter grows.",
                "watt",
                Query(gauge(machine.GPU_POWER, "max", card), GPU),
                Query(
                    f"max by ({card}) (rate({prometheus(machine.GPU_ENERGY)}{{{PROCESS}}}[$__rate_interval]))",
                    f"from energy {GPU}",
                ),
            ),
            drawn(
                "GPU memory errors",
                "Errors of GPU memory; uncorrected ones are a card to replace.",
                "short",
                Query(errors, f"{{{{error_type}}}} {GPU}"),
            ),
            drawn(
                "GPU time of models",
                "GPU seconds a second that calls reported, by version: how many GPUs each one fills.",
                "short",
                Query(
                    rate(names.PREDICTION_GPU_TIME, f"{WHO}, {PROCESS}", MODEL),
                    "{{model_name}} {{model_version}} {{model_variant}}",
                ),
                stacked=True,
            ),
        ],
    ]


def page() -> Page:
    """What on-call opens when calls are slow and nothing failed."""
    used_memory = [
        drawn(
            "CPU of each process",
            "CPU time over the CPUs that it may use; at 1 there is no more to have.",
            "percentunit",
            Query(used(), LEGEND),
            steps=BUSY,
        ),
        drawn(
            "Held back by the CPU quota",
            "The share of periods in which the container's quota ran out; the tail of the latency is that wait.",
            "percentunit",
            Query(held(), LEGEND),
            steps=HELD,
            most=1,
        ),
        drawn(
            "Memory left",
            "Memory that each process may still take before the kernel kills.",
            "bytes",
            Query(gauge(machine.CAPACITY_MEMORY_HEADROOM, "min"), LEGEND),
        ),
        drawn(
            "Waiting for the machine",
            "Seconds a second in which some task of the container waited for CPU, memory or disk.",
            "percentunit",
            Query(
                f"max by (resource) (rate({prometheus(machine.CAPACITY_STALLED_TIME)}{{{PROCESS}}}[$__rate_interval]))",
                "{{resource}}",
            ),
            most=1,
        ),
    ]
    cpu = [
        f"({rate(one, f'{WHO}, {PROCESS}', MODEL)} or 0 * {calls(f'{WHO}, {PROCESS}', MODEL)})"
        for one in (names.PREDICTION_CPU_TIME, names.PREDICTION_POOL_TIME)
    ]
    whose = "{{model_name}} {{model_version}} {{model_variant}}"
    by_model = [
        drawn(
            "CPUs that each model fills",
            "CPU seconds a second of the models' calls, their thread pools included: what a replica more would cost.",
            "short",
            Query(f"{cpu[0]} + {cpu[1]}", whose),
            stacked=True,
        ),
        drawn(
            "Calls in flight by process",
            "Calls that have begun and not ended, by process: uneven lines are an uneven load balancer.",
            "short",
            Query(f"sum by ({AT}) ({prometheus(names.PREDICTION_ACTIVE)}{{{WHO}, {PROCESS}}})", LEGEND),
        ),
        drawn(
            "Peak memory of a model",
            "The process' peak of physical memory, where one version is all that it serves.",
            "bytes",
            Query(f"max by ({MODEL}) ({prometheus(names.MODEL_MEMORY_PEAK)}{{{WHO}, {PROCESS}}})", whose),
        ),
    ]
    memory = [
        drawn(
            "Memory of each process",
            "Physical memory in use: a line that climbs is a leak, a step is a larger batch or a second model.",
            "bytes",
            Query(gauge(machine.PROCESS_MEMORY_USAGE), LEGEND),
        ),
        drawn(
            "Memory of each container",
            "Working set beside the limit, as each process sees its container.",
            "bytes",
            Query(gauge(machine.CONTAINER_MEMORY_WORKING_SET, "max"), f"working set {LEGEND}"),
            Query(gauge(machine.CAPACITY_MEMORY_LIMIT, "max"), f"limit {LEGEND}"),
        ),
        drawn(
            "CPUs of each container",
            "CPU seconds a second of the container beside the CPUs that it may use.",
            "short",
            Query(rate(machine.CONTAINER_CPU_TIME, PROCESS, AT), f"used {LEGEND}"),
            Query(gauge(machine.CAPACITY_CPU_LIMIT, "max"), f"limit {LEGEND}"),
        ),
        drawn(
            "Standing still for want of quota",
            "Seconds a second in which the container stood still because its CPU quota had run out.",
            "percentunit",
            Query(rate(machine.CAPACITY_CPU_THROTTLED_TIME, PROCESS, AT), LEGEND),
        ),
    ]
    process = [
        drawn(
            "Threads and files",
            "Threads and open files of each process: what only climbs is not given back.",
            "short",
            Query(gauge(machine.PROCESS_THREAD_COUNT), f"threads {LEGEND}"),
            Query(gauge(machine.PROCESS_FILE_DESCRIPTORS), f"files {LEGEND}"),
        ),
        drawn(
            "Context switches",
            "How often a second threads gave up a CPU: involuntary ones are threads that wait for each other's CPU.",
            "cps",
            Query(
                rate(machine.PROCESS_CONTEXT_SWITCHES, PROCESS, "process_context_switch_type"),
                "{{process_context_switch_type}}",
            ),
        ),
        drawn(
            "Disk and page faults",
            "Bytes a second read and written, and pages a second that had to come from a disk.",
            "Bps",
            Query(rate(machine.PROCESS_DISK_IO, PROCESS, "disk_io_direction"), "{{disk_io_direction}}"),
            Query(
                rate(machine.PROCESS_PAGING_FAULTS, PROCESS, "system_paging_fault_type"),
                "{{system_paging_fault_type}} faults",
            ),
        ),
        drawn(
            "Python's garbage collector",
            "Runs a second by generation: many of generation 2 are pauses.",
            "cps",
            Query(
                rate(machine.GC_COLLECTIONS, PROCESS, "cpython_gc_generation"), "generation {{cpython_gc_generation}}"
            ),
        ),
        drawn(
            "Uptime",
            "How long each process has been running: a saw is a process that is killed again and again.",
            "s",
            Query(gauge(machine.PROCESS_UPTIME, "max"), LEGEND),
        ),
    ]
    first, second = _gpus()
    return Page(
        "resources",
        "Resources and capacity",
        "What runs out first, where, and when?",
        [MODELS, VERSIONS, VARIANTS, JOBS, INSTANCES],
        [
            Section("Now", [(4, [(4, one) for one in _now()]), (9, [(6, one) for one in used_memory])]),
            Section("By model", [(8, [(8, one) for one in by_model])]),
            Section("Memory and CPU", [(8, [(6, one) for one in memory])]),
            Section("GPUs", [(8, [(6, one) for one in first]), (8, [(6, one) for one in second])], folded=True),
            Section(
                "Processes",
                [(8, [(8, one) for one in process[:3]]), (8, [(12, one) for one in process[3:]])],
                folded=True,
            ),
        ],
    )
