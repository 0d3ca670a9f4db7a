"""Where a signal goes, as the OTEL_EXPORTER_OTLP_* variables say it.

OpenTelemetry's exporter specification: a variable of the signal wins over the general one; the general endpoint gets
``/v1/<signal>`` appended, a signal's own is used as it is. Timeouts are seconds, as in OpenTelemetry Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import unquote

from mlobs.otel.told import tell

if TYPE_CHECKING:
    from collections.abc import Mapping

Signal = Literal["metrics", "traces"]
Temporality = Literal["cumulative", "delta"]

_COMPRESSIONS: Final = ("none", "gzip", "deflate")
_TEMPORALITIES: Final = ("cumulative", "delta", "lowmemory")


class Endpoint(NamedTuple):
    """One signal's destination over OTLP/HTTP."""

    url: str = "http://localhost:4318/v1/metrics"
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    compression: str = "none"
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], signal: Signal, *, base: str | None = None) -> Endpoint:
        """The endpoint of a signal; ``base`` takes the place of OTEL_EXPORTER_OTLP_ENDPOINT.

        A value that cannot hold is told once in the log and the default is used: observing must not stop a start.
        """

        def get(name: str) -> str | None:
            own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "").strip()
            return own or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() or None

        own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
        general = base or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
        url = own if own and base is None else f"{general.rstrip('/')}/v1/{signal}"
        compression = (get("COMPRESSION") or "none").lower()
        if compression not in _COMPRESSIONS:
            allowed = ", ".join(_COMPRESSIONS)
            tell("OTEL_EXPORTER_OTLP_COMPRESSION=%r is none of %s: not compressing", compression, allowed)
            compression = "none"
        return cls(
            url=url,
            headers=_headers(get("HEADERS") or ""),
            timeout=_seconds(get("TIMEOUT")),
            compression=compression,
            certificate=get("CERTIFICATE"),
            client_certificate=get("CLIENT_CERTIFICATE"),
            client_key=get("CLIENT_KEY"),
        )


def protocol(environ: Mapping[str, str], signal: Signal) -> str:
    """``http/protobuf`` unless the environment says ``grpc``."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "").strip()
    found = own or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or "http/protobuf"
    if found not in ("grpc", "http/protobuf"):
        tell("OTEL_EXPORTER_OTLP_PROTOCOL=%r is not grpc or http/protobuf: using http/protobuf", found)
        return "http/protobuf"
    return found


def temporality(environ: Mapping[str, str]) -> Temporality:
    """``cumulative`` unless the environment asks for deltas; ``lowmemory`` asks for them too."""
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    wanted = environ.get(name, "").strip().lower()
    if wanted not in ("", *_TEMPORALITIES):
        tell("%s=%r is none of %s: using cumulative", name, wanted, ", ".join(_TEMPORALITIES))
    return "delta" if wanted in _TEMPORALITIES[1:] else "cumulative"


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    broken = sum("=" not in item for item in text.split(",") if item.strip())
    if broken:
        tell("OTEL_EXPORTER_OTLP_HEADERS has %d parts that are not key=value: leaving them out", broken)
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return tuple((unquote(key).strip(), unquote(value).strip()) for key, _, value in pairs)


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text) if text else 10.0
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        tell("OTEL_EXPORTER_OTLP_TIMEOUT=%r is not a number of seconds: using 10", text)
        return 10.0
    return seconds
