"""Prometheus' own test of rules."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

RULES = Path(__file__).parents[2] / "prometheus"


def promtool(*arguments: str) -> str:
    """What it says; skips the test where it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def unit_test(folder: Path, rules: list[str], tests: list[dict[str, Any]], *, interval: str = "5m") -> None:
    """Run promtool's unit tests against files of rules."""
    file = folder / "rules.test.json"  # every JSON is YAML
    file.write_text(
        json.dumps(
            {"rule_files": [str(RULES / name) for name in rules], "evaluation_interval": interval, "tests": tests}
        ),
        encoding="utf-8",
    )
    promtool("test", "rules", str(file))


def holds(expr: str, at: str, labels: list[str]) -> dict[str, Any]:
    """An expression that has to give 1 for each of these sets of labels and nothing else."""
    return {"expr": expr, "eval_time": at, "exp_samples": [{"labels": each, "value": 1} for each in labels]}
