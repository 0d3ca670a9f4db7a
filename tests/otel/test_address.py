"""An endpoint that leads nowhere is one clear line, for a service and for the doctor."""

from __future__ import annotations

import pytest

from mlobs.otel.address import address
from mlobs.otel.endpoint import Endpoint
from mlobs.otel.grpc import Grpc
from mlobs.otel.http import Http

BROKEN = {
    "http://localhost:${OTEL_PORT}": "port",
    "http://localhost:abc": "port",
    "http://localhost:99999": "port",
    "http://localhost:0": "port",
    "http://[::1": "brackets",
    "http://": "no host",
    "http://local host:4318": "space",
}


@pytest.mark.parametrize("url", [*BROKEN, "localhost:4318", "ftp://localhost"])
def test_a_broken_endpoint_is_one_line(url: str) -> None:
    """It says what is wrong with which URL, and what to correct, which is what said it; nothing is raised."""
    own = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    for place, endpoint in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": Endpoint.of({"OTEL_EXPORTER_OTLP_ENDPOINT": url}, "metrics"),
        own: Endpoint.of({own: url, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "metrics"),
        "endpoint= of mlobs.configure": Endpoint.of({own: "http://c"}, "metrics", base=url),
    }.items():
        answer = Http(endpoint).post(b"", 1)
        assert BROKEN.get(url, "http:// or https://") in answer.problem
        assert url.rstrip("/") in answer.problem
        assert answer.problem.endswith(f". Correct {place}.")
        assert "\n" not in answer.problem


@pytest.mark.parametrize("url", BROKEN)
def test_and_so_over_grpc(url: str) -> None:
    """The same words, before anything is called."""
    endpoint = Endpoint.of({}, "traces", base=url, grpc=True)
    answer = Grpc(endpoint, "traces").post(b"", 1)
    assert answer.problem == endpoint.wrong(grpc=True)
    assert BROKEN[url] in answer.problem


@pytest.mark.parametrize(
    "url", ["localhost:4317", "http://[::1]:4317", "unix:///run/otel.sock", "ipv4:127.0.0.1:4317", "dns:///c"]
)
def test_what_grpc_takes(url: str) -> None:
    """A host and a port without a scheme, and names of gRPC's own."""
    assert address(url, grpc=True).wrong == ""


def test_host_and_port() -> None:
    """Both are read from either way of writing an endpoint."""
    assert address("https://c.example/v1")[:3] == ("https", "c.example", None)
    assert address("http://[::1]:4318")[:3] == ("http", "::1", 4318)
    assert address("c:4317", grpc=True)[:3] == ("", "c", 4317)
