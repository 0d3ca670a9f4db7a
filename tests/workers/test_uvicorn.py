"""uvicorn: what the client was answered is what was counted, whichever signal ends it and however it was started."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.sink import Sink
from tests.workers.serving import counted, serving

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

STARTED = {
    "command": ("-m", "uvicorn", "--no-access-log", "--fd", "FD", "asgi:app"),
    "program": ("asgi.py", "FD"),
    "workers": ("-m", "uvicorn", "--no-access-log", "--fd", "FD", "--workers", "2", "asgi:app"),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("started", STARTED)
def test_stopped(sink: Sink, tmp_path: Path, started: str, number: signal.Signals) -> None:
    """Uvicorn stops gracefully and then raises the signal again: the last counts are out before it takes the process."""
    with serving(sink, tmp_path, *STARTED[started], paths=("/thread", "/loop")) as server:
        server.client.send(200)
        status = server.end(number)
    assert status in (0, -number, 128 + number), server.said
    assert counted(sink) == sorted(server.client.answers.values()), server.said


def test_stopped_amid_traffic(sink: Sink, tmp_path: Path) -> None:
    """Requests under way when the signal comes are answered, and counted."""
    with serving(sink, tmp_path, *STARTED["workers"], paths=("/thread", "/loop")) as server, server.client.traffic():
        server.client.has(300)
        server.end()
    assert counted(sink) == sorted(server.client.answers.values()), server.said
