"""A task that fails and is run again counts once: its engine's retries are no predictions of their own."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.test_processes import run
from tests.sink import Sink

TASKS = """
from mlobs.api import runtime
from mlobs.core.task import Task

def task(n, error=None):
    with Task(runtime.tasks):
        work(n)
        if error is not None:
            raise error

def failing(n, error):
    try:
        task(n, error)
    except BaseException as caught:
        assert caught is error
"""


def dropped(sink: Sink) -> dict[str, int]:
    """What was left out, by reason."""
    return {
        point.attributes[0].value.string_value: point.as_int
        for metrics in sink.latest().values()
        if "mlobs.sdk.dropped" in metrics
        for point in metrics["mlobs.sdk.dropped"].sum.data_points
    }


def test_what_a_failed_task_predicted_is_forgotten(sink: Sink) -> None:
    """Of tasks with 5, 7 and 11 calls the second fails, and 7 calls more come outside of any: 7 rows are not counted."""
    done = run(TASKS + "task(5); failing(7, ValueError()); task(11); work(7); failing(3, SystemExit(1))", sink)
    assert done.returncode == 0, done.stderr
    assert sink.calls() == 5 + 11 + 7
    assert dropped(sink) == {"task_failed": 3}
    lives = [
        sum(point.count for point in metrics["mlobs.prediction.duration"].histogram.data_points)
        for metrics in sink.latest().values()
    ]
    assert lives == [5, 18, 0]  # each life of the process under an identity of its own


def test_nothing_of_a_running_task_is_sent(sink: Sink) -> None:
    """While a task runs no interval and no flush sends its counts; its spans are sent."""
    script = """
    with Task(runtime.tasks):
        work(5)
        assert not mlobs.flush()
        print(runtime.pipeline.collect().points != [])
    """
    done = run(TASKS + "\n".join(line.strip() if not line.startswith("        ") else "    " + line.strip() for line in script.splitlines()), sink)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert sink.calls() == 5
    assert len(sink.metrics) == 2 or len(sink.metrics) == 1
    assert len(sink.spans) == 1
