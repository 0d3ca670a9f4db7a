"""The documents hold: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlobs.cli.dispatch import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("examples/*/README.md")]
)
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)")


def blocks(document: Path, *languages: str) -> list[str]:
    """Return the code blocks of a document that are in one of these languages."""
    return [found["code"] for found in BLOCK.finditer(document.read_text("utf-8")) if found["language"] in languages]


def name(document: Path) -> str:
    """Return a document's path as a person would say it."""
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", [file for file in DOCUMENTS if blocks(file, "python")], ids=name)
def test_python_blocks_run(document: Path, tmp_path: Path) -> None:
    """The Python of a document, taken together, runs from top to bottom in an empty folder, and prints what it says.

    What a line prints stands beside it: `print(1 + 1)  # 2`.
    """
    script = tmp_path / "document.py"
    script.write_text("\n".join(blocks(document, "python")), encoding="utf-8")
    environment = {**os.environ, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines() == PRINTED.findall(script.read_text("utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_commands_exist(document: Path) -> None:
    """Every `make` and `mlobs` command of a document is one that exists."""
    shell = "\n".join(blocks(document, "sh", "console", "bash"))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", shell)) <= targets
    assert set(re.findall(r"^(?:\$ )?mlobs ([a-z]+)", shell, re.MULTILINE)) <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link and picture of a document is a file of the repository."""
    targets = [found["target"] for found in LINK.finditer(document.read_text("utf-8"))]
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_tables_are_whole(document: Path) -> None:
    """Every row of a table stands below the table's head: after an empty line it would be shown as it is written."""
    text = BLOCK.sub("", document.read_text("utf-8"))
    heads = [table.splitlines()[:2] for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    assert [head for head in heads if not re.fullmatch(r"\|[-:| ]+\|", head[-1])] == []


SOURCES = [file for folder in ("src", "integrations") for file in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("file", [one for one in (*DOCUMENTS, *SOURCES) if one.name != "CHANGELOG.md"], ids=name)
def test_nobody_is_sent_to_another_project(file: Path) -> None:
    """No page and no message has `mlobs` installed by its name: a package index has another project under it."""
    text = file.read_text("utf-8").replace("mlobs[auto] @ file:", "")
    assert re.findall(r"pip install '?mlobs\b.*|\bmlobs\[[a-z].*", text) == []


def test_the_table_of_telemetry_is_fresh() -> None:
    """docs/telemetry.md is what otel/names.py says today."""
    command = [sys.executable, str(ROOT / "docs" / "make_telemetry.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
