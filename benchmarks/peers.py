"""Peers to measure beside, each in a virtual environment of its own that is made when first needed.

Environments are kept in `.cache/benchmarks/` of the repository. A peer that cannot be had is told
loudly and left out; the rest goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "benchmarks"
OLDER = ("3.13", "3.12", "3.11", "3.10", "3.9", "3.8")


class Peer(NamedTuple):
    """A library to compare with: the file that runs it, and what that file needs installed."""

    name: str
    script: str
    requirements: tuple[str, ...]


PEERS = (
    Peer("kll", "peer_kll.py", ("datasketches==5.2.0", "numpy")),
    Peer("whylogs", "peer_whylogs.py", ("whylogs==1.6.4", "numpy", "pandas")),
)


class Unavailable(Exception):  # noqa: N818 - an answer, not an error of ours
    """A peer cannot be had here; the text says why."""


class Running:
    """A peer's process: it makes its data once, then runs one slice whenever it is asked to."""

    def __init__(self, peer: Peer, rows: int, features: int) -> None:
        """Start it in its own environment, made if need be. Raises Unavailable."""
        python = environment(peer)
        self.process = subprocess.Popen(
            [str(python), str(HERE / peer.script), str(rows), str(features)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "WHYLOGS_NO_ANALYTICS": "True"},
        )
        self.version = str(self._answer())

    def run(self, calls: int) -> float:
        """Be a lap: the peer goes over its data so often; the seconds it took by its own clock."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            message = f"it ended with status {self.process.wait()}"
            raise Unavailable(message)
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self.process.communicate(timeout=60)


def environment(peer: Peer) -> Path:
    """Return the Python of the peer's environment; made if need be, trying older Pythons in turn."""
    wanted = hashlib.sha256("\n".join(peer.requirements).encode()).hexdigest()[:12]
    home = CACHE / f"{peer.name}-{wanted}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (home / "ready").exists():
        return python
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    reason = "no Python was found"
    for interpreter in interpreters():
        shutil.rmtree(home, ignore_errors=True)
        try:
            run(interpreter, "-m", "venv", str(home))
            run(
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--only-binary",
                ":all:",
                *peer.requirements,
            )
            run(str(python), "-c", f"import runpy; runpy.run_path({str(HERE / peer.script)!r})")
        except Unavailable as error:
            reason = f"{interpreter}: {error}"
            continue
        (home / "ready").touch()
        return python
    shutil.rmtree(home, ignore_errors=True)
    raise Unavailable(reason)


def interpreters() -> Iterator[str]:
    """Yield Pythons that run: this one, then those on the path and those that pyenv keeps."""
    yield sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in OLDER:
        places = [shutil.which(f"python{version}"), *sorted(root.glob(f"{version}.*/bin/python"))]
        for place in filter(None, places):
            try:
                run(str(place), "-c", "import venv, ensurepip")
            except Unavailable:
                continue
            yield str(place)
            break


def run(*command: str) -> None:
    """Run a command to its end. Raises Unavailable with the last line it said."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines() or ["it said nothing"]
        raise Unavailable(said[-1]) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from None
