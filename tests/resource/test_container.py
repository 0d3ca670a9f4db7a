"""The control group's use and limits, read from recorded trees of files and from this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.resource.trees import (
    ENDLESS_V1,
    MACHINE,
    MACHINE_FREE,
    MIB,
    ROOT_V2,
    UNIFIED,
    group,
    group_v1,
    mounts_v1,
    paths_v1,
    plant,
    proc,
    root_v1,
)

from mlobs.otel.points import Numbers
from mlobs.resource.container import Container
from mlobs.resource.groups import find_groups
from mlobs.resource.growth import Growth

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")

DOCKER = "/docker/5f0c9a4b8c0f6a2c6f7f9f3f5b0e4a9d1c2b3a4958677685948372615049382a"
POD = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7d1f_9c.slice"
SCOPE = f"{POD}/cri-containerd-0a1b2c3d.scope"
POD_V1 = "/kubepods/burstable/pod7d1f-9c"


def made(root: Path) -> Container:
    container = Container(Growth(), root)
    container.prepare()
    return container


def readings(container: Container) -> dict[str, list[float]]:
    return {one.instrument.name: list(one.values) for one in container.collect() if isinstance(one, Numbers)}


LIMITED: dict[str, Any] = {"limit": 512 * MIB, "quota": "50000 100000"}
LIMITED_V1: dict[str, Any] = {"limit": f"{512 * MIB}\n", "quota": 50000}

# What each machine shows, all of a group with half a CPU and 512 MiB, of which 400 are used, 100 by idle files.
RECORDED = {
    "docker, version 2, own namespace": [proc("0::/\n", UNIFIED), group("sys/fs/cgroup", **LIMITED)],
    "docker, version 2, the machine's namespace, all mounted": [
        proc(f"0::/system.slice{DOCKER}.scope\n", UNIFIED),
        ROOT_V2,
        group(f"sys/fs/cgroup/system.slice{DOCKER}.scope", **LIMITED),
    ],
    "systemd service, version 2": [
        proc("0::/system.slice/model.service\n", UNIFIED),
        ROOT_V2,
        group("sys/fs/cgroup/system.slice", usage=2000 * MIB),
        group("sys/fs/cgroup/system.slice/model.service", **LIMITED),
    ],
    "kubernetes, version 2, the limits are the pod's": [
        proc(f"0::{SCOPE}\n", UNIFIED),
        ROOT_V2,
        group("sys/fs/cgroup/kubepods.slice", usage=4000 * MIB, limit=15000 * MIB),
        group(f"sys/fs/cgroup{POD}", **LIMITED),
        group(f"sys/fs/cgroup{SCOPE}"),
    ],
    "mounted where a blank is in the name": [
        proc("0::/my group\n", UNIFIED.replace("/sys/fs/cgroup", "/run/my\\040groups")),
        group("run/my groups/my group", **LIMITED),
    ],
    "a path outside of the namespace": [proc("0::/../../outer\n", UNIFIED), group("sys/fs/cgroup", **LIMITED)],
    "docker, version 1, the machine's paths over its own mount": [
        proc(paths_v1(DOCKER), mounts_v1(within=DOCKER)),
        group_v1(**LIMITED_V1),
    ],
    "docker, version 1, own namespace": [proc(paths_v1("/"), mounts_v1()), group_v1(**LIMITED_V1)],
    "kubernetes, version 1, the limits are the pod's": [
        proc(paths_v1(f"{POD_V1}/0a1b2c3d"), mounts_v1()),
        root_v1(),
        group_v1(path=POD_V1, **LIMITED_V1),
        group_v1(path=f"{POD_V1}/0a1b2c3d"),
    ],
    "version 1, paths that lead nowhere in here": [proc(paths_v1("/elsewhere"), mounts_v1()), group_v1(**LIMITED_V1)],
    "both versions at once, version 1 has the controllers": [
        proc(paths_v1(DOCKER), mounts_v1() + UNIFIED.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")),
        root_v1(),
        group_v1(path=DOCKER, **LIMITED_V1),
        {f"sys/fs/cgroup/unified{DOCKER}/cgroup.events": "populated 1\n"},
    ],
    "accounts of CPU time mounted apart": [
        proc(
            f"8:memory:{DOCKER}\n7:cpuacct:{DOCKER}\n6:cpu:{DOCKER}\n",
            mounts_v1(cpu="cpu") + "50 30 0:50 / /sys/fs/cgroup/cpuacct ro - cgroup cgroup rw,cpuacct\n",
        ),
        group_v1(path=DOCKER, cpu="cpu", **LIMITED_V1),
        group_v1(path=DOCKER, cpu="cpuacct", **LIMITED_V1),
    ],
}


@pytest.mark.parametrize("trees", RECORDED.values(), ids=RECORDED.keys())
def test_limits_are_found_wherever_they_are(tmp_path: Path, trees: list[dict[str, str]]) -> None:
    """Every layout of files tells the same use, limits and headroom, of the group itself or of those around it."""
    found = readings(made(plant(tmp_path, *trees)))
    assert found["container.memory.usage"] == [400 * MIB]
    assert found["container.memory.working_set"] == [300 * MIB]
    assert found["container.memory.available"] == [212 * MIB]
    assert found["mlobs.capacity.memory.limit"] == [512 * MIB]
    assert found["mlobs.capacity.memory.headroom"] == [212 * MIB]
    assert found["mlobs.capacity.cpu.limit"] == [0.5]
    assert found["container.cpu.time"] == [0, 0]
    assert found["mlobs.capacity.memory.oom_kills"] == [0]
    assert found["mlobs.capacity.cpu.throttled.time"] == [0]


@pytest.mark.parametrize(
    ("processes", "before", "after"),
    [
        (proc("0::/\n", UNIFIED), group("sys/fs/cgroup"), group("sys/fs/cgroup", kills=2, throttled=50)),
        (proc(paths_v1("/"), mounts_v1()), group_v1(), group_v1(kills=2, throttled=50)),
    ],
    ids=["version 2", "version 1"],
)
def test_counters_say_what_has_come_since_the_first_reading(
    tmp_path: Path, processes: dict[str, str], before: dict[str, str], after: dict[str, str]
) -> None:
    """Kills, throttling and CPU time begin at 0 and grow by what the kernel adds; a fresh counter goes on growing."""
    container = made(plant(tmp_path, processes, before))
    assert readings(container)["mlobs.capacity.memory.oom_kills"] == [0]
    plant(tmp_path, {name: text.replace("4000000", "4500000") for name, text in after.items()})
    found = readings(container)
    assert found["mlobs.capacity.memory.oom_kills"] == [2]
    assert found["mlobs.capacity.cpu.throttled.periods"] == [50]
    assert found["mlobs.capacity.cpu.throttled.time"] == [pytest.approx(2.0)]
    assert found["mlobs.capacity.cpu.periods"] == [0]
    assert found["container.cpu.time"] == [pytest.approx(0.5), 0]
    plant(tmp_path, before)
    assert readings(container)["mlobs.capacity.cpu.throttled.periods"] == [50]
    plant(tmp_path, after)
    assert readings(container)["mlobs.capacity.cpu.throttled.periods"] == [100]


def test_pressure_is_told_by_resource(tmp_path: Path) -> None:
    """Stalls are the growth of the kernel's totals, in seconds, for each resource that it measures."""
    container = made(plant(tmp_path, proc("0::/\n", UNIFIED), group("sys/fs/cgroup")))
    list(container.collect())
    waited = "some avg10=0.00 avg60=0.00 avg300=0.00 total=4000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    plant(tmp_path, {"sys/fs/cgroup/memory.pressure": waited})
    (tmp_path / "sys/fs/cgroup/io.pressure").unlink()
    (stalls,) = [one for one in container.collect() if one.instrument.name == "mlobs.capacity.stalled.time"]
    assert isinstance(stalls, Numbers)
    said = {dict(each.items())["resource"]: value for each, value in zip(stalls.each, stalls.values, strict=True)}
    assert said == {"cpu": 0, "memory": 2.5}


def test_changed_limits_are_seen(tmp_path: Path) -> None:
    """Limits are read every time: Kubernetes resizes pods in place."""
    container = made(plant(tmp_path, proc("0::/\n", UNIFIED), group("sys/fs/cgroup", **LIMITED)))
    plant(tmp_path, group("sys/fs/cgroup", limit=1024 * MIB, quota="25000 100000"))
    found = readings(container)
    assert found["mlobs.capacity.memory.limit"] == [1024 * MIB]
    assert found["mlobs.capacity.cpu.limit"] == [0.25]


@pytest.mark.parametrize(
    "trees",
    [
        [proc("0::/\n", UNIFIED), group("sys/fs/cgroup")],
        [proc(paths_v1("/"), mounts_v1()), group_v1(limit=ENDLESS_V1)],
    ],
    ids=["version 2: max", "version 1: the largest number"],
)
def test_without_a_limit_the_machine_is_the_limit(tmp_path: Path, trees: list[dict[str, str]]) -> None:
    """`container.memory.available` is absent without a limit, and headroom is what the machine has available."""
    found = readings(made(plant(tmp_path, *trees)))
    assert found["container.memory.usage"] == [400 * MIB]
    assert "container.memory.available" not in found
    assert found["mlobs.capacity.memory.limit"] == [MACHINE]
    assert found["mlobs.capacity.memory.headroom"] == [MACHINE_FREE]
    assert found["mlobs.capacity.cpu.limit"] >= [1]


def test_headroom_is_never_more_than_the_machine_has(tmp_path: Path) -> None:
    """A generous limit on a full machine leaves what the machine has."""
    container = made(plant(tmp_path, proc("0::/\n", UNIFIED), group("sys/fs/cgroup", limit=MACHINE * 2)))
    found = readings(container)
    assert found["mlobs.capacity.memory.limit"] == [MACHINE]
    assert found["mlobs.capacity.memory.headroom"] == [MACHINE_FREE]


@pytest.mark.parametrize(
    "trees",
    [
        [proc("0::/\n", UNIFIED), ROOT_V2],
        [proc(paths_v1("/"), mounts_v1()), root_v1()],
        [proc("", "")],
        [proc("0::/\n", "")],
        [{"proc/meminfo": "MemTotal: 16384000 kB\nMemAvailable: 8192000 kB\n"}],
    ],
    ids=["root of version 2", "root of version 1", "empty", "not mounted", "no files at all"],
)
def test_a_machine_is_no_container(tmp_path: Path, trees: list[dict[str, str]]) -> None:
    """Outside of control groups nothing is told as a container's: only what the machine has."""
    found = readings(made(plant(tmp_path, *trees)))
    assert set(found) == {"mlobs.capacity.memory.limit", "mlobs.capacity.memory.headroom", "mlobs.capacity.cpu.limit"}


FILES = {
    "memory.current": {"container.memory.usage", "container.memory.working_set", "container.memory.available"},
    "memory.stat": {"container.memory.working_set"},
    "memory.max": {"container.memory.available"},
    "memory.events": {"mlobs.capacity.memory.oom_kills"},
    "cpu.max": set(),
    "cpu.stat": {
        "container.cpu.time",
        "mlobs.capacity.cpu.periods",
        "mlobs.capacity.cpu.throttled.periods",
        "mlobs.capacity.cpu.throttled.time",
    },
    "memory.pressure": set(),
}


@pytest.mark.parametrize(("file", "lost"), FILES.items(), ids=FILES.keys())
@pytest.mark.parametrize("text", [None, "", "garbage", "\x00\xff", "1e9", "-", f"{'9' * 5000}\n"])
def test_a_broken_file_costs_its_own_metrics(tmp_path: Path, file: str, lost: set[str], text: str | None) -> None:
    """A file that goes away, or holds nonsense, silences what is read from it and nothing else."""
    container = made(plant(tmp_path, proc("0::/\n", UNIFIED), group("sys/fs/cgroup", **LIMITED)))
    whole = set(readings(container))
    if text is None:
        (tmp_path / "sys/fs/cgroup" / file).unlink()
    else:
        plant(tmp_path, {f"sys/fs/cgroup/{file}": text})
    assert set(readings(container)) == whole - lost


@pytest.mark.parametrize(
    "text", ["garbage", "0::\n::::\n", "\x00", "4:memory\n", "29 23 - cgroup2\n", "a b c d e f - cgroup x"]
)
def test_nonsense_in_proc_is_no_group(tmp_path: Path, text: str) -> None:
    """Lines of /proc that are not understood lead nowhere, and raise nothing."""
    assert not any(find_groups(plant(tmp_path, proc(text, UNIFIED), ROOT_V2)))
    assert not any(find_groups(plant(tmp_path, proc("0::/\n", text), ROOT_V2)))


def test_this_machine_is_read() -> None:
    """On the machine of this test limits are positive, and headroom is within the memory that it has."""
    found = readings(made(Path("/")))
    assert 0 < found["mlobs.capacity.memory.headroom"][0] <= found["mlobs.capacity.memory.limit"][0]
    assert found["mlobs.capacity.cpu.limit"][0] > 0
    assert all(value >= 0 for values in found.values() for value in values)
