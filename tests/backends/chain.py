"""An agent and two gateways with the files that mlobs ships, and at the end one receiver in place of the backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.backends.collector import Collector, collector, free_ports
from tests.backends.kubernetes import kubernetes
from tests.backends.receiver import Receiver, receiving


class Chain(NamedTuple):
    """What runs; the agent's traces go to both gateways, its metrics and logs to the first."""

    agent: Collector
    gateways: list[Collector]
    end: Receiver


@contextmanager
def chain(folder: Path, **environ: str) -> Iterator[Chain]:
    """Start all of it. Pods and the gateways' addresses come from a Kubernetes API."""
    [port] = free_ports(1)
    with ExitStack() as stack:
        end = stack.enter_context(receiving())
        backends = dict.fromkeys(("OTELCOL_PROMETHEUS", "OTELCOL_TEMPO", "OTELCOL_LOKI"), end.url)
        quick = {"OTELCOL_DECISION_WAIT": "1s", "OTELCOL_SPAN_METRICS_INTERVAL": "500ms", **environ}
        hosts = ["127.0.0.1", "127.0.0.2"]  # the port of all replicas is the same
        gateways = [
            stack.enter_context(
                collector(
                    "gateway",
                    folder=folder / f"gateway-{number}",
                    OTELCOL_HOST=host,
                    OTELCOL_GRPC_PORT=str(port),
                    OTELCOL_INSTANCE=f"gateway-{number}",
                    **backends,
                    **quick,
                )
            )
            for number, host in enumerate(hosts)
        ]
        cluster = stack.enter_context(kubernetes(folder, hosts))
        agent = stack.enter_context(
            collector(
                "agent",
                folder=folder / "agent",
                OTELCOL_GATEWAY=gateways[0].address("GRPC"),
                OTELCOL_GATEWAY_PORT=str(port),
                **cluster,
                **environ,
            )
        )
        yield Chain(agent, gateways, end)
