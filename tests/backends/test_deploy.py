"""The compose file and what it starts: checked against its schema, its neighbours, and with the real programs."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from tests.backends.collector import CONFIG, free_ports, poll
from tests.backends.deployment import AUTOSCALING, DEPLOY, PINNED, ROOT, VARIABLE, compose, mounts, read, says_yes
from tests.backends.programs import program
from tests.sink import Sink

from mlobs.otel import machine, names

SERVICES = compose()["services"]
SHELLLESS = {"collector", "tempo"}  # no health check of their own: `probe` looks at them
UNASKED = {"traffic", "storage"}  # listen nowhere
OURS = re.compile(r"\bmlobs_\w+")


def test_compose_is_what_compose_reads() -> None:
    """The compose file conforms to the compose specification's schema."""
    says_yes("check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml"))


def test_docker_reads_it() -> None:
    """Docker's own command accepts the compose file, where it is installed."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("docker compose is not installed")
    done = subprocess.run(
        ["docker", "compose", "-f", DEPLOY / "compose.yaml", "config", "--quiet"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_guarded_and_on_loopback(name: str) -> None:
    """Each image has a whole version; nobody gains a right or, but for `storage`, is root; ports are for this machine."""
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["user"].split(":")[0] == "0") == (name == "storage")
    assert [port for port in service.get("ports", []) if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    assert ("healthcheck" in service) == (name not in SHELLLESS | UNASKED)


def test_what_cannot_check_itself_is_looked_at() -> None:
    """The probe asks those that have no shell, at ports they listen on."""
    asked = " ".join(SERVICES["probe"]["healthcheck"]["test"])
    for name in SHELLLESS:
        (port,) = re.findall(rf"http://{name}:(\d+)", asked)
        assert any(published.endswith(f":{port}") for published in SERVICES[name]["ports"])


def test_everything_mounted_exists() -> None:
    """Each file or folder that a service is given is there, and every volume is declared."""
    loaded = compose()
    assert [source for service in SERVICES.values() for source, _ in mounts(service) if not source.exists()] == []
    volumes = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume[0] != "."
    }
    assert volumes == set(loaded["volumes"])


def test_the_collector_gets_what_it_reads() -> None:
    """Each variable set for the Collector is one its file reads, and the published ports are those it listens on."""
    service = SERVICES["collector"]
    ((source, target),) = mounts(service)
    assert service["command"] == [f"--config={target}"]
    read_there = dict(VARIABLE.findall(source.read_text("utf-8")))
    assert {name for name in service["environment"] if name.startswith("OTELCOL_")} <= set(read_there)
    inside = {port.rsplit(":", 1)[1] for port in service["ports"]}
    assert inside == {read_there[f"OTELCOL_{name}_PORT"] for name in ("GRPC", "HTTP", "HEALTH")}
    assert read_there["OTELCOL_QUEUE"].startswith("/var/lib/otelcol/")
    targets = [one["static_configs"][0]["targets"][0] for one in read(DEPLOY / "prometheus.yaml")["scrape_configs"]]
    assert f"collector:{read_there['OTELCOL_METRICS_PORT']}" in targets


def test_the_collector_accepts_its_file() -> None:
    """With the variables of the compose file, the Collector says that its configuration is valid."""
    environ = {**os.environ, **SERVICES["collector"]["environment"]}
    command = [program("collector"), "validate", f"--config={CONFIG / 'gateway.yaml'}"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_addresses_inside_are_services() -> None:
    """Every address of a neighbour that a configuration names is a service, at a port it serves; Loki is left to you."""
    texts = [json.dumps(compose()), json.dumps(read(DEPLOY / "prometheus.yaml"))]
    texts += [file.read_text("utf-8") for source, _ in mounts(SERVICES["grafana"]) for file in source.rglob("*.y*ml")]
    served = {
        "collector": {"4317", "4318", "8888", "13133"},
        "tempo": {"3200", "4317", "4318"},
        **{
            name: {port.rsplit(":", 1)[1] for port in SERVICES[name].get("ports", [])}
            for name in SERVICES.keys() - SHELLLESS
        },
    }
    found = {pair for text in texts for pair in re.findall(r"\b([a-z]+):(\d{4,5})\b", text)}
    assert ("tempo", "4318") in found
    known = {(name, port) for name, ports in served.items() for port in ports}
    assert found - known <= {("loki", "3100"), ("localhost", "9090")}


def test_prometheus_accepts_its_file(tmp_path: Path) -> None:
    """With everything where the compose file mounts it, promtool takes configuration, rules and alerts."""
    file = laid_out(tmp_path)
    done = subprocess.run([program("promtool"), "check", "config", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shipped = sorted((ROOT / "prometheus").glob("mlobs-*.yml"))
    assert done.stdout.count("rules found") == len(shipped) > 0


def test_tempo_takes_what_the_collector_sends() -> None:
    """Tempo listens for OTLP where the Collector sends traces, and answers where Grafana and the probe ask."""
    tempo = read(DEPLOY / "tempo.yaml")
    endpoint = urllib.parse.urlsplit(SERVICES["collector"]["environment"]["OTELCOL_TEMPO"])
    assert tempo["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == f"0.0.0.0:{endpoint.port}"
    assert SERVICES["tempo"]["ports"][0].endswith(f":{tempo['server']['http_listen_port']}")
    kept = [volume.split(":")[1] for volume in SERVICES["tempo"]["volumes"] if volume.startswith("tempo-data:")]
    assert all(tempo["storage"]["trace"][part]["path"].startswith(kept[0]) for part in ("wal", "local"))


# ── the quickstart's image ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_image_has_the_version_of_the_package() -> None:
    """The quickstart's tag is the version of the mlobs it belongs to, wherever it is named."""
    tag = f"mlobs-quickstart:{version('mlobs')}"
    assert {SERVICES[name]["image"] for name in ("quickstart", "traffic")} == {tag}
    assert f"image: {tag}" in (DEPLOY / "kubernetes" / "quickstart.yaml").read_text("utf-8")
    assert tag in (DEPLOY / "README.md").read_text("utf-8")


def test_the_image_is_built_from_what_docker_is_sent(tmp_path: Path) -> None:
    """What the ignore file lets through of a clone is enough to build the wheel that the image installs."""
    lines = (DEPLOY / "quickstart" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    let_through = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    for name in let_through:
        source = ROOT / name
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, tmp_path / name)
    dockerfile = (DEPLOY / "quickstart" / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"\bdeploy/quickstart/[\w.*]+(?:txt|py)\b", dockerfile)
    assert {"deploy/quickstart/requirements.txt", "deploy/quickstart/*.py"} <= set(copied)
    assert [
        name
        for name in copied
        if not any(fnmatch.fnmatch(str(path.relative_to(tmp_path)), name) for path in tmp_path.rglob("*"))
    ] == []
    command = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={tmp_path / 'out'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_image_takes_no_other_mlobs(tmp_path: Path) -> None:
    """Outside of a clone and without a wheel the image's build ends with what to do, and asks no package index."""
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__", "*.whl"))
    dockerfile = (DEPLOY / "quickstart" / "Dockerfile").read_text("utf-8")
    (script,) = re.findall(r"^RUN (set -e;.*?)\n\n", dockerfile, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/nowhere"}
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("No mlobs to install. Try: ")


def test_requirements_are_those_that_tests_run_with() -> None:
    """What the image installs beside mlobs is installed here, in a version that its file allows."""
    lines = (DEPLOY / "quickstart" / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    assert [str(one) for one in wanted if version(one.name) not in one.specifier] == []


# ── it runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_service_answers_and_is_observed(sink: Sink, tmp_path: Path) -> None:
    """Started as its image starts it, it is healthy, answers the traffic, and tells data, drift, outcomes and money."""
    environ = {**SERVICES["quickstart"]["environment"], "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    with service(tmp_path, environ) as url:
        assert httpx.get(f"{url}/healthz").json() == {"status": "alive"}
        assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}
        drive(url, requests=120)
        assert httpx.post(f"{url}/predict", json={"area": "unknown"}).status_code == 422
        assert httpx.post(f"{url}/hooks/alerts", json={"alerts": [{"labels": {"alertname": "A"}}]}).status_code == 202
    told = {name: metric for metrics in sink.latest().values() for name, metric in metrics.items()}
    assert sink.calls() == 121
    assert {
        names.PREDICTION_ROWS.name,
        names.FEATURE_OBSERVATIONS.name,
        names.DRIFT_SIGNIFICANT.name,
        names.PREDICTION_SCORE.name,
        names.OUTCOME_CONFUSION.name,
        names.BUSINESS_VALUE.name,
        names.PREDICTION_COST.name,
        machine.PROCESS_CPU_TIME.name,
        "http.server.active_requests",
    } <= told.keys()
    versions = {
        attribute.value.string_value
        for point in told[names.PREDICTION_ROWS.name].sum.data_points
        for attribute in point.attributes
        if attribute.key == names.MODEL_VERSION
    }
    assert versions == {"1", "2"}
    by_id = {span.span_id: span for span in sink.spans}
    predicted = [span for span in sink.spans if span.name == "predict flat-sale"]
    assert len(predicted) == 121
    assert all(by_id[span.parent_span_id].name.startswith("POST /predict") for span in predicted)


def test_prometheus_answers_what_autoscalers_ask(tmp_path: Path) -> None:
    """With the flags and the file of the compose file, a real Prometheus takes OTLP and gives the autoscalers numbers."""
    pod = "service.instance.id=quickstart-1,k8s.namespace.name=quickstart,k8s.pod.name=quickstart-1"
    with prometheus(tmp_path / "prometheus") as server:
        environ = {
            **SERVICES["quickstart"]["environment"],
            "OTEL_RESOURCE_ATTRIBUTES": pod,
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{server}/api/v1/otlp/v1/metrics",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        (trigger,) = read(AUTOSCALING / "keda.yaml")["spec"]["triggers"]
        (rule,) = read(AUTOSCALING / "prometheus-adapter.yaml")["rules"]["custom"]
        assert ask(server, trigger["metadata"]["query"]) == []  # nothing told yet is an error, not a zero
        with service(tmp_path, environ) as url:
            drive(url, requests=40)
            assert poll(lambda: bool(ask(server, trigger["metadata"]["query"])), 20)
            assert poll(lambda: bool(ask(server, "http_server_active_requests")), 20)
            (one,) = ask(server, trigger["metadata"]["query"])
            assert one["metric"] == {}
            assert 0 <= float(one["value"][1]) < 100
            assert ask(server, rule["seriesQuery"])
            labels = {resource["resource"]: label for label, resource in rule["resources"]["overrides"].items()}
            query = (
                rule["metricsQuery"]
                .replace("<<.GroupBy>>", labels["pod"])
                .replace("<<.Series>>", re.fullmatch(r"\^(\w+)\$", rule["name"]["matches"])[1])  # type: ignore[index]
                .replace("<<.LabelMatchers>>", f'{labels["namespace"]}="quickstart",{labels["pod"]}=~"quickstart-1"')
            )
            (one,) = ask(server, query)
            assert one["metric"] == {"k8s_pod_name": "quickstart-1"}


def test_autoscalers_ask_for_what_mlobs_tells() -> None:
    """Each metric of ours in an autoscaler's query is one of the contract, and none is about drift or latency."""
    text = "".join(file.read_text("utf-8") for file in AUTOSCALING.glob("*.yaml"))
    known = {one.name.replace(".", "_") for one in (*names.INSTRUMENTS, *machine.INSTRUMENTS)}
    asked = set(OURS.findall(text))
    assert asked == {names.PREDICTION_ACTIVE.name.replace(".", "_")}
    assert asked <= known


@contextmanager
def service(folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """The quickstart service, started with its image's command; stopped with SIGTERM, as a container is."""
    folder.mkdir(parents=True, exist_ok=True)
    dockerfile = (DEPLOY / "quickstart" / "Dockerfile").read_text("utf-8")
    (said,) = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    command = json.loads(said)
    set_there = dict(
        pair.split("=") for line in re.findall(r"^ENV (.*)$", dockerfile, re.MULTILINE) for pair in line.split()
    )
    assert command[:2] == ["opentelemetry-instrument", "uvicorn"]
    assert command[command.index("--port") + 1] == SERVICES["quickstart"]["ports"][0].rsplit(":", 1)[1]
    command[0] = str(Path(sys.executable).with_name(command[0]))
    with socket.create_server(("127.0.0.1", 0)) as listening, (folder / "service.log").open("w") as log:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # handed down by --fd it is not set by itself
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        host = command.index("--host")
        command[host : command.index("--port") + 2] = ["--fd", str(listening.fileno())]
        process = subprocess.Popen(
            command,
            cwd=DEPLOY,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "PYTHONDONTWRITEBYTECODE": "1",
                **set_there,
                **environ,
            },
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=log,
        )
    try:
        assert httpx.get(f"{url}/readyz", timeout=60).status_code == 200, (folder / "service.log").read_text("utf-8")
        yield url
        process.terminate()
        process.wait(20)
    finally:
        process.kill()
        process.wait()


def drive(url: str, *, requests: int) -> None:
    """Traffic as the compose file starts it, but in a hurry."""
    command = SERVICES["traffic"]["command"]
    assert command[:3] == ["python", "-m", "quickstart.traffic"]
    hurry = [f"--target={url}", "--rate=100000", f"--requests={requests}", "--delay=0"]
    allowed = {part.split("=")[0] for part in command[3:]}
    done = subprocess.run(
        [sys.executable, "-B", *command[1:3], *hurry], cwd=DEPLOY, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run([sys.executable, "-B", *command[1:3], "--help"], cwd=DEPLOY, capture_output=True, text=True)
    assert [option for option in allowed if option not in shown.stdout] == []


def laid_out(folder: Path) -> Path:
    """Prometheus' files where its container has them, below a folder; its configuration."""
    for source, target in mounts(SERVICES["prometheus"]):
        place = folder / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            place.symlink_to(source)
        else:
            place.write_text(source.read_text("utf-8").replace(" /etc/", f" {folder}/etc/"), encoding="utf-8")
    return folder / "etc" / "prometheus" / "prometheus.yaml"


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """A Prometheus with the compose file's flags, on loopback."""
    file = laid_out(folder)
    (port,) = free_ports(1)
    moved = {"--config.file": str(file), "--storage.tsdb.path": str(folder / "data")}
    flags = [
        part.split("=")[0] + f"={moved[part.split('=')[0]]}" if part.split("=")[0] in moved else part
        for part in SERVICES["prometheus"]["command"]
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program("prometheus"), *flags, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text("utf-8")
        try:
            return httpx.get(f"{url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    try:
        assert poll(ready)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def ask(server: str, query: str) -> list[Any]:
    """What a query gives now."""
    answer = httpx.get(f"{server}/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer
    result: list[Any] = answer["data"]["result"]
    return result
