"""Control groups as machines show them: files written down from kernels, runtimes and distributions."""

from __future__ import annotations

from pathlib import Path

MIB = 1024 * 1024
ENDLESS_V1 = "9223372036854771712\n"

MEMINFO = "MemTotal:       16384000 kB\nMemFree:         1203320 kB\nMemAvailable:    8192000 kB\nBuffers:  2 kB\n"
MACHINE, MACHINE_FREE = 16384000 * 1024, 8192000 * 1024

UNIFIED = "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHER_MOUNTS = (
    "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n"
    "23 22 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n"
)


def plant(root: Path, *trees: dict[str, str]) -> Path:
    for tree in trees:
        for name, text in tree.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return root


def proc(cgroup: str, mountinfo: str, meminfo: str = MEMINFO) -> dict[str, str]:
    return {
        "proc/self/cgroup": cgroup,
        "proc/self/mountinfo": OTHER_MOUNTS + mountinfo,
        "proc/meminfo": meminfo,
    }


def group(
    folder: str,
    *,
    usage: int = 400 * MIB,
    inactive: int = 100 * MIB,
    limit: int | None = None,
    quota: str = "max 100000",
    kills: int = 0,
    throttled: int = 0,
) -> dict[str, str]:
    """A group of version 2."""
    return {
        f"{folder}/cgroup.events": "populated 1\nfrozen 0\n",
        f"{folder}/cgroup.controllers": "cpuset cpu io memory pids\n",
        f"{folder}/memory.current": f"{usage}\n",
        f"{folder}/memory.max": "max\n" if limit is None else f"{limit}\n",
        f"{folder}/memory.stat": f"anon 220000256\nfile 157286400\nkernel 9000000\ninactive_file {inactive}\n"
        "active_file 52428800\npgfault 91827\npgmajfault 3\n",
        f"{folder}/memory.events": f"low 0\nhigh 0\nmax 14\noom {kills}\noom_kill {kills}\noom_group_kill 0\n",
        f"{folder}/memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=900000\n",
        f"{folder}/cpu.max": f"{quota}\n",
        f"{folder}/cpu.stat": "usage_usec 5000000\nuser_usec 4000000\nsystem_usec 1000000\ncore_sched.force_idle_usec 0\n"
        f"nr_periods 200\nnr_throttled {throttled}\nthrottled_usec {throttled * 40000}\nnr_bursts 0\nburst_usec 0\n",
        f"{folder}/cpu.pressure": "some avg10=1.20 avg60=0.40 avg300=0.09 total=2500000\n",
        f"{folder}/io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    }


def group_v1(
    at: str = "sys/fs/cgroup",
    path: str = "",
    *,
    cpu: str = "cpu,cpuacct",
    usage: int = 400 * MIB,
    inactive: int = 100 * MIB,
    limit: str = ENDLESS_V1,
    quota: int = -1,
    kills: int = 0,
    throttled: int = 0,
) -> dict[str, str]:
    """A group of version 1, in the hierarchies of memory and CPU."""
    memory, cpus = f"{at}/memory{path}", f"{at}/{cpu}{path}"
    return {
        f"{memory}/memory.usage_in_bytes": f"{usage}\n",
        f"{memory}/memory.limit_in_bytes": limit,
        f"{memory}/memory.stat": f"cache 1\nrss 2\ninactive_file 5\nhierarchical_memory_limit 3\ntotal_inactive_file {inactive}\n",
        f"{memory}/memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n",
        f"{cpus}/cpu.cfs_quota_us": f"{quota}\n",
        f"{cpus}/cpu.cfs_period_us": "100000\n",
        f"{cpus}/cpu.stat": f"nr_periods 200\nnr_throttled {throttled}\nthrottled_time {throttled * 40000000}\n",
        f"{cpus}/cpuacct.usage": "5000000000\n",
        f"{cpus}/cpuacct.usage_user": "4000000000\n",
        f"{cpus}/cpuacct.usage_sys": "1000000000\n",
        f"{cpus}/cpuacct.stat": "user 400\nsystem 100\n",
    }


def root_v1(cpu: str = "cpu,cpuacct") -> dict[str, str]:
    """The machine's own groups of version 1."""
    return {
        **group_v1(cpu=cpu),
        "sys/fs/cgroup/memory/cgroup.sane_behavior": "0\n",
        f"sys/fs/cgroup/{cpu}/cgroup.sane_behavior": "0\n",
    }


def mounts_v1(within: str = "/", cpu: str = "cpu,cpuacct") -> str:
    return (
        "30 23 0:25 / /sys/fs/cgroup ro,nosuid,nodev,noexec - tmpfs tmpfs ro,mode=755\n"
        f"31 30 0:27 {within} /sys/fs/cgroup/systemd ro,nosuid master:11 - cgroup cgroup rw,xattr,name=systemd\n"
        f"34 30 0:30 {within} /sys/fs/cgroup/{cpu} ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,{cpu}\n"
        f"40 30 0:36 {within} /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:21 - cgroup cgroup rw,memory\n"
    )


def paths_v1(path: str) -> str:
    return f"11:memory:{path}\n4:cpu,cpuacct:{path}\n1:name=systemd:{path}\n0::{path}\n"


ROOT_V2 = {  # the root of version 2 has the controllers' statistics, and neither use nor limits
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 77000000000\nuser_usec 50000000000\nsystem_usec 27000000000\n",
    "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 2\n",
    "sys/fs/cgroup/cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=99\n",
}
