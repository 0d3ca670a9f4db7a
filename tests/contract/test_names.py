"""Every telemetry name anywhere in the repository exists in `otel/names.py`, its single home."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlobs
from mlobs.otel import machine, names
from mlobs.otel.instrument import Instrument

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
INSTRUMENTS = (*names.INSTRUMENTS, *machine.INSTRUMENTS)
ATTRIBUTES = {**names.ATTRIBUTES, **machine.ATTRIBUTES}
NAMES = {*(instrument.name for instrument in INSTRUMENTS), *ATTRIBUTES}
KINDS = {"counter", "updowncounter", "gauge", "histogram", "exponential"}

FOLDERS = (
    "src",
    "integrations",
    "docs",
    "examples",
    "benchmarks",
    "collector-config",
    "prometheus",
    "grafana",
    "deploy",
)
ENDINGS = {".py", ".md", ".yml", ".yaml", ".json", ".libsonnet", ".toml"}
CANDIDATE = re.compile(r"(?<![\w./-])mlobs(?:\.[a-z][a-z0-9_]*)+")


def unknown(text: str) -> Iterator[str]:
    """Yield the dotted names under `mlobs` that are neither telemetry, nor its beginning, nor Python's."""
    for name in CANDIDATE.findall(text):
        begins = any(known == name or known.startswith(f"{name}.") for known in NAMES)
        if not begins and not is_python(name):
            yield name


def is_python(name: str) -> bool:
    """Tell whether a dotted name is a module, or something that the package hands out, or below one of these."""
    parts = name.split(".")
    folder = ROOT / "src" / "mlobs"
    for depth, part in enumerate(parts[1:], start=1):
        if (folder / f"{part}.py").exists():
            return len(parts) <= depth + 2  # a name in the module
        if not (folder / part).is_dir():
            return depth > 1 or (part in mlobs.__all__ and len(parts) == depth + 1)
        folder /= part
    return True


def files() -> list[Path]:
    """Return every file that may name telemetry."""
    inside = (file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in ENDINGS)
    return sorted([*inside, *ROOT.glob("*.md")])


def test_every_telemetry_name_has_its_home() -> None:
    """No source, document, rule or dashboard says a name that nothing emits."""
    found = [f"{file.relative_to(ROOT)}: {name}" for file in files() for name in unknown(file.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "name", ["mlobs.prediction.latency", "mlobs.drift.psy", "mlobs.nothing", "mlobs.feature.bins.info"]
)
def test_an_invented_name_is_found(name: str) -> None:
    """A name that does not exist is seen by this test's own reader."""
    assert list(unknown(f'sum(x) by "{name}", and so on')) == [name]


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda instrument: instrument.name)
def test_names_follow_the_rules(instrument: Instrument) -> None:
    """Kind, unit and attributes of each metric keep the rules that make OTLP and a scrape agree on names."""
    assert instrument.kind in KINDS
    assert instrument.description.strip() == instrument.description != ""
    assert set(instrument.attributes) <= ATTRIBUTES.keys()
    if instrument.kind == "gauge" and instrument.unit == "1":
        assert instrument.name.endswith((".ratio", ".utilization"))  # process.cpu.utilization is OpenTelemetry's own
    assert not {"seconds", "bytes", "total", "ms"} & set(re.split(r"[._]", instrument.name))


def test_names_are_told_once() -> None:
    """No metric has two entries."""
    told = [instrument.name for instrument in INSTRUMENTS]
    assert len(told) == len(set(told))
    assert not names.ATTRIBUTES.keys() & machine.ATTRIBUTES.keys()
