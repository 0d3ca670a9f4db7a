"""Flask: predictions hang under the caller's span where nothing traces the request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlobs.integration import Integration

if TYPE_CHECKING:
    from mlobs.integration import Hooks


def _application(hooks: Hooks) -> None:
    """The application as servers call it, around whatever its wsgi_app was replaced by."""
    hooks.wsgi(sys.modules["flask.app"].Flask)


integration = Integration(
    name="flask",
    distribution="flask",
    lowest="3.0",
    modules={"flask.app": _application},
)
