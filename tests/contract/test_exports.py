"""What the package hands out: every `__all__` is sorted, complete and importable."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


def declared(file: Path) -> list[str] | None:
    """Return a file's `__all__` as it is written there, None where it has none."""
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def order(name: str) -> tuple[bool, bool, str]:
    """Sort as ruff does: constants, then classes, then the rest."""
    return (not name.isupper(), not name[0].isupper(), name)


DECLARED = {
    ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): names
    for file in sorted((SOURCE / "mlobs").rglob("*.py"))
    if (names := declared(file)) is not None
}


@pytest.mark.parametrize("module", DECLARED)
def test_all_is_sorted_and_importable(module: str) -> None:
    """Each name of an `__all__` stands there once, in order, and is really there."""
    names = DECLARED[module]
    assert names == sorted(set(names), key=order)
    loaded = importlib.import_module(module)
    assert [name for name in names if not hasattr(loaded, name)] == []


def test_the_package_hands_out_no_more_than_it_says() -> None:
    """`mlobs.__all__` is there, and every other public name of the package is a module of its own."""
    package = importlib.import_module("mlobs")
    assert "mlobs" in DECLARED
    extra = {name for name in vars(package) if not name.startswith("_")} - set(DECLARED["mlobs"])
    rooms = {path.stem for path in (SOURCE / "mlobs").iterdir()}
    assert extra - rooms - {"annotations"} == set()
