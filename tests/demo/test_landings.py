"""Truths come when flights land, from a process of their own, and what is spoilt is refused there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlobs.demo import stakes
from mlobs.demo.landings import MINUTES, Landing, Landings
from mlobs.demo.ledger import Ledger
from mlobs.demo.place import Place
from mlobs.demo.receiver import Receiver
from mlobs.demo.workers import environment
from mlobs.errors import MlobsError
from mlobs.release.prediction import Prediction
from mlobs.release.ticket import Ticketer


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    stakes.save(place.calibration, [0.1, 0.6], [False, True])
    return place


@pytest.fixture
def told(place: Place, ledger: Ledger) -> Iterator[dict[str, str]]:
    with Receiver(ledger) as receiver:
        yield environment(place, receiver.endpoint)


def departing(told: dict[str, str], count: int, minutes: float) -> list[Landing]:
    seal = Ticketer([told["MLOBS_TICKET_KEYS"]], ttl=3600).seal
    found = []
    for number in range(count):
        score = number % 10 / 10
        one = Prediction(bytes(12), stakes.MODEL, "1", "champion", time.time(), None, "binary", None, score)
        found.append(Landing(seal(one), score, score > 0.4, minutes))
    return found


def wait(landings: Landings) -> None:
    deadline = time.monotonic() + 20
    while landings.in_air and time.monotonic() < deadline:
        landings.check()
        time.sleep(0.01)


def test_all_that_is_told_is_joined_or_refused(place: Place, ledger: Ledger, told: dict[str, str]) -> None:
    """Every truth is counted once; damaged, strange, repeated and missing ones are refused by their reason."""
    with Landings(place, told) as landings:
        for landing in departing(told, 600, minutes=1.0):
            landings.depart(landing)
        wait(landings)
    worth = ledger.totals().worth
    assert (landings.sent, landings.spoilt, len(landings.told)) == (601, 4, 597)
    assert worth.joined == 597
    assert worth.refused == {"damaged": 1, "wrong_key": 1, "duplicate": 1, "invalid": 1}
    assert worth.auc is not None
    assert worth.auc.value == 1
    late = sum(landing.late for landing in landings.told)
    warned = [landing for landing in landings.told if landing.probability >= stakes.THRESHOLD]
    in_vain = sum(not landing.late for landing in warned)
    assert worth.value == pytest.approx(late * stakes.WARNED + in_vain * stakes.IN_VAIN)
    assert ledger.totals().workers == ()  # it predicts nothing


def test_a_flight_is_in_the_air_until_its_truth_is_told(
    place: Place, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees nothing in the air may compare sums: all that has landed has been told."""
    tell = Landings._tell

    def slowly(landings: Landings, landing: Landing) -> None:
        time.sleep(0.2)
        tell(landings, landing)

    monkeypatch.setattr(Landings, "_tell", slowly)
    with Landings(place, told) as landings:
        landings.depart(*departing(told, 1, minutes=0.0))
        wait(landings)
        assert landings.sent == 1


def test_the_truth_comes_when_a_flight_has_landed(place: Place, told: dict[str, str]) -> None:
    """Flights that are longer in the air land later, whenever they left."""
    long, short = departing(told, 2, minutes=0.0)
    with Landings(place, told) as landings:
        began = time.monotonic()
        landings.depart(long._replace(minutes=MINUTES))
        landings.depart(short._replace(minutes=MINUTES / 4))
        wait(landings)
        assert time.monotonic() - began >= 1
    assert [landing.minutes for landing in landings.told] == [MINUTES / 4, MINUTES]


def test_a_process_that_ends_is_reported(place: Place, told: dict[str, str]) -> None:
    """Where the arrivals process cannot work there is one line that says why."""
    place.calibration.unlink()
    with Landings(place, told) as landings, pytest.raises(MlobsError, match=r"ended by itself.*calibration"):
        watch(landings)


def watch(landings: Landings) -> None:
    for _ in range(1200):
        landings.check()
        time.sleep(0.05)
