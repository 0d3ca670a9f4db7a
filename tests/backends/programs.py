"""The programs of backends that tests start."""

from __future__ import annotations

import shutil

import pytest
from tests.backends.tools import build

DEBIAN = {"alertmanager": "prometheus-alertmanager"}  # what a package calls it


def program(name: str) -> str:
    """Its path: `prometheus`, `promtool` (of Prometheus 3), `collector`, `jsonnet`, `alertmanager`.

    Skips the test, with the reason, where it is not there.
    """
    if name in build.FOLDER_OF:
        path = build.place(name)
        if not path.exists():
            pytest.skip(f"{name} is not built. Try: python tests/backends/tools/build.py {build.FOLDER_OF[name]}")
        return str(path)
    found = shutil.which(DEBIAN.get(name, name))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
