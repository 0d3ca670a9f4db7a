"""The wheel carries both source roots flat, and nothing that is not code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_both_roots_and_nothing_else(tmp_path: Path) -> None:
    """A file added to integrations/ installs beside the package; documents and caches stay behind."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for folder in ("src", "integrations"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    (copy / "integrations" / "mlobs_thrown_away.py").write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={tmp_path}"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    roots = (copy / "src", copy / "integrations")
    code = {file.relative_to(root).as_posix() for root in roots for file in root.rglob("*.py")}
    assert "mlobs_thrown_away.py" in code
    assert held == code | {"mlobs/py.typed"}
