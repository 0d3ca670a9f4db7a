"""The truth on its way: each flight lands some moments after it was predicted, and the arrivals process hears of it."""

from __future__ import annotations

import heapq
import itertools
import json
import secrets
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.demo import stakes
from mlobs.demo.child import start
from mlobs.errors import MlobsError
from mlobs.release.prediction import Prediction
from mlobs.release.ticket import Ticketer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from mlobs.demo.place import Place

MINUTES: Final = 240.0  # in the air are one second of the demo
_FIRST_SPOILT: Final = 20
_SPOILT_EVERY: Final = 150
_GRACE: Final = 8.0  # seconds that the process has to end
_STAGED: Final = Prediction(bytes(12), stakes.MODEL, "1", "champion", 0.0, None, "binary", None, 0.5)


class Landing(NamedTuple):
    """One flight: the ticket of its prediction, the probability that was answered, what became of it."""

    ticket: str
    probability: float
    late: bool
    minutes: float  # in the air


class Landings:
    """The arrivals process and what it will be told, while the `with` block runs.

    Now and then what it is told is spoilt: a ticket is damaged or another system's, a truth comes twice or not at all, in
    turns. ``environment`` is the process'.
    """

    def __init__(self, place: Place, environment: Mapping[str, str]) -> None:
        self._place = place
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="landings", daemon=True)
        self._changed = threading.Condition()
        self._in_air: list[tuple[float, int, Landing]] = []  # by when they land
        self._untold = 0  # of these and of the one that lands just now
        self._numbers = itertools.count()
        self._spoilings = itertools.cycle((_damaged, _strange, _twice, _missing))
        self._ended = False
        self._failed = False
        self.sent = 0  # truths told, spoilt ones too
        self.spoilt = 0
        self.told: list[Landing] = []  # those of them that are whole

    def __enter__(self) -> Self:
        log = self._place.arrivals_log
        self._process = start("mlobs.demo.arrivals", self._environment, log, stdin=subprocess.PIPE)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        process = self._process
        if process is None or process.stdin is None:
            return
        if kind is not None:
            process.kill()  # nobody waits for its last export
        self._thread.join(_GRACE)
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)

    def depart(self, landing: Landing) -> None:
        """Take a flight that will land after its time in the air."""
        with self._changed:
            heapq.heappush(self._in_air, (time.monotonic() + landing.minutes / MINUTES, next(self._numbers), landing))
            self._untold += 1
            self._changed.notify()

    @property
    def in_air(self) -> int:
        """How many flights have not landed, or have and nobody was told yet."""
        with self._changed:
            return self._untold

    def check(self) -> None:
        """Raise MlobsError, with one clear line, if the process has died."""
        if self._failed or self._process is None or self._process.poll() is not None:
            words = self._place.last_words(self._place.arrivals_log)
            raise MlobsError(f"The demo's arrivals process ended by itself. Its last words: {words or 'none'}")

    def _run(self) -> None:
        try:
            while (landed := self._landed()) is not None:
                self._tell(landed)
                with self._changed:
                    self._untold -= 1
        except OSError:  # its end of the pipe is closed
            pass
        finally:
            self._failed = not self._ended

    def _landed(self) -> Landing | None:
        """Wait for the next to land; None at the end."""
        with self._changed:
            while not self._ended:
                if not self._in_air:
                    self._changed.wait()
                elif (left := self._in_air[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    return heapq.heappop(self._in_air)[2]
        return None

    def _tell(self, landing: Landing) -> None:
        number = len(self.told) + self.spoilt
        lines: Iterator[tuple[str, bool | None]] = iter([(landing.ticket, landing.late)])
        if number % _SPOILT_EVERY == _FIRST_SPOILT:
            spoil = next(self._spoilings)
            lines = spoil(landing)
            self.spoilt += 1
            if spoil is _twice:
                self.told.append(landing)
        else:
            self.told.append(landing)
        for line in lines:
            self.sent += 1
            self._write(json.dumps(line).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.write(line)
        self._process.stdin.flush()


def _damaged(landing: Landing) -> Iterator[tuple[str, bool | None]]:
    """A letter got lost on the way."""
    yield landing.ticket[:40] + landing.ticket[41:], landing.late


def _strange(landing: Landing) -> Iterator[tuple[str, bool | None]]:
    """Somebody took it from staging, which has a key of its own."""
    staging = Ticketer([secrets.token_hex(32)], ttl=3600)
    yield staging.seal(_STAGED), landing.late


def _twice(landing: Landing) -> Iterator[tuple[str, bool | None]]:
    """A queue delivered it a second time."""
    yield landing.ticket, landing.late
    yield landing.ticket, landing.late


def _missing(landing: Landing) -> Iterator[tuple[str, bool | None]]:
    """The flight was diverted: nobody knows."""
    yield landing.ticket, None
