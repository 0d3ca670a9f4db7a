"""Many threads that call the same function at once, as a threaded server's workers do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from threading import Barrier, Thread
from time import perf_counter
from types import TracebackType
from typing import Any


class Crew:
    """`size` threads that live as long as the `with` block and call together when told."""

    def __init__(self, size: int) -> None:
        """Make the threads; they wait for the first piece of work."""
        self.size = size
        self._gate = Barrier(size + 1)
        self._work: tuple[Callable[[Any], Any], Any, int] | None = None
        self._errors: list[BaseException] = []
        self._threads = [Thread(target=self._labour, daemon=True) for _ in range(size)]

    def __enter__(self) -> Crew:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send the threads home."""
        self._work = None
        self._gate.wait()
        for thread in self._threads:
            thread.join()

    def loop(self, function: Callable[[Any], Any], argument: Any) -> Callable[[int], float]:
        """Return a lap: `calls` calls in all, spread over the threads; seconds from start to end."""

        def run(calls: int) -> float:
            self._work = (function, argument, max(1, calls // self.size))
            self._gate.wait()
            started = perf_counter()
            self._gate.wait()
            took = perf_counter() - started
            if self._errors:
                raise self._errors[0]
            # The threads share the calls evenly: scale to the number that was asked for.
            return took * calls / (self._work[2] * self.size)

        return run

    def _labour(self) -> None:
        while True:
            self._gate.wait()
            if self._work is None:
                return
            function, argument, calls = self._work
            try:
                for _ in repeat(None, calls):
                    function(argument)
            except BaseException as error:  # noqa: BLE001 - handed to the main thread
                self._errors.append(error)
            self._gate.wait()
