"""`mlobs doctor` tells what is wrong with an endpoint, a header or a file before anything is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.otel.test_address import BROKEN
from tests.otel.test_secrets import MISTYPED
from tests.sink import running

SECRET = "TOPSECRET"


def doctor(*arguments: str, **environ: str) -> str:
    """What it says."""
    done = subprocess.run(
        [sys.executable, "-m", "mlobs", "doctor", "--timeout", "0.5", *arguments],
        env={**os.environ, "OTEL_SERVICE_NAME": "churn", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("url", BROKEN)
def test_a_broken_endpoint_fails_with_what_is_wrong(url: str, protocol: str) -> None:
    """As the environment's finding with its cure, and as the exporter's."""
    said = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert "FAIL  environment   the endpoint of metrics" in said
    assert said.count(BROKEN[url]) >= 3
    assert "FAIL  exporter" in said


def test_a_broken_endpoint_of_one_signal() -> None:
    """The other one works."""
    with running() as sink:
        traces = "http://localhost:abc/v1/traces"
        said = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=traces)
    assert "ok    exporter" in said
    assert "FAIL  traces" in said


def test_a_header_that_cannot_be_sent_is_named() -> None:
    """The export works without it, and its value is nowhere."""
    with running() as sink:
        headers = f"Authorization=Basic {SECRET}\n{SECRET}"
        said = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_EXPORTER_OTLP_HEADERS=headers)
    assert "warn  environment   OTEL_EXPORTER_OTLP_HEADERS: the value of Authorization" in said
    assert "ok    exporter" in said
    assert SECRET not in said


def test_a_user_in_the_url_is_a_header() -> None:
    """It is sent, and named as what it is."""
    with running() as sink:
        said = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url.replace("//", f"//me:{SECRET}@"))
    assert "headers Authorization (values not shown)" in said
    assert "ok    exporter" in said
    assert SECRET not in said


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("url", [*MISTYPED, f"http://me:{SECRET}@127.0.0.1:1?key={SECRET}"])
def test_a_mistyped_endpoint_tells_no_password(url: str, protocol: str) -> None:
    """Neither to people nor to programs."""
    for arguments in ((), ("--json",)):
        said = doctor(*arguments, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        assert "127.0.0.1:1" in said
        assert SECRET not in said


def test_a_page_is_no_receiver() -> None:
    """A network that wants one to log in answers everything with 200."""

    def page(request: BaseHTTPRequestHandler) -> bool:
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.send_header("Content-Length", "4")
        request.end_headers()
        request.wfile.write(b"<hi>")
        return True

    with running() as sink:
        sink.hook = page
        said = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert "answered 200 with text/html" in said
    assert "log in" in said


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_certificate_that_is_not_there(tmp_path: Path, protocol: str) -> None:
    """Variable and file are named, over HTTP and gRPC alike."""
    absent = str(tmp_path / "ca.pem")
    said = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT="https://localhost:1",
        OTEL_EXPORTER_OTLP_CERTIFICATE=absent,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert f"OTEL_EXPORTER_OTLP_CERTIFICATE: {absent} cannot be read: No such file or directory" in said


def test_a_socket_of_this_machine(tmp_path: Path) -> None:
    """GRPC's own names are taken, and told as they were written where nothing listens."""
    url = f"unix://{tmp_path / 'otel.sock'}"
    said = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_INSECURE="true"
    )
    assert f"FAIL  exporter      {url} answered UNAVAILABLE" in said
    assert "Start an OTLP/gRPC receiver" in said


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_proxy_is_named(protocol: str) -> None:
    """What stands in between by the environment is told with the endpoint, and as what failed; its password is not."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    said = doctor(**environ, http_proxy=f"http://me:{SECRET}@127.0.0.1:1")
    told, found = (next(line for line in said.splitlines() if step in line) for step in ("environment", "FAIL"))
    for line in (told, found):
        assert "through the proxy http://***@127.0.0.1:1" in line
    assert "refused" in found
    assert "NO_PROXY" in said
    assert SECRET not in said
    assert "proxy" not in doctor(**environ, http_proxy="http://127.0.0.1:1", no_proxy="collector")


def test_a_proxy_may_have_answered() -> None:
    """A status is the receiver's or the proxy's; a Prometheus that cannot be reached through one is told as such."""
    with running() as sink:
        sink.status = 403
        proxied = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "http_proxy": sink.url}
        said = doctor(**proxied)
        assert f"Or it is the answer of the proxy {sink.url}: correct HTTP_PROXY" in said
        around = doctor(**(proxied | {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "no_proxy": "127.0.0.1,localhost"}))
        assert "403" in around
        assert "proxy" not in around
    said = doctor("--prometheus", "http://prometheus:9090", http_proxy="http://127.0.0.1:1", no_proxy="localhost")
    assert "FAIL  prometheus    http://prometheus:9090 does not answer through the proxy http://127.0.0.1:1" in said
    assert "NO_PROXY" in said
