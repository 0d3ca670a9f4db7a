"""The history, told to a Prometheus by OTLP, and what its rules make of it.

Whatever a rule records, and whatever alerts, is asked of Prometheus at each point and told back to it, in the order of the
files: as if the rules had been there all along. It has to take samples that come days late (`out_of_order_time_window`).
"""

from __future__ import annotations

import gzip
import json
import math
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric
from tests.backends.history import DAY, DAYS, JOB, PROCESSES, STEP, Floats, Series, bounds, times, told
from tests.backends.promtool import RULES
from tests.backends.server import Prometheus

from mlobs.otel.instrument import Instrument

TILE: Final = 300  # seconds between two evaluations of rules
RECORDED: Final = 10 * 3600  # seconds up to now for which rules other than tiles are recorded


def tell(server: Prometheus, now: float) -> Floats:
    """Tell it all of the history: exports, then what rules make of them. Returns the times of the exports."""
    at = times(now)
    for index, process in enumerate(PROCESSES):
        export(server, process, list(told(index, at)), at)
    for kind in ("rules", "alerts"):
        for file in sorted(RULES.glob(f"mlobs-*.{kind}.yml")):
            for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
                for rule in group["rules"]:
                    _record(server, rule, at)
    return at


def export(server: Prometheus, process: str, series: list[Series], at: Floats) -> None:
    """Tell what a process exported, in requests of an hour each: points made once, and given new numbers and times."""
    hour = 3600 // STEP
    for first in range(0, len(at), hour):
        request = ExportMetricsServiceRequest()
        of_process = request.resource_metrics.add()
        _set(of_process.resource.attributes, {"service.name": JOB, "service.instance.id": process})
        scope = of_process.scope_metrics.add()
        metrics: dict[Instrument, Metric] = {}
        for one in series:
            for index in range(first, min(first + hour, len(at))):
                if np.isnan(one.values[index]).any():
                    continue
                if one.instrument not in metrics:
                    metrics[one.instrument] = scope.metrics.add(name=one.instrument.name, unit=one.instrument.unit)
                recent = index > len(at) - hour
                _point(metrics[one.instrument], one, one.values[index], (at[0], at[index]), exemplar=recent)
        post(server, request)


def _point(metric: Metric, one: Series, value: Any, span: tuple[float, float], *, exemplar: bool) -> None:
    kind = one.instrument.kind
    stamps = {"start_time_unix_nano": int(span[0] * 1e9), "time_unix_nano": int(span[1] * 1e9)}
    if kind == "histogram":
        metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        edges = bounds(one.instrument)[: len(value) - 1]
        point: Any = metric.histogram.data_points.add(
            **stamps, count=int(value.sum()), sum=float(value.sum()) * 0.03, bucket_counts=value.astype(int).tolist(),
            explicit_bounds=edges,
        )  # fmt: skip
        if exemplar:
            point.exemplars.add(
                time_unix_nano=stamps["time_unix_nano"], as_double=0.03, trace_id=b"\x01" * 16, span_id=b"\x02" * 8
            )
    elif kind == "exponential":
        metric.exponential_histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        counts = value.astype(int).tolist()
        point = metric.exponential_histogram.data_points.add(**stamps, count=sum(counts), scale=1)
        point.positive.bucket_counts.extend(counts)
    else:
        holder = metric.gauge if kind == "gauge" else metric.sum
        if kind != "gauge":
            metric.sum.is_monotonic = kind == "counter"
            metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        point = holder.data_points.add(**stamps, as_double=float(value))
    _set(point.attributes, one.attributes)


def _record(server: Prometheus, rule: Mapping[str, Any], at: Floats) -> None:
    """What a rule would have recorded, or an alert told while it fired (whatever its ``for`` is)."""
    record = rule.get("record")
    tiles = record is not None and record.endswith("increase5m")
    end = math.floor(at[-1] / TILE) * TILE
    begin = end - (DAYS * DAY if tiles else RECORDED)
    firing = {"alertname": rule.get("alert", ""), "alertstate": "firing"}
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=record or "ALERTS")
    for found in ranged(server, rule["expr"], begin, end, TILE):
        labels = {key: value for key, value in found["metric"].items() if key != "__name__"}
        labels |= {**rule.get("labels", {}), **({} if record else firing)}
        for time, value in found.get("values", ()):
            point = metric.gauge.data_points.add(
                time_unix_nano=int(time * 1e9), as_double=float(value) if record else 1.0
            )
            _set(point.attributes, labels)
    if metric.gauge.data_points:
        post(server, request)


def _set(attributes: Any, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        pair: KeyValue = attributes.add(key=key)
        pair.value.string_value = value


def post(server: Prometheus, request: ExportMetricsServiceRequest) -> None:
    """Hand it over; raises HTTPError where it is not taken."""
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    body = gzip.compress(request.SerializeToString(), 1)
    with urllib.request.urlopen(urllib.request.Request(server.metrics_endpoint, body, headers), timeout=120):
        pass


def asked(server: Prometheus, path: str, **parameters: str) -> Any:
    """The data of an answer of the query API; raises HTTPError with what is wrong with the query."""
    body = urllib.parse.urlencode(parameters).encode()
    with urllib.request.urlopen(f"{server.url}/api/v1/{path}", body, timeout=120) as answer:
        return json.load(answer)["data"]


def ranged(server: Prometheus, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
    """A range query's series."""
    found: list[dict[str, Any]] = asked(
        server, "query_range", query=expr, start=repr(start), end=repr(end), step=repr(step)
    )["result"]
    return found
