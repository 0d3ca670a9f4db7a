"""Counts are the truth over forks, spawned workers and exits."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from tests.sink import Sink

STRICT = ("-W", "error", "-W", "ignore:This process")  # is multi-threaded: since 3.15 that is raised out of `os.fork`
PREAMBLE = """
import os, sys, time, threading, multiprocessing, signal
import numpy as np
import mlobs

@mlobs.observe(model="m", version="1")
def predict(x):
    if x is None:
        raise ValueError("secret")
    return 0.5

def work(n):
    for _ in range(n):
        predict(np.ones((1, 3)))
"""


def run(script: str, sink: Sink | None, timeout: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script with mlobs pointed at the sink."""
    environ = {
        **os.environ,
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url if sink else "http://127.0.0.1:9",
        **environ,
    }
    return subprocess.run(
        [sys.executable, *STRICT, "-c", PREAMBLE + textwrap.dedent(script)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_script_that_ends_at_once_has_sent_everything(sink: Sink) -> None:
    """One call and the end of the program: the call arrives, with a span, and nothing is said."""
    done = run("work(1)", sink)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sink.calls() == 1
    assert [span.name for span in sink.spans] == ["predict m"]


def test_a_program_without_calls_sends_nothing(sink: Sink) -> None:
    """Importing and decorating start no thread and no export."""
    done = run("assert threading.active_count() == 1; print(mlobs.flush(), mlobs.shutdown())", sink)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")
    assert sink.requests == 0


def test_a_trouble_of_ours_is_nothing_to_send(sink: Sink) -> None:
    """A program that calls nothing does not wait for a receiver at its end, whatever failed inside mlobs."""
    done = run("from mlobs.api import runtime; runtime.guard.error('hook', ValueError())", sink)
    assert done.returncode == 0
    assert sink.requests == 0


FORK = """
work(100)
mlobs.flush()
work(7)
pids = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        work(10 + child)
        mlobs.shutdown()
        os._exit(0)
    pids.append(pid)
work(5)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_fork_counts_nothing_twice_and_loses_nothing(sink: Sink) -> None:
    """The parent's counts stay the parent's; each child reports its own, as its own instance."""
    done = run(FORK, sink, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=mine")
    assert (done.returncode, done.stderr) == (0, "")
    by_process = {
        key: metrics["mlobs.prediction.duration"].histogram.data_points[0] for key, metrics in sink.latest().items()
    }
    assert sorted(point.count for point in by_process.values()) == [10, 11, 12, 112]
    assert all(key.startswith("mine-") for key in by_process)
    assert len({point.start_time_unix_nano for point in by_process.values()}) == 4


@pytest.mark.parametrize("given", ["environment", "settings", "provider"])
def test_processes_that_are_given_one_identity_tell_themselves_apart(sink: Sink, given: str) -> None:
    """Workers that share an id, and do not come from one process that has called, have ids of their own; spans say the same."""
    says = {
        "environment": "",
        "settings": 'mlobs.configure(resource_attributes={"service.instance.id": "pod"})',
        "provider": """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider(resource=Resource({"service.instance.id": "pod"})))
""",
    }[given]
    environ: dict[str, Any] = {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod"} if given == "environment" else {}
    for calls in (3, 5):
        done = run(textwrap.dedent(says) + f"\nwork({calls})", sink, **environ)
        assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 8
    assert len(sink.latest()) == 2
    assert all(key.startswith("pod-") for key in sink.latest())
    told = {
        pair.value.string_value
        for request in sink.traces
        for resource in request.resource_spans
        for pair in resource.resource.attributes
        if pair.key == "service.instance.id"
    }
    assert told == (set() if given == "provider" else set(sink.latest()))


def test_an_identity_that_the_sdk_made_for_the_process_stays(sink: Sink) -> None:
    """Where nobody gave an id, metrics have the one of the program's own tracer provider."""
    script = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
work(1)
print(trace.get_tracer_provider().resource.attributes.get("service.instance.id"))
"""
    done = run(script, sink)
    assert (done.returncode, done.stderr) == (0, "")
    [told] = sink.latest()
    assert done.stdout.strip() in (told, "None")  # older SDKs make none


def test_fork_while_other_threads_record(sink: Sink) -> None:
    """A child forked amid traffic has its own locks and counts, and ends cleanly."""
    script = """
    done = []
    def traffic():
        for _ in range(3000):
            predict(np.ones((1, 3)))
        done.append(1)
    threads = [threading.Thread(target=traffic) for _ in range(3)]
    for thread in threads:
        thread.start()
    pids = []
    for child in range(5):
        pid = os.fork()
        if pid == 0:
            work(20)
            mlobs.shutdown()
            os._exit(0)
        pids.append(pid)
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    """
    done = run(script, sink)
    assert done.returncode == 0, done.stderr
    assert sink.calls() == 9000 + 5 * 20
    assert len(sink.latest()) == 6


METHODS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_multiprocessing_workers_flush_at_their_end(sink: Sink, method: str, warm: bool, tmp_path: Any) -> None:
    """Worker processes that simply return have their counts sent, though they skip atexit; also where their import predicts."""
    script = tmp_path / "workers.py"
    script.write_text(
        PREAMBLE
        + textwrap.dedent(f"""
        work({int(warm)})
        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            work(4)
            workers = [context.Process(target=work, args=(100 + i,)) for i in range(2)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
            with context.Pool(2) as pool:
                pool.map(work, [10] * 6)
                pool.close()
                pool.join()
        """)
    )
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    done = subprocess.run(
        [sys.executable, str(script)], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    imports = 1 if method == "fork" else 1 + 2 + 2
    assert sink.calls() == 4 + 201 + 60 + imports * warm


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_pools_that_end_otherwise(sink: Sink, method: str, tmp_path: Any) -> None:
    """A ProcessPoolExecutor, a Pool that is left by its `with` block, and a terminated Process have sent every call."""
    script = tmp_path / "workers.py"
    script.write_text(
        PREAMBLE
        + textwrap.dedent(f"""
        from concurrent.futures import ProcessPoolExecutor

        mlobs.configure(flush_timeout=20)

        def serve(n, done):
            work(n)
            done.send(n)
            while True:  # Python sees a signal that came just before a sleep after it
                time.sleep(0.1)

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                list(executor.map(work, [10] * 6))
            with context.Pool(2) as pool:
                pool.map(work, [20] * 6)  # and terminate() at the end of the block
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(7, there))
            process.start()
            here.recv()
            process.terminate()
            process.join()
            assert process.exitcode == -signal.SIGTERM
        """)
    )
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
    done = subprocess.run(
        [sys.executable, str(script)], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 60 + 120 + 7


def test_a_forked_child_that_ends_like_a_program(sink: Sink) -> None:
    """A child of os.fork that runs to its end, or raises SystemExit, has sent its calls without being asked to."""
    script = """
    work(3)
    for child in range(3):
        if os.fork() == 0:
            work(10 + child)
            sys.exit(child)
    for child in range(3):
        os.wait()
    """
    done = run(script, sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 3 + 10 + 11 + 12
    assert len(sink.latest()) == 4


def test_a_dead_collector_costs_two_seconds_at_the_end_and_one_line() -> None:
    """Nothing listens: the program ends at most two seconds later, and the log says what and the cure."""
    bare = time.monotonic()
    assert run("work(50); mlobs.configure(flush_timeout=0.05)", None).returncode == 0
    bare = time.monotonic() - bare
    began = time.monotonic()
    done = run("work(50)", None)
    assert done.returncode == 0
    assert time.monotonic() - began - bare < 4  # two, and what a busy machine adds; the SDK's own end takes fourteen
    assert done.stderr.count("cannot be reached") == 2  # metrics and spans, once each
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stderr


def test_a_hanging_collector_holds_nobody(sink: Sink) -> None:
    """A receiver that accepts and never answers: calls go on, and the end comes in time."""
    sink.delay = 30
    script = """
    work(10)
    began = time.monotonic()
    mlobs.flush(timeout=0.2)
    assert time.monotonic() - began < 5
    work(1000)
    """
    began = time.monotonic()
    done = run(script, sink)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 20


def test_nothing_is_lost_while_the_collector_is_away(sink: Sink) -> None:
    """503 answers lose no count and no span: what was not taken is sent when the receiver is back."""
    script = """
    work(100)
    assert not mlobs.flush(timeout=0.5)
    work(50)
    assert not mlobs.flush(timeout=0.5)
    print("away", flush=True)
    assert sys.stdin.readline() == "back\\n"
    assert mlobs.flush()
    """
    sink.status = 503
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script)],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "away\n"
    sink.status = 200
    _, stderr = process.communicate("back\n", timeout=60)
    assert process.returncode == 0, stderr
    assert stderr.count("answered 503") == 2
    assert sink.calls() == 150
    assert len(sink.spans) == 2  # of the first call and the hundredth after it


def test_deltas_where_the_environment_asks_for_them(sink: Sink) -> None:
    """Every count is sent once, in one window or the next."""
    script = """
    work(100)
    assert mlobs.flush()
    work(50)
    assert mlobs.flush()
    """
    done = run(script, sink, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
    assert done.returncode == 0, done.stderr
    assert len(sink.metrics) == 3
    assert sink.calls(delta=True) == 150


def test_headers_and_compression(sink: Sink) -> None:
    """OTEL_EXPORTER_OTLP_HEADERS and _COMPRESSION reach the receiver, for metrics and spans."""
    done = run("work(3)", sink, OTEL_EXPORTER_OTLP_HEADERS="api-key=s%20ecret", OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
    assert done.returncode == 0, done.stderr
    assert sink.calls() == 3
    assert len(sink.headers) == 2
    for headers in sink.headers:
        assert headers["Api-Key"] == "s ecret"
        assert headers["Content-Encoding"] == "gzip"


def test_disabled_by_the_environment(sink: Sink, tmp_path: Path) -> None:
    """OTEL_SDK_DISABLED: no thread, no request, no file and no line of the log, whatever is said of tickets, truths and money."""
    said = """
work(3)
key = {"currency": "EUR", "model": "m"}
print(mlobs.ticket(), mlobs.tickets(), mlobs.remember("a"), mlobs.outcome("x", actual=1))
print(mlobs.outcome(prediction_id="a", actual=1), mlobs.business("k", value=1.0, **key), mlobs.gpu_time(1.0), mlobs.quality())
with mlobs.stage("a"):
    print(mlobs.flush(), threading.active_count())
"""
    done = run(said, sink, OTEL_SDK_DISABLED="true", MLOBS_JOIN_STORE=str(tmp_path / "store"))
    told = "None [] False False\nFalse False None {}\nTrue 1\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, told, "")
    assert sink.requests == 0
    assert not (tmp_path / "store").exists()


def test_disabled_before_the_first_call(sink: Sink) -> None:
    """The environment may be filled between decorating and calling, from a file say: it is read at the first call."""
    said = "os.environ['OTEL_SDK_DISABLED'] = 'true'; work(3); print(threading.active_count(), mlobs.flush())"
    done = run(said, sink)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 True\n", "")
    assert sink.requests == 0


def test_switched_off_on_the_way(sink: Sink) -> None:
    """What was counted before `enabled=False` is sent then, and nothing after it, until it is switched on again."""
    said = """
work(3)
mlobs.configure(enabled=False)
print(work(2), threading.active_count(), mlobs.flush())
mlobs.configure()
work(4)
"""
    done = run(said, sink)
    assert (done.returncode, done.stdout) == (0, "None 1 True\n"), done.stderr
    assert sink.calls() == 7


def test_exporters_of_the_environment(sink: Sink) -> None:
    """Console prints, none sends nothing."""
    done = run("work(3)", sink, OTEL_METRICS_EXPORTER="console", OTEL_TRACES_EXPORTER="none")
    assert done.returncode == 0, done.stderr
    assert "mlobs.prediction.duration" in done.stdout
    done = run("work(3)", sink, OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sink.requests == 0


def test_resource_and_service_name(sink: Sink) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are on everything that is sent."""
    done = run("work(3)", sink, OTEL_SERVICE_NAME="shop", OTEL_RESOURCE_ATTRIBUTES="team=ml")
    assert done.returncode == 0, done.stderr
    for resource in (sink.metrics[-1].resource_metrics[0].resource, sink.traces[-1].resource_spans[0].resource):
        about = {pair.key: pair.value.string_value for pair in resource.attributes}
        assert about["service.name"] == "shop"
        assert about["team"] == "ml"
        assert about["service.instance.id"]


def test_one_process_is_one_instance_whatever_is_configured(sink: Sink) -> None:
    """Configuring, shutting down and starting again change neither the identity nor the start of the counts."""
    script = """
    work(10)
    assert mlobs.flush()
    mlobs.configure(service_name="other")
    work(10)
    assert mlobs.shutdown()
    work(10)
    assert mlobs.flush()
    """
    for temporality in ("cumulative", "delta"):
        sink.metrics.clear()
        done = run(script, sink, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality)
        assert (done.returncode, done.stderr) == (0, "")
        assert sink.calls(delta=temporality == "delta") == 30
        assert len(sink.latest()) == 1
    starts = {
        point.start_time_unix_nano
        for request in sink.metrics
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "mlobs.prediction.duration"
        for point in metric.histogram.data_points
    }
    assert len(starts) == len(sink.metrics)  # deltas follow one another


def test_the_environment_counts_when_the_first_call_is_made(sink: Sink) -> None:
    """OTEL_* set by the program after its imports, before its first call, hold."""
    script = f"""
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "{sink.url}"
    work(3)
    """
    done = run(script, None)
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 3


def test_a_callers_own_metrics_exporter_and_a_real_sdk_beside_us(sink: Sink) -> None:
    """Spans of mlobs go to the user's tracer provider and its resource is theirs; nothing global is set by mlobs."""
    script = """
    from opentelemetry import trace, metrics
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    spans = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "theirs"}))
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    with trace.get_tracer("t").start_as_current_span("request"):
        work(1)
    assert mlobs.flush()
    assert sorted(span.name for span in spans.get_finished_spans()) == ["predict m", "request"]
    assert trace.get_tracer_provider() is provider
    assert "Proxy" in type(metrics.get_meter_provider()).__name__
    """
    done = run(script, sink)
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.traces == []
    about = {pair.key: pair.value.string_value for pair in sink.metrics[-1].resource_metrics[0].resource.attributes}
    assert about["service.name"] == "theirs"


def test_calls_made_while_the_interpreter_ends_are_harmless(sink: Sink) -> None:
    """A daemon thread still predicting, and an exit handler that predicts, end the program without a word."""
    script = """
    import atexit
    atexit.register(work, 5)
    work(10)
    assert mlobs.flush(timeout=20)
    threading.Thread(target=work, args=(10**9,), daemon=True).start()
    time.sleep(0.3)
    """
    done = run(script, sink)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert sink.calls() >= 10


def test_a_process_that_only_brings_truths_sends_them(sink: Sink) -> None:
    """Truths and business events are exported by a process that never predicts; its environment is read then."""
    key = "ab" * 32
    done = run(
        f"""
        os.environ["MLOBS_TICKET_KEYS"] = "{key}"
        work(1)
        print(mlobs.ticket())
        mlobs.shutdown()
        """,
        None,
        OTEL_METRICS_EXPORTER="none",
        OTEL_TRACES_EXPORTER="none",
    )
    assert done.returncode == 0, done.stderr
    script = """
        os.environ["MLOBS_TICKET_KEYS"] = os.environ["KEY"]
        assert mlobs.outcome(os.environ["TICKET"], actual=True)
        assert mlobs.business("conversion", value=2.5, currency="EUR", ticket=os.environ["TICKET"])
        """
    brought = run(script, sink, KEY=key, TICKET=done.stdout.strip())
    assert (brought.returncode, brought.stderr) == (0, "")
    names = {metric for found in sink.latest().values() for metric in found}
    assert {"mlobs.outcome.joined", "mlobs.business.value"} <= names
