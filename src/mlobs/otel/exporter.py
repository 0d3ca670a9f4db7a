"""The ways metrics leave the process: OTLP/HTTP by mlobs itself, or any MetricExporter of OpenTelemetry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from mlobs.otel.answer import Answer, undelivered
from mlobs.otel.chosen import chosen
from mlobs.otel.endpoint import temporality
from mlobs.otel.way import Way, way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource

    from mlobs.otel.deltas import Deltas
    from mlobs.otel.points import Collected

_MOST: Final = 2_000_000  # bytes of a request; gRPC takes 4 MiB, and nginx 1 MiB, which is found out
_SMALLEST: Final = 50_000
_LEAST: Final = 0.05  # seconds for a request of an export whose time is nearly over
_SOON: Final = 1000  # milliseconds: somebody waits


class Exporter(Protocol):
    """Sends what was collected. Values are cumulative, so a failed export loses nothing: the next one has it."""

    @property
    def deltas(self) -> Deltas | None:
        """What remembers what was delivered, where deltas are sent."""

    def export(self, collected: Collected, timeout: float) -> Answer:
        """Send once, within about ``timeout`` seconds. Never raises."""

    def close(self, *, over: bool = True) -> None:
        """Let go of what is held; where the process is not ``over``, there may be other exports, by another of these."""


class OtlpExporter:
    """OTLP over HTTP or gRPC with protobuf bytes made by `wire`, in as many requests as it takes."""

    def __init__(self, way: Way, resource: Resource, deltas: Deltas | None) -> None:
        self._way = way
        self._resource = dict(resource.attributes)
        self.deltas = deltas
        self._most = _MOST

    def export(self, collected: Collected, timeout: float) -> Answer:
        """Encode, send, and remember what arrived. The first request that fails is the last one."""
        from mlobs.otel import wire
        from mlobs.otel.partial import judged

        deadline = time.monotonic() + timeout
        delta = self.deltas is not None
        fresh = self.deltas.since(collected) if self.deltas else collected
        first, rejected, problem = 0, 0, ""
        while first < len(fresh.points):
            body, end = wire.part(fresh, self._resource, first, self._most, delta=delta)
            answer = self._way.post(body, max(_LEAST, deadline - time.monotonic()))
            if answer.large and end - first > 1 and self._most > _SMALLEST:
                self._most = max(_SMALLEST, min(self._most, len(body)) // 2)  # from now on
                continue
            if not answer.delivered:
                return answer._replace(rejected=rejected)
            answer = judged(answer, self._way.endpoint)
            rejected, problem = rejected + answer.rejected, answer.problem or problem
            if self.deltas:
                self.deltas.arrived(collected, first, end)
            first = end
        return Answer(delivered=True, rejected=rejected, problem=problem)

    def close(self, *, over: bool = True) -> None:
        """Nothing is held between exports."""


class SdkExporter:
    """Any `opentelemetry.sdk.metrics.export.MetricExporter`: console, in memory, the user's own."""

    def __init__(
        self, exporter: MetricExporter, resource: Resource, deltas: Deltas | None, *, given: bool = False
    ) -> None:
        """``given``: it is the user's own, and others may go on with it."""
        from mlobs.otel import metricsdata  # noqa: F401 - loaded where no fork comes in between

        self._exporter = exporter
        self._given = given
        self._resource = resource
        self.deltas = deltas

    def export(self, collected: Collected, timeout: float) -> Answer:
        """Hand over the SDK's dataclasses."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        from mlobs.otel.metricsdata import metrics_data

        fresh = self.deltas.since(collected) if self.deltas else collected
        data = metrics_data(fresh, self._resource, delta=self.deltas is not None)
        try:
            result = self._exporter.export(data, timeout_millis=timeout * 1000)
        except Exception as error:  # noqa: BLE001 - a foreign exporter may raise anything
            return undelivered(self._exporter, error)
        if result is not MetricExportResult.SUCCESS:
            return undelivered(self._exporter)
        if self.deltas:
            self.deltas.arrived(collected)
        return Answer(delivered=True)

    def close(self, *, over: bool = True) -> None:
        """Shut the exporter down; one that was given, and would export nothing afterwards, only when all is over."""
        if over or not self._given:
            self._exporter.shutdown()
        else:
            self._exporter.force_flush(timeout_millis=_SOON)


def exporter(
    environ: Mapping[str, str],
    resource: Resource,
    collect: Callable[[], Collected],
    deltas: Deltas,
    *,
    endpoint: str | None = None,
    given: MetricExporter | None = None,
) -> Exporter | None:
    """The exporter that the environment asks for, or ``given``; None where metrics go nowhere.

    ``collect`` is what an exporter calls that is asked rather than told; ``deltas`` remembers what was delivered,
    for those that send deltas.

    OTEL_METRICS_EXPORTER: ``otlp`` (default), ``console``, ``prometheus``, ``none``.
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: ``cumulative`` (default), ``delta``, ``lowmemory``.
    """
    if given is not None:
        return SdkExporter(given, resource, deltas if _takes_deltas(given, environ) else None, given=True)
    sent = deltas if temporality(environ) == "delta" else None
    wanted = chosen(environ, "metrics")
    if wanted == "none":
        return None
    if wanted == "prometheus":
        from mlobs.otel.scrape import ScrapeExporter

        return ScrapeExporter(environ, collect, dict(resource.attributes))
    if wanted == "console":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

        return SdkExporter(ConsoleMetricExporter(), resource, sent)
    return OtlpExporter(way(environ, "metrics", endpoint), resource, sent)


def _takes_deltas(given: MetricExporter, environ: Mapping[str, str]) -> bool:
    """What an exporter was made to prefer for counters, as the SDK's readers ask it; the environment's where it says nothing."""
    from opentelemetry.sdk.metrics import Counter
    from opentelemetry.sdk.metrics.export import AggregationTemporality

    preferred = getattr(given, "_preferred_temporality", None) or {}
    if Counter in preferred:
        return bool(preferred[Counter] == AggregationTemporality.DELTA)
    return temporality(environ) == "delta"
