"""Where a signal goes, as the OTEL_EXPORTER_OTLP_* variables say it.

OpenTelemetry's exporter specification: a variable of the signal wins over the general one; the general endpoint gets
``/v1/<signal>`` appended, a signal's own is used as it is. Timeouts are seconds, as in OpenTelemetry Python.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

Signal = Literal["metrics", "traces"]

_logger = logging.getLogger("mlobs")
_COMPRESSIONS: Final = ("none", "gzip", "deflate")


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
            _logger.warning("OTEL_EXPORTER_OTLP_COMPRESSION=%r is none of %s: not compressing", compression,
                            ", ".join(_COMPRESSIONS))  # fmt: skip
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
        _logger.warning("OTEL_EXPORTER_OTLP_PROTOCOL=%r is not grpc or http/protobuf: using http/protobuf", found)
        return "http/protobuf"
    return found


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return tuple((unquote(key).strip(), unquote(value).strip()) for key, _, value in pairs)


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text) if text else 10.0
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        _logger.warning("OTEL_EXPORTER_OTLP_TIMEOUT=%r is not a number of seconds: using 10", text)
        return 10.0
    return seconds
