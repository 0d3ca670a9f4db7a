"""The pages for users are complete: every setting, variable, verdict and reason that exists is on its page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import mlobs
from mlobs.core.settings import Settings
from mlobs.sketch.noise import Verdict

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
BAD_INPUT = (ROOT / "docs" / "bad-input.md").read_text("utf-8")
DRIFT = (ROOT / "docs" / "drift.md").read_text("utf-8")
OUTCOMES = (ROOT / "docs" / "outcomes.md").read_text("utf-8")
PAGES = "\n".join(file.read_text("utf-8") for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
SOURCES = "\n".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))

ROWS = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", CONFIGURATION.partition("## The environment")[0], re.MULTILINE))
DEFAULTS = {field.name: field.default for field in fields(Settings)}


def test_every_argument_of_configure_has_its_row() -> None:
    """The table lists the arguments of `mlobs.configure`, in their order, and no others."""
    assert list(ROWS) == list(inspect.signature(mlobs.configure).parameters)


@pytest.mark.parametrize(
    ("page", "section", "function"),
    [
        (CONFIGURATION, "## `mlobs.observe`", mlobs.observe),
        (DRIFT, "## The reference", mlobs.Profile.build),
        (OUTCOMES, "## Quality", mlobs.objective),
    ],
)
def test_every_argument_is_explained(page: str, section: str, function: Callable[..., object]) -> None:
    """What `observe`, `Profile.build` and `objective` may be told is in the table of their section."""
    rows = "".join(re.findall(r"^\|.*$", page.partition(section)[2].partition("\n## ")[0], re.MULTILINE))
    asked = set(inspect.signature(function).parameters) - {
        "data",
        "function",
        "clock",
    }  # what every example gives; for tests
    assert {name for name in asked if f"`{name}`" not in rows} == set()


@pytest.mark.parametrize("name", [name for name, text in ROWS.items() if re.fullmatch(r"[\d.]+", text)])
def test_a_default_is_the_one_in_force(name: str) -> None:
    """A plain number in the table is the default of the settings."""
    assert float(ROWS[name]) == DEFAULTS[name]


def test_every_variable_is_listed() -> None:
    """Each OTEL_* variable that the sources name whole is on the page, and each there is read or built by them."""
    named = set(re.findall(r"\bOTEL_[A-Z_]+[A-Z]\b", SOURCES))
    shown = set(re.findall(r"\bOTEL_[A-Z_]+[A-Z]\b", CONFIGURATION))
    unread = {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"}
    of_the_sdk = {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
    pieces = {f"OTEL_EXPORTER_OTLP_{piece}" for piece in re.findall(r'get\("([A-Z_]+)"\)', SOURCES)}
    signals = {f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" for signal in ("METRICS", "TRACES")}
    assert {name for name in named if not name.endswith("_QUEUE_SIZE")} - shown == set()
    assert shown - named - unread - of_the_sdk - pieces - signals == set()


@pytest.mark.parametrize("name", [name for name in mlobs.__all__ if name[0].islower()])
def test_every_verb_is_on_a_page(name: str) -> None:
    """Whoever reads the pages meets each function that the package hands out."""
    assert re.search(rf"mlobs\.{name}\b", PAGES)


REASONS = set(re.findall(r'(?:drop\(\s*|dropped\(\s*|reason=|Left\()"(\w+)"', SOURCES))


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_is_explained(reason: str) -> None:
    """Each reason for which something may be left out is on the page about bad input."""
    assert f"`{reason}`" in BAD_INPUT


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_is_explained(verdict: str) -> None:
    """Each verdict is on the page about drift."""
    assert f"| `{verdict}` |" in DRIFT
