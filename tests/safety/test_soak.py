"""A million calls: memory stays flat, and threads and files stay as many as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sink import Sink

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files in /proc")

SCRIPT = """
import gc, os, sys, threading
import numpy as np, pandas as pd, psutil
import mlobs
mlobs.configure(
    endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"], export_interval=0.5, fold_interval=0.1,
    ticket_keys=[os.urandom(32).hex()], outcome_memory=20_000,
)
mlobs.objective(model="with", task="binary", costs={(True, True): 1.0})
rng = np.random.default_rng(1)
training = pd.DataFrame({"a": rng.normal(size=500), "b": rng.normal(size=500), "c": rng.choice(["x", "y"], 500)})
reference = mlobs.Profile.build(training, outputs=rng.random(500))
with_reference = mlobs.observe(model="with", reference=reference)(lambda x: 0.5)
without = mlobs.observe(model="without")(lambda x: x)
class Error(Exception): pass
@mlobs.observe(model="failing", capture=["exception.message"])
def failing(x):
    raise Error(f"message {x}")
one, many, frame = np.ones((1, 3)), np.ones((50, 3)), training[:1]
process = psutil.Process()

def some(n):
    for i in range(n // 10):
        with_reference({"a": i, "b": 0.5, "c": f"category {i}"})   # never the same
        ticket = mlobs.ticket()
        mlobs.outcome(ticket, actual=i % 3 == 0)
        mlobs.outcome(ticket, actual=True)                          # a second time
        mlobs.outcome(f"ticket {i}", actual=i)
        with_reference([float(i), 1.0, "x"])
        mlobs.outcome(mlobs.tickets()[0], actual=f"class {i}")      # of neither class
        without(i)
        mlobs.outcome(mlobs.ticket(label=f"class {i}"), actual=f"class {i + 1}")
        mlobs.business(f"event {i}", value=i, currency="EUR", event_id=str(i))
        with_reference((1.0, 2.0, None))
        without(one); without(many); without(one)
        without({f"key {i}": 1.0, "a": 2.0})                        # keys that are data
        if i % 40: without([1.0, 2.0])
        else: with_reference(frame)
        if i % 100:
            without(object())
        else:
            try: failing(i)
            except Error: pass

def measure():
    mlobs.flush(timeout=20)
    gc.collect()
    return process.memory_info().rss / 2**20, threading.active_count(), process.num_fds()

ROUND = int(sys.argv[1])
some(ROUND)
before = measure()
found = []
for _ in range(4):
    some(ROUND)
    found.append(measure())
from mlobs.api import runtime
assert not runtime.guard.errors, runtime.guard.errors
assert mlobs.quality()["with"].joined == ROUND // 2
print(before, found, flush=True)
for memory, threads, files in found:
    assert memory < before[0] + 100, (before, found)  # 125 bytes a call would be
    assert threads == before[1]
    assert files <= before[2] + 1
"""


def test_a_million_calls(sink: Sink) -> None:
    """Mixed inputs, errors, keys and categories that never repeat, tickets and truths good and bad, exported all the while: nothing grows, all arrive."""
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    each = 50 * min(
        int(os.environ.get("MLOBS_EXAMPLES", "4000")), 4000
    )  # the lowest and the newest versions have a quarter
    command = [sys.executable, "-c", SCRIPT, str(each)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert sink.calls() == 5 * each
    assert len(sink.metrics) > 5
