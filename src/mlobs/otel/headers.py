"""Headers as OTEL_EXPORTER_OTLP_HEADERS says them, without those that no request can have.

A header that cannot be sent would fail every export, in words that quote it. So it is left out and told here, by its name.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from mlobs.otel.told import tell

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_KEY: Final = re.compile(r"[0-9a-z_.-]+")  # of gRPC's metadata
_ASCII: Final = re.compile(r"[\x20-\x7e]*")
# what the body is, is not for others to say
_OURS: Final = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "te", "transfer-encoding"}
)

Headers = tuple[tuple[str, str], ...]


def headers(text: str, variable: str, *, grpc: bool = False) -> Headers:
    """The pairs of ``key=value,key=value``, percent-decoded; ``grpc``: with names and values as gRPC has them."""
    items = [item for item in text.split(",") if item.strip()]
    broken = sum("=" not in item for item in items)
    if broken:
        tell("%s has %d parts that are not key=value: leaving them out", variable, broken)
    found, nameless = [], 0
    for item in items:
        key, mark, value = item.partition("=")
        name, said = unquote(key).strip(), unquote(value).strip()
        if grpc:
            name = name.lower()
        if not mark:
            continue
        if not (_KEY if grpc else _NAME).fullmatch(name):
            nameless += 1  # what stands there may be a secret
        elif name.lower() in _OURS:
            tell("%s sets %s, which mlobs sets itself: leaving it out", variable, name)
        elif not (_ASCII if grpc else _VALUE).fullmatch(said):
            tell(
                "%s: the value of %s has a character that no header can have, a line break say: leaving it out",
                variable,
                name,
            )
        else:
            found.append((name, said))
    if nameless:
        tell(
            "%s has %d parts whose name no header can have, with quotation marks say: leaving them out",
            variable,
            nameless,
        )
    return tuple(found)
