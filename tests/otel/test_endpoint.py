"""The OTEL_EXPORTER_OTLP_* variables mean what the specification says."""

from __future__ import annotations

import logging

import pytest

from mlobs.otel.chosen import chosen
from mlobs.otel.endpoint import Endpoint, Signal, protocol


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://localhost:4318/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/own"}, "http://c/own"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": " "}, "http://localhost:4318/v1/metrics"),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://g"},
            "http://m",
        ),
    ],
)
def test_urls(environ: dict[str, str], url: str) -> None:
    """A signal's endpoint is used as it is, the general one gets the signal's path."""
    assert Endpoint.of(environ, "metrics").url == url


def test_headers_timeout_compression_and_certificates() -> None:
    """Headers are URL-decoded pairs; the signal's variable wins over the general one."""
    endpoint = Endpoint.of(
        {
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, other = c,broken",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "4.5",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": "key.pem",
        },
        "traces",
    )
    assert endpoint.headers == (("api-key", "a b"), ("other", "c"))
    assert (endpoint.timeout, endpoint.compression) == (4.5, "gzip")
    assert (endpoint.certificate, endpoint.client_key, endpoint.client_certificate) == ("ca.pem", "key.pem", None)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "-1"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"},
        {"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "-2"},
        {"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "zstd"},
        {"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "soon"},
        {"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "zip", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
    ],
)
def test_a_wrong_value_is_told_and_the_default_used(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Observing never stops a start: the log names the variable and its value."""
    with caplog.at_level(logging.WARNING, "mlobs"):
        endpoint = Endpoint.of(environ, "metrics")
    assert (endpoint.timeout, endpoint.compression) == (10.0, "none")
    name, value = next(iter(environ.items()))
    assert f"{name}={value!r}" in caplog.text


def test_the_protocol(caplog: pytest.LogCaptureFixture) -> None:
    """http/protobuf unless asked for grpc."""
    assert protocol({}, "metrics") == "http/protobuf"
    assert protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "metrics") == "grpc"
    assert protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "GRPC"}, "metrics") == "grpc"
    assert protocol({"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json"}, "metrics") == "http/protobuf"
    assert "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL='http/json' is not grpc or http/protobuf" in caplog.text


@pytest.mark.parametrize("signal", ["metrics", "traces"])
def test_the_names_of_opentelemetry_pythons_exporters(signal: Signal, caplog: pytest.LogCaptureFixture) -> None:
    """They are otlp by the protocol that they say, whatever else is set: the agent sets grpc where nobody says otherwise."""
    for name, said, other in (
        ("otlp_proto_http", "http/protobuf", "grpc"),
        ("otlp_proto_grpc", "grpc", "http/protobuf"),
    ):
        environ = {f"OTEL_{signal.upper()}_EXPORTER": name, "OTEL_EXPORTER_OTLP_PROTOCOL": other}
        assert (chosen(environ, signal), protocol(environ, signal)) == ("otlp", said)
    assert (
        protocol({f"OTEL_{signal.upper()}_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, signal) == "grpc"
    )
    assert "otlp_proto" not in caplog.text
