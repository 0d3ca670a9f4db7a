"""GPUs on recorded answers of NVML: no test here needs one, and none has seen one."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from tests.resource import recorded_nvml as nvml
from tests.resource.recorded_nvml import MIB, Recording, a100_divided, h100, pynvml, t4

from mlobs.otel.points import Numbers
from mlobs.resource.gpu import Gpus
from mlobs.resource.growth import Growth

Series = dict[tuple[str, ...], float]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recording]:
    """Put recorded GPUs in the place of the library's."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def place(*gpus: dict[Any, Any]) -> Recording:
        recording = Recording(*gpus)
        monkeypatch.setitem(sys.modules, "pynvml", recording.module)
        return recording

    return place


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock | None = None) -> Gpus:
    gpus = Gpus(Growth(), clock or Clock())
    gpus.prepare()
    return gpus


def series(gpus: Gpus) -> Series:
    """Every number by metric, GPU and what else tells it apart."""
    found: Series = {}
    for one in gpus.collect():
        assert isinstance(one, Numbers)
        base = dict(one.attributes.items())
        assert (base["hw.vendor"], base["hw.type"]) == ("NVIDIA", "gpu")
        for each, value in zip(one.each, one.values, strict=True):
            key = (one.instrument.name, base["hw.id"], *(text for _, text in each.items()))
            assert key not in found
            found[key] = value
    return found


def ids(gpus: Gpus) -> list[str]:
    return list(dict.fromkeys(key[1] for key in series(gpus)))


def test_readings_have_the_units_of_the_conventions(record: Callable[..., Recording]) -> None:
    """Percents become shares, milliwatts watts, millijoules joules; what the driver keeps for itself is not in use."""
    card = h100()
    record(card)
    gpus, uuid = made(), card["UUID"]
    found = series(gpus)
    assert found["hw.gpu.utilization", uuid, "general"] == pytest.approx(0.97)
    assert found["hw.gpu.utilization", uuid, "encoder"] == 0
    assert found["hw.gpu.utilization", uuid, "decoder"] == pytest.approx(0.12)
    assert found["hw.gpu.memory.usage", uuid] == 40960 * MIB
    assert found["hw.gpu.memory.limit", uuid] == 81559 * MIB
    assert found["hw.gpu.memory.utilization", uuid] == pytest.approx(40960 / 81559)
    assert found["hw.power", uuid] == pytest.approx(512.34)
    assert found["hw.temperature", uuid] == 61
    assert found["hw.energy", uuid] == 0
    card["TotalEnergyConsumption"] += 1_500_000
    card[nvml.CORRECTED] += 2
    found = series(gpus)
    assert found["hw.energy", uuid] == pytest.approx(1500)
    assert found["hw.errors", uuid, "corrected"] == 2
    assert found["hw.errors", uuid, "uncorrected"] == 0


def test_throttling_is_told_by_reason(record: Callable[..., Recording]) -> None:
    """Every reason has a series; those that hold are 1, bits of the future are `_OTHER`, and idleness is no reason."""
    card = h100()
    record(card)
    gpus, uuid = made(), card["UUID"]
    card["CurrentClocksEventReasons"] = 0x1 | 0x4 | 0x40 | 0x4000
    found = {key[2]: value for key, value in series(gpus).items() if key[0] == "mlobs.gpu.throttled"}
    assert {reason for reason, value in found.items() if value} == {"sw_power_cap", "hw_thermal_slowdown", "_OTHER"}
    assert len(found) == 9
    card["CurrentClocksEventReasons"] = 0x1
    assert not any(value for key, value in series(gpus).items() if key[0] == "mlobs.gpu.throttled")
    assert uuid in ids(gpus)


def test_bits_are_those_of_the_library() -> None:
    """Each reason's bit is the one that nvidia-ml-py has for it."""
    for bit, suffix in (
        (0x1, "GpuIdle"),
        (0x2, "ApplicationsClocksSetting"),
        (0x4, "SwPowerCap"),
        (0x8, "HwSlowdown"),
        (0x10, "SyncBoost"),
        (0x20, "SwThermalSlowdown"),
        (0x40, "HwThermalSlowdown"),
        (0x80, "HwPowerBrakeSlowdown"),
        (0x100, "DisplayClockSetting"),
    ):
        assert getattr(pynvml, f"nvmlClocksThrottleReason{suffix}") == bit


def test_every_function_that_is_asked_exists() -> None:
    """The installed nvidia-ml-py has each function and constant that the readings name."""
    recording = Recording(h100(), a100_divided())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pynvml", recording.module)
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        list(made().collect())
    assert len(set(recording.calls)) > 10
    for name in set(recording.calls) - {"nvmlInit"}:
        assert hasattr(pynvml, f"nvmlDeviceGet{name}")


def test_two_gpus_are_told_apart_and_silent_about_what_they_lack(record: Callable[..., Recording]) -> None:
    """A reading that one GPU does not support is absent for it, not zero, and is not asked for again."""
    first, second = h100(), t4()
    recording = record(first, second)
    gpus = made()
    found = series(gpus)
    old = second["UUID"].decode()
    assert {key[0] for key in found if key[1] == old} == {
        "hw.gpu.memory.usage",
        "hw.gpu.memory.limit",
        "hw.gpu.memory.utilization",
        "hw.gpu.utilization",
        "hw.power",
        "hw.temperature",
        "mlobs.gpu.throttled",
    }
    assert found["hw.gpu.memory.usage", old] == 1024 * MIB
    assert [key for key in found if key[:2] == ("hw.gpu.utilization", old)] == [("hw.gpu.utilization", old, "general")]
    assert ("hw.energy", first["UUID"]) in found
    recording.calls.clear()
    assert series(gpus) == found
    assert recording.calls.count("TotalEnergyConsumption") == 1
    assert recording.calls.count("CurrentClocksEventReasons") == 1
    assert recording.calls.count("ComputeRunningProcesses") == 1


def test_memory_of_this_process(record: Callable[..., Recording]) -> None:
    """Of the processes on a GPU only this one's memory is told, and nothing where the driver does not know it."""
    card = h100()
    record(card)
    gpus = made()
    others = [nvml.Running(os.getpid() + 1, 700 * MIB)]
    card["ComputeRunningProcesses"] = [*others, nvml.Running(os.getpid(), 300 * MIB)]
    assert series(gpus)["mlobs.gpu.memory.usage", card["UUID"]] == 300 * MIB
    for processes in (others, [*others, nvml.Running(os.getpid(), None)]):
        card["ComputeRunningProcesses"] = processes
        assert not [key for key in series(gpus) if key[0] == "mlobs.gpu.memory.usage"]


def test_parts_of_a_gpu(record: Callable[..., Recording]) -> None:
    """A divided GPU tells the memory of each part under the part's id and the whole's power, and no utilisation."""
    card = a100_divided()
    record(card)
    gpus, whole = made(), card["UUID"]
    found = series(gpus)
    parts = [card["MigDeviceHandleByIndex", place]["UUID"] for place in (0, 3)]
    assert {key[1]: value for key, value in found.items() if key[0] == "hw.gpu.memory.usage"} == {
        parts[0]: 1000 * MIB,
        parts[1]: 2000 * MIB,
    }
    assert ("hw.power", whole) in found
    assert not [key for key in found if key[0] == "hw.gpu.utilization"]
    for one in gpus.collect():
        said = dict(one.attributes.items())
        assert said.get("hw.parent") == (whole if said["hw.id"] in parts else None)


def test_a_dissolved_part_is_looked_for_again(record: Callable[..., Recording]) -> None:
    """Where an administrator divides a GPU anew its old parts fall silent, and the new ones are found later."""
    card, clock = a100_divided(), Clock()
    record(card)
    gpus = made(clock)
    old = card["MigDeviceHandleByIndex", 0]
    fresh = {**old, "UUID": "MIG-fresh"}
    old[nvml.V2] = old["MemoryInfo"] = nvml.error(pynvml.NVML_ERROR_INVALID_ARGUMENT)
    series(gpus)
    card["MigDeviceHandleByIndex", 0] = fresh
    clock.now += 301
    assert "MIG-fresh" in ids(gpus)


FIRST, SECOND, DIVIDED = h100()["UUID"], t4()["UUID"].decode(), a100_divided()["UUID"]
PART = "MIG-1c6f2b1a-0000-5a5a-9e9e-aaaaaaaaaaaa"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, {FIRST, SECOND, DIVIDED}),
        ("0,1,2", {FIRST, SECOND, DIVIDED}),
        ("1", {SECOND}),
        (" 1 , 0 ", {FIRST, SECOND}),
        (FIRST, {FIRST}),
        (f"{SECOND[:12]},2", {SECOND, DIVIDED}),
        ("0,-1,1", {FIRST}),
        ("0,17,1", {FIRST}),
        ("0,GPU-none,1", {FIRST}),
        ("nonsense", set()),
        ("", set()),
        ("-1", set()),
        (PART, {DIVIDED}),
    ],
)
def test_only_gpus_that_cuda_shows(
    record: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: set[str]
) -> None:
    """CUDA_VISIBLE_DEVICES means what CUDA says: numbers, beginnings of UUIDs, an end at the first that is neither."""
    recording = record(h100(), t4(), a100_divided())
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = made()
    found = series(gpus)
    assert {key[1] for key in found if not key[1].startswith("MIG-")} == expected
    parts = {key[1] for key in found if key[1].startswith("MIG-")}
    assert len(parts) == (0 if DIVIDED not in expected else 1 if visible == PART else 2)
    if visible in {"", "-1"}:
        assert recording.calls == []


def test_a_lost_gpu_falls_silent_and_comes_back(record: Callable[..., Recording]) -> None:
    """One GPU that falls off the bus costs its own readings; it is asked no more until five minutes have gone."""
    first, second = h100(), t4()
    recording, clock = record(first, second), Clock()
    gpus = made(clock)
    series(gpus)
    first.update(dict.fromkeys(first.keys() - {"UUID", "Name"}, nvml.LOST))
    first["Handle"] = nvml.LOST
    assert ids(gpus) == [SECOND]
    recording.calls.clear()
    clock.now += 299
    assert ids(gpus) == [SECOND]
    assert "nvmlInit" not in recording.calls
    clock.now += 2
    assert ids(gpus) == [SECOND]
    assert recording.calls.count("nvmlInit") == 1
    first.clear()
    first.update(h100())
    first["TotalEnergyConsumption"] = 7_000  # the driver was loaded anew
    assert ids(gpus) == [SECOND]
    clock.now += 301
    assert series(gpus)["hw.energy", FIRST] == pytest.approx(7)
    assert recording.users == 1


@pytest.mark.parametrize("code", ["UNINITIALIZED", "DRIVER_NOT_LOADED", "LIB_RM_VERSION_MISMATCH"])
def test_a_driver_that_goes_away_is_not_asked_on_every_export(record: Callable[..., Recording], code: str) -> None:
    """When the driver is unloaded or upgraded everything falls silent, and one try is made every five minutes."""
    recording, clock = record(h100()), Clock()
    gpus = made(clock)
    assert ids(gpus) == [FIRST]
    recording.broken = nvml.error(getattr(pynvml, f"NVML_ERROR_{code}"))
    assert ids(gpus) == []
    recording.calls.clear()
    for _ in range(10):
        clock.now += 60
        assert ids(gpus) == []
    assert recording.calls.count("nvmlInit") == 2
    recording.broken = None
    clock.now += 301
    assert ids(gpus) == [FIRST]


def test_a_reading_that_fails_once_is_asked_again(record: Callable[..., Recording]) -> None:
    """An error that says nothing of the next time costs one reading once."""
    card = h100()
    record(card)
    gpus = made()
    card["PowerUsage"] = nvml.error(pynvml.NVML_ERROR_UNKNOWN)
    assert ("hw.power", FIRST) not in series(gpus)
    card["PowerUsage"] = 100000
    assert series(gpus)["hw.power", FIRST] == 100


def test_without_a_driver_there_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real nvidia-ml-py on a machine without a driver: no reading, no error, no second try at once."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        pass
    else:
        pynvml.nvmlShutdown()
        pytest.skip("this machine has a driver")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert ids(made()) == []


@pytest.mark.parametrize("broken", [None, types.ModuleType("pynvml")], ids=["not installed", "something else"])
def test_without_the_package_there_is_silence(monkeypatch: pytest.MonkeyPatch, broken: types.ModuleType | None) -> None:
    """Where nvidia-ml-py is absent, or another module has its name, nothing is read and nothing is raised."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    with pytest.raises((ImportError, AttributeError)):
        importlib.import_module("pynvml").nvmlInit()
    clock = Clock()
    gpus = made(clock)
    assert ids(gpus) == []
    clock.now += 1000
    assert ids(gpus) == []


def test_an_older_library_lacks_functions(record: Callable[..., Recording]) -> None:
    """nvidia-ml-py of another year: what it lacks is absent, the rest is read."""
    recording = record(h100())
    for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetMigMode", "nvmlMemory_v2"):
        delattr(recording.module, name)
    found = series(made())
    assert found["hw.gpu.memory.usage", FIRST] == 41513 * MIB
    assert ("mlobs.gpu.throttled", FIRST, "sw_power_cap") not in found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are Unix's")
@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning"
)  # other tests may have left threads; the child needs none
def test_a_forked_child_initialises_anew(record: Callable[..., Recording]) -> None:
    """NVML's state is its process': preparing twice is once, and a child prepares for itself."""
    recording = record(h100())
    gpus = made()
    assert recording.calls == []
    series(gpus)
    gpus.prepare()
    series(gpus)
    assert recording.calls.count("nvmlInit") == 1
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            gpus.prepare()
            series(gpus)
            os.write(writer, str(recording.calls.count("nvmlInit")).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == "2"
    assert os.waitpid(child, 0)[1] == 0
