"""gunicorn: what the client was answered is what was counted, through recycling, reload and every way to stop."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.sink import Sink
from tests.workers.serving import counted, serving

pytest.importorskip("gunicorn")

GUNICORN = ("-m", "gunicorn", "--bind", "fd://FD", "--workers", "2", "--worker-tmp-dir", "/tmp", "wsgi:app")
RECYCLE = ("--max-requests", "60", "--max-requests-jitter", "30")
KINDS = {"sync": (), "gthread": ("--worker-class", "gthread", "--threads", "4")}


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
@pytest.mark.parametrize("kind", KINDS)
def test_recycled_reloaded_and_stopped_amid_traffic(
    sink: Sink, tmp_path: Path, kind: str, preload: tuple[str, ...]
) -> None:
    """Workers that retire after some requests, that are replaced by SIGHUP, and that stop on SIGTERM lose nothing."""
    with serving(sink, tmp_path, *GUNICORN, *KINDS[kind], *RECYCLE, *preload) as server, server.client.traffic():
        server.client.has(200)
        server.process.send_signal(signal.SIGHUP)
        server.client.has(400)
        assert server.end() == 0, server.said
    assert counted(sink) == sorted(server.client.answers.values()), server.said
    assert len(server.client.answers) > 4  # there has been recycling
    assert "Traceback" not in server.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_once(sink: Sink, tmp_path: Path, kind: str, number: signal.Signals) -> None:
    """SIGINT and SIGQUIT, gunicorn's quick stop, lose no call that was answered."""
    with serving(sink, tmp_path, *GUNICORN, *KINDS[kind]) as server:
        server.client.send(200)
        time.sleep(0.3)  # gthread's own handler waits for ever where it interrupts a hand-over to its thread pool
        assert server.end(number) == 0, server.said
    assert counted(sink) == sorted(server.client.answers.values()), server.said


def test_calls_of_the_master_before_the_fork_are_its_own(sink: Sink, tmp_path: Path) -> None:
    """A model warmed up with --preload is counted once, in the master, and the workers begin at zero."""
    with serving(sink, tmp_path, *GUNICORN, "--preload", CALLS_AT_IMPORT="7") as server:
        server.client.send(200)
        assert server.end() == 0, server.said
    assert server.process.pid not in server.client.answers
    assert counted(sink) == sorted([7, *server.client.answers.values()]), server.said
