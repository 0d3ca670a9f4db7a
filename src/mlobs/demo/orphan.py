"""No process of the demo outlives the one that started it, not even one that was killed outright."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

_LOOK: Final = 0.5  # seconds


def end_with_parent(parent: int) -> None:
    """End this process, as SIGTERM does, soon after its parent is gone, even if it went before this was called.

    ``parent`` is its process id, as told by itself.
    """
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
