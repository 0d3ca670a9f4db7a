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
        until = time.monotonic() + 30
        while sys.getswitchinterval() < USUAL / 2:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert seen == pytest.approx([50e-6] * len(seen))
