"""What a service's log says of an endpoint has no secret in it, and none keeps everything else from being sent."""

from __future__ import annotations

import logging
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from tests.sink import running

from mlobs.otel import told
from mlobs.otel.endpoint import Endpoint
from mlobs.otel.grpc import Grpc
from mlobs.otel.http import Http
from mlobs.otel.secrets import Secrets, shown

SECRET = "TOPSECRET"
PLACE = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"


@pytest.fixture(autouse=True)
def _news() -> None:
    """What was told before is news again."""
    told.again()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"Authorization=Basic {SECRET}\n{SECRET}", "the value of Authorization"),
        (f"Authorization=Basic%20{SECRET}%0D%0A%20{SECRET}", "the value of Authorization"),
        (f"Authorization=Bearer “{SECRET}”", "the value of Authorization"),
        (f'"Authorization=Bearer {SECRET}"', "1 parts whose name"),
        (f"=Bearer {SECRET}", "1 parts whose name"),
        (f"Bearer {SECRET}==", "1 parts whose name"),
        (f"Authorization: Bearer {SECRET}", "1 parts that are not key=value"),
        (f"Content-Length={SECRET}", "sets Content-Length"),
    ],
)
def test_a_header_that_cannot_be_sent_is_left_out(text: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, by its name where it has one, and the request goes out with the others."""
    with running() as sink, caplog.at_level(logging.WARNING, "mlobs"):
        for _ in range(2):
            endpoint = Endpoint.of({HEADERS: f"x-tenant=a,{text}"}, "metrics", base=sink.url)
            answer = Http(endpoint).post(b"", 10)
    assert answer.delivered
    assert sink.headers[0]["X-Tenant"] == "a"
    assert SECRET not in str(sink.headers)
    [record] = caplog.records
    assert HEADERS in record.getMessage()
    assert said in record.getMessage()
    assert SECRET not in caplog.text


def test_the_urls_user_is_a_header() -> None:
    """A user and a password in a URL are sent as basic authentication, unless there is a header for it."""
    with running() as sink:
        url = sink.url.replace("//", "//me:p%40ss@")
        assert Http(Endpoint.of({}, "metrics", base=url)).post(b"", 10).delivered
        given = Endpoint.of({HEADERS: "authorization=Bearer%20x"}, "metrics", base=url)
        assert Http(given).post(b"", 10).delivered
    assert [headers["Authorization"] for headers in sink.headers] == ["Basic bWU6cEBzcw==", "Bearer x"]
    assert given.url == f"{sink.url}/v1/metrics"


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{SECRET}@127.0.0.1:1/v1/metrics",
        f"http://127.0.0.1:1/v1/metrics?token={SECRET}",
        f"http://127.0.0.1:1/v1/metrics?token={SECRET} {SECRET}",
        f"http://me:{SECRET}/{SECRET}@127.0.0.1:1/v1/metrics",
        f"me:{SECRET}@127.0.0.1:1",
    ],
)
def test_no_outage_tells_what_the_url_hides(url: str) -> None:
    """The log names the endpoint, without user, password and the values of its query."""
    answer = Http(Endpoint.of({PLACE: url}, "metrics")).post(b"", 2)
    assert not answer.delivered
    assert "127.0.0.1:1" in answer.problem
    assert SECRET not in answer.problem


MISTYPED = [
    f"http://me:{SECRET}?x@127.0.0.1:1",
    f"http://me:x#{SECRET}@127.0.0.1:1",
    f"http:/me:{SECRET}@127.0.0.1:1",
    f"https//me:{SECRET}@127.0.0.1:1",
    f"http:///me:{SECRET}@127.0.0.1:1",
    f"//me:{SECRET}@127.0.0.1:1",
    f"https:me:{SECRET}@127.0.0.1:1",
    f"me:/{SECRET}@127.0.0.1:1",
    f"{SECRET}/x@127.0.0.1:1",
    f"http://me:x@{SECRET}@127.0.0.1:1",
]


@pytest.mark.parametrize("make", [Http, Grpc])
@pytest.mark.parametrize("url", MISTYPED)
def test_a_mistyped_endpoint_tells_no_password(url: str, make: Any) -> None:
    """What stands before the last @ is hidden, whatever is wrong with the URL."""
    endpoint = Endpoint.of({}, "metrics", base=url, grpc=make is Grpc)
    answer = make(endpoint, "metrics").post(b"", 2) if make is Grpc else make(endpoint).post(b"", 2)
    assert not answer.delivered
    assert "127.0.0.1:1" in answer.problem
    assert shown(url).endswith("***@127.0.0.1:1")
    assert SECRET not in answer.problem + shown(url)
    assert SECRET not in Secrets.of({PLACE: url}).hide(f"no host in {url!r}, nor a port in '{SECRET}'")


def test_a_receiver_that_quotes_a_header_is_not_quoted() -> None:
    """Neither its status line nor what it says beside a success."""

    def echo(request: BaseHTTPRequestHandler) -> bool:
        request.send_response(403, f"no entry for {request.headers['authorization']}")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    with running() as sink:
        sink.hook = echo
        answer = Http(Endpoint.of({HEADERS: f"authorization=Bearer%20{SECRET}"}, "metrics", base=sink.url)).post(
            b"", 10
        )
    assert "403 no entry for ***" in answer.problem
    assert SECRET not in answer.problem


def test_what_is_shown_of_a_url() -> None:
    """Its host and path, also where it is none."""
    assert shown("https://user:pass@host:1/v1?token=abc") == "https://***@host:1/v1?token=***"
    assert shown("user:pass@host:1") == "***@host:1"
    assert shown("http://user:pa/ss@host") == "http://***@host"
    assert shown("http://host:${PORT}/v1") == "http://host:${PORT}/v1"
    assert shown("http://u:p?w@host:1/v1") == "http://***@host:1/v1"
    assert shown("http://host/v1?token=a@b&key=c") == "http://***"
