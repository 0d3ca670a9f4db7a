"""Where a URL leads."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

_SCHEMES: Final = ("http", "https")
_OWN: Final = re.compile(r"(unix|unix-abstract|ipv4|ipv6|dns|vsock|xds):")  # gRPC's naming
_NO_PLACE: Final = re.compile(r"[\x00-\x20\x7f]")


class Address(NamedTuple):
    """Host and port of a URL; ``wrong`` says, without quoting it, why it leads nowhere."""

    scheme: str = ""
    host: str = ""
    port: int | None = None
    wrong: str = ""


def address(url: str, *, grpc: bool = False) -> Address:
    """The address in a URL. ``grpc``: also one without a scheme, and one of gRPC's own, as ``unix:///run/otel.sock``."""
    if grpc and (own := _OWN.match(url)):
        return Address(own[1])
    bare = grpc and "//" not in url
    try:
        parts = urlsplit(f"//{url}" if bare else url)
        found = Address(parts.scheme, parts.hostname or "")
    except ValueError:
        return Address(wrong="its host is none; an IPv6 address stands in brackets, as http://[::1]:4318")
    try:
        port = parts.port
    except ValueError:
        port = 0
    found = found._replace(port=port)
    return found._replace(wrong=_wrong(url, found, bare=bare))


def _wrong(url: str, found: Address, *, bare: bool) -> str:
    checks = (
        (bare and "@" in url, "a user and a password need http:// or https:// in front"),
        (not bare and found.scheme not in _SCHEMES, "it needs http:// or https:// in front, as http://localhost:4318"),
        (not found.host, "it names no host"),
        (found.port == 0, "its port is no number from 1 to 65535, as where a variable was not expanded"),
        (_NO_PLACE.search(url), "it has a space or a line break in it"),
    )
    return next((why for holds, why in checks if holds), "")


def user(url: str) -> tuple[str, str | None]:
    """A URL without the user and the password in it, and these two, as ``name:password``, if there are any."""
    try:
        parts = urlsplit(url)
        name = parts.username
    except ValueError:
        return url, None
    if name is None or not parts.scheme:
        return url, None
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return plain, f"{unquote(name)}:{unquote(parts.password or '')}"
