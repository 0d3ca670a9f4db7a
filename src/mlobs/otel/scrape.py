"""The same counts for a Prometheus that scrapes: a collector for `prometheus_client`, without a second bookkeeping.

Names follow OpenTelemetry's translation: dots become underscores, the unit is appended, counters end in ``_total``,
gauges of unit 1 that are ratios keep their ``_ratio``. Needs the extra ``prometheus``.
"""

from __future__ import annotations

import functools
import http.client
import itertools
import math
import re
import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

from mlobs.errors import MissingDependencyError
from mlobs.otel.answer import Answer
from mlobs.otel.points import Histogram, Numbers
from mlobs.otel.told import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlobs.otel.instrument import Instrument
    from mlobs.otel.points import Attributes, Collected

_NO_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]")
_PORT: Final = 9464
_PATIENCE: Final = 2.0  # seconds, until somebody at the same machine answers
_MOST: Final = 65535
_UNITS: Final = {"s": "seconds", "By": "bytes", "1": "ratio", "W": "watts", "J": "joules", "Cel": "celsius"}


def metric_name(instrument: Instrument) -> str:
    """The name Prometheus knows a metric by, without ``_total`` and ``_bucket``."""
    name = instrument.name.replace(".", "_")
    unit = _UNITS.get(instrument.unit, "") if not instrument.unit.startswith("{") else ""
    return name if not unit or name.endswith(f"_{unit}") else f"{name}_{unit}"


class Collector:
    """Yields metric families of `prometheus_client` from what ``collect`` says at the time of the scrape.

    Exponential histograms have no place in the text format and are left out; over OTLP they are sent.
    """

    def __init__(self, collect: Callable[[], Collected], resource: Mapping[str, Any] | None) -> None:
        """Without a resource somebody else says who is scraped."""
        self._collect = collect
        self._target = None if resource is None else {str(key): str(value) for key, value in resource.items()}
        self.asked = 0

    def collect(self) -> Iterator[Any]:
        """One family a metric, as `prometheus_client.registry` asks for them."""
        from prometheus_client.core import Metric

        self.asked += 1
        if self._target is not None:
            info = Metric("target", "What is scraped.", "gauge")
            info.add_sample("target_info", _labels(self._target.items()), 1)
            yield info
        families: dict[str, Any] = {}
        for points in self._collect().points:
            name = metric_name(points.instrument)
            kind = {"counter": "counter", "histogram": "histogram"}.get(points.instrument.kind, "gauge")
            if isinstance(points, (Numbers, Histogram)):
                family = families.get(name)
                if family is None:
                    family = families[name] = Metric(name, points.instrument.description, kind)
                (_add_numbers if isinstance(points, Numbers) else _add_histogram)(family, name, points)
        yield from families.values()

    def describe(self) -> list[Any]:
        """Nothing: names are known when there is something to say."""
        return []


def _add_numbers(family: Any, name: str, points: Any) -> None:  # noqa: ANN401 - prometheus_client is an extra
    suffix = "_total" if points.instrument.kind == "counter" else ""
    for each, value in zip(points.each, points.values, strict=True):
        family.add_sample(name + suffix, _labels(_pairs(points.attributes, each)), value)


def _add_histogram(family: Any, name: str, points: Any) -> None:  # noqa: ANN401 - prometheus_client is an extra
    from prometheus_client.samples import Exemplar
    from prometheus_client.utils import floatToGoString

    labels = _labels(points.attributes.items())
    bounds = [*points.bounds, math.inf]
    lower = [-math.inf, *points.bounds]
    for low, bound, count in zip(lower, bounds, itertools.accumulate(points.counts), strict=True):
        found = next((e for e in points.exemplars if low < e.value <= bound), None)
        exemplar = found and Exemplar(
            {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"},
            found.value,
            found.time_unix_nano / 1e9,
        )
        family.add_sample(f"{name}_bucket", {**labels, "le": floatToGoString(bound)}, count, exemplar=exemplar)
    family.add_sample(f"{name}_count", labels, sum(points.counts))
    family.add_sample(f"{name}_sum", labels, points.total)


def _pairs(attributes: Attributes, each: Attributes) -> tuple[tuple[str, str], ...]:
    return attributes.items() + each.items()


def _labels(pairs: Any) -> dict[str, str]:  # noqa: ANN401 - any pairs of texts
    """Names as Prometheus has them. Values of keys that become one name are joined, as OpenTelemetry's specification says."""
    found: dict[str, list[str]] = {}
    for key, value in sorted(pairs):
        found.setdefault(label_name(key), []).append(value)
    return {name: ";".join(values) for name, values in found.items()}


@functools.lru_cache(1024)
def label_name(key: str) -> str:
    """The name Prometheus knows an attribute by."""
    name = _NO_LABEL.sub("_", key)
    return f"key_{name}" if name[:1].isdecimal() else name


class ScrapeExporter:
    """Serves ``/metrics`` where OTEL_METRICS_EXPORTER=prometheus asks for it; there is nothing to push.

    OTEL_EXPORTER_PROMETHEUS_HOST and _PORT say where, ``localhost`` and 9464 by default. Where this very process serves there
    already, as OpenTelemetry's exporter does under its agent, what is served has mlobs' metrics, too.
    """

    deltas: Final = None  # whoever scrapes gets all of it

    def __init__(
        self, environ: Mapping[str, str], collect: Callable[[], Collected], resource: Mapping[str, Any]
    ) -> None:
        """Raises MissingDependencyError without prometheus_client, OSError where the port is taken."""
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError as error:
            message = "OTEL_METRICS_EXPORTER=prometheus needs prometheus_client. Try: pip install prometheus-client"
            raise MissingDependencyError(message) from error
        registry = CollectorRegistry()
        registry.register(Collector(collect, resource))
        host = environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "").strip() or "localhost"
        self.port: int = port(environ)
        self._server: Any = None
        self._guest = Collector(collect, None)
        try:
            self._server, _ = start_http_server(self.port, host, registry=registry)
        except OSError:
            if not _served(self._guest, host, self.port):
                raise
        else:
            self.port = self._server.server_port

    def export(self, collected: Collected, timeout: float) -> Answer:
        """Nothing to do: whoever scrapes, collects."""
        del collected, timeout
        return Answer(delivered=True)

    def close(self, *, over: bool = True) -> None:
        """Stop serving: at once, for somebody may be about to take the port again."""
        del over
        if self._server is None:
            from prometheus_client import REGISTRY

            REGISTRY.unregister(self._guest)
            return
        with suppress(OSError):  # not every system's
            self._server.socket.shutdown(socket.SHUT_RDWR)  # its thread would look up in half a second
        self._server.shutdown()
        self._server.server_close()


def _served(collector: Collector, host: str, port: int) -> bool:
    """Whether a port that is taken is of this process' own registry, which has the collector from now on if so."""
    from prometheus_client import REGISTRY

    REGISTRY.register(collector)
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    with suppress(Exception), closing(connection):  # whatever listens there
        connection.request("GET", "/metrics")
        connection.getresponse().read()
    if collector.asked:
        return True
    REGISTRY.unregister(collector)
    return False


def port(environ: Mapping[str, str]) -> int:
    """Where metrics are served; told once where OTEL_EXPORTER_PROMETHEUS_PORT is no port."""
    text = environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", "").strip()
    try:
        found = int(text or _PORT)
    except ValueError:
        found = -1
    if not 0 <= found <= _MOST:
        tell("OTEL_EXPORTER_PROMETHEUS_PORT=%r is not a number of a port: using %d", text, _PORT)
        return _PORT
    return found
