"""Ray Serve: what replicas predict counts, under the caller's span across proxy and handles; a batch is for all its requests."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression
from tests import told
from tests.serving.started import (
    EXAMPLES,
    KEY,
    Started,
    caller,
    calls,
    failures,
    free_ports,
    parents,
    rows,
    stages,
    started,
)
from tests.sink import Sink

import mlobs
from mlobs.testing import Telemetry

serve = pytest.importorskip("ray.serve")
context, batching = (pytest.importorskip(f"ray.serve.{name}") for name in ("context", "batching"))
common, config, default_impl, replica = (
    pytest.importorskip(f"ray.serve._private.{name}") for name in ("common", "config", "default_impl", "replica")
)

FLAT, PRICE = [50.0, 2.0], 600.0
DRIVER = Path(__file__).parent / "ray_driver.py"


@pytest.fixture
def server(sink: Sink, tmp_path: Path) -> Iterator[Started]:
    """A cluster of its own with the example, whose replicas export once an hour, or when they are taken down."""
    [port] = free_ports(1)
    # Ray keeps sockets there, whose paths must be short
    with (
        tempfile.TemporaryDirectory("", "r", "/tmp", ignore_cleanup_errors=True) as short,
        started(
            sink,
            tmp_path,
            EXAMPLES / "ray-serve",
            [str(DRIVER), str(port)],
            port=port,
            ready="/front/docs",
            RAY_USAGE_STATS_ENABLED="0",
            OTEL_METRIC_EXPORT_INTERVAL="3600000",
            MLOBS_TICKET_KEYS=KEY,
            RAY_TMPDIR=short,
        ) as running,
    ):
        yield running


def test_a_cluster(server: Started, sink: Sink) -> None:
    """Over HTTP and over a handle in batches, and in the replica itself: counts, rows, waits, links, tickets and errors."""
    callers = [caller() for _ in range(104)]
    batched = server.load("/flats", [FLAT] * 40, callers[:40], threads=8)
    handled = server.load("/front/price", [FLAT] * 40, callers[40:80], threads=8)
    here = server.load("/front/here", [FLAT] * 20, callers[80:100])
    failed = [server.request("/flats", [50.0], one.headers) for one in callers[100:]]
    server.stop()
    assert [(answer.status, answer.body) for answer in (*batched, *handled, *here)] == [(200, PRICE)] * 100
    assert [answer.status for answer in failed] == [500] * 4
    with_ticket = [["mlobs-ticket" in answer.headers for answer in some] for some in (batched, handled, here)]
    assert with_ticket == [[True] * 40, [False] * 40, [True] * 20]

    counted = calls(sink)
    ended = counted.pop(("flats", "3", "predict", ""))
    assert counted == {("flats", "3", "predict", "ValueError"): 4}, server.said[-2000:]
    assert 20 + 80 / 4 <= ended < 100
    assert rows(sink) == 104
    assert stages(sink) == {("queue",): 84}
    assert failures(sink) == {}

    found = parents(sink)
    assert [len(found.get(one, ())) for one in callers[80:]] == [1] * 24
    served_for = [
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        or [(span.trace_id.hex(), span.parent_span_id.hex())]
        for span in sink.spans
    ]
    assert sorted(one for some in served_for for one in some) == sorted(tuple(one) for one in callers)
    assert all(not span.parent_span_id for span in sink.spans if span.links)
    assert len(sink.spans) == ended + 4


# ── in this process ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("ray-serve", "sklearn")
    yield
    mlobs.uninstrument()


MODEL = LinearRegression().fit([[1.0, 1.0], [2.0, 1.0], [3.0, 2.0]], [1.0, 2.0, 3.0])


def ask(*batches: list[Any], before: Any = None) -> list[Any]:
    """The answers to all, a batch of two after the other, as in a replica; ``before`` is called before the last."""

    async def main() -> list[Any]:
        class Flats:
            @serve.batch(max_batch_size=2, batch_wait_timeout_s=1.0)
            async def price(self, flats: list[Any]) -> list[float]:
                return MODEL.predict(flats).tolist()  # type: ignore[no-any-return]

        flats: Any = Flats()
        found = []
        for number, batch in enumerate(batches):
            if before is not None and number == len(batches) - 1:
                before()
            found += await asyncio.gather(*[flats.price(one) for one in batch], return_exceptions=True)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        del flats, Flats, tasks, task
        gc.collect()  # while there is a loop: without one the queue makes one as it goes, and leaves it open
        return found

    context._set_internal_replica_context(
        replica_id=common.ReplicaID("r", common.DeploymentID("flats")),
        servable_object=None,
        _deployment_config=config.DeploymentConfig(max_ongoing_requests=16),
        rank=None,
        world_size=1,
    )
    try:
        return asyncio.run(main())
    finally:
        context._INTERNAL_REPLICA_CONTEXT = None


PLACES = [
    (replica.UserCallableWrapper, "_call_http_entrypoint"),
    (replica.UserCallableWrapper, "call_user_method"),
    (replica.UserCallableWrapper, "call_destructor"),
    (default_impl, "get_request_metadata"),
    (batching._BatchQueue, "put"),
    (batching._BatchQueue, "_process_batch_inner"),
]


def test_a_batch_and_its_error(telemetry: Telemetry) -> None:
    """The answers are the model's; an error reaches every request of the batch as it is, and is counted once."""
    answers = ask([[2.0, 1.0]] * 2, [[3.0, 2.0]] * 2, [[2.0]] * 2)
    assert answers[:4] == [pytest.approx(2.0)] * 2 + [pytest.approx(3.0)] * 2
    assert [type(one) for one in answers[4:]] == [ValueError] * 2
    assert told.calls(telemetry) == {("LinearRegression", "predict"): 3}
    assert told.errors(telemetry) == {"ValueError": 1}
    assert told.stages(telemetry) == {"queue": 6}


def test_uninstrument_restores(telemetry: Telemetry) -> None:
    """Every object is the one that it was; what batches already goes on, and counts no more."""
    hooked = told.standing(*PLACES)
    assert ask([[2.0, 1.0]] * 2, [[2.0, 1.0]] * 2, before=mlobs.uninstrument) == [pytest.approx(2.0)] * 4
    before = told.standing(*PLACES)
    assert {key for key in before if before[key] is hooked[key]} == set()
    mlobs.instrument("ray-serve")
    mlobs.uninstrument()
    assert told.standing(*PLACES) == before
    assert told.rows(telemetry) == {("LinearRegression", "predict"): 2}
