"""A pytest plugin: whatever is tested is tested under `mlobs.instrument()`, and mlobs has to have worked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import mlobs
from mlobs.api import runtime
from mlobs.otel.points import Histogram

mlobs.configure(export_interval=5)
mlobs.instrument("sklearn")

counted: Counter[str] = Counter()


def _mine() -> dict[str, int]:
    """What this process has seen: calls, and whatever went wrong in mlobs."""
    collected = runtime.pipeline.collect()
    durations = [points for points in collected.points if points.instrument.name == "mlobs.prediction.duration"]
    calls = sum(sum(points.counts) for points in durations if isinstance(points, Histogram))
    return {"calls": calls, **{f"error in {place}": count for place, count in runtime.guard.errors.items()}}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over what it counted; the run fails where nothing was counted or something of ours did fail."""
    worker: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if worker is not None:
        worker["mlobs"] = _mine()
        return
    counted.update(_mine())
    if set(counted) != {"calls"} or not counted["calls"]:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker has counted."""
    counted.update(node.workeroutput.get("mlobs", {"error in a worker that ended early": 1}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what mlobs did meanwhile."""
    terminalreporter.write_line(f"mlobs counted {dict(counted)}")
