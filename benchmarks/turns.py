"""Processes that take turns: each has the machine to itself for a slice, and is stopped while another has its turn.

What is measured bare shares no interpreter, no caches of its code and no threads with what is observed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

STOPPABLE = hasattr(signal, "SIGSTOP")


class Runner:
    """One of the processes: ``script`` with ``words``, which ends its preparations with `serve`."""

    def __init__(self, script: str, *words: str) -> None:
        """Start it and wait until it is ready; then ``told`` is what it said."""
        self.process = subprocess.Popen(
            [sys.executable, str(Path(script)), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told = self._answer()
        self._stop()

    def slice(self, seconds: float) -> Any:
        """Let it run for so long; what it found."""
        with self._awake():
            pipe(self.process.stdin).write(f"{seconds}\n")
            pipe(self.process.stdin).flush()
            return self._answer()

    @contextlib.contextmanager
    def _awake(self) -> Iterator[None]:
        self._go_on()
        yield
        self._stop()

    def _stop(self) -> None:
        if STOPPABLE:
            os.kill(self.process.pid, signal.SIGSTOP)

    def _go_on(self) -> None:
        if STOPPABLE:
            os.kill(self.process.pid, signal.SIGCONT)

    def _answer(self) -> Any:
        line = pipe(self.process.stdout).readline()
        if not line:
            message = f"A process of {self.process.args!r} ended early, status {self.process.wait()}."
            raise RuntimeError(message)
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self._go_on()
        self.process.communicate(timeout=60)

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, however the block ended."""
        self.close()


def pipe(stream: IO[str] | None) -> IO[str]:
    """Return a pipe that was asked for, and so is there."""
    assert stream is not None
    return stream


def serve(slice_of: Callable[[float], Any], told: object = None) -> None:
    """Be one of the processes: say that it is ready, then a line in is a slice's seconds, a line out its figures."""
    print(json.dumps(told), flush=True)
    for line in sys.stdin:
        print(json.dumps(slice_of(float(line))), flush=True)
