"""What a receiver that took a request says of it: how many items it left out, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from mlobs.otel.told import tell

if TYPE_CHECKING:
    from mlobs.otel.answer import Answer
    from mlobs.otel.endpoint import Endpoint


def judged(answer: Answer, endpoint: Endpoint, *, spans: bool = False) -> Answer:
    """An answer with what its body says. A receiver that took everything and says something is told once, in its first words.

    It may use others in each answer, with a time or the name of a request in them.
    """
    if not answer.delivered or not answer.body:
        return answer
    count, said = rejected(answer.body, spans=spans)
    problem = said and f"{endpoint.shown} says: {endpoint.secrets.hide(said)}"
    if count:
        return answer._replace(rejected=count, problem=problem)
    if problem:
        signal = "spans" if spans else "metrics"
        said = problem[len(endpoint.shown) + 1 :]
        tell("%s took the %s and %s", endpoint.shown, signal, said, of=f"{endpoint.shown} {signal}")
    return answer


def rejected(body: bytes, *, spans: bool = False) -> tuple[int, str]:
    """How many points, or spans, a receiver's answer says it did not take, and why."""
    kind: Any = ExportTraceServiceResponse if spans else ExportMetricsServiceResponse
    try:
        if body.startswith(b"{"):
            found = json_format.Parse(body, kind(), ignore_unknown_fields=True).partial_success
        else:
            found = kind.FromString(body).partial_success
    except (DecodeError, ValueError, RecursionError, json_format.Error):  # it said yes, and no more than that
        return 0, ""
    return max(0, int(found.rejected_spans if spans else found.rejected_data_points)), str(found.error_message)
