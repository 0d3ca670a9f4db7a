"""`mlobs doctor` names the step that fails, and its cure, and never a secret."""

from __future__ import annotations

import datetime as dt
import io
import ipaddress
import json
import logging
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from tests.sink import Sink, running

from mlobs.cli import main
from mlobs.doctor import variables
from mlobs.doctor.finding import Finding
from mlobs.doctor.panels import dashboards, filled
from mlobs.doctor.report import colourful, line
from mlobs.doctor.rulefile import groups
from mlobs.otel.secrets import Secrets, shown

ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-t0ken"
RESPOND = Callable[[BaseHTTPRequestHandler], bool]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No OTEL_* or MLOBS_* variable of the machine that runs the tests."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "MLOBS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "churn")


class Seen:
    """What one run said."""

    def __init__(self, status: int, out: str) -> None:
        self.status = status
        self.out = out
        self.findings = [Finding(**one) for one in json.loads(out)["findings"]]

    def of(self, step: str, mark: str = "") -> list[Finding]:
        return [one for one in self.findings if one.step == step and mark in ("", one.mark)]

    def only(self, step: str, mark: str) -> Finding:
        [one] = self.of(step, mark)
        return one

    @property
    def failed(self) -> list[str]:
        return sorted({one.step for one in self.findings if one.mark == "fail"})


class Doctor:
    """Runs the command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, **environ: str) -> Seen:
        for name, value in environ.items():
            self._monkeypatch.setenv(name, value)
        status = main(["doctor", "--json", *arguments])
        return Seen(status, self._capsys.readouterr().out)


@pytest.fixture(scope="module")
def _receiver() -> Iterator[Sink]:
    """One for the module: to stop one takes half a second."""
    with running() as receiver:
        yield receiver


@pytest.fixture
def sink(_receiver: Sink) -> Sink:
    """The receiver, as new."""
    fresh = Sink()
    fresh.url = _receiver.url
    vars(_receiver).update(vars(fresh))
    return _receiver


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs the command."""
    return Doctor(monkeypatch, capsys)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on which this is done with every connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


class Patient(ThreadingHTTPServer):
    """Says nothing of clients that went away: what pytest captured may be closed by then, and that would be an error of its own."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell other errors as usual."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def answering(answers: dict[str, tuple[int, Any]], secure: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that has these answers, by path; a text is sent as it is, what is callable is asked."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
            status, body = answers.get(self.path, (404, "nothing here"))
            body = body(form) if callable(body) else body
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = _answer  # noqa: N815 - the standard library's name
        do_POST = _answer  # noqa: N815 - likewise

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = Patient(("127.0.0.1", 0), Handler)
    if secure is not None:
        server.socket = secure.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# ── it works ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_is_well(doctor: Doctor, sink: Sink) -> None:
    """With a receiver that takes everything the status is 0: one canary of a counter arrived, and one span."""
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_EXPORTER_OTLP_HEADERS=f"api-key={SECRET}")
    assert (seen.status, seen.failed) == (0, [])
    assert sink.url in seen.only("exporter", "ok").said
    assert "api-key (values not shown)" in seen.of("environment", "ok")[0].said
    [metric] = sink.metrics[0].resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.sum.is_monotonic, metric.sum.data_points[0].as_int) == ("mlobs.sdk.canary", True, 1)
    assert [span.name for span in sink.spans] == ["mlobs doctor"]
    about = {pair.key: pair.value.string_value for pair in sink.metrics[0].resource_metrics[0].resource.attributes}
    assert about["service.name"] == "churn"
    assert {one.mark for step in ("canary", "rules", "dashboards", "cardinality") for one in seen.of(step)} == {
        "skipped"
    }
    assert "--prometheus" in seen.only("rules", "skipped").cure


def test_each_canary_is_another_one(doctor: Doctor, sink: Sink) -> None:
    """An old canary cannot be taken for today's."""
    for _ in range(2):
        doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_TRACES_EXPORTER="none")
    ids = {
        pair.value.string_value
        for request in sink.metrics
        for pair in request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].attributes
        if pair.key == "canary.id"
    }
    assert len(ids) == 2


def test_a_canary_over_grpc(doctor: Doctor) -> None:
    """With OTEL_EXPORTER_OTLP_PROTOCOL=grpc the canary goes by gRPC."""
    with grpc_server(lambda _: metrics_service_pb2.ExportMetricsServiceResponse()) as port:
        seen = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_TRACES_EXPORTER="none",
        )
    assert (seen.status, seen.failed) == (0, [])


@contextmanager
def grpc_server(answer: Callable[[grpc.ServicerContext], Any]) -> Iterator[int]:
    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            return answer(context)

    server = grpc.server(futures.ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


# ── it does not ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (302, "follows no redirect"),
        (400, "OTLP/HTTP receiver"),
        (401, "OTEL_EXPORTER_OTLP_HEADERS"),
        (403, "OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (413, "OTEL_EXPORTER_OTLP_COMPRESSION=gzip"),
        (415, "OTEL_EXPORTER_OTLP_COMPRESSION"),
        (429, "OTEL_METRIC_EXPORT_INTERVAL"),
        (500, "its log"),
        (502, "proxy"),
        (503, "memory_limiter"),
    ],
)
def test_a_status_has_its_cure(doctor: Doctor, sink: Sink, status: int, cure: str) -> None:
    """What a receiver answers is told with its number, and the cure is that number's."""
    sink.status = status
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert (seen.status, seen.failed) == (1, ["exporter"])
    found = seen.only("exporter", "fail")
    assert str(status) in found.said
    assert cure in found.cure
    assert seen.only("traces", "skipped")


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (302, "set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT to"),
        (401, "OTEL_EXPORTER_OTLP_METRICS_HEADERS"),
        (404, "of Prometheus 3 it is ...:9090/api/v1/otlp/v1/metrics,"),
        (404, "Point OTEL_EXPORTER_OTLP_METRICS_ENDPOINT at"),
        (415, "unset OTEL_EXPORTER_OTLP_METRICS_COMPRESSION"),
    ],
)
def test_a_cure_is_of_the_variables_in_force(doctor: Doctor, sink: Sink, status: int, cure: str) -> None:
    """Where a signal's own variables are set the general ones would change nothing, and are not named."""
    sink.status = status
    seen = doctor(
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{sink.url}/v1/metrics",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS="api-key=1",
        OTEL_EXPORTER_OTLP_METRICS_COMPRESSION="gzip",
    )
    assert cure in seen.only("exporter", "fail").cure


def test_headers_that_are_sent_are_named_not_shown(doctor: Doctor, sink: Sink) -> None:
    """A receiver that refuses credentials makes the doctor name the header whose value to check."""
    sink.status = 401
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{SECRET}")
    assert "(authorization)" in seen.only("exporter", "fail").cure
    assert SECRET not in seen.out


def test_a_path_that_is_not_there(doctor: Doctor, sink: Sink) -> None:
    """Each of the usual mistakes in a URL's path has a cure of its own."""
    sink.status = 404
    own = doctor(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=sink.url, OTEL_TRACES_EXPORTER="none")
    assert "write /v1/metrics at its end" in own.only("exporter", "fail").cure
    twice = doctor("--endpoint", f"{sink.url}/v1/metrics")
    assert "stands there twice" in twice.only("exporter", "fail").cure


def test_a_receiver_without_traces(doctor: Doctor, sink: Sink) -> None:
    """Metrics that arrive and spans that do not are two things."""

    def metrics_only(request: BaseHTTPRequestHandler) -> bool:
        if request.path.endswith("/v1/metrics"):
            return False
        request.send_response(404)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    sink.hook = metrics_only
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert (seen.status, seen.failed) == (1, ["traces"])
    assert "OTEL_TRACES_EXPORTER=none" in seen.only("traces", "fail").cure


def test_a_prometheus_that_takes_no_deltas(doctor: Doctor, sink: Sink) -> None:
    """The canary is a counter, so deltas are refused for it as they would be for everything else."""
    sink.status = 400
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
    assert "takes no deltas" in seen.only("exporter", "fail").cure
    assert "delta" in seen.of("environment", "ok")[0].said


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closes(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


def wants_tls(connection: socket.socket) -> None:
    connection.recv(1024)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")


@pytest.mark.parametrize(("ill", "said"), [(resets, "closes them"), (closes, "closes them"), (wants_tls, "wants TLS")])
def test_a_connection_that_ends(doctor: Doctor, ill: Callable[[socket.socket], None], said: str) -> None:
    """Reset, half-closed or answered in TLS: what listens there is not what was meant."""
    with listening(ill) as port:
        seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    assert (seen.status, seen.failed) == (1, ["exporter"])
    assert said in seen.only("exporter", "fail").said


def test_nobody_listens(doctor: Doctor) -> None:
    """A closed port is named, with what belongs there."""
    port = closed_port()
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    found = seen.only("exporter", "fail")
    assert f"nothing listens at 127.0.0.1:{port}" in found.said
    assert "4318" in found.cure


def test_a_name_nobody_knows(doctor: Doctor) -> None:
    """A host that does not resolve is told apart from one that does not answer."""
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.invalid:4318")
    assert "is not known here" in seen.only("exporter", "fail").said


def test_silence(doctor: Doctor) -> None:
    """A port that takes connections and says nothing is told apart from one that is closed."""
    done = threading.Event()
    with listening(lambda _: [done.wait(20)].clear()) as port:
        try:
            seen = doctor("--timeout", "0.2", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
        finally:
            done.set()
    assert "says nothing" in seen.only("exporter", "fail").said


def test_http_to_a_grpc_port(doctor: Doctor) -> None:
    """The most usual mistake, 4317 for 4318, is recognised by what is spoken there."""
    with grpc_server(lambda _: metrics_service_pb2.ExportMetricsServiceResponse()) as port:
        seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    found = seen.only("exporter", "fail")
    assert "speaks gRPC" in found.said
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in found.cure


def test_grpc_to_an_http_port(doctor: Doctor, sink: Sink) -> None:
    """And the other way round."""
    seen = doctor(
        "--timeout",
        "0.5",
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    found = seen.only("exporter", "fail")
    assert "speaks HTTP" in found.said
    assert "http/protobuf" in found.cure


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "OTEL_EXPORTER_OTLP_HEADERS"),
        (grpc.StatusCode.PERMISSION_DENIED, "none are sent"),
        (grpc.StatusCode.UNIMPLEMENTED, "takes no OTLP metrics"),
    ],
)
def test_what_grpc_answers(doctor: Doctor, code: grpc.StatusCode, cure: str) -> None:
    """A code of gRPC is told by its name, with its cure."""
    with grpc_server(lambda context: context.abort(code, "no")) as port:
        seen = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_TRACES_EXPORTER="none",
        )
    found = seen.only("exporter", "fail")
    assert code.name in found.said
    assert cure in found.cure


def test_tls_where_there_is_none(doctor: Doctor, sink: Sink) -> None:
    """https:// to a port without TLS says so."""
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url.replace("http:", "https:"))
    assert "does not speak TLS" in seen.only("exporter", "fail").said


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """One with a certificate of its own, in ca.pem, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "doctor")])
    now = dt.datetime.now(tz=dt.timezone.utc)
    built = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(1)
    )
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    constraint = x509.BasicConstraints(ca=True, path_length=None)
    signed = (
        built.add_extension(alternative, critical=False)
        .add_extension(constraint, critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(*plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")

    with answering({"/v1/metrics": (200, "")}, context) as url:
        yield url.replace("http:", "https:")


def test_a_certificate_that_nobody_trusts(doctor: Doctor, tmp_path: Path) -> None:
    """A receiver whose authority is unknown fails with the variable that names it, and works once that is set."""
    with tls_server(tmp_path) as url:
        found = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url).only("exporter", "fail")
        assert "is not trusted" in found.said
        assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in found.cure
        seen = doctor(OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "ca.pem"), OTEL_TRACES_EXPORTER="none")
    assert seen.failed == []


def test_a_certificate_that_is_not_there(doctor: Doctor, tmp_path: Path) -> None:
    """What cannot be read is a failure with the file's name and the variable's."""
    missing = tmp_path / "ca.pem"
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="https://127.0.0.1:4318", OTEL_EXPORTER_OTLP_CERTIFICATE=str(missing))
    said = seen.only("exporter", "fail").said
    assert f"OTEL_EXPORTER_OTLP_CERTIFICATE: {missing} cannot be read" in said
    assert seen.status == 1


# ── the environment ─────────────────────────────────────────────────────────────────────────────────────────────────

WRONG = {
    "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "zip",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_METRIC_EXPORT_INTERVAL": "often",
    "OTEL_METRICS_EXPORTER": "oltp",
    "OTEL_TRACES_EXPORTER": "otlp,console",
    "OTEL_SDK_DISABLED": "1",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "deltas",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_one_line(doctor: Doctor, sink: Sink, name: str) -> None:
    """A variable that cannot hold is told once, with what is used instead or how to write it."""
    seen = doctor(**{"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, name: WRONG[name]})
    [found] = [one for one in seen.of("environment") if name in one.said]
    assert found.mark == "warn"
    assert found.cure
    assert seen.status == 0


def test_and_once_in_the_log(sink: Sink) -> None:
    """A service that starts with wrong variables says each of them once in its log, and sends what it counts."""
    script = "import mlobs\npredict = mlobs.observe(model='m')(lambda x: 0.5)\npredict([1.0])\nassert mlobs.flush(timeout=20)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **WRONG, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert sink.calls() == 1
    assert {name: done.stderr.count(name) for name in WRONG} == dict.fromkeys(WRONG, 1)
    assert len(done.stderr.splitlines()) == len(WRONG)


def test_no_url(doctor: Doctor) -> None:
    """An endpoint without a scheme fails, with one that has one."""
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="collector.invalid:4318")
    assert "http://localhost:4318" in seen.of("environment", "fail")[0].cure


def test_disabled(doctor: Doctor) -> None:
    """Where the environment turns everything off that is what fails, and nothing is sent."""
    seen = doctor(OTEL_SDK_DISABLED="true")
    assert (seen.status, seen.failed) == (1, ["environment"])
    assert seen.only("exporter", "skipped")
    assert "the one word for it is true" in str(doctor(OTEL_SDK_DISABLED="yes").of("environment", "warn"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTEL_METRICS_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_INTERVAL"),
        ("MLOBS_TICKETS_KEYS", "MLOBS_TICKET_KEYS"),
        ("otel_exporter_otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_a_misspelt_name(name: str, meant: str) -> None:
    """A variable that nobody reads and that looks like one that is read is told with the right name."""
    [found] = variables.misspelt({name: "x"})
    assert name in found.said
    assert meant in found.cure


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_COLLECTOR_SERVICE_HOST",
        "OTEL_COLLECTOR_PORT_4318_TCP_ADDR",
        "MLOBS_SERVICE_PORT",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        "OTEL_LOGS_EXPORTER",
        "OTEL_SOMETHING_OF_SOMEBODY",
        "PATH",
    ],
)
def test_a_name_that_is_fine(name: str) -> None:
    """Kubernetes' addresses of services, other signals' variables and those of others are no mistakes."""
    assert list(variables.misspelt({name: "x"})) == []


def test_the_variables_are_those_of_the_page() -> None:
    """What the doctor takes for mlobs' own variables is what the page lists."""
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert sorted(set(re.findall(r"\bMLOBS_[A-Z_]+", page))) == list(variables.OURS)
    assert set(re.findall(r"\| `(OTEL_[A-Z_]+)`", page)) <= variables.known()


def test_a_ticket_key_that_is_none(doctor: Doctor, sink: Sink) -> None:
    """A key that seals nothing is told without being quoted."""
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, MLOBS_TICKET_KEYS=SECRET)
    assert seen.failed == ["environment"]
    assert "openssl rand -hex 32" in seen.only("environment", "fail").cure
    assert SECRET not in seen.out


@pytest.mark.parametrize(
    ("name", "value", "mark", "said"),
    [
        ("MLOBS_JOIN_STORE", "foo://x", "fail", "expected 'sqlite'"),
        ("OTEL_PROPAGATORS", "tracecontext,foo", "fail", "no propagator foo"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "abc", "warn", "is not a number of a port"),
        ("OTEL_TRACES_SAMPLER", "foo", "warn", "is no sampler"),
        ("OTEL_CONFIG_FILE", "otel.yaml", "warn", "is not read by mlobs"),
        ("OTEL_METRICS_EXPORTER", "otlp,console", "warn", "names several"),
    ],
)
def test_a_value_that_nobody_can_use(doctor: Doctor, sink: Sink, name: str, value: str, mark: str, said: str) -> None:
    """It is told with its variable before somebody tries."""
    seen = doctor(**{"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, name: value})
    [found] = [one for one in seen.of("environment") if name in one.said]
    assert found.mark == mark
    assert said in found.said
    assert found.cure


def test_a_join_store_without_its_package(doctor: Doctor, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be corrected is not the place: the cure is the package."""
    monkeypatch.setitem(sys.modules, "redis", None)
    seen = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, MLOBS_JOIN_STORE="redis://localhost:6379/0")
    assert seen.only("environment", "fail").cure == "Try: pip install redis"


def test_values_that_are_fine(doctor: Doctor, sink: Sink) -> None:
    """Nothing is said of what OpenTelemetry and mlobs take."""
    seen = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        OTEL_PROPAGATORS="baggage, none",
        OTEL_TRACES_SAMPLER="Always_On",
        OTEL_SDK_DISABLED="False",
        MLOBS_JOIN_STORE="redis://:secret@localhost:6379/0",
    )
    assert [one.mark for one in seen.of("environment")] == ["ok"]


@pytest.mark.parametrize(("exporter", "mark"), [("none", "warn"), ("console", "ok"), ("prometheus", "warn")])
def test_metrics_that_are_not_pushed(doctor: Doctor, exporter: str, mark: str) -> None:
    """Exporters that send nothing are told as what they are, and no canary is waited for."""
    port = str(closed_port())
    seen = doctor(OTEL_METRICS_EXPORTER=exporter, OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_PROMETHEUS_PORT=port)
    assert seen.only("exporter", mark)
    assert seen.status == 0


def test_metrics_that_are_scraped(doctor: Doctor) -> None:
    """A process that serves mlobs' metrics is found, and another program on its port is told apart."""
    pages = {"/metrics": (200, "# HELP\nmlobs_sdk_series 5\nmlobs_model_info 1\n")}
    with answering(pages) as url:
        environ = {
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": url.rpartition(":")[2],
        }
        assert "2 series" in doctor(**environ).only("exporter", "ok").said
        pages["/metrics"] = (200, "up 1\n")
        assert "Another program" in doctor(**environ).only("exporter", "fail").cure


# ── the Collector ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_collectors_health(doctor: Doctor, sink: Sink) -> None:
    """Asked for, it is told: well, not well, or not there."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    pages: dict[str, tuple[int, Any]] = {"/": (200, {"status": "Server available", "upSince": "2024-05-01T10:00:00Z"})}
    with answering(pages) as url:
        assert (
            "up since 2024-05-01T10:00:00"
            in doctor("--collector-health", f"{url}/", **environ).only("collector", "ok").said
        )
        pages["/"] = (503, "")
        assert "503" in doctor("--collector-health", f"{url}/", **environ).only("collector", "fail").said
    seen = doctor("--collector-health", url, **environ)
    assert seen.failed == ["collector"]
    assert "health_check" in seen.only("collector", "fail").cure


# ── Prometheus, in states that a real one is hard to bring into ─────────────────────────────────────────────────────


def rules_of_prometheus(**changes: Any) -> list[dict[str, Any]]:
    """The shipped groups as a Prometheus tells them."""
    now = dt.datetime.now(tz=dt.timezone.utc).isoformat()
    return [
        {
            "name": group.name,
            "interval": group.interval,
            "evaluationTime": 0.01,
            "lastEvaluation": now,
            "rules": [
                {
                    "name": rule.name,
                    "query": " ".join(rule.expr.split()),
                    "labels": dict(rule.labels),
                    "health": "ok",
                    "type": "recording" if rule.records else "alerting",
                }
                for rule in group.rules
            ],
            **changes,
        }
        for group in groups()
    ]


def answer(data: Any) -> dict[str, Any]:
    return {"status": "success", "data": data}


def prometheus(
    found: list[dict[str, Any]], query: Callable[[str], Any], version: str = "3.1.0"
) -> dict[str, tuple[int, Any]]:
    return {
        "/api/v1/status/buildinfo": (200, answer({"version": version})),
        "/api/v1/rules": (200, answer({"groups": found})),
        "/api/v1/query": (200, lambda form: answer({"resultType": "vector", "result": query(form)})),
    }


def canary_with(name: str, **labels: str) -> Callable[[str], Any]:
    """Answers a query for the canary with a series of this name, and every other one with nothing."""
    seen: list[str] = []

    def query(form: str) -> Any:
        found = re.search(r"canary_id%3D%22(\w+)", form)
        seen.extend(found.groups() if found else ())
        asked = name == "mlobs_sdk_canary_total" if found else "__name__%3D~%22.%2Amlobs" in form
        metric = {"__name__": name, "canary_id": seen[0], **labels} if asked else {}
        return [{"metric": metric, "value": [0, "1"]}] if metric else []

    return query


@pytest.mark.parametrize(
    ("changes", "mark", "said"),
    [
        ({"evaluationTime": 1e6}, "fail", "evaluations are left out"),
        ({"evaluationTime": 20.0, "interval": 30}, "warn", "20.0 s of its 30 s"),
        ({"lastEvaluation": "2020-01-01T00:00:00.123456789Z"}, "fail", "was last evaluated at 2020-01-01"),
        ({"lastEvaluation": "0001-01-01T00:00:00Z"}, "warn", "never evaluated yet"),
        ({"rules": []}, "fail", "lacks"),
        (
            {"rules": [{"name": "x", "query": "1", "type": "recording", "health": "err", "lastError": "boom"}]},
            "fail",
            "boom",
        ),
    ],
)
def test_rules_that_do_not_do(doctor: Doctor, sink: Sink, changes: dict[str, Any], mark: str, said: str) -> None:
    """Groups that are slow, late, of another version or failing are told by name."""
    with answering(prometheus(rules_of_prometheus(**changes), lambda _: [])) as url:
        seen = doctor("--prometheus", url, "--timeout", "0.05", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert any(said in one.said and "mlobs-" in one.said for one in seen.of("rules", mark))


def test_rules_that_are_mlobs_own(doctor: Doctor, sink: Sink) -> None:
    """The shipped rules, as Prometheus spells them, are the same; a changed threshold is told, and is no failure."""
    found = rules_of_prometheus()
    with answering(prometheus(found, lambda _: [])) as url:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
        seen = doctor("--prometheus", url, "--timeout", "0.05", **environ)
        assert "all as mlobs has them" in seen.only("rules", "ok").said
        found[0]["rules"][0]["query"] += " + 1"
        seen = doctor("--prometheus", url, "--timeout", "0.05", **environ)
    assert found[0]["rules"][0]["name"] in seen.only("rules", "warn").said
    assert "--rules" in seen.only("rules", "warn").cure


@pytest.mark.parametrize(
    ("query", "mark", "said"),
    [
        (canary_with("mlobs_sdk_canary_total", job="churn", instance="1"), "ok", "job churn"),
        (canary_with("mlobs_sdk_canary_total", job="churn"), "warn", "no label instance"),
        (canary_with("mlobs.sdk.canary_total", job="churn"), "fail", "under another name: mlobs.sdk.canary_total"),
        (lambda _: [], "fail", "is not in"),
    ],
)
def test_the_canary_in_prometheus(
    doctor: Doctor, sink: Sink, query: Callable[[str], Any], mark: str, said: str
) -> None:
    """The canary is there, there without what tells processes apart, there under another name, or not there in time."""
    with answering(prometheus(rules_of_prometheus(), query)) as url:
        seen = doctor("--prometheus", url, "--timeout", "0.05", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert said in seen.only("canary", mark).said


def test_what_is_beyond_the_limits_is_told(doctor: Doctor, sink: Sink) -> None:
    """Models, features and operations that were too many: which limits these are, and what helps."""

    def query(_: str) -> Any:
        return [{"metric": {"__name__": "mlobs_model_info"}, "value": [0, "7"]}]

    with answering(prometheus(rules_of_prometheus(), query)) as url:
        seen = doctor("--prometheus", url, "--timeout", "0.05", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    found = seen.only("cardinality", "warn")
    assert found.said.startswith(
        "7 rows, models or operations are beyond max_models, max_features or a hundred operations"
    )
    assert "operations stable names" in found.cure


def test_prometheus_is_too_old_or_none(doctor: Doctor, sink: Sink) -> None:
    """A version without what the rules need, credentials that lack, and a page that is no Prometheus all fail."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    pages = prometheus([], lambda _: [], version="2.30.0")
    with answering(pages) as url:
        assert "2.42" in doctor("--prometheus", url, **environ).only("prometheus", "fail").cure
        pages["/api/v1/status/buildinfo"] = (401, "")
        seen = doctor("--prometheus", url.replace("//", f"//user:{SECRET}@"), **environ)
        assert "a user and a password" in seen.only("prometheus", "fail").cure
        assert SECRET not in seen.out
        pages["/api/v1/status/buildinfo"] = (200, "<html>")
        seen = doctor("--prometheus", url, **environ)
    assert seen.failed == ["prometheus"]
    assert {one.mark for step in ("canary", "rules", "dashboards", "cardinality") for one in seen.of(step)} == {
        "skipped"
    }


# ── dashboards ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expr", "result"),
    [
        ('x{a=~"$model"}', 'x{a=~".*"}'),
        ('x{a="$model", b!="1"}', 'x{a=~".*", b!="1"}'),
        ('x{a="${model:regex}"}[$__rate_interval]', 'x{a=~".*"}[5m]'),
        ("psi:[[window]] and on () psi:$window", "psi:1h and on () psi:1h"),
        ('label_replace(x, "a", "$1", "b", "(.*)")', 'label_replace(x, "a", "$1", "b", "(.*)")'),
    ],
)
def test_variables_stand_for_everything(expr: str, result: str) -> None:
    """A variable of labels matches all of them, others have their value."""
    assert filled(expr, {"model": ".*", "window": "1h", "__rate_interval": "5m"}) == result


def board(tmp_path: Path, **targets: str) -> Path:
    """A dashboard with a panel a target, one of them in a folded row."""
    panels: list[dict[str, Any]] = [
        {"title": title, "targets": [{"expr": expr, "datasource": {"type": "prometheus"}}]}
        for title, expr in targets.items()
    ]
    traces = {"title": "traces", "targets": [{"expr": "{}", "datasource": {"type": "tempo"}}]}
    variables_ = [
        {"name": "model", "type": "query", "current": {"value": "churn"}},
        {"name": "window", "type": "custom", "current": {"value": "$__all"}, "query": "1h,1d"},
    ]
    path = tmp_path / "board.json"
    path.write_text(
        json.dumps(
            {
                "title": "Board",
                "templating": {"list": variables_},
                "panels": [{"panels": panels[:1]}, *panels[1:], traces],
            }
        ),
        encoding="utf-8",
    )
    return path


def test_dashboards_are_read(tmp_path: Path) -> None:
    """Panels in rows count, other datasources do not, and variables have their values."""
    path = board(tmp_path, a='x{m="$model"}', b="psi:$window")
    [found] = dashboards([path])
    assert found == ("Board", (("a", 'x{m=~".*"}'), ("b", "psi:1h")))
    assert dashboards([tmp_path]) == [found]


def test_dashboards_with_and_without_data(doctor: Doctor, sink: Sink, tmp_path: Path) -> None:
    """How many queries have data is told; none at all is a failure."""
    path = board(tmp_path, full="x", empty="y")
    for query, mark, said in (
        (lambda form: [{"metric": {}, "value": [0, "1"]}] if "query=x" in form else [], "ok", "1 of 2"),
        (lambda _: [], "fail", "0 of 2"),
    ):
        with answering(prometheus(rules_of_prometheus(), query)) as url:
            seen = doctor(
                *("--prometheus", url, "--timeout", "0.05", "--dashboards", str(path)),
                OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            )
        assert said in seen.only("dashboards", mark).said


# ── manners ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_secrets_are_never_told(doctor: Doctor, sink: Sink) -> None:
    """Not even where a receiver throws them back: headers, keys, passwords in URLs."""
    key = "5b" * 32

    def echo(request: BaseHTTPRequestHandler) -> bool:
        body = f"no entry for {request.headers['authorization']} and {SECRET}".encode()
        request.send_response(403)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return True

    sink.hook = echo
    url = sink.url.replace("//", f"//user:{SECRET}@")
    seen = doctor(
        "--endpoint",
        url,
        "--prometheus",
        url,
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{SECRET}",
        MLOBS_TICKET_KEYS=key,
        MLOBS_JOIN_STORE=f"redis://:{SECRET}@127.0.0.1:1/0",
    )
    assert seen.status == 1
    assert SECRET not in seen.out
    assert key not in seen.out
    assert "***" in seen.out


def test_what_is_hidden() -> None:
    """A URL keeps its host, a text everything but the secrets."""
    assert shown("https://user:pass@host:1/v1?token=abc") == "https://***@host:1/v1?token=***"
    secrets = Secrets.of(
        {"OTEL_EXPORTER_OTLP_HEADERS": "a=Bearer%20long-enough,b=xy", "HOME": "/root"}, ["http://u:p%40ss@h"]
    )
    assert secrets.hide("Bearer long-enough, long-enough, p@ss, xy at /root") == "***, ***, ***, xy at /root"


def test_lines_for_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sink: Sink) -> None:
    """One line a finding, its cure below, no colours where nobody asked for any, and a verdict at the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    sink.status = 401
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.isascii()
    assert re.search(r"^FAIL  exporter .*401.*\n +It wants credentials", out, re.MULTILINE)
    assert out.splitlines()[-1] == "1 of 10 steps failed: exporter."


def test_colours_are_asked_for() -> None:
    """Colours are for terminals, NO_COLOR is heard, and lines break between words."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    assert colourful(terminal, {"TERM": "xterm"})
    assert not colourful(terminal, {"NO_COLOR": "1"})
    assert not colourful(io.StringIO(), {})
    one = Finding("exporter", "fail", "a word " * 30, "a cure")
    assert "\x1b[" in line(one, colours=True)
    assert max(map(len, line(one, colours=False, width=80).splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prometheus", "localhost:9090"],
        ["--timeout", "0"],
        ["--limit", "-1"],
        ["--collector-health", "nonsense"],
        ["--endpoint", "ftp://x"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong argument ends with status 2 and its name, and nothing is sent."""
    with pytest.raises(SystemExit) as exit_:
        main(["doctor", *arguments])
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--rules", "--dashboards", "--reference"])
def test_files_that_cannot_be_used(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not there, or is none of its kind, ends with status 2 in one line before anything is sent."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{]", encoding="utf-8")
    for path in (tmp_path / "absent.json", wrong):
        assert main(["doctor", option, str(path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert sink.requests == 0


def test_the_base_is_enough() -> None:
    """It works where none of the optional packages is installed."""
    script = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rich", "yaml", "requests", "pandas", "prometheus_client", "cryptography", "sklearn"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from mlobs.cli import main
sys.exit(main(["doctor"]))
"""
    with running() as sink:
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
        done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_what_libraries_log_stays_out_of_the_way(doctor: Doctor, caplog: pytest.LogCaptureFixture) -> None:
    """A failure is told in the report, not in the log beside it, and the loggers are as they were."""
    with caplog.at_level(logging.WARNING):
        doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{closed_port()}", OTEL_EXPORTER_OTLP_TIMEOUT="soon")
    assert caplog.records == []
    assert logging.getLogger("mlobs").propagate
