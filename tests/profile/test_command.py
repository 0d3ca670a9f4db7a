"""`mlobs profile`: files in, a profile out."""

from __future__ import annotations

import builtins
import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from mlobs.cli import main
from mlobs.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 150_000  # more than two batches


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """A table of every kind that a CSV file can hold."""
    rng = np.random.default_rng(0)
    made = pd.DataFrame(
        {
            "temperature": rng.normal(10, 5, size=ROWS).round(2),
            "passengers": rng.integers(0, 300, size=ROWS),
            "late": rng.random(ROWS) < 0.2,
            "carrier": rng.choice(["AA", "B6", "UA"], size=ROWS),
            "score": rng.random(ROWS),
        }
    )
    made.loc[rng.random(ROWS) < 0.1, "temperature"] = None
    return made


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_a_file_is_profiled_like_a_frame(
    suffix: str, table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of file gives the profile that its rows in memory give, outputs set apart and columns dropped."""
    source, target = tmp_path / f"flights{suffix}", tmp_path / "reference.json"
    if suffix == ".parquet":
        table.to_parquet(source)
    else:
        table.to_csv(source, index=False, sep="\t" if suffix == ".tsv" else ",")
    options = ["--outputs", "score", "--drop", "late,", "--bins", "8", "--model", "delay", "--model-version", "3"]
    assert main(["profile", str(source), "-o", str(target), *options]) == 0
    expected = Profile.build(
        table.drop(columns=["late", "score"]), outputs=table[["score"]], bins=8, model="delay", version="3"
    )
    assert Profile.load(target) == expected
    said = capsys.readouterr()
    assert said.out.strip() == f"{target}: {Profile.load(target)!r}"
    assert said.err == ""


def test_kinds(tmp_path: Path) -> None:
    """--kinds says what CSV cannot: codes keep their zeros, times are instants, junk among numbers is missing."""
    source, target = tmp_path / "data.csv", tmp_path / "reference.json"
    lines = [f"00{index % 2},2024-01-01T00:00:0{index % 5},{index or 'junk'}" for index in range(20)]
    source.write_text("\n".join(["code,time,size", *lines]))
    kinds = ["--kinds", "code=categorical,time=datetime", "--kinds", "size=integer"]
    assert main(["profile", str(source), "-o", str(target), *kinds]) == 0
    code, time, size = Profile.load(target).inputs
    assert code.partition.labels[:2] == ("000", "001")
    assert (time.kind, time.counts[-1], size.kind, size.counts[-1]) == ("datetime", 0, "integer", 1)


@pytest.mark.parametrize(
    ("name", "content", "options", "reason"),
    [
        ("nothing.csv", None, [], "No such file"),
        ("data.xlsx", b"", [], "is of no kind this command reads"),
        ("data", b"", [], "is of no kind this command reads"),
        ("data.csv", b"", [], "cannot be read: No columns"),
        ("data.csv", b"a,b\n", [], "no rows"),
        ("data.csv", b'a\n"1\n', [], "cannot be read"),
        ("data.csv", b"a\n\xff\xfe\n", [], "cannot be read"),
        ("data.csv.gz", b"a\n1\n", [], "gzip"),
        ("data.parquet", b"PAR1 and then nothing", [], "cannot be read"),
        ("data.csv", b"a\n1\n", ["--drop", "b"], "there is no column b. There are: a"),
        ("data.csv", b"a,b\n9,1,2\n9,3,4\n", [], "more fields than its header has names. Name every column"),
        ("data.csv", b"a;b\n1,5;2,5\n", [], "more fields than its header"),
        ("data.csv", b"a,b\n1,2\n3,4,5\n", [], "cannot be read"),
        ("data.csv", b"a,b,\n1,2,\n3,4,5\n", [], "more fields than its header"),
        ("data.csv", b",,\n1,2,\n", [], "no names in its first line"),
        ("data.csv", b"a,b,a\n1,2,3\n", [], "more than one column is called a. Give each its own name"),
        ("data.csv", b"a,b\n1,2\n", ["--outputs", "a", "--drop", "b"], "no input is left: a, b are outputs"),
        ("data.csv", b"a\n1\n", ["--kinds", "a=colour"], "choose one of"),
        ("data.csv", b"a\n1\n", ["--bins", "99"], "from 1 to 20"),
        ("data.csv", b"a\n1\n", ["--model", ""], "model='' cannot be"),
    ],
)
def test_bad_input(
    name: str,
    content: bytes | None,
    options: list[str],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be profiled ends with status 2 and one line that says why, and leaves no file."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    target = tmp_path / "reference.json"
    assert main(["profile", str(tmp_path / name), "-o", str(target), *options]) == 2
    said = capsys.readouterr().err.strip()
    assert reason in said
    assert "\n" not in said
    assert not target.exists()


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_a_pipe_is_no_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused, without waiting for who may write into it."""
    os.mkfifo(tmp_path / name)
    assert main(["profile", str(tmp_path / name), "-o", str(tmp_path / "reference.json")]) == 2
    assert "is a pipe or a device" in capsys.readouterr().err


def test_the_data_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile needs a name of its own, by whatever way the data's is given."""
    data = tmp_path / "data.csv"
    data.write_text("a\n" + "1\n" * 20, encoding="utf-8")
    (tmp_path / "link").symlink_to(data)
    for output in (data, tmp_path / "." / "data.csv", tmp_path / "link"):
        assert main(["profile", str(data), "-o", str(output)]) == 2
        assert "is the data itself" in capsys.readouterr().err
    assert data.read_text("utf-8").startswith("a\n1\n")


def test_a_profile_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder as its name, or in a folder that is not there, ends with status 2 and one line of that name."""
    (tmp_path / "data.csv").write_text("a\n1\n2\n")
    for output, reason in ((tmp_path, "Is a directory"), (tmp_path / "absent" / "x.json", "No such file or directory")):
        assert main(["profile", str(tmp_path / "data.csv"), "-o", str(output)]) == 2
        assert capsys.readouterr().err == f"mlobs profile: {output}: {reason}\n"


def test_kinds_need_a_column_and_a_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """--kinds without an equals sign is a wrong argument."""
    with pytest.raises(SystemExit):
        main(["profile", "data.csv", "-o", "reference.json", "--kinds", "column"])
    assert "'column' is not column=kind" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "package"), [("data.csv", "pandas"), ("data.parquet", "pyarrow")])
def test_a_missing_package_has_a_cure(
    file: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the package that reads the file, the error says what to install."""
    (tmp_path / file).write_bytes(b"a\n1\n")
    found = importlib.import_module

    def without(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return found(name, *more)

    monkeypatch.setattr(importlib, "import_module", without)
    assert main(["profile", str(tmp_path / file), "-o", str(tmp_path / "reference.json")]) == 2
    assert f"{package}, which is not installed. Try: pip install pandas pyarrow" in capsys.readouterr().err


def test_progress_without_rich(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without rich a terminal sees a counter, and the profile is the same."""
    source, target = tmp_path / "data.csv", tmp_path / "reference.json"
    source.write_text("a\n1\n2\n")
    found = builtins.__import__

    def without(name: str, *more: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "rich":
            raise ImportError(name)
        return found(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["profile", str(source), "-o", str(target)]) == 0
    assert "data.csv: 100%" in capsys.readouterr().err
    assert Profile.load(target).rows == 2
