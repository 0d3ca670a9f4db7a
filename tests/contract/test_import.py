"""`import mlobs` costs nothing: in an interpreter of its own it loads only what is listed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = {
    "mlobs",
    "numpy",
    "opentelemetry",  # the API only, see SEALED
    "wrapt",
    "_missing_stdlib_info",  # of Python 3.15, whose own list lacks it
    # what the OpenTelemetry API itself imports, by its version
    "deprecated",
    "importlib_metadata",
    "typing_extensions",
    "zipp",
}
SEALED = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")

LIST_NEW_MODULES = """
import sys
before = set(sys.modules)
{statement}
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(statement: str) -> list[str]:
    """Return the modules that a statement loads in a fresh interpreter."""
    script = LIST_NEW_MODULES.format(statement=statement)
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, cwd=Path("/")
    )
    return [str(name) for name in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize(
    "statement",
    [
        "import mlobs",
        "import mlobs; mlobs.observe(model='m')(lambda rows: rows)",
        "from mlobs.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from mlobs.cli import main\ntry: main(['profile', '--help'])\nexcept SystemExit: pass",
        "from mlobs.cli import main\nmain(['assets', 'list'])",
    ],
)
def test_loads_no_framework_no_exporter_no_sdk(statement: str) -> None:
    """Importing, decorating and asking for help load no third-party module but those listed."""
    modules = loaded_by(statement)
    roots = {root for name in modules if "cython" not in (root := name.partition(".")[0])}  # made by compiled modules
    assert roots - ALLOWED - set(sys.stdlib_module_names) == set()
    assert [name for name in modules if name.startswith(SEALED)] == []


def test_starts_no_thread_and_no_process() -> None:
    """Importing and decorating leave one thread, the main one, and no child."""
    script = (
        "import threading, multiprocessing, mlobs\n"
        "mlobs.observe(model='m')(lambda rows: rows)\n"
        "print(threading.active_count(), len(multiprocessing.active_children()))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, cwd=Path("/")
    )
    assert done.stdout.split() == ["1", "0"]
