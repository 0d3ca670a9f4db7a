"""The service's processes: what is said when they fail, and that none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mlobs.demo import stakes
from mlobs.demo.delay_model import DelayModel
from mlobs.demo.flights import FEATURES, Flights
from mlobs.demo.place import Place
from mlobs.demo.workers import WORKERS, Workers, environment
from mlobs.errors import MlobsError
from mlobs.profile import Profile

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing takes the telemetry


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("prepared"))
    flights = Flights.read()
    DelayModel.fit(flights.train).save(place.model)
    Profile.build(flights.train[list(FEATURES)]).save(place.reference)
    stakes.save(place.calibration, [0.1, 0.6], [False, True])
    return place


@pytest.fixture
def place(prepared: Place, tmp_path: Path) -> Place:
    for file in (prepared.model, prepared.reference, prepared.calibration):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return Place(tmp_path)


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def watch(workers: Workers) -> None:
    """Look at the workers as the demo does, for half a minute: a process is gone a moment before it can be waited for."""
    for _ in range(600):
        workers.check()
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    """Children that earlier tests have left, multiprocessing's resource tracker say, are nobody's business here."""
    OTHERS[:] = psutil.Process().children(recursive=True)
    yield
    OTHERS.clear()


OTHERS: list[psutil.Process] = []


def family() -> list[psutil.Process]:
    """The children that this process has had since the test began, theirs, and so on."""
    return [process for process in psutil.Process().children(recursive=True) if process not in OTHERS]


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that ended and that nobody has asked about yet does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_two_workers_serve_and_end(place: Place) -> None:
    """Two worker processes serve on one port of loopback; after the block none of the family is alive."""
    with Workers(place, environment(place, NOWHERE)) as workers:
        port = workers.wait()
        workers.check()
        started = family()
        listening = {
            connection.laddr
            for process in started
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    assert len(started) >= 1 + WORKERS
    assert listening == {("127.0.0.1", port)}
    assert eventually(lambda: not any(map(alive, started)))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [("model", b"", "EOFError"), ("model", None, "FileNotFoundError"), ("reference", b"{", "ProfileError")],
)
def test_a_worker_that_cannot_start_says_why(place: Place, file: str, content: bytes | None, said: str) -> None:
    """A model or a profile that cannot be read is told in one line, and nothing is left running."""
    path: Path = getattr(place, file)
    path.unlink() if content is None else path.write_bytes(content)
    expected = pytest.raises(MlobsError, match=f"A worker of the demo could not start: {said}")
    with expected as caught, Workers(place, environment(place, NOWHERE)) as workers:
        workers.wait()
    assert "\n" not in str(caught.value)
    assert not any(map(alive, family()))


def test_a_service_that_ends_by_itself_is_noticed(place: Place) -> None:
    """A supervisor that is gone is an error, with its last words."""
    with Workers(place, environment(place, NOWHERE)) as workers:
        workers.wait()
        (supervisor,) = (process for process in family() if process.ppid() == os.getpid())
        supervisor.kill()
        with pytest.raises(MlobsError, match="The demo's service ended by itself"):
            watch(workers)


def test_a_worker_that_dies_is_noticed(place: Place) -> None:
    """The supervisor replaces a dead worker; the demo says that its sums cannot be exact."""
    with Workers(place, environment(place, NOWHERE)) as workers:
        workers.wait()
        serving = [process for process in family() if "spawn_main" in " ".join(process.cmdline())]
        serving[0].kill()
        with pytest.raises(MlobsError, match="A worker of the demo died"):
            watch(workers)


def test_a_slow_start_ends_in_time(place: Place) -> None:
    """Workers that do not come up are given up, and ended."""
    expected = pytest.raises(MlobsError, match="did not start within 0 s")
    with expected, Workers(place, environment(place, NOWHERE), start_timeout=0.0) as workers:
        workers.wait()
    assert not any(map(alive, family()))


def test_no_process_outlives_a_killed_parent(place: Place) -> None:
    """The service and its workers end when the process that started them is killed outright."""
    script = (
        "import sys, time; from pathlib import Path; from mlobs.demo.place import Place;"
        "from mlobs.demo.workers import Workers, environment; place = Place(Path(sys.argv[1]));"
        "workers = Workers(place, environment(place, sys.argv[2])).__enter__();"
        "workers.wait(); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(place.folder), NOWHERE])
    assert eventually(lambda: len(place.notes("ready")) == WORKERS)
    started = family()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert eventually(lambda: not any(map(alive, started)))


def test_the_workers_environment_is_the_demos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Telemetry settings of other programs, and proxies, have no say in the demo; all else is handed on."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    monkeypatch.setenv("SOMETHING", "else")
    given = environment(Place(tmp_path), NOWHERE)
    assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] == NOWHERE
    assert given["OTEL_METRIC_EXPORT_INTERVAL"] == "1000"
    assert not {"OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"} & given.keys()
    assert given["SOMETHING"] == "else"
    assert given["PATH"] == os.environ["PATH"]
