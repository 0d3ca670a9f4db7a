"""How long Prometheus works on the shipped rules, of the time that it has until it works on them again.

    python benchmarks/rules.py [--json] [--quick]

A real Prometheus 3 gets what ten replicas of a model with a hundred features export, once a minute: one real export of mlobs,
sent again under ten names with counters that grow. There are two hours of all of it, three days of what the rules of SLOs
read so far back, and whatever the rules read of what they have recorded: a day, or a week. Every group is evaluated as it is
shipped, expressions and ranges, only more often, so that one need not wait for five minutes; how long that took is what
Prometheus says of itself (`prometheus_rule_group_last_duration_seconds`). Needs the Prometheus that
`python tests/backends/tools/build.py prometheus` builds.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from measure import environment, header, options, table

import mlobs

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from tests.backends.server import Prometheus

RULES = ROOT / "prometheus"
MINUTE, HOUR, DAY = 60, 3_600, 86_400
TILE = 5 * MINUTE
GOAL = 0.1  # of the interval
SECONDS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
LAST = "prometheus_rule_group_last_duration_seconds"
TIMES = "prometheus_rule_group_iterations_total"
FAILED = "prometheus_rule_evaluation_failures_total"


Series = tuple[dict[str, str], float]  # labels, value


class Size(NamedTuple):
    """How much there is: features, replicas, hours of everything, and how often each group is evaluated."""

    features: int
    replicas: int
    hours: float
    rounds: int
    every: int  # seconds


FULL = Size(100, 10, 2, 6, 15)
QUICK = Size(3, 2, 0.2, 2, 1)


class Group(NamedTuple):
    """A shipped group: its interval in seconds, and how many rules it has."""

    interval: float
    rules: int


# ── what is sent ────────────────────────────────────────────────────────────────────────────────────────────────────


def export(features: int) -> bytes:
    """Return a real export of a binary classifier with money, truths and failed calls, as mlobs sends it."""
    from tests.backends.receiver import receiving

    rng = np.random.default_rng(0)
    rows, scores = rng.normal(size=(5_000, features)), rng.random(5_000)
    with receiving() as receiver:
        mlobs.configure(
            service_name="bench",
            endpoint=receiver.url,
            export_interval=3600,
            spans="never",
            ticket_keys=["5b" * 32],
            cpu_price=1.0,
        )
        mlobs.objective(model="wide", version="1", task="binary", costs={(True, True): 9.0, (True, False): -2.0})

        @mlobs.observe(model="wide", version="1", reference=mlobs.Profile.build(rows, outputs=scores))
        def predict(asked: Any) -> Any:
            if asked is None:
                raise ValueError
            return scores[: len(asked)]

        predict(rows)
        for ticket, score in zip(mlobs.tickets(), scores.tolist(), strict=True):
            mlobs.outcome(ticket, actual=score > rng.random())
        with suppress(ValueError):
            predict(None)
        mlobs.shutdown()
    body: bytes = receiver.requests["metrics"][-1].SerializeToString()
    return body


class Replica:
    """One replica's exports: the same message again, later and with more counted."""

    def __init__(self, body: bytes, number: int, keep: str = "") -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        self.message = ExportMetricsServiceRequest.FromString(body)
        self._points: list[Any] = []
        self._counters: list[tuple[Any, str, float]] = []
        self._histograms: list[tuple[Any, list[int], float]] = []
        for resource in self.message.resource_metrics:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.instance.id":
                    attribute.value.string_value = f"replica-{number}"
            for scope in resource.scope_metrics:
                if keep:
                    kept = [metric for metric in scope.metrics if metric.name == keep]
                    del scope.metrics[:]
                    scope.metrics.extend(kept)
                for metric in scope.metrics:
                    self._take(metric)

    def _take(self, metric: Any) -> None:
        kind = metric.WhichOneof("data")
        points = getattr(metric, kind).data_points
        self._points += points
        if kind == "sum" and metric.sum.is_monotonic:
            for point in points:
                field = point.WhichOneof("value")
                self._counters.append((point, field, getattr(point, field)))
        elif kind == "histogram":
            self._histograms += [(point, list(point.bucket_counts), point.sum) for point in points]

    @property
    def points(self) -> int:
        """How many data points one export has."""
        return len(self._points)

    def at(self, seconds: float, times: int) -> bytes:
        """Return the export of that time, after so many times the work of one."""
        for point in self._points:
            point.time_unix_nano = int(seconds * 1e9)
        for point, field, value in self._counters:
            setattr(point, field, value * times)
        for point, counts, total in self._histograms:
            point.bucket_counts[:] = [count * times for count in counts]
            point.count, point.sum = sum(counts) * times, total * times
        body: bytes = self.message.SerializeToString()
        return body


class Recorded:
    """Series that the rules have recorded, told again for earlier times; how far back says what reads them."""

    def __init__(self, series: Iterable[Series], reach: dict[str, float]) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        self.message = ExportMetricsServiceRequest()
        metrics = self.message.resource_metrics.add().scope_metrics.add().metrics
        self._points: list[tuple[Any, float]] = []
        named: dict[str, Any] = {}
        for labels, value in series:
            name = labels["__name__"]
            if name not in reach or not np.isfinite(value):
                continue
            if name not in named:
                named[name] = metrics.add(name=name)
            point = named[name].gauge.data_points.add(as_double=value)
            for key, text in labels.items():
                if key != "__name__":
                    point.attributes.add(key=key).value.string_value = text
            self._points.append((point, reach[name]))

    @property
    def furthest(self) -> float:
        """How many seconds back the furthest is read."""
        return max((reach for _, reach in self._points), default=0.0)

    def at(self, seconds: float, now: float) -> bytes | None:
        """Return what was recorded at that time, as far as it is read; None for nothing."""
        found = False
        for point, reach in self._points:
            read = now - seconds <= reach
            point.time_unix_nano = int(seconds * 1e9) if read else 0
            found = found or read
        if not found:
            return None
        message = type(self.message)()
        scope = message.resource_metrics.add().scope_metrics.add()
        for metric in self.message.resource_metrics[0].scope_metrics[0].metrics:
            points = [point for point in metric.gauge.data_points if point.time_unix_nano]
            if points:
                scope.metrics.add(name=metric.name).gauge.data_points.extend(points)
        body: bytes = message.SerializeToString()
        return body


@contextmanager
def sending(server: Prometheus) -> Iterator[Callable[[bytes], None]]:
    """Yield what sends one body to Prometheus' OTLP receiver."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=120)

    def send(body: bytes) -> None:
        path = server.metrics_endpoint.removeprefix(server.url)
        connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
        if answer.status != http.client.OK:
            message = f"Prometheus answered {answer.status} {answer.reason}: {said[:500]}"
            raise RuntimeError(message)

    try:
        yield send
    finally:
        connection.close()


# ── the rules ───────────────────────────────────────────────────────────────────────────────────────────────────────


def seconds(duration: str) -> float:
    """Return a duration of Prometheus in seconds."""
    return float(sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"(\d+)([smhdw])", duration)))


def shipped(folder: Path, every: int) -> tuple[list[Path], dict[str, Group], dict[str, float]]:
    """Return copies of all files that are evaluated more often, their groups, and how far back recorded series are read."""
    import yaml

    files, groups, exprs = [], {}, []
    for file in sorted(RULES.glob("mlobs-*.yml")):
        whole = yaml.safe_load(file.read_text("utf-8"))
        for group in whole["groups"]:
            groups[group["name"]] = Group(seconds(group["interval"]), len(group["rules"]))
            exprs += [rule["expr"] for rule in group["rules"]]
            group["interval"] = f"{every}s"
        files.append(folder / file.name)
        files[-1].write_text(json.dumps(whole), encoding="utf-8")
    reach: dict[str, float] = defaultdict(float)
    found = re.compile(r"(mlobs:[\w:]+)(?:\{[^}]*\})?\[(\w+)\](?: offset (\w+))?")
    for expr in exprs:
        for name, window, offset in found.findall(expr):
            reach[name] = max(reach[name], seconds(window) + seconds(offset))
    return files, groups, dict(reach)


def evaluations(server: Prometheus, groups: dict[str, Group], rounds: int) -> dict[str, list[float]]:
    """Return how long Prometheus worked on each group, ``rounds`` times after the first one, which warms up."""
    from tests.backends.collector import poll

    seen: dict[str, dict[int, float]] = {name: {} for name in groups}

    def own(metric: str) -> dict[str, float]:
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=60) as answer:
            page = answer.read().decode()
        return {
            group.rpartition(";")[2]: float(value)
            for group, value in re.findall(rf'^{metric}{{rule_group="([^"]+)"}} (\S+)$', page, re.MULTILINE)
        }

    def read() -> bool:
        durations, counts = own(LAST), own(TIMES)
        for name, count in counts.items():
            if count:
                seen[name][int(count)] = durations[name]
        return all(len(each) > rounds for each in seen.values())

    if not poll(read, timeout=600):
        message = f"Groups were not evaluated {rounds} times in ten minutes: { {k: len(v) for k, v in seen.items()} }."
        raise RuntimeError(message)
    failures = {name: count for name, count in own(FAILED).items() if count}
    if failures:
        message = f"Prometheus could not evaluate rules of {failures}."
        raise RuntimeError(message)
    return {name: [taken for _, taken in sorted(each.items())][1:] for name, each in seen.items()}


# ── measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────


def pilot(folder: Path, body: bytes, size: Size, files: list[Path], groups: dict[str, Group]) -> list[Series]:
    """Return every series that the rules record, from a Prometheus with ten minutes of data."""
    from tests.backends.server import prometheus

    replicas = [Replica(body, number) for number in range(size.replicas)]
    now = time.time()
    with prometheus(folder, rules=files) as server:
        with sending(server) as send:
            for back in range(10, -1, -1):
                for replica in replicas:
                    send(replica.at(now - back * MINUTE, 11 - back))
        evaluations(server, groups, 1)
        return server.query('{__name__=~"mlobs:.+"}')


def fill(server: Prometheus, body: bytes, size: Size, recorded: Recorded, days: float) -> None:
    """Send the past in the order in which it happened."""
    whole = [Replica(body, number) for number in range(size.replicas)]
    calls = [Replica(body, number, "mlobs.prediction.duration") for number in range(size.replicas)]
    now = time.time()
    with sending(server) as send:
        steps = int(max(recorded.furthest, days * DAY) / MINUTE)
        for back in range(steps, -1, -1):
            moment = now - back * MINUTE
            replicas = whole if back * MINUTE <= size.hours * HOUR else calls if back * MINUTE <= days * DAY else []
            for replica in replicas:
                send(replica.at(moment, steps - back + 1))
            if back * MINUTE % TILE == 0 and (told_then := recorded.at(moment, now)) is not None:
                send(told_then)


def measure(*, quick: bool) -> dict[str, Any]:
    """Return what each group takes, of its interval, and what there was to work on."""
    from tests.backends.server import prometheus

    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = export(size.features)
        files, groups, reach = shipped(folder, 1)
        series = pilot(folder / "pilot", body, size, files, groups)
        if quick:
            reach = {record: min(back, HOUR) for record, back in reach.items()}
        recorded = Recorded(series, reach)
        files, _, _ = shipped(folder, size.every)
        with prometheus(folder / "server") as server:
            fill(server, body, size, recorded, 0 if quick else 3)
        with prometheus(folder / "server", "--storage.tsdb.retention.time=30d", rules=files) as server:
            taken = evaluations(server, groups, size.rounds)
            found = {
                "series": server.value('count({__name__=~".+"})'),
                "recorded_series": server.value('count({__name__=~"mlobs:.+"})'),
                "tiles_a_day": server.value("min(count_over_time(mlobs:feature_observations:increase5m[1d]))"),
                "calls_in_3d": server.value("min(count_over_time(mlobs_prediction_duration_seconds_count[3d]))"),
            }
    return {
        "features": size.features,
        "replicas": size.replicas,
        **found,
        "groups": {
            group: {
                "rules": about.rules,
                "interval_s": about.interval,
                "median_s": median(taken[group]),
                "most_s": max(taken[group]),
                "share": max(taken[group]) / about.interval,
            }
            for group, about in groups.items()
        },
        "goal": GOAL,
    }


def main() -> None:
    """Measure, then print a table or one JSON object; say so where there is no Prometheus."""
    chosen = options(__doc__)
    from tests.backends.tools import build

    report: dict[str, Any]
    if build.place("prometheus").exists():
        report = measure(quick=chosen.quick)
    else:
        report = {"skipped": "Prometheus is not built. Try: python tests/backends/tools/build.py prometheus"}
    report["environment"] = environment("opentelemetry-proto")
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    if "skipped" in report:
        return f"{header(report['environment'])}\n{report['skipped']}"
    title = (
        f"{report['features']} features, {report['replicas']} replicas: {report['series']:,.0f} series, "
        f"{report['recorded_series']:,.0f} of them recorded, "
        f"{report['tiles_a_day']:,.0f} tiles in the last day (goal: under {report['goal']:.0%} of the interval)"
    )
    rows = [
        [name, one["rules"], one["interval_s"], one["median_s"], one["most_s"], f"{one['share']:.2%}"]
        for name, one in report["groups"].items()
    ]
    columns = ["group", "rules", "interval s", "median s", "most s", "most, of the interval"]
    return "\n".join([header(report["environment"]), table(title, columns, rows)])


if __name__ == "__main__":
    main()
