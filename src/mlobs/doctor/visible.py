"""The fifth step: whether what was sent is in Prometheus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mlobs.doctor.finding import CANARY, PROMETHEUS, Finding, fail, ok, skipped, warn
from mlobs.doctor.installation import numbers
from mlobs.doctor.prometheus import PrometheusError
from mlobs.otel import names
from mlobs.otel.proxy import CURE
from mlobs.otel.scrape import metric_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlobs.doctor.canary import Canary
    from mlobs.doctor.prometheus import Prometheus
    from mlobs.doctor.setup import Setup

NAME: Final = f"{metric_name(names.SDK_CANARY)}_total"
LABEL: Final = names.CANARY_ID.replace(".", "_")
_EVERY: Final = 0.25  # seconds
_LEAST: Final = (2, 42)


def answering(prometheus: Prometheus) -> Finding:
    """Whether it answers, and is new enough for the rules."""
    try:
        version = prometheus.version()
    except PrometheusError as error:
        return fail(PROMETHEUS, str(error), _reachable(error))
    if numbers(version) and numbers(version) < _LEAST:
        return fail(PROMETHEUS, f"{prometheus.shown} is Prometheus {version}", "The rules need 2.42 or later.")
    return ok(PROMETHEUS, f"{prometheus.shown} is Prometheus {version}")


def _reachable(error: PrometheusError) -> str:
    if " 401 " in f" {error} " or " 403 " in f" {error} ":
        return "It wants credentials: a user and a password in front of the host of --prometheus"
    if " through the proxy " in str(error):
        return f"{CURE}."
    return (
        "Start it, or correct --prometheus: its base URL, as http://localhost:9090, with the path it is served under."
    )


def visible(
    setup: Setup,
    canary: Canary,
    prometheus: Prometheus,
    timeout: float,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Finding]:
    """Ask until it is there, or the time is over."""
    if setup.metrics.exporter == "prometheus":
        yield skipped(CANARY, "what is scraped comes from observed processes only: see cardinality, below")
        return
    if not canary.sent:
        yield skipped(CANARY, "it was not sent: see exporter, above")
        return
    began = time.monotonic()
    strange: str | None = None
    try:
        while True:
            found = prometheus.query(f'{NAME}{{{LABEL}="{canary.id}"}}')
            if found:
                yield from _seen(found[0]["metric"], time.monotonic() - began)
                return
            strange = strange or _otherwise(prometheus, canary)
            left = timeout - (time.monotonic() - began)
            if strange or left <= 0:
                break
            pause(min(_EVERY, left))
    except PrometheusError as error:
        yield fail(CANARY, f"{error}", _reachable(error))
        return
    if strange:
        cure = "Rules and dashboards need it as mlobs names it: underscores, suffixes, no prefix (translation_strategy: UnderscoreEscapingWithSuffixes in Prometheus; no namespace in the Collector's exporter)."
        yield fail(CANARY, f"it is in {prometheus.shown} under another name: {strange}", cure)
        return
    cure = "Does what took it send to this Prometheus? Look at the Collector's exporters and its log; a longer way needs a longer --timeout."
    yield fail(CANARY, f"it was taken, and is not in {prometheus.shown} after {timeout:g} s", cure)


def _seen(labels: dict[str, str], took: float) -> Iterator[Finding]:
    yield ok(CANARY, f"seen {took:.1f} s later, job {labels.get('job', '(none)')}")
    absent = [name for name in ("job", "instance") if not labels.get(name)]
    if absent:
        cure = (
            "Counters of two processes that look alike read as resets: let service.instance.id through as `instance`."
        )
        yield warn(CANARY, f"it has no label {' and no label '.join(absent)}", cure)


def _otherwise(prometheus: Prometheus, canary: Canary) -> str | None:
    """The name that it goes by elsewhere."""
    found = prometheus.query(f'{{__name__=~".*mlobs.sdk.canary.*", __name__!="{NAME}"}}')
    for series in found:
        if canary.id in series["metric"].values():
            return str(series["metric"]["__name__"])
    return None
