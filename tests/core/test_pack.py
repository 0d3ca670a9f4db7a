"""Arrays of one layout are kept as bytes: whatever becomes of a call, its rows are counted as they were given."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

import mlobs
from mlobs.api import runtime
from mlobs.core.monitor import Monitor
from mlobs.core.pack import Packs
from mlobs.testing import Telemetry, capture

ROW = np.arange(3.0).reshape(1, 3)


def warm(predict: Any, telemetry: Telemetry, row: Any = ROW) -> Monitor:
    """Call until what follows is packed: the layout is known, and no call is asked for anything rare."""
    for _ in range(3):
        for _ in range(40):
            predict(row)
        telemetry.clock.advance(10)
        telemetry.collect()
    [monitor] = runtime.monitors.values()
    return monitor


def waiting(monitor: Monitor) -> tuple[int, int]:
    """Inputs and answers that wait as bytes."""
    return len(monitor.ring.inputs.now.kept), len(monitor.ring.outputs.now.kept)


def values(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """How often a value of an input's feature was in each bucket that has any."""
    found: dict[tuple[str, str], float] = {}
    points: Any
    for points in telemetry.histograms("mlobs.feature.value", role="input"):
        feature = dict(points.attributes.items())["feature"]
        buckets = {"zero": points.zero_count}
        for sign, offset, counts in (
            ("+", points.positive_offset, points.positive),
            ("-", points.negative_offset, points.negative),
        ):
            buckets.update({f"{sign}{points.scale}:{offset + index}": count for index, count in enumerate(counts)})
        found.update({(feature, bucket): count for bucket, count in buckets.items() if count})
    return found


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1", "?", ">f8"])
@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 3), (4, 1)])
def test_what_is_counted_is_what_was_given(telemetry: Telemetry, dtype: str, shape: tuple[int, ...]) -> None:
    """Of every dtype and shape: the same rows and sums as the plain copies of the first calls; the caller's changes change nothing."""
    predict = mlobs.observe(model="m")(lambda x: np.ones((2, 2), "f4"))
    given = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    monitor = warm(predict, telemetry, given)
    before, rows = values(telemetry), telemetry.total("mlobs.prediction.rows")
    for _ in range(30):
        mine = given.copy()
        predict(mine)
        mine[...] = 1
    packed, answers = waiting(monitor)
    assert (packed > 20) == (dtype != ">f8")
    assert answers > 20
    assert values(telemetry) == {bucket: count * 5 / 4 for bucket, count in before.items()}
    assert telemetry.total("mlobs.prediction.rows") == rows * 5 / 4
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_other_layouts_and_values_go_beside_it(telemetry: Telemetry) -> None:
    """Rows, tables, lists, large arrays and bytes of a user's own in turn: each is counted once."""
    predict = mlobs.observe(model="m")(lambda x: None)
    warm(predict, telemetry)
    before = telemetry.total("mlobs.prediction.rows")
    for each in (
        ROW,
        np.ones((5, 3)),
        [[1.0, 2.0, 3.0]],
        np.ones((400, 3)),
        ROW.astype("f4"),
        np.asfortranarray(np.ones((2, 3))),
    ):
        for _ in range(7):
            predict(each)
    assert telemetry.total("mlobs.prediction.rows") - before == 7 * (1 + 5 + 1 + 400 + 1 + 2)
    text = mlobs.observe(model="text")(lambda x: b"answer")
    for _ in range(7):
        text(b"of a user")
    assert telemetry.total("mlobs.prediction.rows", model_name="text") == 7


def test_calls_that_end_otherwise_keep_their_rows(telemetry: Telemetry) -> None:
    """Failed, slow, and where the ring is full."""

    @mlobs.observe(model="m", capture=["f1"])
    def predict(x: Any, how: str = "") -> Any:
        if how == "fails":
            raise KeyError(how)
        if how == "slow":
            monitor.slow = 0
        return np.ones(2)

    monitor = warm(predict, telemetry)
    before = telemetry.total("mlobs.prediction.rows")
    for how in ("fails", "slow", ""):
        if how == "fails":
            with pytest.raises(KeyError):
                predict(ROW, how)
        else:
            predict(ROW, how)
    assert telemetry.total("mlobs.prediction.rows") - before == 3
    assert telemetry.total("mlobs.prediction.duration", error_type="KeyError") == 1
    monitor.ring.brim = monitor.ring._limit = 5
    for _ in range(30):
        predict(ROW)
    assert telemetry.total("mlobs.prediction.rows") - before == 33
    assert (
        telemetry.total("mlobs.feature.value", role="input")
        + 3 * telemetry.total("mlobs.sdk.dropped", reason="ring_full")
        >= 3 * 33
    )


def test_the_layout_follows_the_traffic(telemetry: Telemetry) -> None:
    """What most calls have is packed, of few layouts; what was packed before still counts."""
    predict = mlobs.observe(model="m")(lambda x: None)
    monitor = warm(predict, telemetry)
    assert monitor.ring.inputs.now.shape == (1, 3)
    wide = np.ones((2, 3))
    warm(predict, telemetry, wide)
    assert monitor.ring.inputs.now.shape == (2, 3)
    before = telemetry.total("mlobs.prediction.rows")
    held = monitor.ring.inputs._packs[ROW.dtype, (1, 3)]
    held.kept.append(ROW.tobytes())  # by a caller who was late
    predict(wide)
    assert telemetry.total("mlobs.prediction.rows") - before == 3
    for size in range(1, 20):
        warm(predict, telemetry, np.ones((size, 3)))
    assert len(monitor.ring.inputs._packs) == 8


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_ring_that_changes_in_the_middle_of_a_call(telemetry: Telemetry) -> None:
    """In a forked child the call that was running ends with its data; so does one while the folder chooses another layout."""

    def predict(x: Any, change: Any = None) -> Any:
        if change is not None:
            change()
        return np.ones((1, 2))

    observed = mlobs.observe(model="m")(predict)
    monitor = warm(observed, telemetry)
    before = telemetry.total("mlobs.prediction.rows")
    now = (monitor.ring.inputs.now, monitor.ring.outputs.now)
    observed(ROW, lambda: setattr(monitor.ring.inputs, "now", Packs().now))
    assert now[0].kept == []
    assert telemetry.total("mlobs.prediction.rows") - before == 1
    monitor.ring.inputs.now, monitor.ring.outputs.now = now
    if not hasattr(os, "fork"):
        return
    child: list[int] = []

    def forks() -> None:
        child.append(os.fork())

    observed(ROW, forks)
    if child == [0]:
        slow = monitor.ring.rare  # where a busy machine takes long to fork
        kept = monitor.ring.kept or [record[2] for record in slow]
        answers = monitor.ring.answers or [record[3] for record in slow]
        os._exit(0 if [each.tolist() for each in kept] == ROW[None].tolist() and len(answers) == 1 else 1)
    assert os.waitpid(child[0], 0)[1] == 0
    assert telemetry.total("mlobs.prediction.rows") - before == 2


def test_threads_lose_nothing_while_layouts_change() -> None:
    """Callers of two layouts and folds without a pause: all rows are counted, and all values."""
    with capture(ring_calls=1_000_000) as telemetry:
        predict = mlobs.observe(model="m")(lambda x: x)
        tables = [np.full((size, 3), float(size)) for size in (1, 2)]
        stop = threading.Event()

        def call(table: Any) -> None:
            for _ in range(3_000):
                predict(table)

        def fold() -> None:
            while not stop.is_set():
                telemetry.clock.advance(1)
                telemetry.collect()

        folder = threading.Thread(target=fold)
        threads = [threading.Thread(target=call, args=(table,)) for table in tables for _ in range(2)]
        for thread in (folder, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        folder.join()
        assert telemetry.total("mlobs.prediction.rows") == 2 * 3_000 * (1 + 2)
        assert telemetry.total("mlobs.sdk.dropped") == 0
        found = values(telemetry)
        assert sorted(found.values()) == [6_000] * 3 + [12_000] * 3
