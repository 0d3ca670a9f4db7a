"""A WSGI app with an observed model, for gunicorn: each answer says which process gave it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import mlobs

mlobs.configure(export_interval=60, flush_timeout=20)


@mlobs.observe(model="m", version="1")
def predict(rows: Any) -> float:
    return 0.5


for _ in range(int(os.environ.get("CALLS_AT_IMPORT", "0"))):
    predict(np.ones((1, 3)))


def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    predict(np.ones((1, 3)))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
