"""Starlette, and FastAPI on top of it: predictions hang under the caller's span where nothing traces the request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlobs.integration import Integration

if TYPE_CHECKING:
    from mlobs.integration import Hooks


def _applications(hooks: Hooks) -> None:
    """The application itself, around its middleware; FastAPI's calls it."""
    hooks.asgi(sys.modules["starlette.applications"].Starlette)


integration = Integration(
    name="starlette",
    distribution="starlette",
    lowest="0.37.2",
    modules={"starlette.applications": _applications},
)
