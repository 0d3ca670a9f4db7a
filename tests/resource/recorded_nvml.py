"""NVML's answers as drivers give them, behind the functions of `pynvml`; its constants and exceptions are the real ones.

Values are those of documentation and of public logs of an H100 (80 GB), a T4 and an A100 that is divided; they were not
taken from a GPU by these tests.
"""

from __future__ import annotations

import importlib
import types
from typing import Any

pynvml: Any = importlib.import_module("pynvml")  # it carries no types

MIB = 1024 * 1024


class Memory:
    def __init__(self, total: int, used: int, reserved: int = 0) -> None:
        self.total, self.used, self.reserved = total, used, reserved
        self.free = total - used - reserved


class Rates:
    def __init__(self, gpu: int, memory: int) -> None:
        self.gpu, self.memory = gpu, memory


class Running:
    def __init__(self, pid: int, used: int | None) -> None:
        self.pid, self.usedGpuMemory = pid, used


def error(code: int) -> Exception:
    found: Exception = pynvml.NVMLError(code)
    return found


UNSUPPORTED = error(pynvml.NVML_ERROR_NOT_SUPPORTED)
LOST = error(pynvml.NVML_ERROR_GPU_IS_LOST)

V2 = ("MemoryInfo", pynvml.nvmlMemory_v2)
CORRECTED = ("TotalEccErrors", pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_VOLATILE_ECC)
UNCORRECTED = ("TotalEccErrors", pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)


def h100(uuid: str = "GPU-5f7bb9a4-2c1e-d0a3-9d64-0d5d4c6f1a10") -> dict[Any, Any]:
    return {
        "UUID": uuid,
        "Name": "NVIDIA H100 80GB HBM3",
        "MigMode": [0, 0],
        V2: Memory(81559 * MIB, 40960 * MIB, 553 * MIB),
        "MemoryInfo": Memory(81559 * MIB, 41513 * MIB),
        "UtilizationRates": Rates(97, 54),
        "EncoderUtilization": [0, 16667],
        "DecoderUtilization": [12, 16667],
        "PowerUsage": 512340,
        "TotalEnergyConsumption": 912_000_000_000,
        ("Temperature", 0): 61,
        CORRECTED: 3,
        UNCORRECTED: 0,
        "CurrentClocksEventReasons": 0x4,
        "ComputeRunningProcesses": [],
    }


def t4(uuid: str = "GPU-8d0c1f3e-77aa-41b5-8b3c-2e9d6a5b4c3d") -> dict[Any, Any]:
    """An older card behind a driver before 535: without several readings, and with bytes for texts."""
    return {
        "UUID": uuid.encode(),
        "Name": b"Tesla T4",
        "MigMode": UNSUPPORTED,
        V2: error(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
        "MemoryInfo": Memory(15360 * MIB, 1024 * MIB),
        "UtilizationRates": Rates(0, 0),
        "EncoderUtilization": UNSUPPORTED,
        "DecoderUtilization": UNSUPPORTED,
        "PowerUsage": 9870,
        "TotalEnergyConsumption": UNSUPPORTED,
        ("Temperature", 0): 35,
        CORRECTED: UNSUPPORTED,
        UNCORRECTED: UNSUPPORTED,
        "CurrentClocksEventReasons": error(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
        "CurrentClocksThrottleReasons": 0x1,
        "ComputeRunningProcesses": error(pynvml.NVML_ERROR_NO_PERMISSION),
    }


def a100_divided() -> dict[Any, Any]:
    parts = [
        {
            "UUID": f"MIG-{place}c6f2b1a-0000-5a5a-9e9e-aaaaaaaaaaaa",
            "Name": "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
            V2: Memory(4864 * MIB, used * MIB, 20 * MIB),
            "ComputeRunningProcesses": [],
            "UtilizationRates": UNSUPPORTED,
        }
        for place, used in ((0, 1000), (1, 2000))
    ]
    return {
        "UUID": "GPU-aaaa1111-bbbb-2222-cccc-333344445555",
        "Name": "NVIDIA A100-SXM4-40GB",
        "MigMode": [1, 1],
        "MaxMigDeviceCount": 7,
        ("MigDeviceHandleByIndex", 0): parts[0],
        ("MigDeviceHandleByIndex", 3): parts[1],
        **{
            ("MigDeviceHandleByIndex", place): error(pynvml.NVML_ERROR_NOT_FOUND)
            for place in range(7)
            if place not in {0, 3}
        },
        V2: Memory(40960 * MIB, 3000 * MIB),
        "UtilizationRates": UNSUPPORTED,
        "EncoderUtilization": UNSUPPORTED,
        "DecoderUtilization": UNSUPPORTED,
        "PowerUsage": 61000,
        "TotalEnergyConsumption": 5_000_000,
        ("Temperature", 0): 40,
        CORRECTED: 0,
        UNCORRECTED: 0,
        "CurrentClocksEventReasons": 0x0,
        "ComputeRunningProcesses": [],
    }


class Recording:
    """A machine's GPUs, whose answers a test may change on the way; an answer that is an exception is raised."""

    def __init__(self, *gpus: dict[Any, Any]) -> None:
        self.gpus = list(gpus)
        self.broken: Exception | None = None  # what every function of the library raises
        self.calls: list[str] = []
        self.users = 0
        self.module = types.ModuleType("pynvml")
        for name, value in vars(pynvml).items():
            if name.startswith(("NVML_", "NVMLError", "nvmlMemory_")):
                setattr(self.module, name, value)
        for name in dir(pynvml):
            if name.startswith("nvmlDeviceGet"):
                setattr(self.module, name, self._answering(name))
        self.module.nvmlInit = self._init  # type: ignore[attr-defined]
        self.module.nvmlShutdown = self._shutdown  # type: ignore[attr-defined]
        self.module.nvmlDeviceGetCount = self._count  # type: ignore[attr-defined]
        self.module.nvmlDeviceGetHandleByIndex = self._handle  # type: ignore[attr-defined]

    def _init(self) -> None:
        self.calls.append("nvmlInit")
        if self.broken is not None:
            raise self.broken
        self.users += 1

    def _shutdown(self) -> None:
        self.calls.append("nvmlShutdown")
        self.users -= 1

    def _count(self) -> int:
        return len(self.gpus)

    def _handle(self, index: int) -> dict[Any, Any]:
        found = self.gpus[index]
        if isinstance(found.get("Handle"), Exception):
            raise found["Handle"]
        return found

    def _answering(self, name: str) -> Any:
        question = name.removeprefix("nvmlDeviceGet")

        def answer(handle: dict[Any, Any], *arguments: Any) -> Any:
            self.calls.append(question)
            if self.broken is not None:
                raise self.broken
            found = handle.get((question, *arguments) if arguments else question, UNSUPPORTED)
            if isinstance(found, Exception):
                raise found
            return found

        return answer
