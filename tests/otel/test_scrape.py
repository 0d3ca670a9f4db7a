"""A Prometheus that scrapes sees the numbers that are pushed, under the names the Collector would give them."""

from __future__ import annotations

import logging
import urllib.request

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import mlobs
from mlobs.otel import machine, names
from mlobs.otel.scrape import ScrapeExporter, _port, metric_name
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
        assert _port({"OTEL_EXPORTER_PROMETHEUS_PORT": port}) == 9464
    assert [record.getMessage() for record in caplog.records] == [
        f"OTEL_EXPORTER_PROMETHEUS_PORT='{port}' is not a number of a port: using 9464"
    ]
    assert _port({"OTEL_EXPORTER_PROMETHEUS_PORT": " 9000 "}) == 9000
    assert _port({}) == 9464


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
