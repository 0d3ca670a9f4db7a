"""A command says what it has to say on whatever terminal, or none, it is started from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlobs

POSIX = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def mlobs_says(
    *arguments: str, closed: int | None = None, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command; ``closed`` is a descriptor that is closed before it starts."""
    shell = ["sh", "-c", f'exec "$@" {closed}>&-', "sh"] if closed else []
    return subprocess.run(
        [*shell, sys.executable, "-m", "mlobs", *arguments],
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("environ", [POSIX, {"PYTHONIOENCODING": "ascii"}], ids=["POSIX", "ascii"])
def test_what_a_terminal_cannot_show_is_a_question_mark(tmp_path: Path, environ: dict[str, str]) -> None:
    """A name of a feature, a title of a file: its other letters are there, and no traceback."""
    mlobs.Profile.build({"plän": ["free", "pro"] * 50}).save(tmp_path / "ref.json")
    counted = mlobs_says("cardinality", str(tmp_path / "ref.json"), environ=environ)
    assert (counted.returncode, counted.stderr) == (0, "")
    assert "pl?n" in counted.stdout
    listed = mlobs_says("assets", "list", environ=environ)
    assert (listed.returncode, listed.stderr) == (0, "")


@pytest.mark.parametrize(("arguments", "status"), [(["assets", "list"], 0), (["cardinality", "absent.json"], 2)])
@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_takes_everything(arguments: list[str], status: int, closed: int) -> None:
    """Nothing is said there, nothing of it elsewhere, and the exit status is what it would be."""
    done = mlobs_says(*arguments, closed=closed)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == (status == 0 and closed == 2)
