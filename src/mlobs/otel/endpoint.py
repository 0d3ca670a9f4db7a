"""Where a signal goes, as the OTEL_EXPORTER_OTLP_* variables say it.

OpenTelemetry's exporter specification: a variable of the signal wins over the general one; the general endpoint gets
``/v1/<signal>`` appended, a signal's own is used as it is. Timeouts are seconds, as in OpenTelemetry Python.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from mlobs.otel.address import address, user
from mlobs.otel.chosen import protocol_of
from mlobs.otel.headers import Headers, headers
from mlobs.otel.secrets import Secrets, in_url, shown
from mlobs.otel.told import tell

if TYPE_CHECKING:
    from collections.abc import Mapping

Signal = Literal["metrics", "traces"]
Temporality = Literal["cumulative", "delta"]

_PIECES: Final = (
    "ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY",
)  # fmt: skip
_COMPRESSIONS: Final = ("none", "gzip", "deflate")
_PROVIDER: Final = "OTEL_PYTHON_EXPORTER_OTLP_GRPC_{}CREDENTIAL_PROVIDER"
_TEMPORALITIES: Final = ("cumulative", "delta", "lowmemory")


class Endpoint(NamedTuple):
    """One signal's destination. A user and a password in its URL have become a header."""

    url: str = "http://localhost:4318/v1/metrics"
    headers: Headers = ()
    timeout: float = 10.0
    compression: str = "none"
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    insecure: bool = False  # of gRPC where the URL has no http:// or https://
    provider: str = ""  # of gRPC's credentials
    named: tuple[tuple[str, str], ...] = ()  # what says a piece, where that is not the general variable

    @classmethod
    def of(cls, environ: Mapping[str, str], signal: Signal, *, base: str | None = None, grpc: bool = False) -> Endpoint:
        """The endpoint of a signal; ``base`` takes the place of OTEL_EXPORTER_OTLP_ENDPOINT.

        A value that cannot hold is told once in the log and the default is used: observing must not stop a start.
        """
        specific = f"OTEL_EXPORTER_OTLP_{signal.upper()}_"

        def get(name: str) -> str | None:
            own = environ.get(specific + name, "").strip()
            return own or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() or None

        own = environ.get(f"{specific}ENDPOINT", "").strip() if base is None else ""
        general = base or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        if grpc:
            url = own or general or "http://localhost:4317"
        else:
            url = own or f"{(general or 'http://localhost:4318').rstrip('/')}/v1/{signal}"
        url, who = user(url)
        named = {piece: specific + piece for piece in _PIECES if environ.get(specific + piece, "").strip()}
        if base is not None:
            named["ENDPOINT"] = "endpoint= of mlobs.configure"
        sent = headers(get("HEADERS") or "", _variable(named, "HEADERS"), grpc=grpc)
        if who is not None and not any(name.lower() == "authorization" for name, _ in sent):
            basic = "Basic " + base64.b64encode(who.encode("utf-8", "surrogateescape")).decode()
            sent = (*sent, ("authorization" if grpc else "Authorization", basic))
        compression = (get("COMPRESSION") or "none").lower()
        if compression not in _COMPRESSIONS:
            allowed = ", ".join(_COMPRESSIONS)
            tell("%s=%r is none of %s: not compressing", _variable(named, "COMPRESSION"), compression, allowed)
            compression = "none"
        return cls(
            url=url,
            headers=sent,
            timeout=_seconds(get("TIMEOUT"), _variable(named, "TIMEOUT")),
            compression=compression,
            certificate=get("CERTIFICATE"),
            client_certificate=get("CLIENT_CERTIFICATE"),
            client_key=get("CLIENT_KEY"),
            insecure=(get("INSECURE") or "").lower() == "true",
            provider=environ.get(_PROVIDER.format(f"{signal.upper()}_")) or environ.get(_PROVIDER.format(""), ""),
            named=tuple(named.items()),
        )

    def variable(self, piece: str) -> str:
        """What says a piece, ``ENDPOINT`` say: the signal's own variable, or what the program gave, else the general one."""
        return _variable(dict(self.named), piece)

    @property
    def shown(self) -> str:
        """Its URL as it may be told."""
        return shown(self.url)

    @property
    def secrets(self) -> Secrets:
        """What of it may not be told."""
        return Secrets([*(value for _, value in self.headers), *in_url(self.url)])

    def wrong(self, *, grpc: bool = False) -> str:
        """Why nothing can be sent there, and the cure, in a line; nothing where something can."""
        why = address(self.url, grpc=grpc).wrong
        return why and f"{self.shown} is no URL to send to: {why}. Correct {self.variable('ENDPOINT')}."


def protocol(environ: Mapping[str, str], signal: Signal) -> str:
    """``http/protobuf`` unless the environment says ``grpc``."""
    said = protocol_of(environ, signal)
    if said is not None:
        return said
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        found = environ.get(variable, "").strip()
        if found.lower() in ("grpc", "http/protobuf"):
            return found.lower()
        if found:
            tell("%s=%r is not grpc or http/protobuf: using http/protobuf", variable, found)
            break
    return "http/protobuf"


def temporality(environ: Mapping[str, str]) -> Temporality:
    """``cumulative`` unless the environment asks for deltas; ``lowmemory`` asks for them too."""
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    wanted = environ.get(name, "").strip().lower()
    if wanted not in ("", *_TEMPORALITIES):
        tell("%s=%r is none of %s: using cumulative", name, wanted, ", ".join(_TEMPORALITIES))
    return "delta" if wanted in _TEMPORALITIES[1:] else "cumulative"


def _variable(named: Mapping[str, str], piece: str) -> str:
    return named.get(piece) or f"OTEL_EXPORTER_OTLP_{piece}"


def _seconds(text: str | None, name: str) -> float:
    try:
        seconds = float(text) if text else 10.0
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        tell("%s=%r is not a number of seconds: using 10", name, text)
        return 10.0
    return seconds
