"""The third step: a canary through the exporter that an observed process would use, and the Collector's own word."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final

from mlobs.doctor.diagnosis import diagnose
from mlobs.doctor.finding import COLLECTOR, EXPORTER, TRACES, Finding, fail, ok, skipped, warn
from mlobs.otel.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.doctor.canary import Canary, Sent
    from mlobs.doctor.setup import Setup, Way
    from mlobs.otel.address import Address

_HEALTH: Final = 13133
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LOOK: Final = 2.0  # seconds
_LEAST: Final = 0.2  # seconds, however fast the first answer came


def exporting(setup: Setup, canary: Canary, timeout: float) -> Iterator[Finding]:
    """Metrics, then a span."""
    yield from _metrics(setup, canary, timeout)
    yield from _traces(setup, canary, timeout)


def _metrics(setup: Setup, canary: Canary, timeout: float) -> Iterator[Finding]:
    way = setup.metrics
    if not setup.settings.enabled:
        yield skipped(EXPORTER, "OTEL_SDK_DISABLED=true", "Unset it.")
    elif way.exporter == "none":
        yield warn(EXPORTER, "OTEL_METRICS_EXPORTER=none: no metrics leave", "Unset it to send them by OTLP.")
    elif way.exporter == "console":
        yield ok(EXPORTER, "OTEL_METRICS_EXPORTER=console: metrics are printed to standard output and sent nowhere")
    elif way.exporter == "prometheus":
        yield _served(setup)
    else:
        began = time.perf_counter()
        try:
            sent = canary.metrics(timeout)
        except Exception as error:  # noqa: BLE001 - a certificate, an exporter that cannot be loaded
            yield _unmade(EXPORTER, error)
            return
        yield _judged(EXPORTER, setup, way, sent, began)


def _traces(setup: Setup, canary: Canary, timeout: float) -> Iterator[Finding]:
    way = setup.traces
    if not setup.settings.enabled or way.exporter != "otlp":
        why = "OTEL_SDK_DISABLED=true" if not setup.settings.enabled else f"OTEL_TRACES_EXPORTER={way.exporter}"
        yield skipped(TRACES, why)
        return
    if setup.metrics.exporter == "otlp" and not canary.sent and _place(way) == _place(setup.metrics):
        yield skipped(TRACES, "they go where the metrics do not get through")
        return
    began = time.perf_counter()
    try:
        sent = canary.span(timeout)
    except Exception as error:  # noqa: BLE001 - as above
        yield _unmade(TRACES, error)
        return
    if sent is None:
        yield skipped(TRACES, "the sampler left the span out", "Try: OTEL_TRACES_SAMPLER=always_on mlobs doctor")
    else:
        yield _judged(TRACES, setup, way, sent, began)


def _judged(step: str, setup: Setup, way: Way, sent: Sent, began: float) -> Finding:
    took = time.perf_counter() - began
    if sent.answer.delivered and not sent.answer.rejected:
        return ok(step, f"{shown(way.url)} took it in {took * 1000:.0f} ms")
    return fail(step, *diagnose(setup, way, sent, max(took, _LEAST)))


def _unmade(step: str, error: Exception) -> Finding:
    cure = "Try: pip install --force-reinstall opentelemetry-exporter-otlp"
    return fail(step, f"the exporter cannot be made: {type(error).__name__}: {error}", cure)


def _place(way: Way) -> tuple[str, Address]:
    return way.protocol, way.address


def _served(setup: Setup) -> Finding:
    """A process that is scraped: whether one is running here, and serves."""
    host = setup.environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "").strip() or "localhost"
    port = setup.environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", "").strip() or "9464"
    if not port.isdecimal():
        return fail(EXPORTER, f"OTEL_EXPORTER_PROMETHEUS_PORT={port} is no port", "Give a number, or unset it.")
    url = f"http://{host}:{port}/metrics"
    status, body = _get(url)
    if status == 200 and "mlobs_" in body:
        return ok(EXPORTER, f"{url} serves {body.count(chr(10) + 'mlobs_')} series of mlobs to be scraped")
    if status == 200:
        return fail(EXPORTER, f"{url} serves no metrics of mlobs", "Another program has the port: choose another one.")
    said = f"nothing serves {url} now ({body})"
    return warn(EXPORTER, said, "It is served while an observed program runs: start it, and look again.")


# ── the Collector ───────────────────────────────────────────────────────────────────────────────────────────────────


def collector(setup: Setup, url: str | None) -> Finding:
    """Its health, where it was asked for, or answers at the usual place on this machine."""
    host = setup.metrics.address.host
    asked = url is not None
    if url is None:
        how = f"Try: --collector-health http://HOST:{_HEALTH}"
        if setup.metrics.exporter != "otlp" or host not in _LOCAL:
            return skipped(COLLECTOR, "not asked", how)
        url = f"http://{'[::1]' if host == '::1' else host}:{_HEALTH}"
    status, body = _get(url)
    if status == 200:
        return ok(COLLECTOR, f"{shown(url)} is well{_since(body)}")
    if not asked:
        return skipped(COLLECTOR, f"not asked, and nothing at {url} says that it is a Collector's health", how)
    if status:
        said = f"{shown(url)} answered {status}"
        return fail(COLLECTOR, said, "503: it is starting or stopping, or a component failed; its log says which.")
    cure = "Add the extension health_check to the Collector (service.extensions), as collector-config/ has it."
    return fail(COLLECTOR, f"{shown(url)} does not answer: {body}", cure)


def _get(url: str) -> tuple[int, str]:
    """Status and body; 0 and the reason where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=_LOOK) as response:  # noqa: S310 - the operator's own
            return int(response.status), response.read(2**20).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it does not answer
        return 0, str(getattr(error, "reason", error))


def _since(body: str) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    since = found.get("upSince") if isinstance(found, dict) else None
    return f", up since {since[:19]}" if isinstance(since, str) else ""
