"""How many data points a second agent and gateway pass on, beside a Collector that only receives and prints.

    python benchmarks/collector.py [--json] [--quick]

The points are those of a real export of mlobs: a model with a hundred features and their reference. *Bare* is OTLP in,
`debug` out. *Chain* is collector-config/agent.yaml, gateway.yaml, and a bare one at the end: Kubernetes attributes, deltas
to sums, two queues on disk. A slice ends when its last point has arrived. Needs the Collector that
`python tests/backends/tools/build.py collector` builds.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import Lap, environment, header, interleave, options, ratio, table

import mlobs

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from tests.backends.collector import Collector

FEATURES = 100
SENDERS = 4
ARRIVED = "otelcol_receiver_accepted_metric_points_total"
CPU = "otelcol_process_cpu_seconds_total"
BARE = """
extensions: {health_check: {endpoint: "${env:OTELCOL_HOST}:${env:OTELCOL_HEALTH_PORT}"}}
receivers: {otlp: {protocols: {http: {endpoint: "${env:OTELCOL_HOST}:${env:OTELCOL_HTTP_PORT}"}}}}
exporters: {debug: {verbosity: basic}}
service:
  extensions: [health_check]
  telemetry:
    metrics: {readers: [{pull: {exporter: {prometheus: {host: "${env:OTELCOL_HOST}", port: "${env:OTELCOL_METRICS_PORT}"}}}}]}
  pipelines:
    metrics: {receivers: [otlp], exporters: [debug]}
    traces: {receivers: [otlp], exporters: [debug]}
"""


def export() -> bytes:
    """Return one export of a model with a hundred features, as mlobs sends it."""
    from tests.backends.receiver import receiving

    rows = np.random.default_rng(0).normal(size=(5_000, FEATURES))
    with receiving() as receiver:
        mlobs.configure(endpoint=receiver.url, export_interval=3600, spans="never")
        predict = mlobs.observe(model="wide", version="1", reference=mlobs.Profile.build(rows))(len)
        predict(rows)
        mlobs.shutdown()
    body: bytes = receiver.requests["metrics"][-1].SerializeToString()
    return body


def size(body: bytes) -> int:
    """Return how many data points it has."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from tests.backends.points import points

    return sum(1 for _ in points([ExportMetricsServiceRequest.FromString(body)]))


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Collector]]:
    """Start the bare one, and the chain with another bare one at its end."""
    from tests.backends.collector import collector
    from tests.backends.kubernetes import kubernetes

    bare = folder / "bare.yaml"
    bare.write_text(BARE, encoding="utf-8")
    with ExitStack() as stack:
        found = {name: stack.enter_context(collector(bare, folder=folder / name)) for name in ("bare", "end")}
        found["gateway"] = stack.enter_context(
            collector("gateway", folder=folder / "gateway", OTELCOL_PROMETHEUS=found["end"].endpoint)
        )
        cluster = stack.enter_context(kubernetes(folder, ["127.0.0.1"]))
        found["agent"] = stack.enter_context(
            collector("agent", folder=folder / "agent", OTELCOL_GATEWAY=found["gateway"].address("GRPC"), **cluster)
        )
        yield found


def passing(first: Collector, last: Collector, body: bytes) -> Callable[[int], float]:
    """Return a lap that sends so many exports to the first and ends when all have reached the last."""
    from tests.backends.collector import poll

    points = size(body)
    address = first.address("HTTP")

    def send(exports: int) -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        for _ in range(exports):
            connection.request("POST", "/v1/metrics", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                message = f"The Collector at {address} answered {answer.status} {answer.reason}."
                raise RuntimeError(message)
        connection.close()

    def run(exports: int) -> float:
        expected = last.own()[ARRIVED] + exports * points
        shares = [len(range(sender, exports, SENDERS)) for sender in range(SENDERS)]
        started = perf_counter()
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(send, shares))
        if not poll(lambda: last.own()[ARRIVED] >= expected):
            message = "Not every point has arrived within a minute."
            raise RuntimeError(message)
        return perf_counter() - started

    return run


def measure(body: bytes, *, quick: bool) -> dict[str, Any]:
    """Return points a second of both, their ratio, and the processor time that each Collector took for a point."""
    points = size(body)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as found:
        laps = {
            "bare": Lap(passing(found["bare"], found["bare"], body)),
            "chain": Lap(passing(found["agent"], found["end"], body)),
        }
        taken = interleave(laps, rounds=2 if quick else 15, seconds=0.2 if quick else 2.0)
        spent = {name: one.own() for name, one in found.items() if name != "end"}
    return {
        "points_an_export": points,
        "points_per_s": {name: points / median(slices) for name, slices in taken.items()},
        "times_slower": ratio(taken["chain"], taken["bare"]),
        "cpu_us_a_point": {name: own[CPU] / own[ARRIVED] * 1e6 for name, own in spent.items()},
    }


def main() -> None:
    """Measure, then print a table or one JSON object; say so where there is no Collector."""
    chosen = options(__doc__)
    from tests.backends.tools import build

    report: dict[str, Any]
    if build.place("collector").exists():
        report = measure(export(), quick=chosen.quick)
    else:
        report = {"skipped": "The Collector is not built. Try: python tests/backends/tools/build.py collector"}
    report["environment"] = environment("opentelemetry-proto")
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    if "skipped" in report:
        return f"{header(report['environment'])}\n{report['skipped']}"
    rates, cpu = report["points_per_s"], report["cpu_us_a_point"]
    return "\n".join(
        [
            header(report["environment"]),
            table(
                f"Exports of {report['points_an_export']:,} data points",
                ["", "points a second", "× slower", "CPU µs a point"],
                [
                    ["bare: OTLP to debug", rates["bare"], 1.0, cpu["bare"]],
                    ["agent and gateway", rates["chain"], report["times_slower"], cpu["agent"] + cpu["gateway"]],
                    ["  the agent of it", None, None, cpu["agent"]],
                    ["  the gateway of it", None, None, cpu["gateway"]],
                ],
            ),
        ]
    )


if __name__ == "__main__":
    main()
