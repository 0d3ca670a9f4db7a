"""A task that fails and is run again counts once: its engine's retries are no predictions of their own."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.core.test_processes import run
from tests.sink import Sink

TASKS = """
from mlobs.api import runtime
from mlobs.core.task import Task

runtime.serve_an_engine()

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
    else:
        raise AssertionError("nothing was raised")
"""


def dropped(sink: Sink) -> Counter[str]:
    """What was left out, by reason, over all processes and lives."""
    found: Counter[str] = Counter()
    for metrics in sink.latest().values():
        if "mlobs.sdk.dropped" in metrics:
            for point in metrics["mlobs.sdk.dropped"].sum.data_points:
                found[point.attributes[0].value.string_value] += point.as_int
    return found


def lives(sink: Sink) -> list[int]:
    """Calls by identity, in order of their first export."""
    return [
        sum(point.count for point in metrics["mlobs.prediction.duration"].histogram.data_points)
        for metrics in sink.latest().values()
    ]


def test_what_a_failed_task_predicted_is_forgotten(sink: Sink) -> None:
    """What is called in tasks that fail is not counted, all else is, and each life has an identity of its own."""
    script = "task(5)\nfailing(7, ValueError())\ntask(11)\nwork(2)\nfailing(3, SystemExit(1))\n"
    done = run(TASKS + script, sink, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=mine")
    assert done.returncode == 0, done.stderr
    assert lives(sink) == [5, 13, 0]
    assert len({key for key in sink.latest() if key.startswith("mine-")}) == 3
    assert dropped(sink) == {"task_failed": 10}


def test_nothing_of_a_running_task_is_sent(sink: Sink) -> None:
    """While a task runs no interval and no flush sends its counts; its spans are sent; its end sends everything."""
    script = """
work(1)
with Task(runtime.tasks):
    work(5)
    assert not mlobs.flush()
    time.sleep(0.2)
"""
    done = run(TASKS + script, sink, OTEL_METRIC_EXPORT_INTERVAL="20")
    assert (done.returncode, done.stderr) == (0, "")
    counts = {
        sum(point.count for point in metric.histogram.data_points)
        for request in sink.metrics
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "mlobs.prediction.duration"
    }
    assert counts == {1, 6}
    assert sink.calls() == 6


def test_a_task_that_does_not_end_leaves_nothing(sink: Sink) -> None:
    """A process that is told to end amid a task sends nothing of it, and does not wait: another will run it."""
    script = """
task(4)
with Task(runtime.tasks):
    work(5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
"""
    done = run(TASKS + script, sink)
    assert (done.returncode, done.stderr) == (-15, "")
    assert sink.calls() == 4


def test_an_abandoned_task_is_no_failed_one(sink: Sink) -> None:
    """Whoever reads no further than it wants has had what it has read: GeneratorExit is no failure."""
    script = """
def rows():
    with Task(runtime.tasks):
        for _ in range(9):
            work(1)
            yield 1

found = rows()
next(found), next(found)
found.close()
"""
    done = run(TASKS + script, sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert (sink.calls(), dropped(sink)) == (2, {})


def test_beside_another_task_nothing_is_forgotten(sink: Sink) -> None:
    """Where two tasks run at once nobody can say which of them has predicted what: all of it counts."""
    script = """
def slow():
    with Task(runtime.tasks):
        work(5)
        began.set()
        ended.wait(30)

began, ended = threading.Event(), threading.Event()
thread = threading.Thread(target=slow)
thread.start()
began.wait(30)
failing(7, ValueError())
ended.set()
thread.join()
failing(3, ValueError())
"""
    done = run(TASKS + script, sink)
    assert done.returncode == 0, done.stderr
    assert (sink.calls(), dropped(sink)) == (12, {"task_failed": 3})


def test_beside_a_call_nothing_is_forgotten(sink: Sink) -> None:
    """A call that some other thread has begun before the task counts, and so does the task."""
    script = """
@mlobs.observe(model="other")
def slow(x):
    began.set()
    ended.wait(30)

began, ended = threading.Event(), threading.Event()
thread = threading.Thread(target=slow, args=(1,))
thread.start()
began.wait(30)
failing(7, ValueError())
ended.set()
thread.join()
"""
    done = run(TASKS + script, sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 8


@pytest.mark.parametrize("status", [200, 503])
def test_only_what_was_sent_before_may_be_forgotten_around(sink: Sink, status: int) -> None:
    """While the receiver is away no task is a transaction: the counts before it would be lost with the failed one's."""
    script = """
work(4)
failing(7, ValueError())
urllib.request.urlopen(os.environ["SINK"] + "/well", b"").read()
task(2)
"""
    sink.status = status

    def hook(handler: object) -> bool:
        if getattr(handler, "path", "") == "/well":
            sink.status = 200
        return False

    sink.hook = hook
    script = "import urllib.request\n" + script
    done = run(TASKS + script, sink, SINK=sink.url)
    assert done.returncode == 0, done.stderr
    assert sink.calls() == (4 + 2 if status == 200 else 4 + 7 + 2)


def test_who_waits_for_a_receiver_that_is_away_waits_once(sink: Sink) -> None:
    """Twenty tasks under a receiver that is not there take about one ``flush_timeout`` of two seconds, and not twenty."""
    script = """
began = time.monotonic()
for _ in range(20):
    task(1)
print(time.monotonic() - began < 20)
"""
    sink.status = 503
    done = run(TASKS + script, sink)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
