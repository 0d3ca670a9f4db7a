"""The whole demo, as a user starts it: exact sums, the data's own verdicts, and a clean end."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

MLOBS = [sys.executable, "-m", "mlobs", "demo"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a short run says, and beside it what is on standard error; it leaves no file behind."""
    temporary = tmp_path_factory.mktemp("temporary")
    run = subprocess.run(
        [*MLOBS, "--headless", "--json", "--seconds", "12"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert run.returncode == 0, run.stderr
    assert list(temporary.iterdir()) == []
    outcome: dict[str, Any] = json.loads(run.stdout)
    return outcome | {"stderr": run.stderr}


def test_the_sums_are_exact(told: dict[str, Any]) -> None:
    """Each request sent is one prediction counted, each malformed one an error counted, over both workers."""
    assert told["requests_sent"] == told["predictions_counted"] > 0
    assert told["errors_sent"] == told["errors_counted"] > 0
    assert told["workers"] == 2


def test_every_value_is_counted(told: dict[str, Any]) -> None:
    """Each feature's bins hold one value a call of its season; only what is malformed may be missing."""
    for name, drift in told["features"].items():
        both = drift["count"] + told["features_winter"][name]["count"]
        assert told["requests_sent"] - told["errors_sent"] <= both <= told["requests_sent"]


def test_the_verdicts_are_the_datas(told: dict[str, Any]) -> None:
    """Held-out winter is stable everywhere; in spring temp has drifted, and what weather does not touch has not."""
    assert {drift["verdict"] for drift in told["features_winter"].values()} == {"stable"}
    assert told["drifted_winter"] == []
    assert "temp" in told["drifted"]
    assert {told["features"][name]["verdict"] for name in ("carrier", "origin", "hour", "distance")} == {"stable"}
    assert told["features"]["temp"]["psi"] > 1 > told["features"]["temp"]["noise"] > 0
    assert told["features"]["temp"]["ks"] > 0.3


def test_every_truth_is_joined_or_refused(told: dict[str, Any]) -> None:
    """What became of flights comes back by ticket from another process: all of it counted, each bad truth refused."""
    assert told["outcomes_sent"] == told["outcomes_joined"] + told["outcomes_rejected"]
    assert set(told["outcomes_rejected_by_reason"]) == {"damaged", "wrong_key", "duplicate", "invalid"}
    answered = told["requests_sent"] - told["errors_sent"]
    assert told["coverage"] == pytest.approx(told["outcomes_joined"] / answered, abs=1e-6)
    assert told["coverage"] > 0.97
    assert 0.3 < told["delay_mean_s"] < 5


def test_quality_is_scikit_learns(told: dict[str, Any]) -> None:
    """The AUC from counts is that of the raw scores within its bound; winter keeps what scores promised, spring does not."""
    winter, spring = told["seasons"]["winter"], told["seasons"]["spring"]
    for part in (told, winter, spring):
        assert abs(part["auc"] - part["auc_sklearn"]) <= part["auc_bound"] < 0.05
    assert abs(winter["auc"] - winter["auc_expected"]) < 0.05
    assert spring["auc"] < spring["auc_expected"] - 0.03


def test_money_and_cost_are_told(told: dict[str, Any]) -> None:
    """Both seasons' money is the run's; CPU time is some of what the run took, and has its price."""
    winter, spring = (told["seasons"][name]["business_value"] for name in ("winter", "spring"))
    assert winter + spring == pytest.approx(told["business_value"])
    assert winter > spring
    assert 0.1 < told["cpu_seconds"] < 60
    rows = told["requests_sent"] - told["errors_sent"]
    assert told["cost_per_1000"] == pytest.approx(told["cpu_seconds"] * 0.04 / 3600 / rows * 1000, rel=0.2)


def test_latency_and_spans_arrive(told: dict[str, Any]) -> None:
    """Quantiles are of this world, and spans of calls and requests came."""
    assert 0 < told["latency"]["p50_ms"] <= told["latency"]["p99_ms"] < 1000
    assert told["spans_received"] >= told["errors_sent"]


def test_progress_goes_to_standard_error(told: dict[str, Any]) -> None:
    """With --json standard output is the object alone; the steps and the numbers are told beside it."""
    for said in ("Reading", "Training", "reference profile", "counted", "calls/s"):
        assert said in told["stderr"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_told_to(number: signal.Signals, tmp_path: Path) -> None:
    """In the middle of the traffic, Ctrl-C or SIGTERM ends every process, without a traceback or a folder left."""
    demo = subprocess.Popen(
        [*MLOBS, "--headless"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # what a shell starts in the background ignores Ctrl-C, and so would the demo
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "calls/s" in line:
            break
    family = psutil.Process(demo.pid).children(recursive=True)
    assert len(family) >= 3
    demo.send_signal(number)
    rest = demo.stdout.read()
    demo.stdout.close()
    assert demo.wait(30) == 128 + number
    assert "Traceback" not in rest
    _, running = psutil.wait_procs([process for process in family if _alive(process)], timeout=10)
    assert [process for process in running if _alive(process)] == []
    assert list(tmp_path.iterdir()) == []


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_terminal_gets_the_live_view(tmp_path: Path) -> None:
    """On a terminal the view is drawn in place, the summary follows, and the cursor comes back.

    Where a Prometheus is installed, the last words are how to open with it what was recorded.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    demo = subprocess.Popen(
        [*MLOBS, "--seconds", "4"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                return
            if not piece:
                return
            shown.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    assert demo.wait(120) == 0
    reader.join()
    os.close(ours)
    text = b"".join(shown).decode()
    for said in ("calls/s", "worker ", "What was seen", " landed, ", "Seconds are not seasons", "\x1b[?25h"):
        assert said in text
    kept = tmp_path / "mlobs" / "demo.openmetrics"
    installed = all(shutil.which(program) for program in ("prometheus", "promtool"))
    assert kept.exists() == (f"promtool tsdb create-blocks-from openmetrics {kept} " in text) == installed


def test_what_is_missing_is_named_with_the_cure() -> None:
    """Without the demo's packages there is one line: which, and how to get them."""
    script = (
        "import sys, importlib.util as u; real = u.find_spec;"
        "u.find_spec = lambda name, *rest: None if name in ('cryptography', 'fastapi', 'sklearn') else real(name, *rest);"
        "from mlobs.cli import main; sys.exit(main(['demo']))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        "mlobs demo: The demo needs packages that are not installed. Try: pip install cryptography fastapi scikit-learn\n"
    )


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "many"])
def test_a_time_that_cannot_be_is_refused(seconds: str) -> None:
    """Seconds are a positive number; all else is a mistake of the command line."""
    run = subprocess.run([*MLOBS, "--seconds", seconds], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "a number above 0 is due" in run.stderr


def test_help_costs_little() -> None:
    """`mlobs demo --help` loads none of the demo's packages."""
    script = (
        "import sys; from mlobs.cli import main\ntry: main(['demo', '--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert not {"pandas", "sklearn", "fastapi", "rich", "uvicorn"} & set(run.stdout.split())


def test_it_is_quick_to_begin() -> None:
    """The first line of numbers is there within the time that was promised, imports and training included."""
    began = time.monotonic()
    demo = subprocess.Popen([*MLOBS, "--headless"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    with demo.stdout:
        assert any("calls/s" in line for line in demo.stdout)
        took = time.monotonic() - began
        demo.terminate()
        demo.stdout.read()
    demo.wait(30)
    assert took < 60  # 20 s on a machine of one's own; tests share theirs
