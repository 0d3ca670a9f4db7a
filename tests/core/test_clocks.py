"""The CPU clocks are read on few calls where there are many, and on every call of a long one."""

import time

import pytest

import mlobs
from mlobs.testing import Telemetry

ROW = [1.0]


class Counted:
    """A clock that knows how often it was read."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> int:
        self.reads += 1
        return 1_000 * self.reads


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(time, "thread_time_ns", counted)
    return counted


def test_reads_are_bounded_a_second(telemetry: Telemetry, clock: Counted) -> None:
    predict = mlobs.observe(model="m")(lambda x: 0.5)
    predict(ROW)
    telemetry.collect()
    taken: list[int] = []
    for _ in range(4):
        before = clock.reads
        telemetry.clock.advance(0.5)
        for _ in range(10_000):
            predict(ROW)
        telemetry.collect()
        taken.append((clock.reads - before) // 2)
    # fifty a second, of what a fold in the middle of one could tell; one in 64 were 156
    assert 15 <= min(taken) <= 80
    for _ in range(2):
        telemetry.clock.advance(1000)
        before = clock.reads
        for _ in range(640):
            predict(ROW)
        telemetry.collect()
    assert (clock.reads - before) // 2 == 10  # slow traffic: one call in 64


def test_every_call_of_a_long_one_is_read(telemetry: Telemetry, clock: Counted) -> None:
    def slow(row: list[float]) -> float:
        time.sleep(0.004)
        return 0.5 + 0 * row[0]

    predict = mlobs.observe(model="m")(slow)
    for _ in range(3):
        telemetry.clock.advance(0.001)
        before = clock.reads
        for _ in range(5):
            predict(ROW)
        telemetry.collect()
        assert clock.reads - before == 10
