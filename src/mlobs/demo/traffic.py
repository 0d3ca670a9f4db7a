"""The load: flights sent one a request over a few persistent connections, and what the service answered."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.demo.flights import AIR_TIME, FEATURES, LATE
from mlobs.demo.landings import Landing
from mlobs.errors import MlobsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

LANES: Final = 8  # requests in flight at once, at most
_PER_CONNECTION: Final = 10  # requests before a lane connects anew, so that every worker gets its share
_FIRST_SPOILT: Final = 30
_SPOILT_EVERY: Final = 300
_SPOILINGS: Final = ({"humid": ...}, {"temp": "mild"}, {"wind_speed": [9, "knots"]})  # ... takes the field away
_BEHIND: Final = 0.25  # seconds; a lateness above it is forgotten, not caught up in a burst
_TIMEOUT: Final = 30.0  # seconds for one answer


class Request(NamedTuple):
    """One flight as sent; ``late`` is what really happened, None where the request is malformed on purpose."""

    body: bytes
    late: bool | None
    minutes: float  # in the air


def requests(flights: pd.DataFrame, seed: int = 0) -> Iterator[Request]:
    """Yield a part's flights in random order, over and over; now and then one is malformed.

    The malformed ones take turns: a field is missing, text stands in a number's place, a list in another's.
    """
    columns = {name: flights[name].tolist() for name in FEATURES}
    late, minutes = flights[LATE].tolist(), flights[AIR_TIME].tolist()
    order = np.random.default_rng(seed)
    spoilings: Iterator[dict[str, Any]] = itertools.cycle(_SPOILINGS)
    rows = itertools.chain.from_iterable(order.permutation(len(flights)).tolist() for _ in itertools.count())
    for number, row in enumerate(rows):
        flight = {name: _plain(column[row]) for name, column in columns.items()}
        if number % _SPOILT_EVERY == _FIRST_SPOILT:
            spoilt = {name: value for name, value in (flight | next(spoilings)).items() if value is not ...}
            yield Request(json.dumps(spoilt).encode(), None, minutes[row])
        else:
            yield Request(json.dumps(flight).encode(), late[row], minutes[row])


def _plain(value: Any) -> Any:  # noqa: ANN401  # a cell of any column
    return None if isinstance(value, float) and math.isnan(value) else value  # JSON has no NaN


class Traffic:
    """Sends at a steady ``rate`` a second while `sending`; every request sent is counted before it leaves.

    ``depart`` gets each flight that was answered; called from many threads.
    """

    def __init__(self, port: int, rate: float, depart: Callable[[Landing], None]) -> None:
        self._port = port
        self._pause = 1 / rate
        self._depart = depart
        self._lock = threading.Lock()
        self.sent = 0
        self.malformed = 0
        self.answers: list[Landing] = []
        self._failure: str | None = None

    def check(self) -> None:
        """Raise MlobsError if a request got no answer, or one that it should not have got."""
        if self._failure is not None:
            raise MlobsError(self._failure)

    @contextmanager
    def sending(self, flights: Iterator[Request]) -> Iterator[None]:
        """Send while the `with` block runs; when it has ended, every request sent has its answer."""
        part = _Part(flights, time.monotonic(), threading.Event())
        lanes = [threading.Thread(target=self._drive, args=(part,), daemon=True) for _ in range(LANES)]
        for lane in lanes:
            lane.start()
        try:
            yield
        finally:
            part.stop.set()
            for lane in lanes:
                lane.join()

    def _next(self, part: _Part) -> tuple[Request, float]:
        """The next request and when it is due."""
        with self._lock:
            due = max(part.due, time.monotonic() - _BEHIND)
            part.due = due + self._pause
            return next(part.flights), due

    def _drive(self, part: _Part) -> None:
        """One lane: wait, send, read, again."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        try:
            for number in itertools.count(1):
                request, due = self._next(part)
                if part.stop.wait(max(0.0, due - time.monotonic())):
                    return
                self._send(connection, request)
                if number % _PER_CONNECTION == 0:
                    connection.close()
        except (OSError, http.client.HTTPException, LookupError, ValueError) as error:
            self._fail(part, f"A request of the demo got no answer ({error!r}): a worker has died or hangs")
        except _WrongAnswerError as error:
            self._fail(part, str(error))
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, request: Request) -> None:
        with self._lock:
            self.sent += 1
            self.malformed += request.late is None
        connection.request("POST", "/predict", request.body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        expected = HTTPStatus.OK if request.late is not None else HTTPStatus.UNPROCESSABLE_ENTITY
        if response.status != expected:
            raise _WrongAnswerError(f"The service answered {response.status} where {expected} was due: {body[:200]!r}")
        if request.late is not None:
            ticket = response.headers.get("mlobs-ticket")
            if ticket is None:
                raise _WrongAnswerError(
                    "The service gave no ticket with its answer (mlobs-ticket), so no truth can come"
                )
            answer = Landing(ticket, json.loads(body)["late"], request.late, request.minutes)
            self.answers.append(answer)
            self._depart(answer)

    def _fail(self, part: _Part, what: str) -> None:
        self._failure = self._failure or what
        part.stop.set()


@dataclass
class _Part:
    """What the lanes share while one part of the traffic runs."""

    flights: Iterator[Request]
    due: float  # when the next request is to leave, on the monotonic clock
    stop: threading.Event


class _WrongAnswerError(Exception):
    pass
