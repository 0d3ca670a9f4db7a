"""Dask: what the workers of a cluster score is counted once, and sent before they end."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tests.scoring.ledger import ROWS, bins, dropped, errors, rows, table, trained
from tests.sink import Sink, running
from tests.told import standing

import mlobs

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of a cluster that has ended
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "dask"


class Engine(NamedTuple):
    """A cluster's client, where its workers send to, and what scoring all rows of ``frame`` answers."""

    client: Any
    sink: Sink
    frame: Any
    model: Any
    expected: list[int]

    def counted(self) -> dict[str, int]:
        """The rows of all models, once every worker has sent what it has."""
        self.client.run(mlobs.flush, timeout=20.0)
        return dict(rows(self.sink))


@contextmanager
def cluster(threads: int) -> Iterator[Engine]:
    """Two worker processes under nannies."""
    model = trained()
    expected = [int(label) for label in model.predict(table())]
    with running() as sink, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
        patch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "60000")
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=all")
        mlobs.instrument("dask", "sklearn")
        try:
            with (
                distributed.LocalCluster(
                    n_workers=2,
                    threads_per_worker=threads,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                ) as made,
                distributed.Client(made) as client,
            ):
                frame = dd.from_pandas(pd.DataFrame(table(), columns=["a", "b"]), npartitions=5)
                yield Engine(client, sink, frame, model, expected)
        finally:
            mlobs.uninstrument()


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Workers with one thread each, then with two."""
    with cluster(request.param) as found:
        yield found


def test_rows_scored_are_rows_counted(engine: Engine) -> None:
    """By `map_partitions`, `delayed` and `submit`: the answers are the model's, and each row is counted once."""
    model, before = engine.model, engine.counted()

    def score(part: Any) -> Any:
        return pd.Series(model.predict(part.to_numpy()), index=part.index)

    mapped = engine.frame.map_partitions(score, meta=(None, "int64")).compute()
    delayed = dask.compute(*[dask.delayed(score)(part) for part in engine.frame.to_delayed()])
    parts = np.array_split(table(), 10)
    submitted = engine.client.gather([engine.client.submit(model.predict, part, pure=False) for part in parts])
    assert mapped.tolist() == engine.expected
    assert pd.concat(delayed).tolist() == engine.expected
    assert np.concatenate(submitted).tolist() == engine.expected
    after = engine.counted()
    assert after["LogisticRegression"] - before.get("LogisticRegression", 0) == 3 * ROWS
    assert errors(engine.sink) == {}


def test_an_observed_function_takes_its_name_and_its_reference_along(engine: Engine) -> None:
    """A decorated function counts under its own name, once with the model inside of it, and against its reference."""
    model, profile = engine.model, mlobs.Profile.build({"a": table()[:, 0], "b": table()[:, 1]})
    before = engine.counted()

    @mlobs.observe(model="flats", version="3", reference=profile)
    def predict(batch: Any) -> Any:
        return pd.Series(model.predict(batch.to_numpy()), index=batch.index)

    found = engine.frame.map_partitions(predict, meta=(None, "int64")).compute()
    after = engine.counted()
    assert found.tolist() == engine.expected
    assert after == {**before, "flats": ROWS}
    assert bins(engine.sink, "flats") == {"a": ROWS, "b": ROWS}


def test_a_task_with_retries_counts_once_on_one_thread(engine: Engine, tmp_path: Path) -> None:
    """A task that fails halfway and is tried again counts once, where its worker runs one task at a time; else twice."""
    model, mark, before = engine.model, tmp_path / "mark", engine.counted()
    alone = set(engine.client.nthreads().values()) == {1}
    left_out = dropped(engine.sink)["task_failed"]

    def score(count: int) -> int:
        model.predict(np.ones((count, 2)))
        if not mark.exists():
            mark.touch()
            raise ValueError("halfway")
        model.predict(np.ones((count, 2)))
        return count

    assert engine.client.submit(score, 50, retries=2).result() == 50
    after = engine.counted()
    assert after["LogisticRegression"] - before["LogisticRegression"] == (100 if alone else 150)
    assert dropped(engine.sink)["task_failed"] - left_out == (50 if alone else 0)


def test_a_failure_is_the_one_it_is_without_mlobs(engine: Engine) -> None:
    """What a function raises reaches whoever waits: the same type, the same arguments; its rows were predicted."""
    model = engine.model
    with pytest.raises(ValueError, match="X has 1 features, but LogisticRegression is expecting 2") as caught:
        engine.client.submit(model.predict, np.ones((4, 1)), pure=False).result()
    with pytest.raises(ValueError, match="X has 1 features") as plain:
        model.predict(np.ones((4, 1)))
    assert caught.value.args == plain.value.args


def test_each_worker_has_an_identity_of_its_own(engine: Engine) -> None:
    """Workers share their environment, and an instance's id that stands in it is made each one's own."""
    ids = set(engine.sink.latest())
    assert len(ids) >= 2
    assert all(one.startswith("all-") for one in ids)


def test_a_profile_of_partitions_is_the_profile_of_all_rows(engine: Engine) -> None:
    """Built where the partitions lie, it has the bins, the counts and the id of the one built in one place."""
    ordinal = np.arange(ROWS)
    here = pd.DataFrame(
        {
            "price": ordinal * 0.37,
            "rooms": np.where(ordinal % 11, ordinal % 40, np.nan),
            "town": [f"town {number % 23}" for number in ordinal],
            "address": [f"flat {number}" for number in ordinal],
            "balcony": ordinal % 3 == 0,
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(ordinal, unit="h"),
            "late": [None if number < 2600 else float(number) for number in ordinal],
            "score": ordinal / ROWS,
        }
    )
    frame = dd.from_pandas(here, npartitions=5)
    local = frame.compute()
    whole = mlobs.Profile.build(local.drop(columns="score"), outputs=local[["score"]])
    assert mlobs.Profile.build(frame, outputs="score") == whole
    half = mlobs.Profile.build(frame[frame.price < 900], outputs="score", like=whole)
    rest = mlobs.Profile.build(frame[frame.price >= 900], outputs="score", like=whole)
    assert half.merge(rest) == whole


def test_columns_without_text_for_a_name(engine: Engine) -> None:
    """The columns of a frame of an array are 0, 1, 2: it is built like in one place, and outputs go by that name, too."""
    here = pd.DataFrame(np.column_stack([table(), np.arange(ROWS) / ROWS]))
    frame = dd.from_pandas(here, npartitions=5)
    assert mlobs.Profile.build(frame) == mlobs.Profile.build(here)
    assert mlobs.Profile.build(frame, outputs="2") == mlobs.Profile.build(here[[0, 1]], outputs=here[[2]])


def test_a_column_of_mixed_objects(engine: Engine) -> None:
    """Told what it is, it is built like in one place; else only where most values of every partition are of one family."""
    here = pd.DataFrame({"code": ([7, 7, "x"] * 50 + ["x", "x", 7] * 50)}, dtype=object)
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_pandas(here, npartitions=2)
        alike = dd.from_pandas(here[:150], npartitions=3)
    for kind in ("categorical", "integer"):
        kinds: Any = {"code": kind}
        assert mlobs.Profile.build(frame, kinds=kinds) == mlobs.Profile.build(here, kinds=kinds)
    assert mlobs.Profile.build(alike) == mlobs.Profile.build(here[:150])
    with pytest.raises(mlobs.ProfileError, match=r"'code' changes from integer .* Say what it is: kinds="):
        mlobs.Profile.build(frame)


def test_bad_input_says_what_is_wrong(engine: Engine) -> None:
    """Outputs that are no columns of the frame, frames without rows, and columns that change are refused."""
    mixed = pd.DataFrame({"a": [1.0] * 5 + ["word"] * 5}, dtype=object)
    with dask.config.set({"dataframe.convert-string": False}):
        changing = dd.from_pandas(mixed, npartitions=2)
    twice = dd.from_pandas(pd.DataFrame(table(), columns=["a", "a"]), npartitions=2)
    for frame, outputs, said in (
        (engine.frame, "c", "names columns that are not there"),
        (engine.frame, engine.frame["a"], "are columns of that frame"),
        (engine.frame[engine.frame.a < 0], None, "there are no rows"),
        (changing, None, "column 'a' changes from numeric"),
        (twice, None, "more than one column is called a"),
    ):
        with pytest.raises(mlobs.ProfileError, match=said):
            mlobs.Profile.build(frame, outputs=outputs)


# ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _restart(engine: Engine) -> None:
    engine.client.restart()


def _close(engine: Engine) -> None:
    engine.client.cluster.close()


def _counted() -> int:
    """Rows that this worker has counted."""
    from mlobs.api import runtime

    runtime.fold()
    return sum(monitor.rows for monitor in runtime.monitors.values())


def test_a_retired_worker_has_sent_everything() -> None:
    """The scheduler chooses whom it retires; what those have counted arrives, and nothing of the others yet."""
    with cluster(1) as engine:
        model = engine.model
        parts = np.array_split(table(), 8)
        engine.client.gather([engine.client.submit(model.predict, part, pure=False) for part in parts])
        counted = engine.client.run(_counted)
        assert sum(counted.values()) == ROWS
        retired = set(engine.client.retire_workers())
        expected = sum(rows_ for address, rows_ in counted.items() if address in retired)
        assert retired
        assert engine.sink.wait(lambda sink: rows(sink)["LogisticRegression"] == expected)


@pytest.mark.parametrize("end", [_restart, _close], ids=lambda end: end.__name__.strip("_"))
def test_workers_send_before_they_end(end: Callable[[Engine], None]) -> None:
    """Workers that are restarted by their nannies or closed with their cluster have sent everything."""
    with cluster(1) as engine:
        model = engine.model
        engine.client.gather(
            [engine.client.submit(model.predict, part, pure=False) for part in np.array_split(table(), 8)]
        )
        end(engine)
        assert engine.sink.wait(lambda sink: rows(sink)["LogisticRegression"] == ROWS)


# ── hands off ───────────────────────────────────────────────────────────────────────────────────────────────────────

WITHOUT = """
import sys
sys.modules["mlobs_dask"] = sys.modules["mlobs"] = None
import pickle
plugin = pickle.load(sys.stdin.buffer)
plugin.setup(None)
plugin.teardown(None)
print(type(plugin).__name__)
"""


def test_a_worker_without_mlobs_gets_an_empty_plugin() -> None:
    """The plugin travels by value: where mlobs is not installed it does nothing."""
    from distributed.protocol.pickle import dumps

    import mlobs_dask

    sent = dumps(mlobs_dask.plugin("sklearn"))
    assert type(pickle.loads(sent)).__name__ == "Mlobs"
    done = subprocess.run([sys.executable, "-c", WITHOUT], input=sent, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"WorkerPlugin\n"), done.stderr


def test_uninstrument_puts_everything_back() -> None:
    """The functions of Dask that were replaced are the original ones again."""
    places = ((distributed.client.Client, "_start"), (distributed.worker, "_run_task"))
    mlobs.uninstrument("dask")
    before = standing(*places)
    mlobs.instrument("dask")
    hooked = standing(*places)
    mlobs.uninstrument("dask")
    assert standing(*places) == before
    assert all(hooked[key] is not before[key] for key in before)


def test_the_example_runs(sink: Sink, tmp_path: Path) -> None:
    """The example prints what its page says, and its rows arrive."""
    command = [sys.executable, str(EXAMPLE / "score.py")]
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (EXAMPLE / "README.md").read_text("utf-8").partition("```text\n")[2].partition("```")[0]
    assert done.stdout == page
    assert rows(sink) == {"flats": 20_000}
