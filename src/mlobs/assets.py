"""The files for backends that come with mlobs: configuration of the Collector, rules, dashboards, deployments.

An installed wheel carries them beside this file; a clone has them in the folders they are written in.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS: Final = ("collector-config", "prometheus", "grafana", "deploy")
PAGES: Final = (PurePosixPath("docs/alerts.md"),)  # what the alerts' annotations and the folders' pages lead to
SERVICE: Final = "deploy"  # its Python is what is deployed; that of the other folders writes their files, in a clone

_PACKAGED: Final = Path(__file__).parent / "files"
_SHOWN: Final = 5  # files that an error names


class Asset(NamedTuple):
    """One file: where it belongs below the folder that is written to, and where it lies now."""

    path: PurePosixPath
    source: Path

    @property
    def purpose(self) -> str:
        """What it is for, in its own words: its title, or the first sentence of its first comment."""
        return _purpose(self.path.name, self.source.read_text("utf-8"))


class Exported(NamedTuple):
    """What came of each file."""

    written: list[Path]
    replaced: list[Path]
    same: list[Path]


def assets() -> list[Asset]:
    """Every file, in order. Raises ConfigurationError where this installation has none."""
    root = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2]
    found = sorted({path.relative_to(root).as_posix(): path for path in _files(root)}.items())
    if not found:
        raise ConfigurationError(f"{root} has none of {', '.join(FOLDERS)}. Install mlobs anew, from where it came.")
    return [Asset(PurePosixPath(name), path) for name, path in found]


def export(folder: Path, *, force: bool = False) -> Exported:
    """Write every file below a folder; one that is there already and says the same stays as it is.

    Nothing is written at all where a file that says something else would be replaced without ``force``, or where a
    folder would have to be a file or a file a folder: ConfigurationError. Each file appears whole or not; where the disk
    says no in between, those before it are there, and OSError is raised.
    """
    done = Exported([], [], [])
    contents: list[tuple[Path, bytes]] = []
    for asset in assets():
        target = folder / asset.path
        _room(folder, target)
        content = asset.source.read_bytes()
        if not target.exists() and not target.is_symlink():
            done.written.append(target)
        elif target.is_file() and target.read_bytes() == content:
            done.same.append(target)
            continue
        else:
            done.replaced.append(target)
        contents.append((target, content))
    if done.replaced and not force:
        raise ConfigurationError(
            f"{_few(done.replaced)} would be replaced, and nothing was written. Try: another folder; or --force, where "
            f"what was changed there may go."
        )
    for target, content in contents:
        _write(target, content)
    return done


def _files(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            inside = path.relative_to(root)
            hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
            left = path.suffix == ".whl" or (path.suffix == ".py" and inside.parts[0] != SERVICE)
            if path.is_file() and not hidden and not left:
                yield path
    yield from (root / page for page in PAGES if (root / page).is_file())


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _room(folder: Path, target: Path) -> None:
    """Raises ConfigurationError where something of another kind stands in the way."""
    for parent in (*reversed(target.relative_to(folder).parents), target.relative_to(folder)):
        there = folder / parent
        if there == target:
            if there.is_dir():
                raise ConfigurationError(f"{there} is a folder, and mlobs writes a file of that name. Move it away.")
        elif (there.exists() or there.is_symlink()) and not there.is_dir():
            raise ConfigurationError(f"{there} is not a folder. Give another one, or move it away.")


def _write(target: Path, content: bytes) -> None:
    """Put a whole file in place, readable by everybody: containers read it as users of their own."""
    missing = [folder for folder in target.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _few(paths: list[Path]) -> str:
    more = len(paths) - _SHOWN
    shown = ", ".join(map(str, paths[:_SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown


# ── what a file is for ──────────────────────────────────────────────────────────────────────────────────────────────


def _purpose(name: str, text: str) -> str:
    if name.endswith(".json"):
        said = json.loads(text)
        return _sentence(": ".join(str(said[key]) for key in ("title", "description") if said.get(key)))
    if name.endswith(".md"):
        return next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), "")
    if name.endswith((".alerts.yml", ".rules.yml")):
        kind, rules = ("alerts", "alert") if name.endswith(".alerts.yml") else ("recording rules", "record")
        told = sorted(set(re.findall(rf"^\s*- {rules}: *(\S+)", text, re.MULTILINE)))
        return f"{len(told)} {kind}" + (f": {', '.join(told)}" if rules == "alert" else "")
    if name.endswith(".py"):
        return _sentence(text.lstrip('"'))
    block = re.match(r"(?:\s*\n)*((?:[ \t]*(?:#|//)[^\n]*\n)+)", text)
    lines = [line.strip().lstrip("#/ ").strip() for line in block[1].splitlines()] if block else []
    return _sentence(" ".join(lines))


def _sentence(text: str) -> str:
    """Its first one."""
    words = " ".join(text.replace('"""', " ").split())
    return re.split(r"(?<=[^\W_]|[)`])[.;](?:\s|$)", words, maxsplit=1)[0].rstrip(".")
