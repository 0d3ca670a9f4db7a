"""The life of a process' observation: what starts late, what is stopped amid calls, and what comes at the very end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_doctor import tls_server
from tests.core.test_processes import PREAMBLE, run
from tests.release.redis_server import Server
from tests.sink import Sink

THREADS = """
def mlobs_threads():
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("mlobs"))
"""


# ── times ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("interval", ["inf", "9223372036854775807", "1e300"])
def test_no_interval_is_too_long(sink: Sink, interval: str) -> None:
    """An interval that is to switch periodic exports off does that, and nothing else."""
    done = run("work(3)\nassert mlobs.flush(timeout=20)\nwork(2)", sink, OTEL_METRIC_EXPORT_INTERVAL=interval)
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 5
    assert len(sink.metrics) == 2


def test_no_setting_and_no_timeout_is_too_long(sink: Sink) -> None:
    """Infinite times are those of a wait without end, and None is the setting's."""
    script = """
    from math import inf
    mlobs.configure(
        export_interval=inf, export_timeout=inf, flush_timeout=1e12, fold_interval=inf, slow=inf, windows=[inf]
    )
    work(3)
    print(mlobs.flush(timeout=inf), mlobs.flush(timeout=None), len(mlobs_threads()))
    print(mlobs.shutdown(timeout=1e12))
    work(2)
    print(mlobs.shutdown(timeout=None))
    work(1)
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True 2\nTrue\nTrue\n", "")
    assert sink.calls() == 6


# ── threads ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_exporter_that_wants_to_exit_does_not_end_the_exports(sink: Sink) -> None:
    """What is no Exception is kept on mlobs' own threads, told and counted; so is what a handler of the log raises."""
    script = """
    import logging
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    class Leaving(OTLPMetricExporter):
        def export(self, *args, **kwargs):
            raise SystemExit if len(raised) < 2 and not raised.append(1) else NotImplementedError

    class Loud(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())
            raise SystemExit

    said, raised = [], []
    logging.getLogger("mlobs").addHandler(Loud())
    exporter = Leaving(endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/metrics")
    mlobs.configure(metric_exporter=exporter)
    work(3)
    print(mlobs.flush(timeout=0.3), mlobs.flush(timeout=0.3), mlobs.flush(timeout=0.3), len(mlobs_threads()))
    del Leaving.export
    print(mlobs.flush(timeout=20), len([line for line in said if "failed in export" in line]))
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "False False False 2\nTrue 1\n"
    assert sink.calls() == 3


def test_a_resource_that_no_encoder_takes_is_sent_all_the_same(sink: Sink) -> None:
    """Half of a surrogate pair is written out, in keys and values, of metrics and spans; a number that is too large is text."""
    script = """
    attributes = {"a": "b\\ud800", "c\\ud800": "d", "build": 2**70, "builds": [1, -(2**70)]}
    mlobs.configure(resource_attributes=attributes, spans="always")
    work(3)
    work(3)
    print(mlobs.flush(timeout=20))
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\n")
    assert sink.calls() == 6
    assert sink.spans
    for request in (sink.metrics[-1].resource_metrics[0], sink.traces[-1].resource_spans[0]):
        told = {pair.key: pair.value for pair in request.resource.attributes}
        assert (told["a"].string_value, told["build"].string_value) == (r"b\ud800", str(2**70))
        assert told[r"c\ud800"].string_value == "d"
        assert [one.string_value for one in told["builds"].array_value.values] == ["1", str(-(2**70))]


def test_the_resource_is_the_given_providers(sink: Sink) -> None:
    """Metrics say the service's name that its spans say."""
    script = """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from mlobs.api import runtime
    mlobs.configure(tracer_provider=TracerProvider(resource=Resource({"service.name": "theirs"})))
    work(1)
    print(mlobs.flush(timeout=20), runtime.pipeline.means.resource.attributes["service.name"])
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True theirs\n")


@pytest.mark.parametrize(
    ("preferred", "environ", "deltas"),
    [("", "", False), ("", "delta", True), ("DELTA", "", True), ("CUMULATIVE", "delta", False)],
)
def test_an_exporter_says_whether_it_takes_deltas(sink: Sink, preferred: str, environ: str, deltas: bool) -> None:
    """As it does to the SDK's readers; the environment speaks for one that does not say."""
    script = f"""
    from opentelemetry.sdk.metrics import Counter, Histogram
    from opentelemetry.sdk.metrics.export import AggregationTemporality, ConsoleMetricExporter, MetricExportResult
    class Own(ConsoleMetricExporter):
        def export(self, data, timeout_millis=0, **kwargs):
            [found] = [each for each in data.resource_metrics[0].scope_metrics[0].metrics if each.name == "mlobs.prediction.duration"]
            print(found.data.aggregation_temporality.name, found.data.data_points[0].count)
            return MetricExportResult.SUCCESS
    said = {preferred!r} and {{kind: AggregationTemporality[{preferred!r}] for kind in (Counter, Histogram)}}
    mlobs.configure(metric_exporter=Own(preferred_temporality=said or None), spans="never")
    for _ in range(2):
        work(2)
        mlobs.flush(timeout=20)
    os._exit(0)
    """
    script = THREADS + "sys.stdout.reconfigure(line_buffering=True)\n" + textwrap.dedent(script)
    done = run(script, sink, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("DELTA 2\nDELTA 2\n" if deltas else "CUMULATIVE 2\nCUMULATIVE 4\n")


@pytest.mark.parametrize("early", [True, False], ids=["before an export", "after one"])
def test_the_resource_is_that_of_a_provider_that_is_set_later(sink: Sink, early: bool) -> None:
    """A call that warms the model up comes before the program has set its provider; counts and identity go on."""
    script = f"""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from mlobs.api import runtime
    work(1)
    before = runtime.pipeline.means.resource.attributes
    {early} or mlobs.flush(timeout=20)
    trace.set_tracer_provider(TracerProvider(resource=Resource({{"service.name": "theirs"}})))
    work(2)
    print(mlobs.flush(timeout=20), mlobs.flush(timeout=20))
    after = runtime.pipeline.means.resource.attributes
    print(before["service.name"] != after["service.name"], before["service.instance.id"] == after["service.instance.id"])
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True True\nTrue True\n")
    assert sink.calls() == 3
    told = [
        next(
            pair.value.string_value
            for pair in request.resource_metrics[0].resource.attributes
            if pair.key == "service.name"
        )
        for request in sink.metrics
    ]
    assert told[0].startswith("theirs" if early else "unknown_service")
    assert set(told[1:]) == {"theirs"}


def test_spans_end_where_tracing_is_not_suppressed(sink: Sink) -> None:
    """The thread that exports traces nothing of its own; the calls that it folds are the program's, and a processor may ask."""
    script = """
    from opentelemetry import context, trace
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    class Asking(SpanProcessor):
        def on_start(self, span, parent_context=None):
            self.ask()
        def on_end(self, span):
            self.ask()
        def ask(self):
            said.append(context.get_value("suppress_instrumentation"))

    said = []
    provider = TracerProvider()
    provider.add_span_processor(Asking())
    trace.set_tracer_provider(provider)
    mlobs.configure(fold_interval=3600)  # so that the export does it
    with trace.get_tracer("request").start_as_current_span("request"):
        work(2)
    try:
        predict(None)
    except ValueError:
        pass
    print(mlobs.flush(timeout=20), len(said), set(said))
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True 8 {None}\n")


@pytest.mark.parametrize("fails", ["return MetricExportResult.FAILURE", "raise RuntimeError('no room.')"])
def test_an_exporter_that_fails_is_told_with_a_cure(sink: Sink, fails: str) -> None:
    """In whole sentences: what it said, where to look, and what becomes of the counts."""
    script = f"""
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExporter, MetricExportResult
    class Full(MetricExporter):
        def export(self, data, timeout_millis=0, **kwargs):
            {fails}
        def force_flush(self, timeout_millis=0):
            return True
        def shutdown(self, timeout_millis=0, **kwargs):
            pass
    mlobs.configure(metric_exporter=Full())
    work(1)
    print(mlobs.flush(timeout=0.2))
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    said = "reported a failure" if "return" in fails else "raised RuntimeError: no room"
    assert f"Full {said}. Look at its own log, and at where it sends to. Counts are kept and sent later." in done.stderr


def test_threads_that_cannot_be_started_are_started_later(sink: Sink) -> None:
    """At a limit of threads calls go on and flush says that nothing was delivered; later calls try again. One line."""
    script = """
    from mlobs.core import runtime
    runtime._PATIENCE = 0.0
    start = threading.Thread.start
    def refuse(thread):
        if thread.name.startswith(refused):
            raise RuntimeError("can't start new thread")
        start(thread)
    threading.Thread.start = refuse
    refused = "mlobs"
    work(3)
    print(mlobs.flush(timeout=20), mlobs_threads())
    refused = "mlobs-folder"
    work(2)
    print(mlobs.flush(timeout=20), mlobs_threads())
    threading.Thread.start = start
    work(1)
    print(mlobs.flush(timeout=20), mlobs_threads())
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "False []",
        "False ['mlobs-export']",
        "True ['mlobs-export', 'mlobs-folder']",
    ]
    assert done.stderr.count("cannot start its threads") == 1
    assert "Traceback" not in done.stderr
    assert sink.calls() == 6


REFUSED = """
start = threading.Thread.start
def refuse(thread):
    if thread.name.startswith("mlobs"):
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = refuse
"""


def test_what_no_thread_could_send_is_sent_at_the_end(sink: Sink) -> None:
    """Where threads can never be started, the end of the process sends everything by itself."""
    done = run(REFUSED + "work(3)", sink)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert sink.calls() == 3


def test_failed_calls_are_bounded_where_no_thread_can_be_started(sink: Sink) -> None:
    """The caller folds them, as it folds those that end well: none is lost, and they do not fill the memory."""
    script = """
    from mlobs.api import runtime
    mlobs.configure(ring_calls=10, spans="never")
    failing = mlobs.observe(model="f")(lambda x: x[0])
    most = 0
    for _ in range(1000):
        try:
            failing(())
        except IndexError:
            pass
        most = max(most, runtime.monitors[next(key for key in runtime.monitors if key[0].name == "f")].ring.waiting)
    print(most)
    """
    done = run(REFUSED + textwrap.dedent(script), sink)
    assert (done.returncode, done.stdout) == (0, "80\n"), done.stderr
    assert sink.calls() == 1000


# ── what sends is not there yet ─────────────────────────────────────────────────────────────────────────────────────


def test_a_certificate_that_comes_later_is_found(tmp_path: Path) -> None:
    """What an exporter needs and is not mounted yet is told once, nothing is delivered until then, and everything after."""
    late = tmp_path / "late.pem"
    script = f"""
    work(3)
    print(mlobs.flush(timeout=2), mlobs.flush(timeout=2))
    os.rename({str(tmp_path / "ca.pem")!r}, {str(late)!r})
    print(mlobs.flush(timeout=20))
    """
    with tls_server(tmp_path) as url:
        done = run(
            script,
            None,
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(late),
            OTEL_TRACES_EXPORTER="none",
        )
    assert (done.returncode, done.stdout) == (0, "False False\nTrue\n")
    assert done.stderr.count("\n") == done.stderr.count("OTEL_EXPORTER_OTLP_CERTIFICATE") == 1


def test_a_certificate_that_never_comes_is_told_once_a_signal(tmp_path: Path) -> None:
    """The end of the process has nothing to add but that it could not deliver."""
    environ: dict[str, Any] = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "none"),
    }
    done = run("work(3)\nprint(mlobs.flush(timeout=2))", None, **environ)
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "mlobs cannot send its metrics",
        "mlobs cannot send its spans",
        "mlobs could not deliver its last export within 2.0 s.",
    ]


SCRAPE = """
from urllib.request import urlopen
def scraped():
    page = urlopen(f"http://127.0.0.1:{os.environ['OTEL_EXPORTER_PROMETHEUS_PORT']}/metrics", timeout=20).read().decode()
    found = [line for line in page.splitlines() if line.startswith("mlobs_prediction_duration_seconds_count")]
    return sum(float(line.split()[-1]) for line in found)
"""


def scraping(port: int) -> dict[str, Any]:
    """The environment of a process that is scraped."""
    return {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
    }


def test_a_port_that_is_taken_is_tried_again() -> None:
    """Where another listens nothing is delivered; when it has gone, the same process is scraped."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        script = """
        work(3)
        print(mlobs.flush(timeout=20), flush=True)
        sys.stdin.readline()
        print(mlobs.flush(timeout=20), scraped())
        """
        with subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + SCRAPE + textwrap.dedent(script)],
            env={**os.environ, **scraping(other.getsockname()[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "False\n"
            other.close()
            out, err = process.communicate("\n", timeout=60)
    assert out == "True 3.0\n"
    assert err.count("\n") == err.count("Address already in use") == 1


def test_scraping_goes_on_after_configure_and_shutdown() -> None:
    """The port is let go of before whoever asked for it goes on, and takes it again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = """
    work(1)
    print(mlobs.flush(timeout=20), scraped())
    for again in range(3):
        mlobs.configure(export_interval=60 + again)
        work(1)
        print(mlobs.flush(timeout=20), scraped())
    mlobs.shutdown(timeout=20)
    work(1)
    print(mlobs.flush(timeout=20), scraped())
    """
    done = run(SCRAPE + textwrap.dedent(script), None, **scraping(port))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[:-1] == [f"True {calls}.0" for calls in range(1, 6)]


def test_an_exporter_that_was_given_is_shut_down_with_the_process_only(sink: Sink) -> None:
    """configure() and shutdown() flush the user's own exporter, which goes on to be used."""
    script = """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    class Own(OTLPMetricExporter):
        def force_flush(self, timeout_millis=10_000):
            print("flush", flush=True)
            return super().force_flush(timeout_millis)
        def shutdown(self, *args, **kwargs):
            print("shutdown", flush=True)
            super().shutdown(*args, **kwargs)

    own = Own(endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/metrics")
    mlobs.configure(metric_exporter=own)
    work(1)
    mlobs.configure(metric_exporter=own, export_interval=5)
    work(2)
    print(mlobs.shutdown(timeout=20))
    work(3)
    print(mlobs.flush(timeout=20))
    """
    done = run(script, sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["flush", "flush", "True", "True", "shutdown"]
    assert sink.calls() == 6


# ── stopped and configured amid calls ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pause", ["", "time.sleep(0.0002)"])
def test_calls_that_end_while_mlobs_is_shut_down_are_sent(sink: Sink, pause: str) -> None:
    """Whether threads are stopped or not when a call ends, it is sent by a later call, or by the end of the process."""
    script = f"""
    sys.setswitchinterval(0.0005)  # three threads that never rest: at the default each step of a shutdown waits 15 ms
    over, done = False, [0, 0, 0]
    def traffic(k):
        while not over:
            work(1)
            done[k] += 1
            {pause}
    for _ in range(6):
        over = False
        threads = [threading.Thread(target=traffic, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        mlobs.shutdown(timeout=20)
        over = True
        for thread in threads:
            thread.join()
    print(sum(done))
    """
    done = run(script, sink)
    assert done.returncode == 0, done.stderr
    assert sink.calls() == int(done.stdout)


def test_configuring_in_several_threads_at_once(sink: Sink) -> None:
    """One after the other: two threads of mlobs remain, and deltas count every call once."""
    script = """
    work(5)
    configuring = [threading.Thread(target=mlobs.configure, kwargs={"export_interval": 0.1}) for _ in range(8)]
    for thread in configuring:
        thread.start()
    work(100)
    for thread in configuring:
        thread.join()
    for _ in range(50):
        work(4)
        time.sleep(0.01)
    print(mlobs_threads())
    """
    done = run(THREADS + textwrap.dedent(script), sink, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
    assert (done.returncode, done.stdout, done.stderr) == (0, "['mlobs-export', 'mlobs-folder']\n", "")
    assert sink.calls(delta=True) == 305


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_no_export_waits_for_a_join_store_that_hangs(sink: Sink, tmp_path: Path) -> None:
    """Neither a flush nor SIGTERM: what was counted is sent, and what waits for the store waits on."""
    server = Server(tmp_path)
    server.start()
    assert server.process is not None
    script = f"""
    from mlobs.api import runtime
    mlobs.configure(join_store={server.url!r}, spans="never")
    work(1)
    mlobs.remember("before")
    runtime.outcomes.settle()
    os.kill({server.process.pid}, signal.SIGSTOP)
    mlobs.remember("after")
    while not runtime.outcomes.joins().fails:
        time.sleep(0.01)
    work(2)
    print(mlobs.flush(timeout=1), flush=True)
    work(4)
    os.kill(os.getpid(), signal.SIGTERM)
    """
    try:
        done = run(script, sink)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
        server.stop()
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "True\n"), done.stderr
    assert sink.calls() == 7


DELTAS = """
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality
deltas = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
own = OTLPMetricExporter(os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/metrics", preferred_temporality=deltas)
"""


@pytest.mark.parametrize("stop", ["mlobs.configure(**settings)", "mlobs.shutdown(timeout=0.1)"])
@pytest.mark.parametrize(
    ("preference", "own"), [("delta", ""), ("", DELTAS)], ids=["the environment's", "an exporter's"]
)
def test_an_export_that_is_under_way_is_not_sent_again(
    sink: Sink, tmp_path: Path, preference: str, own: str, stop: str
) -> None:
    """Deltas are exact also where mlobs is configured or shut down while a slow collector has not answered yet."""
    begun = tmp_path / "begun"

    def slowly(request: BaseHTTPRequestHandler) -> bool:
        if not begun.exists():
            begun.touch()
            time.sleep(2)
        return False

    sink.hook = slowly
    script = f"""
    settings = dict(export_interval=0.1, flush_timeout=0.1, spans="never")
    if "own" in globals():
        settings["metric_exporter"] = own
    mlobs.configure(**settings)
    work(100)
    while not os.path.exists({str(begun)!r}):
        time.sleep(0.01)
    {stop}
    work(50)
    assert mlobs.flush(timeout=20)
    work(10)
    assert mlobs.flush(timeout=20)
    """
    done = run(own + textwrap.dedent(script), sink, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=preference)
    assert done.returncode == 0, done.stderr
    assert sink.wait(lambda sink: sink.requests == sink.arrived)
    assert sink.calls(delta=True) == 160


def test_a_signal_handler_may_configure_and_shut_down_amid_the_same(sink: Sink) -> None:
    """The lock of starting and stopping is the interrupted thread's own, and no threads are left over."""
    script = """
    turns = iter(range(10**9))
    def handle(*_):
        work(1)
        (mlobs.shutdown if next(turns) % 2 else mlobs.configure)()
        work(1)
        signal.setitimer(signal.ITIMER_REAL, 0.007)
    signal.signal(signal.SIGALRM, handle)
    work(10)
    signal.setitimer(signal.ITIMER_REAL, 0.003)
    until = time.monotonic() + 2
    rounds = 0
    while time.monotonic() < until:
        mlobs.configure()
        work(1)
        mlobs.shutdown(timeout=20)
        rounds += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    work(1)
    print(10 + rounds + 2 * next(turns) + 1, mlobs.flush(timeout=20), mlobs_threads())
    """
    done = run(THREADS + textwrap.dedent(script), sink)
    # of two steps amid each other one may find that the other's last export is still under way, which arrives all the same
    said = [line for line in done.stderr.splitlines() if not line.startswith("mlobs could not deliver its last export")]
    assert (done.returncode, said) == (0, [])
    calls, *rest = done.stdout.split(maxsplit=1)
    assert rest == ["True ['mlobs-export', 'mlobs-folder']\n"]
    inner = (
        int(calls) - sink.calls()
    )  # a handler that interrupts the observed function itself calls twice inside that call
    assert 0 <= inner <= 20
    assert inner % 2 == 0


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ENDS = {
    "before the first call": "atexit.register(work, 7)\nwork(3)",
    "after it": "work(3)\natexit.register(work, 7)",
    "nowhere else": "atexit.register(work, 10)",
    "in a finaliser": "class A: pass\na = A()\nweakref.finalize(a, work, 7)\nwork(3)",
}


@pytest.mark.parametrize("end", ENDS)
def test_what_exit_handlers_predict_is_sent(sink: Sink, end: str) -> None:
    """Handlers that were registered since mlobs was imported may predict, whenever the first call was."""
    done = run("import atexit, weakref\n" + ENDS[end], sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 10


def test_the_last_spans_reach_a_provider_of_the_program(sink: Sink) -> None:
    """Its exit handler, after which it takes none, runs after ours."""
    script = """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    with trace.get_tracer("t").start_as_current_span("request"):
        work(1)
    """
    done = run(script, sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(span.name for span in sink.spans) == ["predict m", "request"]


def test_who_presses_ctrl_c_again_need_not_wait(sink: Sink) -> None:
    """SIGINT amid the last export ends it, without a word of ours."""
    sink.delay = 20
    script = """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    mlobs.configure(flush_timeout=20)
    work(3)
    """
    with subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script)],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert sink.wait(lambda seen: seen.arrived > 0)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, err) == ("", "")
    assert time.monotonic() - began < 10
