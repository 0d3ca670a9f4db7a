"""A Prometheus that scrapes sees the numbers that are pushed, under the names the Collector would give them."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from prometheus_client import REGISTRY, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import mlobs
from mlobs.otel import machine, names, scrape
from mlobs.otel.points import Collected
from mlobs.otel.scrape import Collector, ScrapeExporter, metric_name
from mlobs.testing import Telemetry


def test_names_are_the_collectors() -> None:
    """Dots, units and suffixes as in OpenTelemetry's translation; the design's names among them."""
    found = {instrument.name: metric_name(instrument) for instrument in (*names.INSTRUMENTS, *machine.INSTRUMENTS)}
    assert found["mlobs.prediction.duration"] == "mlobs_prediction_duration_seconds"
    assert found["mlobs.prediction.cpu.time"] == "mlobs_prediction_cpu_time_seconds"
    assert found["mlobs.feature.observations"] == "mlobs_feature_observations"
    assert found["mlobs.feature.reference.ratio"] == "mlobs_feature_reference_ratio"
    assert found["process.cpu.utilization"] == "process_cpu_utilization_ratio"
    assert found["process.memory.usage"] == "process_memory_usage_bytes"
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "9464.5"])
def test_a_wrong_port_is_told_and_the_default_holds(port: str, caplog: pytest.LogCaptureFixture) -> None:
    """A variable that cannot hold does not keep a process from being scraped."""
    with caplog.at_level(logging.WARNING, "mlobs"):
        assert scrape.port({"OTEL_EXPORTER_PROMETHEUS_PORT": port}) == 9464
    assert [record.getMessage() for record in caplog.records] == [
        f"OTEL_EXPORTER_PROMETHEUS_PORT='{port}' is not a number of a port: using 9464"
    ]
    assert scrape.port({"OTEL_EXPORTER_PROMETHEUS_PORT": " 9000 "}) == 9000
    assert scrape.port({}) == 9464


def test_a_scrape_says_what_was_counted(telemetry: Telemetry) -> None:
    """The page parses, and its numbers are those of the calls."""
    rows = np.random.default_rng(0).normal(size=(500, 2))
    profile = mlobs.Profile.build(rows, outputs=rows[:, 0])
    predict = mlobs.observe(model="m", version="3", reference=profile)(lambda x: x[:, 0])
    for row in rows:
        predict(row.reshape(1, 2))
    environ = {"OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1", "OTEL_EXPORTER_PROMETHEUS_PORT": "0"}
    exporter = ScrapeExporter(environ, telemetry.collect, {"service.name": "shop"})
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=10) as response:
            page = response.read().decode()
    finally:
        exporter.close()
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    by_name: dict[str, float] = {}
    for (name, _), value in samples.items():
        by_name[name] = by_name.get(name, 0) + value
    assert by_name["mlobs_prediction_duration_seconds_count"] == 500
    assert by_name["mlobs_prediction_rows_total"] == 500
    assert by_name["mlobs_feature_observations_total"] == 1500
    assert by_name["mlobs_feature_reference_ratio"] == pytest.approx(3)
    last = [value for (name, labels), value in samples.items() if name.endswith("_bucket") and ("le", "+Inf") in labels]
    assert last == [500, 500]
    labels = dict(next(labels for name, labels in samples if name == "mlobs_prediction_rows_total"))
    assert (labels["model_name"], labels["model_version"], labels["model_variant"]) == ("m", "3", "champion")
    assert samples["target_info", (("service_name", "shop"),)] == 1


def test_names_that_become_one_label_share_it() -> None:
    """The values of attributes whose names Prometheus cannot tell apart are joined, in the order of the names."""
    resource = {"k8s_pod.uid": "2", "k8s.pod/uid": "1", "0start": "x", "team-name": "a"}
    [info] = Collector(lambda: Collected(0, 1, []), resource).collect()
    [sample] = info.samples
    assert sample.labels == {"k8s_pod_uid": "1;2", "key_0start": "x", "team_name": "a"}


@pytest.mark.parametrize("change", ["mlobs.configure(export_interval=5)", "mlobs.shutdown()"])
def test_the_port_is_served_on_after_a_change(change: str) -> None:
    """New settings, and a call after a shutdown, serve the same counts at the same port."""
    script = f"""
import os, urllib.request
import mlobs
predict = mlobs.observe(model="m")(lambda x: 0.5)
def scraped():
    mlobs.flush(timeout=20)  # then it is served
    with urllib.request.urlopen("http://127.0.0.1:" + os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"], timeout=10) as page:
        lines = page.read().decode().splitlines()
    print([line.split()[-1] for line in lines if line.startswith("mlobs_prediction_duration_seconds_count")])
predict([1.0])
scraped()
for _ in range(2):
    {change}
    predict([1.0])
    scraped()
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environ = {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
    }
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.splitlines(), done.stderr) == (["['1.0']", "['2.0']", "['3.0']"], "")


def test_the_page_that_the_process_serves_already_has_them_too(telemetry: Telemetry) -> None:
    """As where OpenTelemetry's exporter has taken the port: on its page, until closed, and without a second `target_info`."""
    mlobs.observe(model="m")(lambda x: 0.5)([1.0])
    server, _ = start_http_server(0, "127.0.0.1")

    def told() -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as response:
            return [line.split("{")[0] for line in response.read().decode().splitlines()]

    environ = {"OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1", "OTEL_EXPORTER_PROMETHEUS_PORT": str(server.server_port)}
    try:
        exporter = ScrapeExporter(environ, telemetry.collect, {"service.name": "shop"})
        assert exporter.port == server.server_port
        assert told().count("mlobs_prediction_rows_total") == 1
        assert "target_info" not in told()
        exporter.close()
        assert "mlobs_prediction_rows_total" not in told()
    finally:
        server.shutdown()
        server.server_close()


def test_a_port_of_somebody_elses_is_an_error(telemetry: Telemetry) -> None:
    """Who listens there is no page of this process, and the program's registry has nothing of mlobs'."""
    before = generate_latest(REGISTRY).decode().count("mlobs")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            ScrapeExporter(
                {"OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1", "OTEL_EXPORTER_PROMETHEUS_PORT": port},
                telemetry.collect,
                {},
            )
    assert generate_latest(REGISTRY).decode().count("mlobs") == before
