"""SIGKILL takes what was counted since the last export, and no more."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.sink import Sink
from tests.workers.serving import counted

SCRIPT = """
import mmap, struct, sys
import mlobs

mlobs.configure(export_interval=0.1, endpoint=sys.argv[1])

@mlobs.observe(model="m", version="1")
def predict(x):
    return 0.5

with open(sys.argv[2], "r+b") as file, mmap.mmap(file.fileno(), 8) as ledger:
    calls = 0
    while True:
        predict([1.0])
        calls += 1
        struct.pack_into("q", ledger, 0, calls)  # kept by the kernel when the process is killed
"""


def test_sigkill_loses_less_than_an_interval(sink: Sink, tmp_path: Path) -> None:
    """Whatever was called before the last export but one was answered is in the last: it began after that answer."""
    ledger = tmp_path / "ledger"
    ledger.write_bytes(bytes(8))

    def called() -> int:
        return int(struct.unpack("q", ledger.read_bytes())[0])

    at_arrival: list[int] = []

    def note(request: BaseHTTPRequestHandler) -> bool:
        if request.path.endswith("/v1/metrics"):
            at_arrival.append(called())
        return False

    sink.hook = note
    with subprocess.Popen([sys.executable, "-c", SCRIPT, sink.url, str(ledger)]) as process:
        assert sink.wait(lambda s: len(s.metrics) >= 8)
        process.send_signal(signal.SIGKILL)
    made = called()
    (arrived,) = counted(sink)
    answered = len(sink.metrics)
    assert (
        0 < at_arrival[answered - 2] <= arrived <= made + 1
    )  # the last call may have been counted and not written down
