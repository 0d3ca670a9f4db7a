"""The rules that come with mlobs, read from their files, or from files that were exported and changed.

Not a YAML parser: it reads the block style that mlobs writes, and says where a file is written otherwise.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENTRY: Final = re.compile(r"(?P<indent> *)(?P<dash>- )?(?P<key>[\w-]+): *(?P<value>.*)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Rule(NamedTuple):
    """One rule; ``records`` says that it is no alert. The labels are those it adds."""

    name: str
    records: bool
    expr: str
    labels: tuple[tuple[str, str], ...]


class Group(NamedTuple):
    """One group; ``interval`` in seconds, 0 where the file leaves it to Prometheus."""

    name: str
    interval: float
    rules: tuple[Rule, ...]


def groups(paths: Iterable[Path] = ()) -> list[Group]:
    """The groups of these files and folders; without any, those that come with mlobs.

    Raises ConfigurationError for a file that cannot be understood, and for a file or folder without any rule; OSError
    for one that cannot be read.
    """
    given = list(paths)
    if not given:
        return [group for file in files() for group in read(file)]
    found: list[Group] = []
    for path in given:
        its = [group for file in files([path]) for group in read(file)]
        if not any(group.rules for group in its):
            raise ConfigurationError(
                f"{path} holds no rules: a folder has them in *.yml or *.yaml that say `groups:`. "
                "Try: mlobs assets export, and give its folder prometheus"
            )
        found += its
    return found


def files(paths: Iterable[Path] = ()) -> list[Path]:
    """The files themselves."""
    given = list(paths)
    if given:
        return [file for path in given for file in (_inside(path) if path.is_dir() else [path])]
    from mlobs.assets import assets

    names = [
        one
        for one in assets()
        if one.path.parts[0] == "prometheus" and one.path.name.endswith((".rules.yml", ".alerts.yml"))
    ]
    return [one.source for one in names]


def _inside(folder: Path) -> list[Path]:
    """Files of rules; beside them may lie what is written for others, Alertmanager say."""
    found = sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])
    return [path for path in found if re.search(r"^groups:", path.read_text("utf-8"), re.MULTILINE)]


def read(path: Path) -> list[Group]:
    """The groups of one file."""
    return _Reader(path).groups()


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = path.read_text("utf-8").splitlines()
        self._at = 0

    def _wrong(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._path}:{self._at + 1} is not written as mlobs writes its rules. Try: mlobs assets export, and change those files"
        )

    def groups(self) -> list[Group]:
        """All of them."""
        found: list[Group] = []
        rules: list[Rule] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            entry = _ENTRY.fullmatch(line)
            if not line.strip() or line.lstrip().startswith("#"):
                self._at += 1
            elif entry is None:
                raise self._wrong()
            elif entry["dash"] and entry["key"] == "name":
                rules = []
                found.append(Group(_plain(entry["value"]), 0.0, ()))
                self._at += 1
            elif entry["dash"] and entry["key"] in ("record", "alert") and found:
                rules.append(self._rule(entry))
                found[-1] = found[-1]._replace(rules=tuple(rules))
            elif entry["key"] == "interval" and found:
                found[-1] = found[-1]._replace(interval=seconds(_plain(entry["value"])))
                self._at += 1
            elif entry["key"] in ("groups", "rules"):
                self._at += 1
            else:
                raise self._wrong()
        return found

    def _rule(self, entry: re.Match[str]) -> Rule:
        inner = len(entry["indent"]) + 2
        name, records = _plain(entry["value"]), entry["key"] == "record"
        expr = ""
        labels: tuple[tuple[str, str], ...] = ()
        self._at += 1
        while self._at < len(self._lines):
            field = _ENTRY.fullmatch(self._lines[self._at])
            if field is None or field["dash"] or len(field["indent"]) != inner:
                break
            self._at += 1
            block = self._block(inner)
            if field["key"] == "expr":
                expr = "\n".join(block).strip() if field["value"] in ("|", "|-", ">", ">-") else _plain(field["value"])
            elif field["key"] == "labels":
                pairs = [_ENTRY.fullmatch(line) for line in block]
                labels = tuple((pair["key"], _plain(pair["value"])) for pair in pairs if pair is not None)
        if not expr:
            raise self._wrong()
        return Rule(name, records, expr, labels)

    def _block(self, inner: int) -> list[str]:
        """The lines that are indented deeper."""
        begin = self._at
        while self._at < len(self._lines) and (
            not self._lines[self._at].strip() or self._lines[self._at].startswith(" " * (inner + 1))
        ):
            self._at += 1
        return [line.strip() for line in self._lines[begin : self._at] if line.strip()]


def _plain(text: str) -> str:
    text = text.strip()
    if text.startswith('"'):
        return str(json.loads(text))
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def seconds(text: str) -> float:
    """A duration as Prometheus writes it: 5m, 1m30s."""
    parts = re.findall(r"(\d+)(ms|[smhd])", text)
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
