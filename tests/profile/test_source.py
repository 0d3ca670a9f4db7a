"""What `mlobs profile` makes of a CSV file: the profile of the table a person sees, or one line that says why not."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from mlobs.cli import main
from mlobs.profile import Feature, Profile
from mlobs.profile.source import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANY = ROWS + 1000  # more than one batch


@pytest.fixture
def profiled(tmp_path: Path) -> Callable[..., dict[str, Feature]]:
    """Profile a CSV file of this text, and return its features by name."""

    def profile(text: str, *options: str) -> dict[str, Feature]:
        source, target = tmp_path / "data.csv", tmp_path / "reference.json"
        source.write_text(text, encoding="utf-8")
        assert main(["profile", str(source), "-o", str(target), *options]) == 0
        return {feature.name: feature for feature in Profile.load(target).inputs}

    return profile


def counts(feature: Feature) -> dict[str, int]:
    return dict(zip(feature.partition.labels, feature.counts.tolist(), strict=True))


@pytest.mark.parametrize("options", [[], ["--kinds", "country=categorical"]])
def test_text_that_looks_missing_is_text(options: list[str], profiled: Callable[..., dict[str, Feature]]) -> None:
    """NA is Namibia and null a name, told or inferred; among numbers they are missing, and so is an empty field."""
    rows = "\n".join(["NA,1.5", "DE,NA", "None,null", "null,2.5", ",", "DE,"] * 5)
    found = profiled(f"country,size\n{rows}\n", *options)
    assert counts(found["country"]) == {"DE": 10, "NA": 5, "None": 5, "null": 5, "other": 0, "missing": 5}
    assert (found["size"].kind, found["size"].counts[-1]) == ("numeric", 20)


def test_a_file_counts_like_its_table(tmp_path: Path) -> None:
    """A CSV file gives the counts that the same table gives as Parquet."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"country": rng.choice(["NA", "DE", "None", "null"], 500), "size": rng.random(500)})
    table.to_csv(tmp_path / "data.csv", index=False)
    table.to_parquet(tmp_path / "data.parquet")
    built = []
    for suffix in ("csv", "parquet"):
        target = tmp_path / f"{suffix}.json"
        assert main(["profile", str(tmp_path / f"data.{suffix}"), "-o", str(target)]) == 0
        built.append([(one.kind, one.partition.labels, one.counts.tolist()) for one in Profile.load(target).inputs])
    assert built[0] == built[1]


def test_late_text_is_text_from_the_beginning(
    profiled: Callable[..., dict[str, Feature]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A column of numbers, or of nothing, that holds text in a later batch is text in all, and a line tells it."""
    rows = [f"{index % 3},NA,{index}" for index in range(ROWS)] + ["A1,DE,0"] * 100
    found = profiled("\n".join(["code,country,size", *rows]))
    assert counts(found["code"])["A1"] == 100
    assert counts(found["code"])["0"] == sum(index % 3 == 0 for index in range(ROWS))
    assert counts(found["country"]) == {"NA": ROWS, "DE": 100, "other": 0, "missing": 0}
    assert found["size"].kind == "integer"
    assert "code, country: text after 65,536 rows without any" in capsys.readouterr().err


def test_late_numbers_stay_text(profiled: Callable[..., dict[str, Feature]]) -> None:
    """A column of text whose later batches hold numbers alone is text there, too."""
    found = profiled("\n".join(["code", *["A1"] * 10, *["007"] * MANY]))
    assert counts(found["code"]) == {"007": MANY, "A1": 10, "other": 0, "missing": 0}


@pytest.mark.parametrize("kind", ["boolean", "numeric", "integer"])
def test_told_columns_are_not_read_again(
    kind: str, profiled: Callable[..., dict[str, Feature]], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is told to be no text stays so: junk in a later batch is missing, and the rest of its batch is not."""
    value = "True" if kind == "boolean" else "1"
    flag = profiled("\n".join(["flag", *[value] * MANY, "junk"]), "--kinds", f"flag={kind}")["flag"]
    assert (flag.kind, int(flag.counts[-1]), flag.samples) == (kind, 1, MANY + 1)
    assert capsys.readouterr().err == ""


def test_whole_numbers_of_any_size_are_numbers(
    profiled: Callable[..., dict[str, Feature]], capsys: pytest.CaptureFixture[str]
) -> None:
    """What fits no integer of the machine, or not beside a negative one, is a number, in the first batch and later."""
    rows = [f"{2**63 + index},{-(10**20)},{index}" for index in range(9)] + ["-1,1,1"] * MANY + [f"-5,,{2**64}"] * 9
    found = profiled("\n".join(["id,debt,late", *rows, f"{2**63},,-1"]))
    assert {name: feature.kind for name, feature in found.items()} == {
        "id": "integer",
        "debt": "numeric",  # as any whole numbers of which some are missing
        "late": "integer",
    }
    assert (found["id"].counts[-1], found["late"].counts[-1], found["debt"].counts[-1]) == (0, 0, 10)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("missing", ["", "NA", "nan", "NULL"])
def test_large_whole_numbers_may_be_missing(missing: str, profiled: Callable[..., dict[str, Feature]]) -> None:
    """Hashes of 64 bits, say, of which some are unknown, are numbers and no text."""
    rows = [f"{2**63 + index},{index}" for index in range(300)] + [f"{missing},1"] * 7
    found = profiled("\n".join(["hash,x", *rows]))["hash"]
    assert (found.kind, found.samples, int(found.counts[-1])) == ("numeric", 307, 7)


@pytest.mark.parametrize(("header", "end"), [("a,b", ","), ("a,b,", ","), ("a,b,", ",,"), ("a,b,,", ",,")])
def test_commas_at_the_end_of_each_row(header: str, end: str, profiled: Callable[..., dict[str, Feature]]) -> None:
    """Nothing behind the last separator is no column, and shifts none, whether the header ends with it or not."""
    found = profiled(f"{header}\n" + f"1,x{end}\n2,y{end}\n" * 5)
    assert {name: feature.kind for name, feature in found.items()} == {"a": "integer", "b": "categorical"}
    assert counts(found["b"])["x"] == 5


def test_a_column_without_a_name_among_others(profiled: Callable[..., dict[str, Feature]]) -> None:
    """It is one, as what pandas writes of a frame's index is."""
    assert list(profiled(",a\n" + "0,1\n1,2\n" * 5)) == ["Unnamed: 0", "a"]


CSV = b"a,b\n" + b"".join(b"%d,%d\n" % (index * 7919 % 1000, index) for index in range(2000))


def corrupt(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes(byte ^ 0x5A for byte in data[half : half + 60]) + data[half + 60 :]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"data.csv.{suffix}", damage(made))
        for suffix, made in (("gz", gzip.compress(CSV)), ("bz2", bz2.compress(CSV)), ("xz", lzma.compress(CSV)))
        for damage in (lambda data: data[: len(data) // 2], corrupt, lambda _: b"nothing compressed\n" * 9)
    ],
)
def test_a_damaged_file(name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is cut short, corrupt or not compressed at all is told by its name, with the cure."""
    (tmp_path / name).write_bytes(content)
    assert main(["profile", str(tmp_path / name), "-o", str(tmp_path / "reference.json")]) == 2
    said = capsys.readouterr().err.strip()
    assert f"{name} cannot be read: " in said
    assert said.endswith("Is it whole, and what its name says?")
    assert "\n" not in said


def test_damaged_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Likewise a Parquet file that is damaged between its ends."""
    path = tmp_path / "data.parquet"
    pd.DataFrame({"a": np.random.default_rng(0).random(5000)}).to_parquet(path, compression="snappy")
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(2000) + data[2004:])
    assert main(["profile", str(path), "-o", str(tmp_path / "reference.json")]) == 2
    assert "data.parquet cannot be read: " in capsys.readouterr().err


def test_zstandard_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be decompressed for want of a package says what to install."""

    def without(*_: Any, **__: Any) -> Any:
        raise ImportError("Import zstandard failed")

    monkeypatch.setattr(pd, "read_csv", without)
    (tmp_path / "data.csv.zst").write_bytes(b"a\n1\n")
    assert main(["profile", str(tmp_path / "data.csv.zst"), "-o", str(tmp_path / "reference.json")]) == 2
    assert "zstandard, which is not installed. Try: pip install zstandard" in capsys.readouterr().err
