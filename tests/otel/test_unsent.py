"""Spans that wait for a receiver are sent later, or counted: also where the settings change meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter

import pytest
from opentelemetry.sdk.resources import Resource
from tests.sink import running, taking_less_than

from mlobs.otel.spans import Spans

DEAD = "http://127.0.0.1:9"
SCRIPT = """
import os, sys
import mlobs
from mlobs.api import runtime
mlobs.configure(spans="always", flush_timeout=0.2)
predict = mlobs.observe(model="m")(lambda x: 0.5)
for _ in range(5):
    predict([1.0])
print(mlobs.flush(timeout=0.2))
"""
LATER = "for _ in range(3):\n    predict([1.0])\n"
TOLD = "print(mlobs.flush(timeout=20), dict(runtime.guard.dropped))\n"


def run(script: str, **environ: str) -> list[str]:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + script],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": DEAD, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("calls", [LATER, ""])
def test_new_settings_take_the_waiting_spans_along(calls: str) -> None:
    """They go where the new settings say, whether or not another span is made."""
    change = 'mlobs.configure(endpoint=os.environ["GOOD"], spans="always")\n'
    with running() as sink:
        assert run(change + calls + "predict([1.0])\n" + TOLD, GOOD=sink.url) == ["False", "True {}"]
    assert len(sink.spans) == (9 if calls else 6)


def test_they_outlive_a_shutdown() -> None:
    """A call after it sends them, if a receiver is there by then."""
    again = 'mlobs.shutdown(timeout=0.2)\nmlobs.configure(endpoint=os.environ["GOOD"], spans="never")\npredict([1.0])\n'
    with running() as sink:
        assert run(again + TOLD, GOOD=sink.url) == ["False", "True {}"]
    assert len(sink.spans) == 5


def test_the_newest_are_kept() -> None:
    """Where a receiver is away for long the oldest make room, and are counted."""
    more = """
    later = mlobs.observe(model="later")(lambda x: 0.5)
    for _ in range(2048):
        later([1.0])
    print(mlobs.flush(timeout=0.2))
    mlobs.configure(endpoint=os.environ["GOOD"])
    """
    with running() as sink:
        told = run(textwrap.dedent(more) + TOLD, GOOD=sink.url)
    assert told == ["False", "False", "True {'span_queue_full': 5}"]
    assert Counter(span.name for span in sink.spans) == {"<lambda> later": 2048}


def test_settings_that_send_no_spans_count_them() -> None:
    """Spans that will never be sent are not lost without a number."""
    off = 'os.environ["OTEL_TRACES_EXPORTER"] = "none"\nmlobs.configure(endpoint=os.environ["GOOD"])\npredict([1.0])\n'
    with running() as sink:
        assert run(off + TOLD, GOOD=sink.url) == ["False", "True {'span_unsent': 5}"]
    assert sink.spans == []


def test_a_child_does_not_send_its_parents() -> None:
    """What waits in a process is sent by that process only."""
    fork = (
        'mlobs.configure(endpoint=os.environ["GOOD"], spans="always")\n'
        "child = os.fork()\n"
        "predict([1.0])\n"
        "mlobs.flush(timeout=20)\n"
        "if child:\n    os.waitpid(child, 0)\nelse:\n    os._exit(0)\n"
    )
    with running() as sink:
        run(fork, GOOD=sink.url)
    assert len(sink.spans) == 7


class Large:
    """What spans are made of where their stacks are long."""

    def __init__(self, url: str) -> None:
        self.dropped: Counter[str] = Counter()
        self.spans = Spans({}, lambda: Resource({}), self.drop, endpoint=url)

    def drop(self, reason: str, count: int, _: str) -> None:
        self.dropped[reason] += count

    def make(self, count: int, size: int) -> None:
        for _ in range(count):
            self.spans.tracer.start_span("one", attributes={"stack": "x" * size}).end()


def test_spans_that_are_large_go_in_several_requests() -> None:
    """A batch of 512 stacks is more than a receiver takes at once."""
    with running() as sink:
        large = Large(sink.url)
        large.make(300, 32_000)
        assert large.spans.flush(20).delivered
    assert len(sink.spans) == 300
    assert max(request.ByteSize() for request in sink.traces) < 2_000_000


def test_a_receiver_that_takes_less_gets_less() -> None:
    """413 makes batches smaller; only the span that is too large by itself is dropped, and counted."""
    with running() as sink:
        sink.hook = taking_less_than(20_000)
        large = Large(sink.url)
        large.make(20, 4_000)
        assert large.spans.flush(20).delivered
        assert len(sink.spans) == 20
        large.make(1, 40_000)
        large.make(3, 10)
        assert not large.spans.flush(20).delivered
        assert large.spans.flush(20).delivered
    assert len(sink.spans) == 23
    assert large.dropped == {"span_refused": 1}
