"""The settings in force, and the first step: what of the environment they come from is wrong or ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.core.settings import Settings, from_environment
from mlobs.doctor.finding import ENVIRONMENT, Finding, fail, ok, warn
from mlobs.doctor.heard import heard
from mlobs.doctor.unusable import unusable
from mlobs.doctor.variables import misspelt
from mlobs.otel.address import Address, address
from mlobs.otel.chosen import chosen
from mlobs.otel.endpoint import Endpoint, Signal, protocol, temporality
from mlobs.otel.proxy import proxy
from mlobs.otel.scrape import port
from mlobs.otel.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GRPC: Final = "grpc"


class Way(NamedTuple):
    """How one signal leaves: ``exporter`` is otlp, console, prometheus or none."""

    signal: Signal
    exporter: str
    protocol: str
    endpoint: Endpoint

    @property
    def url(self) -> str:
        """Where to."""
        return self.endpoint.url

    @property
    def address(self) -> Address:
        """Host and port of where to, or why there are none."""
        return address(self.url, grpc=self.protocol == GRPC)

    @property
    def proxy(self) -> str:
        """What stands in between, as the environment says; empty where nothing does."""
        return proxy(self.url, grpc=self.protocol == GRPC)


class Setup(NamedTuple):
    """What is in force."""

    environ: Mapping[str, str]
    settings: Settings
    metrics: Way
    traces: Way
    temporality: str

    @property
    def base(self) -> str | None:
        """The endpoint that was given as an argument."""
        return self.settings.endpoint

    @classmethod
    def of(cls, environ: Mapping[str, str], endpoint: str | None) -> tuple[Setup, list[Finding]]:
        """The setup, and what is to be said about it. Raises ConfigurationError for an endpoint that is no URL."""
        with heard("mlobs") as said:
            settings = from_environment(environ).changed(endpoint=endpoint)
            metrics, traces = _way(environ, "metrics", endpoint), _way(environ, "traces", endpoint)
            preferred = temporality(environ)
            port(environ)
        setup = cls(environ, settings, metrics, traces, preferred)
        found = [warn(ENVIRONMENT, *_halves(message)) for message in said]
        return setup, [*_told(setup), *found, *_wrong(setup), *misspelt(environ)]


def _way(environ: Mapping[str, str], signal: Signal, base: str | None) -> Way:
    how = protocol(environ, signal)
    endpoint = Endpoint.of(environ, signal, base=base, grpc=how == GRPC)
    return Way(signal, chosen(environ, signal), how, endpoint)


def _halves(message: str) -> tuple[str, str]:
    """What a warning of the log complains of, and what is done instead."""
    said, _, instead = message.rpartition(": ")
    return (said, f"Correct it, or unset it; meanwhile: {instead}.") if said else (message, "Correct it, or unset it.")


def _told(setup: Setup) -> Iterator[Finding]:
    """One line of what is in force."""
    if not setup.settings.enabled:
        yield fail(ENVIRONMENT, "OTEL_SDK_DISABLED=true: nothing is observed and nothing sent", "Unset it.")
        return
    way = setup.metrics
    about = [_leaving(way)]
    if way.exporter == "otlp":
        headers = ", ".join(key for key, _ in way.endpoint.headers)
        about += [
            f"headers {headers} (values not shown)" if headers else "no headers",
            setup.temporality,
            f"every {setup.settings.export_interval:g} s",
        ]
        if way.endpoint.compression != "none":
            about.append(way.endpoint.compression)
    about.append(f"traces by {_leaving(setup.traces)}")
    yield ok(ENVIRONMENT, f"metrics by {', '.join(about)}, service.name {service(setup.environ)}")


def _leaving(way: Way) -> str:
    if way.exporter != "otlp":
        return f"OTEL_{way.signal.upper()}_EXPORTER={way.exporter}"
    return f"OTLP {way.protocol} to {shown(way.url)}" + (f" through the proxy {way.proxy}" if way.proxy else "")


def service(environ: Mapping[str, str]) -> str:
    """The service's name as OpenTelemetry takes it from the environment."""
    pairs = (pair.partition("=") for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    named = [value.strip() for key, _, value in pairs if key.strip() == "service.name"]
    return environ.get("OTEL_SERVICE_NAME", "").strip() or (named[-1] if named else "unknown_service")


def _wrong(setup: Setup) -> Iterator[Finding]:
    """What no line of a log tells before something is sent, or at all."""
    environ = setup.environ
    for way in (setup.metrics, setup.traces):
        wrong = way.address.wrong
        if way.exporter == "otlp" and wrong:
            said = f"the endpoint of {way.signal}, {shown(way.url)}, is no URL to send to"
            yield fail(ENVIRONMENT, said, f"Correct it: {wrong}.")
    if not setup.settings.service_name and service(environ) == "unknown_service":
        said = "no service.name: backends show unknown_service, and all services of that name are one job"
        yield warn(ENVIRONMENT, said, "Set OTEL_SERVICE_NAME.")
    yield from unusable(environ, setup.settings)
