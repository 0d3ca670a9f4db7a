"""The files of collector-config/ are whole: each is accepted, built from exactly what it uses, and explained."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.backends.collector import CONFIG
from tests.backends.programs import program

SHIPPED = ["agent", "gateway", "local"]
VARIABLE = re.compile(r"\$\{env:(\w+)(?::-([^}]*))?\}")
KINDS = ("receivers", "processors", "exporters", "connectors", "extensions")


def load(name: str) -> Any:
    return yaml.safe_load((CONFIG / f"{name}.yaml").read_text("utf-8"))


def validate(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [program("collector"), "validate", *(f"--config={file}" for file in files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={})


@pytest.mark.parametrize("name", SHIPPED)
def test_the_collector_accepts_the_file(name: str) -> None:
    """As it is shipped, with no variable set."""
    done = validate(CONFIG / f"{name}.yaml")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {
            "exporters": {"otlp_http/nowhere": {"endpoint": ""}},
            "service": {"pipelines": {"logs": {"exporters": ["otlp_http/nowhere"]}}},
        },
        {"processors": {"memory_limiter": {"check_intervall": "1s"}}},
        {"service": {"pipelines": {"logs": {"processors": ["batch"]}}}},
    ],
    ids=["no address", "an option that is none", "a component that was not built"],
)
def test_a_mistake_would_be_seen(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """`validate` refuses a shipped file that was changed for the worse."""
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(wrong), encoding="utf-8")
    assert validate(CONFIG / "gateway.yaml", file).returncode != 0


def used() -> Iterator[tuple[str, str]]:
    """The kinds and types of all components of the shipped files."""
    for name in SHIPPED:
        found = load(name)
        for kind in KINDS:
            for component in found.get(kind) or ():
                yield kind, component.partition("/")[0]


def test_the_manifest_has_what_the_files_use_and_no_more() -> None:
    """What the Collector that was built says it has is what the files name."""
    done = subprocess.run([program("collector"), "components"], capture_output=True, text=True, check=True)
    built = yaml.safe_load(done.stdout)
    assert {(kind, one["name"]) for kind in KINDS for one in built.get(kind) or ()} == set(used())


def test_every_component_is_in_a_pipeline() -> None:
    """Nothing is set up that no pipeline uses."""
    for name in SHIPPED:
        found = load(name)
        service = found["service"]
        pipelines = service["pipelines"].values()
        running = {
            *service["extensions"],
            *(one for pipeline in pipelines for part in pipeline.values() for one in part),
        }
        assert running == {one for kind in KINDS for one in found.get(kind) or ()}


def test_every_variable_and_component_is_explained() -> None:
    """README.md names each variable with its defaults, and each component."""
    page = (CONFIG / "README.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    for name in SHIPPED:
        for variable, default in VARIABLE.findall((CONFIG / f"{name}.yaml").read_text("utf-8")):
            assert not default or f"`{default}`" in rows[variable], (
                f"{name}.yaml: {variable} is {default} where it is not set"
            )
    assert {component for _, component in used()} <= {name.strip() for row in rows for name in row.split(",")} | set(
        rows
    )


def test_metrics_come_in_order() -> None:
    """One consumer between each Collector and the next, or Prometheus: a queue that is worked off mixes up no samples."""
    for name, exporter in (
        ("agent", "otlp_grpc/gateway"),
        ("gateway", "otlp_http/prometheus"),
        ("local", "otlp_http/prometheus"),
    ):
        assert load(name)["exporters"][exporter]["sending_queue"]["num_consumers"] == 1


def test_what_a_batch_may_weigh_fits_a_grpc_message() -> None:
    """An agent's batch stays below the four MiB that a gateway takes; more would be refused for good."""
    exporters = load("agent")["exporters"]
    for queue in (exporters["load_balancing"]["sending_queue"], exporters["otlp_grpc/gateway"]["sending_queue"]):
        assert queue["sizer"] == "bytes"
        assert queue["batch"]["max_size"] < 4 * 2**20
