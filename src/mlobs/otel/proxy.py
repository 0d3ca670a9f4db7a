"""Whether exports go through a proxy: the environment says so, and no endpoint shows it."""

from __future__ import annotations

import os
import urllib.request
from typing import Final

from mlobs.otel.address import address
from mlobs.otel.secrets import shown

CURE: Final = "Correct HTTP_PROXY or HTTPS_PROXY, or name the host in NO_PROXY"
_OF_GRPC: Final = ("grpc_proxy", "https_proxy", "http_proxy")  # whatever the endpoint's scheme
_NOT_OF_GRPC: Final = ("no_grpc_proxy", "no_proxy")


def proxy(url: str, *, grpc: bool = False) -> str:
    """The proxy that urllib, or gRPC, sends requests to a URL through, without its password; empty where there is none."""
    place = address(url, grpc=grpc)
    if place.wrong or not place.host:
        return ""
    if grpc:
        found, no = (next(filter(None, map(os.environ.get, names)), "") for names in (_OF_GRPC, _NOT_OF_GRPC))
        passed = any(place.host.endswith(one.strip()) for one in no.split(",") if one.strip())
    else:
        found = urllib.request.getproxies().get(place.scheme, "")
        passed = bool(urllib.request.proxy_bypass(place.host))
    return "" if passed else shown(found)
