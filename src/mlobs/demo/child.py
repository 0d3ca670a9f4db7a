"""A process of the demo: this interpreter, a module of ours, what it says in a log of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def start(
    module: str, environment: Mapping[str, str], log: Path, *, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a module that is told our process id, so that it ends with us."""
    with log.open("wb") as said:
        return subprocess.Popen(  # noqa: S603 - this interpreter, a module of ours
            [sys.executable, "-m", module, str(os.getpid())],
            env=dict(environment),
            stdin=stdin,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for us; the process is ended in order
        )
