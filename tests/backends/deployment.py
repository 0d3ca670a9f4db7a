"""The files of deploy/, read as those who deploy them read them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
AUTOSCALING = KUBERNETES / "autoscaling"
VARIABLE = re.compile(r"\$\{env:(OTELCOL_\w+)(?::-([^}]*))?\}")  # as Collector configurations read them
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(-[\w.-]+)?")


def read(path: Path) -> Any:
    """A file's only document."""
    return yaml.safe_load(path.read_text("utf-8"))


def documents(path: Path) -> list[dict[str, Any]]:
    """All of a file's documents."""
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]


def compose() -> dict[str, Any]:
    """The compose file, its variables at their defaults."""
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+(?::-([^}]*))?\}", lambda found: found[1] or "", text))
    return loaded


def mounts(service: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """What a service has of this repository, and where."""
    for volume in service.get("volumes", []):
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            yield (DEPLOY / source).resolve(), target


def manifests() -> list[dict[str, Any]]:
    """Every object of the kustomization's files."""
    listed = read(KUBERNETES / "kustomization.yaml")["resources"]
    return [one for name in listed for one in documents(KUBERNETES / name)]


def named(kind: str, name: str) -> dict[str, Any]:
    """One object."""
    (one,) = [each for each in manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return one


def pods() -> dict[str, dict[str, Any]]:
    """The pod template of each workload, by its name."""
    return {
        one["metadata"]["name"]: one["spec"]["template"] for one in manifests() if "template" in one.get("spec", {})
    }


def says_yes(*command: str) -> str:
    """Run a checker of this environment; what it said. Fails with it where it says no."""
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def conforms(schema: dict[str, Any], path: Path, folder: Path) -> None:
    """Check a file against a schema."""
    file = folder / "schema.json"
    file.write_text(json.dumps(schema), encoding="utf-8")
    says_yes("check_jsonschema", "--schemafile", str(file), str(path))
