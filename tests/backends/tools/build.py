"""Build the programs written in Go that tests of backends run: those named, or all; what is built already stays.

    python tests/backends/tools/build.py [prometheus] [collector] [jsonnet]

Each is pinned by the files of its folder here (the Collector's components by collector-config/builder.yaml) and built into
``$XDG_CACHE_HOME/mlobs-tools`` (``~/.cache/…``), in a folder named after a hash of its pins. Needs Go, and a module proxy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

TOOLS: Final = Path(__file__).resolve().parent
MANIFEST: Final = TOOLS.parents[2] / "collector-config" / "builder.yaml"
PLAIN: Final = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
SMALL: Final = ("-trimpath", "-ldflags=-s -w")

# What each folder builds, and with which options; service discoveries take most of Prometheus' build and none is used here.
BUILDS: Final[Mapping[str, tuple[str, ...]]] = {
    "prometheus": ("-tags=remove_all_sd", "tool"),
    "jsonnet": ("tool",),
    "collector": ("tool",),  # the builder, which then builds what the manifest names
}
FOLDER_OF: Final[Mapping[str, str]] = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "jsonnet": "jsonnet",
    "collector": "collector",
}


def go() -> str | None:
    """Where Go is: on the path, or where its own installer puts it."""
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def place(program: str) -> Path:
    """Where a program is, or would be."""
    folder = FOLDER_OF[program]
    pins = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted((TOOLS / folder).glob("go.*")) + ([MANIFEST] if folder == "collector" else []):
        pins.update(file.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mlobs-tools" / f"{folder}-{pins.hexdigest()[:16]}" / program


def build(folder: str) -> None:
    """Build one folder's programs. Raises CalledProcessError where Go says no."""
    final = place(folder).parent
    partial = final.with_name(f"{final.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _go("build", *SMALL, "-o", f"{partial}/", *BUILDS[folder], cwd=TOOLS / folder)
        if folder == "collector":
            sources = partial / "sources"
            made = [str(partial / "builder"), f"--config={MANIFEST}", "--skip-compilation", f"--output-path={sources}"]
            path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/go/bin"))  # the builder runs it too
            subprocess.run(made, check=True, env={**os.environ, **PLAIN, "PATH": path})
            _go("build", *SMALL, "-o", str(partial / "collector"), ".", cwd=sources)
            shutil.rmtree(sources)
        if final.exists():  # somebody else was faster
            return
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _go(*arguments: str, cwd: Path) -> None:
    subprocess.run([go() or "go", *arguments], check=True, cwd=cwd, env={**os.environ, **PLAIN})


def main() -> int:
    """Build; the exit status is 0, also where there is no Go: tests say then what they skip."""
    if go() is None:
        print("!!! go is missing: tests that need what it builds will be skipped", file=sys.stderr)
        return 0
    status = 0
    for folder in sys.argv[1:] or list(BUILDS):
        if place(folder).exists():
            print(f"{folder}: there already")
            continue
        start = time.monotonic()
        try:
            build(folder)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"!!! {folder} could not be built: {error}", file=sys.stderr)
            status = 1
        else:
            print(f"{folder}: built in {time.monotonic() - start:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
