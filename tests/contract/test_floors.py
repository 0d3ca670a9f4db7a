"""Imports go down only: the rooms of `src/mlobs`, what each may import, and what an integration may."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

FLOORS = {
    **dict.fromkeys(("api", "assets", "cli", "demo", "doctor", "feedback", "instrumentor", "stages", "testing"), 5),
    "hooks": 4,
    "core": 3,
    **dict.fromkeys(("profile", "release", "resource"), 2),
    **dict.fromkeys(("columns", "integration"), 1),
    **dict.fromkeys(("sketch", "otel", "errors", "replacement"), 0),
}
TOP = 5  # its rooms stand beside each other: a command shows the demo, the demo uses the public verbs
FRONT = "api"  # `import mlobs` itself only hands on what is in it


def imported(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that a module imports, inside functions too."""
    package = module.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)


def room(name: str) -> str:
    """Return the room of a full name: `mlobs.sketch.bins.Cuts` -> `sketch`, `mlobs.observe` -> the front."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else FRONT


def climbs(source: str, module: str) -> list[str]:
    """Return the imports of one module that do not go down."""
    here = room(module)
    found = []
    for line, name in imported(source, module):
        if name.split(".")[0] != "mlobs":
            if name.split(".")[0].startswith("mlobs_"):
                found.append(f"{module}:{line} imports the integration {name}")
            continue
        there = room(name)
        beside = there in {here, "errors"} or FLOORS[here] == FLOORS[there] == TOP
        if not beside and FLOORS[there] >= FLOORS[here]:
            found.append(f"{module}:{line} on floor {FLOORS[here]} imports {name} on floor {FLOORS[there]}")
    return found


def leaks(source: str, module: str) -> list[str]:
    """Return the imports that an integration may not make: of mlobs only the contract, at its top only the standard library."""
    later = {line for node in ast.walk(ast.parse(source)) if _runs_later(node) for line in _lines(node)}
    found = []
    for line, name in imported(source, module):
        root = name.split(".")[0]
        if root.startswith("mlobs"):
            if not name.startswith("mlobs.integration"):
                found.append(f"{module}:{line} imports {name}, of mlobs only mlobs.integration is open to it")
        elif line not in later and root not in sys.stdlib_module_names:
            found.append(f"{module}:{line} imports {name} at its top; its framework belongs inside functions")
    return found


def _runs_later(node: ast.AST) -> bool:
    for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    return for_types or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def _lines(node: ast.AST) -> range:
    return range(getattr(node, "lineno", 0), (getattr(node, "end_lineno", 0) or 0) + 1)


def modules(folder: Path) -> list[tuple[str, str]]:
    """Return name and source of every module of a source root."""
    files = sorted(folder.rglob("*.py"))
    return [(".".join(file.relative_to(folder).with_suffix("").parts), file.read_text("utf-8")) for file in files]


def test_imports_go_down_only() -> None:
    """No module of the package imports a room above its own, or beside it."""
    assert [broken for module, source in modules(SOURCE) for broken in climbs(source, module)] == []


def test_every_room_is_on_the_page() -> None:
    """CONTRIBUTING.md has each room in the row of its floor."""
    rows = dict(re.findall(r"^\| (\d) \| ([^|]+) \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE))
    shown = {
        re.split(r"[./]", name)[0]: int(floor)
        for floor, names in rows.items()
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert shown == FLOORS


def test_every_room_has_a_floor() -> None:
    """Each file and folder directly in the package stands in the floor plan, but for the two doors."""
    rooms = {path.stem for path in (SOURCE / "mlobs").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert rooms - {"__init__", "__main__"} <= FLOORS.keys()


def test_integrations_import_the_contract_only() -> None:
    """Each integration file knows `mlobs.integration`, and its framework only inside functions."""
    assert [broken for module, source in modules(ROOT / "integrations") for broken in leaks(source, module)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mlobs.sketch.bins", "from mlobs.otel import names"),
        ("mlobs.otel.points", "import mlobs.sketch.bins"),
        ("mlobs.otel.points", "def late():\n    from mlobs import sketch"),
        ("mlobs.columns.block", "import mlobs"),
        ("mlobs.columns.block", "from mlobs.integration import Reading"),
        ("mlobs.profile.build", "from mlobs.core.settings import Settings"),
        ("mlobs.profile.build", "from ..core import settings"),
        ("mlobs.resource.process", "from mlobs.profile import Profile"),
        ("mlobs.core.monitor", "from mlobs.api import observe"),
        ("mlobs.core.monitor", "import mlobs_torch"),
        ("mlobs.core.calls", "from mlobs.hooks.hooked import Hooked"),
    ],
)
def test_a_climbing_import_is_found(module: str, source: str) -> None:
    """Each way to import upwards or sideways is seen by this test's own reader."""
    assert len(climbs(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mlobs.core.monitor", "from mlobs.sketch.bins import Cuts\nfrom mlobs import otel\nimport numpy"),
        ("mlobs.sketch.bins", "from mlobs.errors import MlobsError\nfrom mlobs.sketch import noise"),
        ("mlobs.sketch.bins", "from . import noise"),
        ("mlobs.cli.demo", "from mlobs.demo import scene\nfrom mlobs import Profile"),
        ("mlobs.demo.service", "import mlobs"),
    ],
)
def test_a_falling_import_is_let_through(module: str, source: str) -> None:
    """Imports of lower floors, of one's own room, of errors, and between the top rooms are fine."""
    assert climbs(source, module) == []


@pytest.mark.parametrize(
    "source",
    [
        "import numpy",
        "from sklearn.base import BaseEstimator",
        "try:\n    import torch\nexcept ImportError:\n    pass",
        "class Hook:\n    import torch",
        "def patch():\n    from mlobs.hooks import patching",
        "import mlobs",
    ],
)
def test_a_leaking_integration_is_found(source: str) -> None:
    """A framework at the top, or mlobs beyond the contract anywhere, is seen by this test's own reader."""
    assert len(leaks(source, "mlobs_x")) == 1


def test_a_clean_integration_is_let_through() -> None:
    """The contract and the standard library at the top, the framework inside functions or for types: fine."""
    source = (
        "import sys\nfrom typing import TYPE_CHECKING\nfrom mlobs.integration import Integration\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def install():\n    import torch\n    return torch\n"
    )
    assert leaks(source, "mlobs_x") == []
