"""`mlobs integrations` and `mlobs.integrations()`: what is installed, what is hooked, and why something is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mlobs
from mlobs.cli import main

BROKEN = """
from mlobs.integration import Integration
def hook(hooks): raise KeyError("gone")
integration = Integration("broken", "numpy", "1", {"broken_framework": hook})
"""


def test_what_is_installed_is_hooked_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    """scikit-learn is imported and hooked in a process of its own; what is missing is told with the cure."""
    assert main(["integrations", "--json"]) == 0
    told = {one["name"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert told["sklearn"]["installed"] == __import__("sklearn").__version__
    assert told["sklearn"]["hooked"] > 20
    assert (told["sklearn"]["waiting"], told["sklearn"]["problem"]) == ([], None)
    assert told["flask"]["hooked"] == told["starlette"]["hooked"] == 1
    for one in told.values():
        assert one["installed"] or "Try: pip install" in one["problem"]


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, and a line that says what the columns are."""
    assert main(["integrations"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["integration", "installed", "from", "hooked"]
    assert len(lines) == len(mlobs.integrations())


def test_a_running_program_asks_too() -> None:
    """What is off says how to turn it on; what is on says how much it has hooked."""
    mlobs.uninstrument()
    before = {status.name: status for status in mlobs.integrations()}["flask"]
    assert (before.on, before.hooked, before.problem) == (False, 0, "it is not on. Try: mlobs.instrument('flask')")
    mlobs.instrument("flask")
    try:
        import flask

        assert flask.__name__ == "flask"
        status = {status.name: status for status in mlobs.integrations()}["flask"]
        assert (status.on, status.hooked, status.waiting, status.problem) == (True, 1, (), None)
    finally:
        mlobs.uninstrument("flask")


@pytest.mark.parametrize(
    ("framework", "told"),
    [
        ("", "broken_framework: KeyError: 'gone'"),
        ("raise RuntimeError('no driver')", "import broken_framework raised RuntimeError: no driver"),
        ("import os; os._exit(3)", "its process ended: exit status 3"),
    ],
)
def test_one_that_breaks_is_told_and_fails(tmp_path: Path, framework: str, told: str) -> None:
    """A hook that raises, an import that raises and one that ends the process are one line each, and status 1."""
    (tmp_path / "broken_framework.py").write_text(framework, encoding="utf-8")
    (tmp_path / "mlobs_broken.py").write_text(BROKEN, encoding="utf-8")
    about = tmp_path / "broken-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(
        "[mlobs_integration]\nbroken = mlobs_broken:integration\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mlobs", "integrations"],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("broken")]
    assert told in line
    assert done.returncode == 1


def test_a_name_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` of no integration is refused in one line that says which there are."""
    assert main(["integrations", "--only", "sklaern"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "sklearn" in said
