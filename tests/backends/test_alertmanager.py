"""Alertmanager with prometheus/alertmanager.yml: who is told of which alert, and the hook for retraining."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.backends.collector import free_ports, poll
from tests.backends.programs import program
from tests.backends.promtool import RULES

CONFIG = RULES / "alertmanager.yml"
MODEL = {"model_name": "churn", "model_version": "7", "model_variant": "champion"}


class Hooks:
    """Receivers, each a path of one server on loopback."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.came = threading.Condition()
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with hooks.came:
                    hooks.told.append((self.path.strip("/"), body))
                    hooks.came.notify_all()
                self.send_response(202)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def alerts(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, body in self.told:
            found.setdefault(path, set()).update(one["labels"]["alertname"] for one in body["alerts"])
        return found


def in_haste(config: dict[str, Any], hooks: str) -> dict[str, Any]:
    """The shipped configuration with hooks of ours, and waits of a second."""

    def hasten(route: dict[str, Any]) -> None:
        for key in ("group_wait", "group_interval"):
            if key in route:
                route[key] = "1s"
        for one in route.get("routes", ()):
            hasten(one)

    hasten(config["route"])
    for receiver in config["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"{hooks}/{receiver['name']}"
    return config


@contextmanager
def running(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    file = folder / "alertmanager.json"  # every JSON is YAML
    file.write_text(json.dumps(config), encoding="utf-8")
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    command = [program("alertmanager"), f"--config.file={file}", f"--storage.path={folder}",
               f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address="]  # fmt: skip

    def ready() -> bool:
        assert ran.poll() is None, (folder / "log").read_text("utf-8")
        with suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
            return True
        return False

    with (folder / "log").open("w", encoding="utf-8") as log, subprocess.Popen(command, stdout=log, stderr=log) as ran:
        try:
            assert poll(ready, 30), "not ready in 30 s"
            yield url
        finally:
            ran.terminate()


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    found = Hooks()
    serving = threading.Thread(target=found.server.serve_forever, daemon=True)
    serving.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    serving.join()


def alert(name: str, severity: str, **labels: str) -> dict[str, Any]:
    told = {"alertname": name, "severity": severity, "component": "mlobs", **labels}
    return {
        "labels": told,
        "annotations": {"summary": f"{name} of churn", "runbook_url": f"docs/alerts.md#{name.lower()}"},
    }


def test_who_is_told_of_what(tmp_path: Path, hooks: Hooks) -> None:
    """Critical alerts page, the others are tickets, drift and quality also go to the retraining hook with the model's labels.

    What a graver alert says already is not said twice.
    """
    drift = {**MODEL, "role": "input", "feature": "temp"}
    sent = [
        alert("MlobsFeatureDriftCritical", "critical", **drift),
        alert("MlobsFeatureDriftSlow", "info", **drift),
        alert("MlobsQualityDrop", "warning", **MODEL, measure="auc"),
        alert("MlobsErrorBudgetBurnFast", "critical", model_name="churn", slo="latency"),
        alert("MlobsErrorBudgetBurnSlow", "warning", model_name="churn", slo="latency"),
        alert("MlobsErrorBudgetBurnSlow", "warning", model_name="churn", slo="availability"),
        alert("MlobsCpuThrottled", "warning", job="churn", instance="a"),
    ]
    due = {
        "pager": {"MlobsFeatureDriftCritical", "MlobsErrorBudgetBurnFast"},
        "tickets": {"MlobsQualityDrop", "MlobsErrorBudgetBurnSlow", "MlobsCpuThrottled"},
        "retraining": {"MlobsFeatureDriftCritical", "MlobsQualityDrop"},
    }
    config = in_haste(yaml.safe_load(CONFIG.read_text("utf-8")), hooks.url)
    with running(tmp_path, config) as url:
        request = urllib.request.Request(
            f"{url}/api/v2/alerts", json.dumps(sent).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()
        with hooks.came:
            assert hooks.came.wait_for(lambda: hooks.alerts() == due, timeout=20), hooks.alerts()
    told = [one["labels"] for path, body in hooks.told for one in body["alerts"] if path == "retraining"]
    assert all(MODEL.items() <= labels.items() for labels in told)
    tickets = [one["labels"] for path, body in hooks.told for one in body["alerts"] if path == "tickets"]
    assert {labels["slo"] for labels in tickets if "slo" in labels} == {"availability"}


def test_every_alert_has_a_way_to_somebody() -> None:
    """The names that routes and inhibitions match are those of alerts that the rules have."""
    text = CONFIG.read_text("utf-8")
    config = yaml.safe_load(text)
    files = [yaml.safe_load(file.read_text("utf-8")) for file in RULES.glob("*.alerts.yml")]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    assert {rule["labels"]["severity"] for rule in rules} <= {"critical", "warning", "info"}
    matchers = [config["route"]["routes"][0]["matchers"]]
    matchers += [rule[side] for rule in config["inhibit_rules"] for side in ("source_matchers", "target_matchers")]
    alerts = {rule["alert"] for rule in rules}
    for (matcher,) in matchers:
        pattern = re.fullmatch(r'alertname=~?"(.*)"', matcher)
        assert pattern
        for part in re.split(r"\|(?![^(]*\))", pattern[1]):  # the alternatives outside of brackets
            assert any(re.fullmatch(part, name) for name in alerts), part
