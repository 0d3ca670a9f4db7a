"""The receiver answers whatever is sent to its port, and goes on."""

from __future__ import annotations

import gzip
import http.client
import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlobs.demo.ledger import Ledger
from mlobs.demo.receiver import LARGEST, Receiver

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with Receiver(Ledger()) as receiver:
        parts = urlsplit(receiver.endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        yield parts.hostname, parts.port


def post(address: tuple[str, int], path: str, body: bytes, headers: dict[str, str], method: str = "POST") -> int:
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_listens_on_loopback_only(address: tuple[str, int]) -> None:
    """Nobody outside this machine can reach it."""
    assert address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/v1/metrics", PROTOBUF, b"", 200),
        ("/v1/traces", PROTOBUF, b"", 200),
        ("/v1/metrics", PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(b""), 200),
        ("/v1/logs", PROTOBUF, b"", 404),
        ("/", PROTOBUF, b"", 404),
        ("/v1/metrics", {"Content-Type": "application/json"}, b"{}", 415),
        ("/v1/metrics", {}, b"", 415),
        ("/v1/metrics", PROTOBUF | {"Content-Encoding": "br"}, b"x", 415),
        ("/v1/metrics", PROTOBUF, b"\xff\xff\xff", 400),
        ("/v1/metrics", PROTOBUF | {"Content-Encoding": "gzip"}, b"plain", 400),
        ("/v1/metrics", PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(os.urandom(500))[:-20], 400),
        ("/v1/metrics", PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(bytes(LARGEST + 1)), 413),
        ("/v1/metrics", PROTOBUF | {"Content-Length": str(LARGEST + 1)}, b"", 413),
        ("/v1/metrics", PROTOBUF | {"Content-Length": "9" * 5000}, b"", 413),
        ("/v1/metrics", PROTOBUF | {"Content-Length": "-1"}, b"", 411),
        ("/v1/metrics", PROTOBUF | {"Content-Length": "many"}, b"", 411),
        ("/v1/metrics", PROTOBUF | {"Transfer-Encoding": "chunked"}, b"", 411),
    ],
)
def test_each_request_gets_its_answer(
    address: tuple[str, int], path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    """What is OTLP is taken; what is not is refused with the status that says why; the next one is served."""
    assert post(address, path, body, headers) == status
    assert post(address, "/v1/metrics", b"", PROTOBUF) == 200


def test_other_methods_are_refused(address: tuple[str, int]) -> None:
    """A browser that looks in is told that there is nothing to get."""
    assert post(address, "/v1/metrics", b"", {}, method="GET") == 501


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=300), path=st.sampled_from(["/v1/metrics", "/v1/traces"]))
def test_any_bytes_are_survived(address: tuple[str, int], noise: bytes, path: str) -> None:
    """Any body is taken or refused, any bytes on the bare socket end that connection only."""
    assert post(address, path, noise, PROTOBUF) in {200, 400}
    with socket.create_connection(address, timeout=10) as bare:
        bare.sendall(noise)
    assert post(address, path, b"", PROTOBUF) == 200


def test_a_body_cut_short_is_let_go(address: tuple[str, int]) -> None:
    """A sender that dies in the middle of its body leaves nothing behind."""
    with socket.create_connection(address, timeout=10) as bare:
        bare.sendall(
            b"POST /v1/metrics HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: 99\r\n\r\nx"
        )
    assert post(address, "/v1/metrics", b"", PROTOBUF) == 200
