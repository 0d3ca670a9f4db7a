"""Signal handlers, finalisers, tracers and the end of the interpreter find nothing locked and leave nothing behind.

Before Python 3.12 the collector runs amid a context variable's ``set()``, which crashes where a finaliser sets one, too, or
a signal's handler amid any finaliser that is Python's (python/cpython#148891); there it runs when nobody is in one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from tests.sink import Sink

PREAMBLE = """
import atexit, faulthandler, gc, os, signal, sys, threading, time, weakref
import numpy as np
import mlobs
faulthandler.dump_traceback_later(50, exit=True)
made = mlobs.observe(model="m", version="1", capture=["exception.message"])

@made
def predict(x):
    if x is None:
        raise ValueError
    return 0.5

SMALL, LARGE = np.ones((1, 3)), np.ones((500, 3))
count = 0
def call(x=SMALL):
    global count
    count += 1
    predict(x)
call()
mlobs.flush(timeout=20)
if sys.version_info < (3, 12):
    gc.disable()
def collect(turn):
    if not gc.isenabled() and not turn % 10:
        gc.collect(0)
"""


def run(script: str, sink: Sink, **environ: str) -> None:
    """Run a script that prints nothing, and whose calls all arrive: it says how many on its last line."""
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_METRIC_EXPORT_INTERVAL": "300", **environ}
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
    quiet(done)
    assert sink.calls() == int(done.stdout)


def quiet(done: subprocess.CompletedProcess[str]) -> None:
    """It ended well, and what it said is at most what the log says once of each reason: no traceback."""
    known = ("mlobs left something out", "mlobs could not deliver its last export", "mlobs cannot send its")
    said = [line for line in done.stderr.splitlines() if not line.startswith(known)]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize(
    "inside",
    [
        "predict(SMALL)",
        "predict(LARGE)",
        "predict([[1.0], 'x', {}])",
        "mlobs.drift()",
        "mlobs.flush(timeout=0.05)",
        "mlobs.observe(model=f'm{count % 7}')(len)",
    ],
)
def test_handlers_that_predict_and_flush_amid_anything(sink: Sink, inside: str) -> None:
    """A signal a millisecond after the last one, whose handler predicts and now and then flushes: no deadlock, no count lost or doubled."""
    script = f"""
    mlobs.configure(ring_calls=64, ring_bytes=100_000, fold_interval=0.005, export_interval=0.2,
                    endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
    runs = [0, 0]
    turns = 0
    def handler(number, frame):
        runs[0] += 1
        predict(LARGE if runs[0] % 3 else SMALL)
        if not runs[0] % 50:
            mlobs.flush(timeout=0.05)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        {inside}
        runs[1] += {int(inside.startswith("predict"))}
        turns += 1
        collect(turns)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    assert runs[0] > 20, runs
    # a handler that interrupts the observed function itself is inside a call, and counts as part of it
    assert mlobs.flush(timeout=20)
    from mlobs.api import runtime
    total = sum(monitor._ended for (identity, _), monitor in runtime.monitors.items() if identity.name == "m")
    assert count + runs[1] <= total <= count + sum(runs), (total, runs)
    assert not runtime.guard.errors, runtime.guard.errors
    assert all(monitor.active() == 0 for monitor in runtime.monitors.values())
    print(sum(monitor._ended for monitor in runtime.monitors.values()))
    """
    run(script, sink)


def test_handlers_that_bring_truths(sink: Sink) -> None:
    """A signal amid a truth, a look at the quality or an export brings another truth: each is counted once, and none is in the way."""
    script = """
    mlobs.configure(ticket_keys=["0123456789abcdef" * 4], endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
    mlobs.objective(model="m", task="binary")
    from mlobs.api import runtime
    predict(SMALL)
    theirs = [mlobs.ticket(label=1, score=0.5) for _ in range(4000)]
    mine = [mlobs.ticket(label=1, score=0.5) for _ in range(4000)]
    brought = []
    def handler(number, frame):
        if theirs:
            brought.append(mlobs.outcome(theirs.pop(), actual=1))
            assert mlobs.business("clicks", model="m", version="1")
            if not len(brought) % 100:
                mlobs.quality()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    end = time.monotonic() + 3
    while mine and time.monotonic() < end:
        brought.append(mlobs.outcome(mine.pop(), actual=0))
        if not len(mine) % 3:
            mlobs.quality()
            list(runtime.outcomes.collect())
    signal.setitimer(signal.ITIMER_REAL, 0)
    found = mlobs.quality()["m"]
    [delays] = [points for points in runtime.outcomes.collect() if points.instrument.name == "mlobs.outcome.delay"]
    assert len(theirs) < 3900, len(theirs)
    assert all(brought)
    assert len(brought) == found.joined == sum(found.confusion.values()) == sum(delays.counts)
    [events] = [points for points in runtime.outcomes.collect() if points.instrument.name == "mlobs.business.events"]
    assert list(events.values) == [4000 - len(theirs)], events.values
    assert not runtime.guard.errors, runtime.guard.errors
    print(2)
    """
    run(script, sink)


def test_finalisers_that_predict(sink: Sink) -> None:
    """__del__, weakref callbacks and garbage-collection callbacks predict, also while mlobs folds."""
    script = """
    mlobs.configure(ring_calls=64, fold_interval=0.005, endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
    class Dying:
        def __init__(self):
            self.me = self
        def __del__(self):
            predict(LARGE)
    keep = []
    def died(_):
        predict(SMALL)
    def collected(phase, info):
        predict(SMALL)
    gc.callbacks.append(collected)
    gc.set_threshold(50, 2, 2)
    class Row(list):
        pass
    for i in range(3000):
        thing = Dying()
        other = Row([1.0])
        keep.append(weakref.ref(other, died))
        predict([thing, other, None])
        collect(i)
    gc.callbacks.remove(collected)
    del thing, other
    gc.collect()
    assert mlobs.flush(timeout=20)
    gc.collect()
    assert mlobs.flush(timeout=20)
    from mlobs.api import runtime
    [monitor] = runtime.monitors.values()
    assert not runtime.guard.errors, runtime.guard.errors
    assert monitor._ended >= 1 + 3000 + 3000  # those that died inside a call are part of it
    keep.clear()
    print(monitor._ended)
    """
    run(script, sink)


@pytest.mark.parametrize("hook", ["settrace", "setprofile"])
def test_tracers_and_profilers(sink: Sink, hook: str) -> None:
    """With a tracer on that predicts by itself, everything works, and it is called for us as for anybody."""
    script = f"""
    seen = [0]
    busy = []
    def tracer(frame, event, arg):
        seen[0] += 1
        if not busy and not seen[0] % 100:
            busy.append(1)
            call()
            busy.clear()
        return tracer
    calls = 0
    sys.{hook}(tracer); threading.{hook}(tracer)
    for _ in range(500):
        call()
    threads = [threading.Thread(target=lambda: [predict(SMALL) for _ in range(100)]) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    sys.{hook}(None); threading.{hook}(None)
    assert mlobs.flush(timeout=20)
    from mlobs.api import runtime
    [monitor] = runtime.monitors.values()
    assert not runtime.guard.errors
    assert monitor._ended >= 1 + 500 + 300
    print(monitor._ended)
    """
    run(script, sink)


def test_the_end_of_the_interpreter(sink: Sink) -> None:
    """Exit handlers, daemon threads, finalisers of modules and a full ring at the end: silence and exit status 0."""
    script = """
    class AtTheEnd:
        def __del__(self):
            predict(SMALL)
    sys.modules["kept"] = AtTheEnd()
    last = AtTheEnd()
    for _ in range(4):
        threading.Thread(target=lambda: [predict(SMALL) for _ in range(10**9)], daemon=True).start()
    time.sleep(0.5)
    atexit.register(predict, LARGE)
    sys.stdout.write(str(0))
    """
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(script)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        quiet(done)
    assert sink.calls() >= 1  # four threads that never wait leave the last export little of its two seconds


def test_an_interrupt_while_mlobs_looks_is_the_callers(sink: Sink) -> None:
    """KeyboardInterrupt that falls into our own code reaches the caller, and the call is counted as one that failed."""
    script = """
    class Slow:
        def __array__(self, *_, **__):
            raise KeyboardInterrupt
    for function in (lambda: predict(Slow()), lambda: mlobs.observe(model="m", version="1")(lambda x: Slow())(1.0)):
        for _ in range(3):
            try:
                function()
            except KeyboardInterrupt:
                pass
            else:
                raise SystemExit("swallowed")
    assert mlobs.flush(timeout=20)
    from mlobs.api import runtime
    assert all(monitor.active() == 0 for monitor in runtime.monitors.values())
    print(7)
    """
    run(script, sink)
