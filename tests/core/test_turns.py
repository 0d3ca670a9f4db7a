"""mlobs' threads wait short for the interpreter while they work, and leave its switch interval as it was."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import mlobs
from mlobs.api import runtime
from mlobs.core.folder import Folder
from mlobs.core.monitor import Monitor
from mlobs.core.turns import Turns
from mlobs.testing import capture

USUAL = 0.005


@pytest.fixture(autouse=True)
def interval() -> Iterator[None]:
    """What Python begins with, before each and after, and no thread of ours that runs beside the test."""
    runtime.shutdown(0)
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL)
    yield
    sys.setswitchinterval(before)


def settled() -> None:
    """The interval is the usual one once our threads have done what they were at."""
    until = time.monotonic() + 30
    while abs(sys.getswitchinterval() - USUAL) > 1e-6:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_inside_short_outside_as_it_was() -> None:
    """However many are inside, and whoever leaves first."""
    turns = Turns()
    with turns:
        assert sys.getswitchinterval() == pytest.approx(50e-6)
        with turns:
            assert sys.getswitchinterval() == pytest.approx(50e-6)
        assert sys.getswitchinterval() == pytest.approx(50e-6)
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    with pytest.raises(KeyError), turns:
        raise KeyError
    assert sys.getswitchinterval() == pytest.approx(USUAL)


@pytest.mark.parametrize("theirs", [0.002, 20e-6])
def test_what_the_program_sets_stays(theirs: float) -> None:
    """Before it or meanwhile; a shorter one is not made longer."""
    turns = Turns()
    with turns:
        sys.setswitchinterval(theirs)
    assert sys.getswitchinterval() == pytest.approx(theirs)
    with turns:
        assert sys.getswitchinterval() == pytest.approx(min(theirs, 50e-6))
    assert sys.getswitchinterval() == pytest.approx(theirs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_meanwhile_has_the_usual_one() -> None:
    """The threads that were inside are the parent's."""
    with runtime.turns:
        child = os.fork()
        if not child:
            os._exit(0 if abs(sys.getswitchinterval() - USUAL) < 1e-6 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sys.getswitchinterval() == pytest.approx(50e-6)
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_our_threads_fold_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """And when nothing of ours runs, the interval is the usual one."""
    seen: list[float] = []
    folded, fold = threading.Event(), Monitor.fold

    def told(*args: object) -> int:
        if threading.current_thread().name.startswith("mlobs-"):
            seen.append(sys.getswitchinterval())
            folded.set()
        return fold(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "fold", told)
    with capture(fold_interval=3600):
        predict = mlobs.observe(model="m")(lambda x: 0.5)
        predict([1.0])
        runtime.wake()
        assert folded.wait(30)
        settled()
    assert seen == pytest.approx([50e-6] * len(seen))


def test_whoever_has_the_interpreter_hastens_another() -> None:
    """Turns are short until the other has been in the block, or is not expected any more; nobody waits for a lock."""
    turns = Turns()
    turns.hasten()
    turns.hasten()
    assert sys.getswitchinterval() == pytest.approx(50e-6)
    with turns:
        turns.hasten()
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    turns.hasten()
    turns.settle()
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    with turns._lock:  # a signal handler predicts amid it
        turns.hasten()
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    with turns:
        turns.settle()
        assert sys.getswitchinterval() == pytest.approx(50e-6)
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_calls_wake_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a program that never rests it need not wait for the clock, and wait in vain."""
    woken: list[bool] = []
    wait = Folder._wait

    def told(self: Folder, timeout: float) -> bool:
        called = wait(self, timeout)
        woken.append(called)
        return called

    monkeypatch.setattr(Folder, "_wait", told)
    with capture(fold_interval=0.05) as telemetry:
        predict = mlobs.observe(model="m")(lambda x: 0.5)
        until, calls = time.monotonic() + 20, 0
        while woken.count(True) < 10 and time.monotonic() < until:
            predict([1.0])
            calls += 1
        assert woken.count(True) >= 10
        assert telemetry.total("mlobs.prediction.rows") == calls
    settled()


def test_a_folder_that_nobody_calls_wakes_seldom_and_with_the_next_call() -> None:
    """A single call after a pause is folded at once, by our own thread."""
    with capture(fold_interval=0.05):
        predict = mlobs.observe(model="m")(lambda x: 0.5)
        predict([1.0])
        for calls in (2, 3, 4):
            until = time.monotonic() + 20
            while not runtime.folder._dozes and time.monotonic() < until:
                time.sleep(0.01)
            assert runtime.folder._dozes
            predict([1.0])
            [monitor] = runtime.monitors.values()
            while monitor.ring.waiting and time.monotonic() < until:
                time.sleep(0.001)
            assert (monitor.ring.waiting, monitor.ended) == (0, calls)
    settled()


def test_calls_that_come_while_the_folder_folds_do_not_call_for_another_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is at it, whatever it takes."""
    called: list[bool] = []
    fold = Monitor.fold

    def amid(*args: object) -> int:
        if threading.current_thread().name == "mlobs-folder" and len(called) < 3:
            runtime.folder.tick()
            called.append(not runtime.folder._called.empty())
        return fold(*args)  # type: ignore[arg-type]

    with capture(fold_interval=0.2):
        predict = mlobs.observe(model="m")(lambda x: 0.5)
        predict([1.0])
        monkeypatch.setattr(Monitor, "fold", amid)
        until = time.monotonic() + 20
        while len(called) < 3 and time.monotonic() < until:
            predict([1.0])
            time.sleep(0.001)  # else its ring is half full long before it is time
    assert called == [False] * 3
