"""NVIDIA's management library through nvidia-ml-py (module ``pynvml``): which GPUs there are, and what they answer.

The library may be absent, its driver too, and either may go while we look: every answer may be None.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from mlobs.otel import machine
from mlobs.otel.points import Attributes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# A handle is of no use any more after these; after the others the next question may be answered.
_LOST: Final = frozenset({
    "NVML_ERROR_UNINITIALIZED",
    "NVML_ERROR_DRIVER_NOT_LOADED",
    "NVML_ERROR_LIBRARY_NOT_FOUND",
    "NVML_ERROR_GPU_IS_LOST",
    "NVML_ERROR_RESET_REQUIRED",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
})  # fmt: skip
# A part of a GPU is of no use after these either: it has been dissolved.
_DISSOLVED: Final = frozenset({"NVML_ERROR_INVALID_ARGUMENT", "NVML_ERROR_NOT_FOUND"})
# The same question will be answered in the same way.
_NEVER: Final = frozenset({
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
    "NVML_ERROR_INVALID_ARGUMENT",
    "NVML_ERROR_NO_PERMISSION",
    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
})  # fmt: skip


def load() -> ModuleType:
    """The package's module. Raises ImportError where it is not installed."""
    return importlib.import_module("pynvml")


class LostError(Exception):
    """A GPU, or the driver, does not answer any more."""


class Gpu:
    """A GPU, or a part of one (MIG), that answers questions by the names of NVML's functions."""

    def __init__(self, nvml: Nvml, handle: object, uuid: str, attributes: Attributes, *, part: bool = False) -> None:
        self.uuid = uuid
        self.attributes = attributes
        self.part = part
        self.parts: list[Gpu] = []
        self.divided = False
        self._nvml = nvml
        self._handle = handle
        self._never: set[tuple[Any, ...]] = set()

    def ask(self, function: str, *arguments: object) -> Any:  # noqa: ANN401 - each function has its own answer
        """The answer of ``nvmlDeviceGet<function>``; None where there is none, LostError where there will be none.

        A question that this GPU or driver does not support is not asked again.
        """
        question = (function, *arguments)
        if question in self._never:
            return None
        try:
            return self._nvml.call(f"nvmlDeviceGet{function}", self._handle, *arguments)
        except Exception as error:  # noqa: BLE001 - of NVML, of ctypes, or of a pynvml that lacks the function
            kind = self._nvml.kind(error)
            if kind in _LOST or (self.part and kind in _DISSOLVED):
                raise LostError(kind) from None
            if kind in _NEVER:
                self._never.add(question)
            return None


class Nvml:
    """The library, initialised. Raises whatever it raises where it is absent or has no driver."""

    def __init__(self) -> None:
        self._pynvml = load()
        known = _LOST | _DISSOLVED | _NEVER
        self._kinds = {value: name for name, value in vars(self._pynvml).items() if name in known}
        self._pynvml.nvmlInit()

    def call(self, function: str, *arguments: object) -> Any:  # noqa: ANN401 - each function has its own answer
        """The answer of a function."""
        return getattr(self._pynvml, function)(*arguments)

    def constant(self, name: str) -> Any:  # noqa: ANN401 - a number, or what newer versions make of it
        """A constant's value; None where this version has none."""
        return getattr(self._pynvml, name, None)

    def kind(self, error: Exception) -> str:
        """The name of an error's number; a function that an older pynvml lacks is one that is not found."""
        if isinstance(error, (AttributeError, TypeError)):
            return "NVML_ERROR_FUNCTION_NOT_FOUND"
        return self._kinds.get(getattr(error, "value", None), "")

    def close(self) -> None:
        """Give back what `__init__` took; whoever else uses the library keeps it."""
        self._pynvml.nvmlShutdown()

    def gpus(self, visible: str | None) -> tuple[list[Gpu], bool]:
        """The GPUs that CUDA would show to this process, and whether all of them answered.

        ``visible`` is CUDA_VISIBLE_DEVICES: numbers in NVML's order (that of the PCI bus), beginnings of UUIDs, or UUIDs
        of parts. As for CUDA the list ends at the first entry that is none of them.
        """
        found: list[Gpu | None] = []
        for index in range(int(self.call("nvmlDeviceGetCount"))):
            try:
                found.append(self._gpu(index))
            except Exception:  # noqa: BLE001 - this one is lost; the others answer
                found.append(None)
        complete = None not in found
        return list(_chosen(found, visible, complete=complete)), complete

    def _gpu(self, index: int) -> Gpu:
        handle = self.call("nvmlDeviceGetHandleByIndex", index)
        uuid = _text(self.call("nvmlDeviceGetUUID", handle))
        gpu = Gpu(self, handle, uuid, self._attributes(handle, uuid))
        mode = gpu.ask("MigMode")
        gpu.divided = bool(mode and mode[0] == self.constant("NVML_DEVICE_MIG_ENABLE"))
        if gpu.divided:
            for place in range(int(gpu.ask("MaxMigDeviceCount") or 0)):
                part = gpu.ask("MigDeviceHandleByIndex", place)
                if part is not None:
                    name = _text(self.call("nvmlDeviceGetUUID", part))
                    gpu.parts.append(Gpu(self, part, name, self._attributes(part, name, uuid), part=True))
        return gpu

    def _attributes(self, handle: object, uuid: str, parent: str | None = None) -> Attributes:
        try:
            name = [(machine.HW_NAME, _text(self.call("nvmlDeviceGetName", handle)))]
        except Exception:  # noqa: BLE001 - it has an identity, and that has to do
            name = []
        of = [] if parent is None else [(machine.HW_PARENT, parent)]
        return Attributes((machine.HW_ID, uuid), *name, (machine.HW_VENDOR, "NVIDIA"), (machine.HW_TYPE, "gpu"), *of)


def _chosen(gpus: list[Gpu | None], visible: str | None, *, complete: bool) -> Iterator[Gpu]:
    if visible is None:
        yield from (gpu for gpu in gpus if gpu is not None)
        return
    entries = [entry.strip() for entry in visible.split(",")]
    known = [_known(entry, gpus) for entry in entries]
    if complete and False in known:
        del entries[known.index(False) :]
    for place, gpu in enumerate(gpus):
        if gpu is None:
            continue
        whole = any(_is(entry, place, gpu) for entry in entries)
        parts = [part for part in gpu.parts if whole or any(_begins(entry, part) for entry in entries)]
        if whole or parts:
            gpu.parts = parts
            yield gpu


def _known(entry: str, gpus: list[Gpu | None]) -> bool:
    if entry.isdecimal():
        return int(entry) < len(gpus)
    there = [gpu for gpu in gpus if gpu is not None]
    return any(_begins(entry, one) for gpu in there for one in (gpu, *gpu.parts))


def _is(entry: str, place: int, gpu: Gpu) -> bool:
    return int(entry) == place if entry.isdecimal() else _begins(entry, gpu)


def _begins(entry: str, gpu: Gpu) -> bool:
    return entry.startswith(("GPU-", "MIG-")) and gpu.uuid.startswith(entry)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
