"""The load counts exactly what it sends, and says when the service fails it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pandas as pd
import pytest

from mlobs.demo.flights import AIR_TIME, FEATURES, LATE
from mlobs.demo.landings import Landing
from mlobs.demo.traffic import Request, Traffic, requests
from mlobs.errors import MlobsError


def flights(rows: int = 1000) -> pd.DataFrame:
    frame = pd.DataFrame({name: [float(row) for row in range(rows)] for name in FEATURES})
    frame.loc[0, "pressure"] = float("nan")
    return frame.assign(**{LATE: [row % 2 == 0 for row in range(rows)], AIR_TIME: 60.0})


class Service(BaseHTTPRequestHandler):
    """Answers as the demo's service does: 422 where a flight is not whole."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    taken: list[dict[str, Any]]
    status: int | None = None
    ticket: str | None = "a-ticket"

    def do_POST(self) -> None:
        flight = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.taken.append(flight)
        whole = len(flight) == len(FEATURES) and all(
            isinstance(value, (float, type(None))) for value in flight.values()
        )
        body = json.dumps({"late": 0.25}).encode()
        self.send_response(self.status or (200 if whole else 422))
        self.send_header("Content-Length", str(len(body)))
        if self.ticket is not None:
            self.send_header("mlobs-ticket", self.ticket)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(**attributes: object) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    taken: list[dict[str, Any]] = []
    handler = type("Bound", (Service,), {"taken": taken, **attributes})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1], taken
        finally:
            server.shutdown()
            thread.join()


def ignored(landing: Landing) -> None:
    pass


def run_until(traffic: Traffic, count: int, part: Iterator[Request]) -> None:
    deadline = time.monotonic() + 20
    with traffic.sending(part):
        while traffic.sent < count and time.monotonic() < deadline:
            traffic.check()
            time.sleep(0.01)


def test_requests_are_the_rows_in_random_order() -> None:
    """One round is every row once, in another order, with its label; only a few are malformed."""
    round_of = list(itertools.islice(requests(flights()), 1000))
    hours = [json.loads(request.body)["hour"] for request in round_of]
    assert sorted(hours) == [float(row) for row in range(1000)]
    assert hours != sorted(hours)
    whole = [request for request in round_of if request.late is not None]
    assert 1 <= 1000 - len(whole) <= 10
    assert all(request.late == (json.loads(request.body)["hour"] % 2 == 0) for request in whole)


def test_requests_never_end() -> None:
    """A run longer than a month's flights begins them anew."""
    assert len(list(itertools.islice(requests(flights(10)), 35))) == 35


def test_gaps_travel_as_null() -> None:
    """A missing reading is null in JSON, which knows no NaN."""
    bodies = [json.loads(request.body) for request in itertools.islice(requests(flights(10)), 10)]
    assert [body["pressure"] for body in bodies if body["hour"] == 0.0] == [None]


def test_malformed_requests_differ() -> None:
    """A missing field, a text and a list take turns."""
    spoilt = [
        json.loads(request.body) for request in itertools.islice(requests(flights()), 1000) if request.late is None
    ]
    assert "humid" not in spoilt[0]
    assert isinstance(spoilt[1]["temp"], str)
    assert isinstance(spoilt[2]["wind_speed"], list)


def test_what_is_sent_is_counted() -> None:
    """Everything counted arrived, everything answered is kept, across parts and connections."""
    with serving() as (port, taken):
        departed: list[Landing] = []
        traffic = Traffic(port, 2000.0, departed.append)
        for count in (300, 700):
            run_until(traffic, count, requests(flights()))
        traffic.check()
    assert traffic.sent == len(taken) >= 700
    assert len(traffic.answers) == traffic.sent - traffic.malformed
    assert traffic.malformed >= 2
    assert {answer.probability for answer in traffic.answers} == {0.25}
    assert sorted(departed) == sorted(traffic.answers)
    assert {answer.ticket for answer in departed} == {"a-ticket"}
    assert {answer.minutes for answer in departed} == {60.0}


def test_the_rate_is_kept() -> None:
    """A fast service does not make the load faster than it was told to be."""
    with serving() as (port, _):
        traffic = Traffic(port, 100.0, ignored)
        began = time.monotonic()
        run_until(traffic, 50, requests(flights()))
        assert time.monotonic() - began > 0.35
        assert traffic.sent < 60


def test_a_wrong_answer_ends_the_traffic() -> None:
    """A service that fails whole flights is reported with its status."""
    with serving(status=500) as (port, _):
        traffic = Traffic(port, 1000.0, ignored)
        with pytest.raises(MlobsError, match="answered 500 where 200 was due"):
            run_until(traffic, 10**6, requests(flights()))


def test_an_answer_without_a_ticket_ends_the_traffic() -> None:
    """Without its ticket a prediction's truth could not come."""
    with serving(ticket=None) as (port, _):
        traffic = Traffic(port, 1000.0, ignored)
        with pytest.raises(MlobsError, match="gave no ticket"):
            run_until(traffic, 10**6, requests(flights()))


def test_no_answer_ends_the_traffic() -> None:
    """A service that is gone is reported as such."""
    with serving() as (port, _):
        pass
    traffic = Traffic(port, 1000.0, ignored)
    with pytest.raises(MlobsError, match="got no answer"):
        run_until(traffic, 10**6, requests(flights()))
