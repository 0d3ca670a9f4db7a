"""Other ways to run Python: greenlets, interpreters within the interpreter, threads without the lock."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.sink import Sink

GREEN = """
from gevent import monkey
monkey.patch_all()
import gevent, time, threading
import numpy as np
import mlobs

@mlobs.observe(model="inner")
def inner(x):
    gevent.sleep(0.001)
    return x

@mlobs.observe(model="outer")
def outer(x):
    gevent.sleep(0.001)
    return inner(x)

def work(i):
    for _ in range(10):
        outer(np.ones((1, 3)))
        inner(np.ones((1, 3)))
"""


def run(script: str, sink: Sink, *options: str, **environ: str) -> str:
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, **environ}
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(script)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def counts(sink: Sink) -> dict[str, int]:
    found: dict[str, int] = {}
    for metrics in sink.latest().values():
        for point in metrics["mlobs.prediction.duration"].histogram.data_points:
            model = next(pair.value.string_value for pair in point.attributes if pair.key == "model.name")
            found[model] = found.get(model, 0) + point.count
    return found


SEEDED = """
import random

import numpy as np

import mlobs


@mlobs.observe(model="m")
def predict(x):
    return random.random()


def answers():
    random.seed(3)
    np.random.seed(3)
    found = [predict(np.ones((1, 3))) for _ in range(100)]
    assert mlobs.flush(timeout=20)
    return *found, random.random(), np.random.random()


mlobs.configure(spans="never")
expected = answers()
mlobs.configure(spans="always")
assert answers() == answers() == expected
"""


def test_what_a_program_seeds_is_its_own(sink: Sink) -> None:
    """Spans take nothing from `random`: a seeded program answers as it does without, and no two spans have one id."""
    run(SEEDED, sink)
    spans = sink.spans
    assert len(spans) > 100  # the first ones come before the SDK has been loaded, and a fold makes a few of those
    assert len({span.span_id for span in spans}) == len({span.trace_id for span in spans}) == len(spans)


STRICT = """
import numpy as np
import mlobs
from mlobs.api import runtime
huge = np.full((50, 2), np.finfo(np.longdouble).max)  # longer than float64, where the machine has such a type
tiny = {"a": np.array([5e-324, 1e-323, 0.0] * 20), "b": np.arange(60.0)}
with np.errstate(all="MODE"):
    reference = mlobs.Profile.build(tiny)
    told = mlobs.observe(model="told", reference=reference)(lambda rows: np.zeros(len(rows)))
    untold = mlobs.observe(model="untold")(lambda rows: rows)
    for rows in (huge, -huge, huge / 2, np.stack([*tiny.values()], axis=1)):
        told(rows), untold(rows)
    mlobs.drift()
    print(dict(runtime.guard.errors), dict(runtime.guard.dropped))
"""


@pytest.mark.parametrize(("option", "mode"), [("error", "warn"), ("always", "warn"), ("always", "raise")])
def test_what_a_program_makes_of_numpys_warnings_is_for_its_own(sink: Sink, option: str, mode: str) -> None:
    """As errors, or as exceptions of numpy's own: no row is lost, no profile fails, and no warning about mlobs is printed."""
    assert run(STRICT.replace("MODE", mode), sink, "-W", option) == "{} {}\n"
    assert counts(sink) == {"told": 4, "untold": 4}


def test_greenlets_have_a_context_each(sink: Sink) -> None:
    """gevent, patched first: greenlets that take turns inside calls count exactly, and exports go on between them."""
    script = """
    gevent.joinall([gevent.spawn(work, i) for i in range(50)], raise_error=True)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    run(GREEN + textwrap.dedent(script), sink, OTEL_METRIC_EXPORT_INTERVAL="50")
    assert counts(sink) == {"outer": 600, "inner": 600}
    assert len(sink.metrics) > 1


def test_nobody_waits_for_mlobs_under_gevent(sink: Sink) -> None:
    """Between two folds and two exports the hub is free, whether mlobs was imported before or after the patch."""
    script = """
    predict = mlobs.observe(model="m")(lambda x: x)
    predict(1.0)
    ticks = []
    def tick():
        for _ in range(100):
            gevent.sleep(0.01)
            ticks.append(time.monotonic())
    began = time.monotonic()
    gevent.spawn(tick).join()
    # a hub that waits for a fold or an export would not tick for its whole interval
    assert time.monotonic() - began < 12, time.monotonic() - began
    """
    patch = "from gevent import monkey; monkey.patch_all()\nimport gevent, time\n"
    for first in (patch + "import mlobs\n", "import mlobs\n" + patch):
        run(first + textwrap.dedent(script), sink, "-W", "ignore", OTEL_METRIC_EXPORT_INTERVAL="20000")
    assert counts(sink) == {"m": 2}


APP = """
import numpy as np
import mlobs

@mlobs.observe(model="m")
def predict(x):
    return 0.5

def app(environ, start_response):
    predict(np.ones((1, 3)))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["plain", "preload"])
def test_gunicorn_with_gevent_workers(sink: Sink, tmp_path: Path, options: list[str]) -> None:
    """Two gevent workers: every request that was answered is counted, also where the app was loaded before the patch."""
    (tmp_path / "app.py").write_text(APP)
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "2", "-b", "127.0.0.1:0", *options, "app:app"]
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_METRIC_EXPORT_INTERVAL": "20000"}
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert server.stderr is not None
    rest = threading.Thread(target=server.stderr.read, daemon=True)
    try:
        port = 0
        for line in server.stderr:
            found = re.search(r"Listening at: http://127.0.0.1:(\d+)", line)
            if found:
                port = int(found[1])
                break
        rest.start()

        def ask(_: int) -> int:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("GET", "/")
                return int(connection.getresponse().status)

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(200))) == {200}
        server.send_signal(signal.SIGTERM)
        assert server.wait(40) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # its workers too
        server.wait()
        rest.join(10)
        server.stderr.close()
    assert sink.wait(lambda s: s.calls() == 200, timeout=10), sink.calls()


def test_an_interpreter_within_the_interpreter_leaves_ours_alone(sink: Sink) -> None:
    """There numpy cannot be loaded, so neither can mlobs; the main interpreter counts on as if nothing had been tried."""
    script = """
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    import mlobs, json
    predict = mlobs.observe(model="m")(lambda x: x)
    for _ in range(10):
        predict([1.0])
    other = interpreters.create()
    failed = False
    try:
        failed = interpreters.run_string(other, "import mlobs") is not None
    except BaseException as error:
        failed = True
    interpreters.destroy(other)
    for _ in range(10):
        predict([1.0])
    assert mlobs.flush(timeout=20)
    print(failed)
    """
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert counts(sink) == {"m": 20}
    if sys.version_info >= (3, 12):
        assert done.stdout == "True\n"


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded Python")
def test_threads_without_the_lock_lose_nothing(sink: Sink) -> None:
    """Sixteen threads at once: every call is counted."""
    script = """
    import threading, mlobs
    predict = mlobs.observe(model="m")(lambda x: x)
    threads = [threading.Thread(target=lambda: [predict([1.0]) for _ in range(2000)]) for _ in range(16)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    run(script, sink)
    assert counts(sink) == {"m": 32_000}
