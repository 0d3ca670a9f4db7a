"""What mlobs has counted arrives through agent and gateway as it was sent, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.backends.chain import Chain, chain
from tests.backends.collector import poll
from tests.backends.kubernetes import POD
from tests.backends.points import exact, newest, points, texts, total
from tests.backends.receiver import Receiver, receiving
from tests.backends.scoring import ROWS, recount, scoring, value

CALLS = "mlobs.prediction.duration"
DELTA = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}


@pytest.fixture
def chained(tmp_path: Path) -> Iterator[Chain]:
    """Agent, gateways and what stands behind them; every trace is kept."""
    with chain(tmp_path, OTELCOL_SAMPLING_PERCENT="100") as one:
        yield one


@pytest.fixture
def witness(chained: Chain) -> Iterator[Receiver]:
    """Stands before the agent and keeps what the agent has acknowledged."""
    with receiving(chained.agent.endpoint) as one:
        yield one


def counts(end: Receiver, batches: int) -> None:
    """Wait until so many batches are counted at the end, and compare every count with numpy's."""
    metrics = end.requests["metrics"]
    assert end.wait(lambda: total(metrics, CALLS) >= batches), f"{total(metrics, CALLS)} of {batches}"
    assert total(metrics, CALLS) == batches
    assert total(metrics, "mlobs.prediction.rows") == batches * ROWS
    assert total(metrics, "mlobs.business.events", kpi="order") == batches
    for direction, sign in (("gain", 1), ("loss", -1)):
        money = sum(max(0.0, sign * value(number)) for number in range(batches))
        assert total(metrics, "mlobs.business.value", direction=direction, currency="EUR") == money
    for feature, expected in recount(range(batches)).items():
        bins = sorted(
            {dict(point.attributes)["bin"] for point in newest(metrics, "mlobs.feature.observations", feature=feature)}
        )
        assert [total(metrics, "mlobs.feature.observations", feature=feature, bin=key) for key in bins] == expected


def arrived(end: Receiver) -> dict[Any, bytes]:
    """Every point of mlobs' at the end."""
    return {key: point for key, point in exact(end.requests["metrics"]).items() if key[1].startswith("mlobs.")}


def span_ids(receiver: Receiver) -> list[bytes]:
    return [span.span_id for span in receiver.spans]


def everything(witness: Receiver, end: Receiver) -> None:
    """Wait until all that was acknowledged is at the end, and see that it is the same."""
    sent = {key: point for key, point in exact(witness.requests["metrics"]).items() if key[1].startswith("mlobs.")}
    assert len(sent) > 50
    assert end.wait(lambda: sent.keys() <= arrived(end).keys())
    assert arrived(end) == sent
    spans = set(span_ids(witness))
    assert spans
    assert end.wait(lambda: spans <= set(span_ids(end)))
    assert set(span_ids(end)) == spans


def test_no_count_is_lost(chained: Chain) -> None:
    """Calls, rows, bins and money at the end are those of the rows, and say which pod they are from."""
    with scoring(chained.agent.endpoint) as service:
        service.tell("work 0 40")
        service.tell("flush")
        service.tell("work 40 60")
        service.end()
    counts(chained.end, 60)
    about = newest(chained.end.requests["metrics"], CALLS)[0].resource
    assert about["service.name"] == "shop"
    assert {key.split(".")[1]: text for key, text in about.items() if key.startswith("k8s.")} == {
        "namespace": POD["namespace"],
        "pod": POD["name"],
        "deployment": POD["deployment"],
        "node": POD["node"],
    }


def test_every_point_arrives_as_it_was_sent(chained: Chain, witness: Receiver) -> None:
    """Down to buckets, times and exemplars nothing is changed, added, or there twice; each span arrives once."""
    with scoring(witness.url) as service:
        for first in (0, 10, 20):
            service.tell(f"work {first} {first + 10}")
            service.tell("flush")
        service.end()
    everything(witness, chained.end)
    assert len(span_ids(chained.end)) == len(set(span_ids(chained.end)))
    sent = texts(witness.requests["metrics"][0].resource_metrics[0].resource.attributes)
    assert all(
        sent.items() <= point.resource.items()
        for point in points(chained.end.requests["metrics"])
        if point.metric == CALLS
    )


def test_deltas_become_the_same_sums(chained: Chain) -> None:
    """A service that sends deltas is counted like any other."""
    with scoring(chained.agent.endpoint, **DELTA) as service:
        for first in (0, 20, 40):
            service.tell(f"work {first} {first + 20}")
            service.tell("flush")
        service.end()
    counts(chained.end, 60)


@pytest.mark.parametrize("killed", [False, True], ids=["agent lives", "agent is killed"])
def test_nothing_is_lost_while_the_gateways_are_away(chained: Chain, witness: Receiver, killed: bool) -> None:
    """The agent takes everything meanwhile; killed and started again, it still has what it had acknowledged."""
    with scoring(witness.url) as service:
        service.tell("work 0 10")
        service.tell("flush")
        for gateway in chained.gateways:
            gateway.stop()
        for first in (10, 20, 30):
            service.tell(f"work {first} {first + 10}")
            service.tell("flush")
        if killed:
            chained.agent.kill()
            chained.agent.start()
        for gateway in chained.gateways:
            gateway.start()
        everything(witness, chained.end)
        service.tell("work 40 50")
        service.end()
    counts(chained.end, 50)
    everything(witness, chained.end)


def test_deltas_outlast_a_killed_agent(chained: Chain) -> None:
    """Sums that begin anew with the new agent make, with those of the old one, the whole."""
    with scoring(chained.agent.endpoint, **DELTA) as service:
        for gateway in chained.gateways:
            gateway.stop()
        for first in (0, 20):
            service.tell(f"work {first} {first + 20}")
            service.tell("flush")
        chained.agent.kill()
        chained.agent.start()
        service.tell("work 40 60")
        service.end()
    for gateway in chained.gateways:
        gateway.start()
    counts(chained.end, 60)


def test_nothing_is_lost_while_the_backends_are_away(chained: Chain, witness: Receiver) -> None:
    """The gateway keeps metrics that Prometheus does not take, also when it is killed meanwhile."""
    chained.end.status = 503
    with scoring(witness.url) as service:
        service.tell("work 0 10")
        service.tell("flush")
        service.tell("work 10 20")
        service.end()
    sent = sum(1 for _ in points(witness.requests["metrics"]))
    gateway = chained.gateways[0]
    assert poll(lambda: gateway.own()["otelcol_receiver_accepted_metric_points_total"] >= sent)
    gateway.kill()
    chained.end.status = 200
    gateway.start()
    counts(chained.end, 20)
    keys = {key for key in exact(witness.requests["metrics"]) if key[1].startswith("mlobs.")}
    assert chained.end.wait(lambda: keys <= arrived(chained.end).keys())


def test_a_full_queue_refuses_and_the_service_keeps_its_counts(tmp_path: Path) -> None:
    """An agent that has no room says so; what it did not take comes with the next export, and nothing is missing."""
    with chain(tmp_path, OTELCOL_QUEUE_BYTES=str(2**20)) as one, receiving(one.agent.endpoint) as witness:
        with scoring(witness.url) as service:
            for gateway in one.gateways:
                gateway.stop()
            service.tell("work 0 10")
            service.tell("flush")
            body = witness.requests["metrics"][0].SerializeToString()
            fill = ("/v1/metrics", body, "application/x-protobuf")
            assert poll(lambda: witness.take(*fill) == 503)
            service.tell("work 10 20")
            service.tell("try")
            taken = len(witness.requests["metrics"])
            service.tell("work 20 30")
            for gateway in one.gateways:
                gateway.start()
            service.tell("flush")
            service.end()
        assert len(witness.requests["metrics"]) > taken
        counts(one.end, 30)
