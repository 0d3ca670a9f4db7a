"""The most memory that this process has had."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")


def peak_memory(status: Path = _STATUS) -> int | None:
    """The peak of physical memory since the process began, in bytes; None where the system does not tell.

    On Linux ``VmHWM`` of this process alone; `getrusage` would keep the peak of the program that started it.
    """
    try:
        for line in status.read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
