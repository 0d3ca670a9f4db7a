"""The wheel carries both source roots flat, the files for backends, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from mlobs.assets import FOLDERS, assets

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_both_roots_and_the_assets_and_nothing_else(tmp_path: Path) -> None:
    """A file added to integrations/ installs beside the package; documents, generators, passwords and caches stay behind."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for folder in ("src", "integrations", "docs", *FOLDERS):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    (copy / "integrations" / "mlobs_thrown_away.py").write_text("", encoding="utf-8")
    (copy / "prometheus" / "thrown_away.rules.yml").write_text("groups: []\n", encoding="utf-8")
    (copy / "deploy" / ".env").write_text("GRAFANA_ADMIN_PASSWORD=secret\n", encoding="utf-8")
    (copy / "deploy" / "quickstart" / "mlobs-0.1.0-py3-none-any.whl").write_bytes(b"")
    command = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={tmp_path}"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    roots = (copy / "src", copy / "integrations")
    code = {file.relative_to(root).as_posix() for root in roots for file in root.rglob("*.py")}
    files = {f"mlobs/files/{asset.path}" for asset in assets()}
    assert "mlobs_thrown_away.py" in code
    assert "mlobs/files/prometheus/make_rules.py" not in held
    assert held == code | files | {"mlobs/py.typed", "mlobs/files/prometheus/thrown_away.rules.yml"}
