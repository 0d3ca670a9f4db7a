"""`mlobs assets`: the files for backends, from a clone and from a wheel, written where somebody wants them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest

from mlobs.assets import FOLDERS, assets
from mlobs.cli import main
from mlobs.cli.dispatch import FAILED

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install` of the wheel lays into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={folder}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who may not write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_clone_writes_its_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a clone: every file as it is in its folder, what to do next, and nothing left over."""
    target = tmp_path / "new" / "there"
    assert main(["assets", "export", str(target)]) == 0
    told = capsys.readouterr().out
    written = snapshot(target)
    assert written == {str(asset.path): (ROOT / asset.path).read_bytes() for asset in assets()}
    assert {name.partition("/")[0] for name in written} == {*FOLDERS, "docs"}
    assert f"{len(written)} written, 0 replaced, 0 as they were" in told
    for named in re.findall(rf"{re.escape(str(target))}/[\w/.-]+(?:yaml|md)", told):
        assert Path(named).is_file(), named


def test_a_wheel_writes_the_same(installed: Path, tmp_path: Path) -> None:
    """From an installed wheel the same files come as from the clone it was built in."""
    command = [sys.executable, "-m", "mlobs", "assets", "export", "here"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    shown = subprocess.run(
        [sys.executable, "-c", "import mlobs; print(mlobs.__file__)"], env=environment, capture_output=True, text=True
    )
    assert shown.stdout.startswith(str(installed))
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert snapshot(tmp_path / "here") == {str(asset.path): asset.source.read_bytes() for asset in assets()}


def test_generators_stay_in_the_clone() -> None:
    """Python goes along only where it is what is deployed."""
    python = [asset.path for asset in assets() if asset.path.suffix == ".py"]
    assert python
    assert {path.parts[:2] for path in python} == {("deploy", "quickstart")}


def test_the_list_says_size_and_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    """Each file has a line: its path, its size, and what it is for in words of its own."""
    assert main(["assets", "list"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    found = assets()
    assert len(lines) == len(found)
    for line, asset in zip(lines, found, strict=True):
        told = re.fullmatch(r"(\S+) +(\d[\d.]*) (k?B)  (\S.*)", line)
        assert told is not None, line
        assert told[1] == str(asset.path)
        assert float(told[2]) * {"B": 1, "kB": 1000}[told[3]] == pytest.approx(asset.source.stat().st_size, abs=50)
        assert told[4] == asset.purpose
    assert last.startswith(f"{len(found)} files, ")


def test_what_is_there_and_the_same_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second export touches nothing."""
    main(["assets", "export", str(tmp_path)])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert main(["assets", "export", str(tmp_path)]) == 0
    assert f"0 written, 0 replaced, {len(assets())} as they were" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_nothing_is_replaced_silently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file that somebody changed: nothing at all is written, and the line says which and how."""
    changed = tmp_path / "prometheus" / "mlobs-drift.rules.yml"
    changed.parent.mkdir()
    changed.write_text("groups: []\n", encoding="utf-8")
    assert main(["assets", "export", str(tmp_path)]) == FAILED
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(changed) in told
    assert "--force" in told
    assert snapshot(tmp_path) == {"prometheus/mlobs-drift.rules.yml": b"groups: []\n"}


def test_force_replaces_and_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --force a changed file is ours again and named; files of somebody else's stay."""
    main(["assets", "export", str(tmp_path)])
    changed, own = tmp_path / "deploy" / "tempo.yaml", tmp_path / "deploy" / "own.yaml"
    changed.write_text("changed", encoding="utf-8")
    own.write_text("mine", encoding="utf-8")
    capsys.readouterr()
    assert main(["assets", "export", str(tmp_path), "--force"]) == 0
    assert f"replaced {changed}\n" in capsys.readouterr().out
    assert changed.read_bytes() == (ROOT / "deploy" / "tempo.yaml").read_bytes()
    assert own.read_text("utf-8") == "mine"


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    """A file that is a symbolic link becomes a file; what it led to is as it was."""
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text("theirs", encoding="utf-8")
    link = tmp_path / "there" / "deploy" / "tempo.yaml"
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    assert main(["assets", "export", str(tmp_path / "there")]) == FAILED
    assert main(["assets", "export", str(tmp_path / "there"), "--force"]) == 0
    assert (elsewhere.read_text("utf-8"), link.is_symlink()) == ("theirs", False)


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize(
    ("in_the_way", "is_folder", "said"),
    [
        ("", False, "is not a folder"),
        ("grafana", False, "is not a folder"),
        ("deploy/compose.yaml", True, "is a folder"),
    ],
)
def test_what_stands_in_the_way_is_named(
    in_the_way: str, is_folder: bool, said: str, force: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where a folder has to be, or a folder where a file has to be: one line, and nothing is written."""
    target = tmp_path / "target"
    obstacle = target / in_the_way
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        obstacle.mkdir()
    else:
        obstacle.write_text("theirs", encoding="utf-8")
    assert main(["assets", "export", str(target), *force]) == FAILED
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert f"{obstacle} {said}" in told.err
    assert set(snapshot(tmp_path)) <= {obstacle.relative_to(tmp_path).as_posix()}


def test_no_permission_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that may not be written to is named, with the reason."""
    with nobody():
        status = main(["assets", "export", "/usr/mlobs-assets"])
    assert status == FAILED
    assert capsys.readouterr() == ("", "mlobs assets: /usr/mlobs-assets: Permission denied\n")


def test_files_are_for_everybody(tmp_path: Path) -> None:
    """Whatever the umask, files can be read by the users that containers run as, and nothing unfinished is left."""
    before = os.umask(0o077)
    try:
        main(["assets", "export", str(tmp_path)])
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()} == {0o755}
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_links_of_exported_pages_lead_to_exported_files(tmp_path: Path) -> None:
    """A page that is exported leads to files that are exported with it; other pages are named without a link."""
    main(["assets", "export", str(tmp_path)])
    pages = {path: LINK.findall(path.read_text("utf-8")) for path in tmp_path.rglob("*.md")}
    dead = [f"{path}: {link}" for path, links in pages.items() for link in links if not (path.parent / link).exists()]
    assert dead == []


@pytest.mark.parametrize(
    "arguments", [["assets"], ["assets", "nonsense"], ["assets", "export"], ["assets", "export", ""]]
)
def test_a_missing_word_is_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing ends with the usage and status 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == FAILED
    assert "usage: mlobs assets" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
