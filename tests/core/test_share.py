"""Reading large inputs takes no more of a core than it may; what is left out is counted, and what is read is like the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import mlobs
from mlobs.columns import kind_of
from mlobs.core.ring import Left, Ring
from mlobs.core.share import Share
from mlobs.sketch import psi
from mlobs.testing import Telemetry, capture

if TYPE_CHECKING:
    from collections.abc import Callable

RNG = np.random.default_rng(11)
REFERENCE = mlobs.Profile.build(RNG.normal(size=(20_000, 3)))
BATCH = 200  # rows of three values: large


def seconds(share: Share, demand: float, times: int, allowed: float = 0.02) -> float:
    """What reading takes of a second, on average, where reading everything would take ``demand`` of each."""
    spent = 0.0
    for _ in range(times):
        taken = demand * share.part
        spent += taken
        share.follow(taken, 1.0, allowed)
    return spent / times


@pytest.mark.parametrize("demand", [0.0, 0.001, 0.019])
def test_what_is_cheap_is_read_whole(demand: float) -> None:
    """Below the share nothing is left out."""
    share = Share()
    assert seconds(share, demand, 1000) == pytest.approx(demand)
    assert share.part == 1


@pytest.mark.parametrize("demand", [0.03, 0.1, 1.0, 4.0])
def test_what_is_dear_is_read_in_part(demand: float) -> None:
    """Over time it takes what it may, and not much less."""
    share = Share()
    seconds(share, demand, 200)
    assert seconds(share, demand, 200) == pytest.approx(0.02, rel=0.05)


def test_a_burst_is_read_whole_and_a_lull_brings_all_back() -> None:
    """A tenth of a second of a core is there for what comes once; after a flood everything is read again."""
    share = Share()
    assert seconds(share, 0.03, 1) == pytest.approx(0.03)
    assert share.part == 1
    seconds(share, 2.0, 100)
    assert share.part < 0.02
    seconds(share, 0.001, 20)
    assert share.part == 1


def test_one_dear_fold_does_not_end_reading() -> None:
    """Something is always read, so that what reading takes is known."""
    share = Share()
    share.follow(1e9, 1e-9, 0.02)
    assert share.part == 1 / 256


@pytest.mark.parametrize("period", [1, 2, 3, 4, 5, 8, 10, 16])
@pytest.mark.parametrize("part", [0.5, 0.2, 0.05])
def test_a_sample_takes_no_side(period: int, part: float) -> None:
    """Callers that take turns are all in it, each with its part."""
    ring = Ring(10**6, 2**40, lambda: None)
    ring.read(part)
    values = [np.full((BATCH, 3), float(index)) for index in range(period)]
    calls = 40_000 // period * period
    taken = np.zeros(period)
    for call in range(calls):
        kept = ring.sample(values[call % period])
        if not isinstance(kept, Left):
            taken[int(np.asarray(kept)[0, 0])] += 1
    assert taken.sum() == pytest.approx(calls * part, rel=0.02)
    assert taken == pytest.approx(np.full(period, calls * part / period), rel=0.15)


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        (np.zeros((300, 2)), 300),
        (np.zeros((1, 300)), 1),
        (np.zeros(5_000), 5_000),
        (np.zeros(300), None),  # one row of 300 columns, or 300 rows of one: its reader knows
        ([1.0] * 300, None),
        (["a text"] * 300, None),
        ([[1.0, 2.0]] * 300, 300),
    ],
)
def test_rows_left_out_are_counted_where_their_number_is_sure(value: Any, rows: int | None) -> None:
    """What cannot be counted unread is read."""
    ring = Ring(100, 2**30, lambda: None)
    ring.read(0.0)
    kept = ring.sample(value)
    if rows is None:
        assert not isinstance(kept, Left)
    else:
        assert kept == Left("sampled", rows)
    assert kind_of(type(value)).keep(value) is not None


class Sizes(tuple[int, ...]):
    """A tuple of its own kind, as PyTorch's shapes are."""

    __slots__ = ()


class Shaped(np.ndarray[Any, Any]):
    """Gives its shape as such."""

    shape = property(lambda self: Sizes(np.asarray(self).shape))


@pytest.mark.parametrize("make", [pd.DataFrame, lambda values: values.view(Shaped)])
def test_shapes_that_were_met_are_counted_alike(make: Callable[[Any], Any]) -> None:
    """The next of a shape is known by it; one dimension is still its reader's, and there may be many shapes."""
    ring = Ring(10**6, 2**40, lambda: None)
    ring.read(0.0)
    for rows, columns in [(300, 2), (2, 300), (300, 2), *((rows, 300) for rows in range(1, 200)), (2, 300)]:
        assert ring.sample(make(np.zeros((rows, columns)))) == Left("sampled", rows)
    assert not isinstance(ring.sample(np.zeros(300).view(Shaped)), Left)


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ([[1.0, 2.0]] * 300, 300),
        ([{"a": 1.0, "b": 2.0}] * 300, 300),
        ([(1.0, 2.0)] * 300, 300),
        (tuple([1.0, 2.0] for _ in range(300)), 300),
        ({"a": [1.0] * 300, "b": [2.0] * 300}, 300),
        ({f"k{number}": 1.0 for number in range(300)}, 1),
        (np.ones((300, 2)), 300),
        (np.ones((300, 2), np.float32).tolist(), 300),
        (pd.DataFrame(np.ones((300, 2))), 300),
    ],
)
def test_whatever_is_left_out_has_its_rows(value: Any, rows: int) -> None:
    """The first of a kind, and all that come after it; also where it has no shape."""
    ring = Ring(10**6, 2**40, lambda: None)
    ring.read(0.0)
    assert [ring.sample(value) for _ in range(3)] == [Left("sampled", rows)] * 3


def flood(telemetry: Telemetry, seconds: int, calls: int) -> np.ndarray[Any, Any]:
    """Batches, so many a second; all their rows."""
    predict = mlobs.observe(model="m", reference=REFERENCE)(lambda x: x[:, 0])
    rows = RNG.normal(0.3, 1.2, size=(seconds * calls * BATCH, 3))
    for second in range(seconds):
        for call in range(calls):
            first = (second * calls + call) * BATCH
            predict(rows[first : first + BATCH])
        mlobs.drift()  # folds
        telemetry.clock.advance(1)
    return rows


def test_a_flood_is_sampled_and_every_row_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls, rows and answers are whole; inputs are read or counted as left out; the distribution is that of all rows."""
    monkeypatch.setattr("mlobs.core.share._SPARE", 0.0)
    with capture(read_share=1e-6, windows=[10**6]) as telemetry:
        rows = flood(telemetry, seconds=20, calls=100)
        assert telemetry.total("mlobs.prediction.rows") == len(rows)
        assert telemetry.total("mlobs.prediction.batch_size") == len(rows) / BATCH
        read = telemetry.total("mlobs.feature.observations", feature="f0", role="input")
        left = telemetry.total("mlobs.sdk.dropped", reason="sampled")
        assert read + left == len(rows)
        assert 0 < read < len(rows) / 2
        assert telemetry.total("mlobs.feature.value", role="output") == len(rows)
        partition: Any = REFERENCE.inputs[0].partition
        edges, counts = partition.edges, REFERENCE.inputs[0].counts
        truth = np.bincount(np.searchsorted(edges, rows[:, 0], side="left"), minlength=len(counts))
        assert mlobs.drift()["m"]["f0"].psi == pytest.approx(float(psi(counts, truth)), rel=0.2)


@pytest.mark.parametrize("judged", [False, True])
def test_large_answers_are_sampled_unless_outcomes_are_told(monkeypatch: pytest.MonkeyPatch, judged: bool) -> None:
    """What is compared with the truth is counted whole."""
    monkeypatch.setattr("mlobs.core.share._SPARE", 0.0)
    with capture(read_share=1e-6) as telemetry:
        if judged:
            mlobs.objective(model="m", task="binary")
        predict = mlobs.observe(model="m")(lambda _: np.column_stack([np.full(BATCH, 0.25), np.full(BATCH, 0.75)]))
        for _ in range(20):
            for _ in range(20):
                predict([1.0])
            mlobs.drift()  # folds
            telemetry.clock.advance(1)
        rows = 20 * 20 * BATCH
        read = telemetry.total("mlobs.feature.value", feature="score_1")
        left = telemetry.total("mlobs.sdk.dropped", reason="sampled")
        assert read + left == rows
        assert (left == 0) == judged
        assert telemetry.total("mlobs.prediction.score") == (rows if judged else 0)


def test_a_share_of_one_reads_everything() -> None:
    """Whoever wants every row has every row."""
    with capture(read_share=1.0) as telemetry:
        rows = flood(telemetry, seconds=5, calls=20)
        assert telemetry.total("mlobs.feature.observations", feature="f0", role="input") == len(rows)
        assert telemetry.total("mlobs.sdk.dropped") == 0


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_a_share_is_a_part_of_a_core(share: float) -> None:
    """Anything else is refused, with what is expected."""
    with pytest.raises(mlobs.ConfigurationError, match=r"read_share.*expected a share of one core"):
        mlobs.configure(read_share=share)
