"""The ways OTLP goes: over HTTP, or over gRPC where the environment says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mlobs.otel.endpoint import Endpoint, protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlobs.otel.answer import Answer
    from mlobs.otel.endpoint import Signal


class Way(Protocol):
    """Takes the bytes of requests to one endpoint."""

    endpoint: Endpoint

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send once, within about ``timeout`` seconds. Never raises."""


def way(environ: Mapping[str, str], signal: Signal, base: str | None) -> Way:
    """How a signal goes; ``base`` takes the place of OTEL_EXPORTER_OTLP_ENDPOINT. Raises what loading gRPC raises."""
    if protocol(environ, signal) == "grpc":
        from mlobs.otel.grpc import Grpc

        return Grpc(Endpoint.of(environ, signal, base=base, grpc=True), signal)
    from mlobs.otel.http import Http

    return Http(Endpoint.of(environ, signal, base=base))
