"""SIGTERM where nobody handles it: the last counts are sent, and the process ends as it would have ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.sink import Sink
from tests.workers.serving import counted, serving

STRICT = ("-W", "error", "-W", "ignore:This process")  # is multi-threaded: since 3.15 that is raised out of `os.fork`
PREAMBLE = """
import faulthandler, logging, multiprocessing, os, signal, sys, threading, time
import numpy as np
import mlobs

mlobs.configure(flush_timeout=20)

@mlobs.observe(model="m", version="1")
def predict(x):
    return 0.5

def work(n):
    for _ in range(n):
        predict(np.ones((1, 3)))

def say(text):
    print(text, flush=True)

def wait():  # as a server waits: in turns, for Python sees a signal that came just before a sleep after it
    while True:
        time.sleep(0.1)
"""


@contextmanager
def program(sink: Sink, script: str, *before: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A running script that has said `ready`."""
    process = subprocess.Popen(
        [*before, sys.executable, *STRICT, "-c", PREAMBLE + textwrap.dedent(script)],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Send it a signal; its exit status and what it said since."""
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def ends_well(sink: Sink, script: str) -> None:
    """It says nothing more, and nobody has to end it."""
    with program(sink, script) as process:
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0


@pytest.mark.parametrize("kind", ["one", "threads"])
def test_a_server_of_its_own_making(sink: Sink, tmp_path: Path, kind: str) -> None:
    """`python serve.py` that is told to stop by SIGTERM has sent every call that was answered, and died of SIGTERM."""
    with serving(sink, tmp_path, "bare.py", "FD", kind) as server:
        server.client.send(200)
        assert server.end() == -signal.SIGTERM
    assert counted(sink) == [200]
    assert server.said == ""


def test_interrupted_from_the_keyboard(sink: Sink, tmp_path: Path) -> None:
    """SIGINT raises KeyboardInterrupt as ever, and the end of the program sends the rest."""
    # what a shell starts behind itself ignores it, and so would what we start
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        server_ends(sink, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def server_ends(sink: Sink, tmp_path: Path) -> None:
    """A server that is interrupted."""
    with serving(sink, tmp_path, "bare.py", "FD", "threads") as server:
        server.client.send(200)
        assert server.end(signal.SIGINT) == -signal.SIGINT
    assert counted(sink) == [200]
    assert server.said.rstrip().endswith("KeyboardInterrupt")


def test_calls_on_threads_only(sink: Sink) -> None:
    """The handler is in place before the first call: a thread that makes it could not set one."""
    script = """
    thread = threading.Thread(target=work, args=(100,))
    thread.start()
    thread.join()
    say("ready")
    wait()
    """
    with program(sink, script) as process:
        assert ended(process) == (-signal.SIGTERM, "", "")
    assert counted(sink) == [100]


OTHERS = {
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "handled": "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))",
    "beneath": "faulthandler.register(signal.SIGTERM, file=open(os.devnull, 'w'), all_threads=False)",
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_handler_is_left_alone(sink: Sink, other: str) -> None:
    """Who handles or ignores SIGTERM before the first observed function is made keeps it, in C too."""
    script = f"""
    {OTHERS[other]}
    before = signal.getsignal(signal.SIGTERM)
    mlobs.observe(model="other")(work)
    work(5)
    assert signal.getsignal(signal.SIGTERM) is before
    say("ready")
    sys.stdin.readline()
    """
    script = "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n" + textwrap.dedent(script)  # the preamble's is ours
    with program(sink, script) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        process.communicate("\n", timeout=60)
        assert process.returncode == (3 if other == "handled" else 0)
    assert counted(sink) == [5]


def test_a_later_handler_wins(sink: Sink) -> None:
    """A handler set after ours replaces it; it may call what it replaced, and goes on after that as before."""
    script = """
    before = signal.getsignal(signal.SIGTERM)
    def handler(number, frame):
        if callable(before):
            before(number, frame)
        say("cleaned up")
        sys.exit(3)
    signal.signal(signal.SIGTERM, handler)
    work(5)
    say("ready")
    wait()
    """
    with program(sink, script) as process:
        assert ended(process) == (3, "cleaned up\n", "")
    assert counted(sink) == [5]


def test_a_handler_that_is_given_back(sink: Sink) -> None:
    """A server that handles SIGTERM, puts the default back and raises it again, as uvicorn does, is followed."""
    script = """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    class Server:
        def stop(self, number, frame):
            self.stopped = True
        def run(self):
            self.stopped = False
            before = signal.signal(signal.SIGTERM, self.stop)
            predict = mlobs.observe(model="late")(lambda x: 0.5)
            predict(np.ones((1, 3)))
            calls = 1
            say("ready")
            while not self.stopped:
                predict(np.ones((1, 3)))
                calls += 1
                time.sleep(0.001)
            say(calls)
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)
    Server().run()
    """
    with program(sink, script) as process:
        status, out, _ = ended(process)
    assert status == -signal.SIGTERM
    assert counted(sink) == [int(out)]


def test_asyncio_has_its_own_way(sink: Sink) -> None:
    """A handler of the event loop gets the signal, and the program ends as it says."""
    script = """
    import asyncio
    async def serve():
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        work(5)
        say("ready")
        await over.wait()
    asyncio.run(serve())
    say("orderly")
    """
    with program(sink, script) as process:
        assert ended(process) == (0, "orderly\n", "")
    assert counted(sink) == [5]


def test_an_event_loop_that_handles_nothing(sink: Sink) -> None:
    """asyncio.run with nobody who listens for SIGTERM."""
    script = """
    import asyncio
    async def serve():
        work(5)
        say("ready")
        while True:
            await asyncio.sleep(0.1)
    asyncio.run(serve())
    """
    with program(sink, script) as process:
        assert ended(process) == (-signal.SIGTERM, "", "")
    assert counted(sink) == [5]


def test_turned_off(sink: Sink) -> None:
    """`flush_on_sigterm=False` gives SIGTERM back, and sets no handler afterwards."""
    script = """
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    mlobs.configure(flush_on_sigterm=False)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    mlobs.observe(model="other")(work)
    work(5)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    say("ready")
    wait()
    """
    with program(sink, script) as process:
        assert ended(process) == (-signal.SIGTERM, "", "")
    assert counted(sink) == []


def test_importing_and_disabling_set_no_handler() -> None:
    """Only an observed function needs one, and none is observed where OTEL_SDK_DISABLED says so."""
    script = "import signal, mlobs; {}; assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL"
    for also, environ in (("", {}), ("mlobs.observe(model='m')(print)(1)", {"OTEL_SDK_DISABLED": "true"})):
        command = [sys.executable, "-c", script.format(also or "0")]
        subprocess.run(command, env={**os.environ, **environ}, check=True)


def test_a_later_sigterm_does_not_wait(sink: Sink) -> None:
    """While a collector hangs, SIGTERM once more ends the process at once; flush_timeout is 20 seconds here."""
    sink.delay = 60
    with program(sink, "work(5); say('ready'); wait()") as process:
        process.send_signal(signal.SIGTERM)
        assert sink.wait(lambda s: s.arrived > 0)  # the flush has begun, and hangs
        time.sleep(2.1)
        assert process.poll() is None
        began = time.monotonic()
        assert ended(process) == (-signal.SIGTERM, "", "")
        assert time.monotonic() - began < 10


def test_a_sigterm_that_is_said_twice_is_one(sink: Sink) -> None:
    """A supervisor's repetition, while the last export is under way, costs no counts."""
    sink.delay = 0.5
    with program(sink, "work(5); say('ready'); wait()") as process:
        process.send_signal(signal.SIGTERM)
        assert sink.wait(lambda s: s.arrived > 0)
        assert process.poll() is None
        assert ended(process) == (-signal.SIGTERM, "", "")
    assert sink.calls() == 5


@pytest.mark.parametrize("kind", ["Process", "Pool"])
def test_a_sigterm_that_python_does_not_see_is_sent_once_more(sink: Sink, kind: str) -> None:
    """A worker that waits for a lock of another process, as a pool's does for its task: the signal came just before that.

    Sent to another thread, it interrupts no wait of the main one either.
    """
    script = f"""
    held = multiprocessing.get_context("fork").Lock()

    def serve(n):
        work(n)
        other = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
        other.daemon = True
        other.start()
        held.acquire()

    held.acquire()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(7,))
    process.name = "Fork{kind}Worker-1"
    process.start()
    process.join(20)
    ended = process.exitcode
    process.kill()
    say("ready")
    assert ended == -signal.SIGTERM, ended
    """
    ends_well(sink, script)
    assert sink.calls() == 7


def test_a_pools_worker_that_has_not_predicted_ends_at_once(sink: Sink) -> None:
    """It has nothing to send, and whoever ends its pool waits for it: the handler comes with its first call."""
    script = """
    def handled(n):
        before = signal.getsignal(signal.SIGTERM)
        work(n)
        return before is signal.SIG_DFL, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    work(1)
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(handled, [0, 2]) == [(True, True), (True, False)]
    say("ready")
    """
    ends_well(sink, script)
    assert sink.calls() == 3


def test_sigterm_waits_while_a_process_forks(sink: Sink) -> None:
    """Python forgets what comes to a child before it knows that it is one; masks are as they were afterwards."""
    script = """
    masks = []

    def look():
        masks.append(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    os.register_at_fork(after_in_child=look, after_in_parent=look)
    for blocked in (False, True):
        signal.pthread_sigmask(signal.SIG_BLOCK if blocked else signal.SIG_UNBLOCK, {signal.SIGTERM})
        child = os.fork()
        look()
        if not child:
            os._exit(masks[-2:] != [blocked] * 2)
        assert not os.waitpid(child, 0)[1]
    assert masks == [False, False, True, True], masks
    assert during == [True, True], during
    say("ready")
    """
    early = """
import os, signal
during = []
os.register_at_fork(before=lambda: during.append(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())))
"""
    command = [sys.executable, *STRICT, "-c", early + PREAMBLE + textwrap.dedent(script)]
    done = subprocess.run(
        command,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")


def test_a_dead_collector_holds_the_end_no_longer_than_flush_timeout(sink: Sink) -> None:
    """The process dies of SIGTERM all the same, and has said why its counts are lost."""
    script = "mlobs.configure(flush_timeout=3, endpoint='http://127.0.0.1:9'); work(5); say('ready'); wait()"
    with program(sink, script) as process:
        status, _, err = ended(process)
    assert status == -signal.SIGTERM
    assert "cannot be reached" in err


@pytest.mark.parametrize("dead", [False, True])
def test_spans_in_a_provider_of_the_programs_own_are_sent(sink: Sink, dead: bool) -> None:
    """The SDK's processor sends every five seconds, and would take the last spans with it; its exporter may hang."""
    script = f"""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    class Hanging(OTLPSpanExporter):
        def export(self, spans):
            time.sleep(60)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor({"Hanging" if dead else "OTLPSpanExporter"}(), schedule_delay_millis=60_000))
    trace.set_tracer_provider(provider)
    mlobs.configure(flush_timeout={2 if dead else 20}, spans="always")
    work(7)
    say("ready")
    wait()
    """
    with program(sink, script) as process:
        began = time.monotonic()
        status, _, err = ended(process)
        assert time.monotonic() - began < 30
    assert status == -signal.SIGTERM
    assert "Traceback" not in err  # an older SDK says that it was too late
    assert sink.calls() == 7
    assert len(sink.spans) == (0 if dead else 7)


PLACES = {
    "flushing": "mlobs.flush(timeout=20)",
    "folding": "mlobs.drift(); sum(range(5000))",
    "predicting": "work(100)",
    "logging": "logging.getLogger('mlobs').warning('x'); sum(range(5000))",
    "observing": "mlobs.observe(model='another')(work)",
    "shutting down": "mlobs.shutdown(); work(1)",
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_the_signal_comes(sink: Sink, place: str) -> None:
    """No lock of ours that the interrupted code may hold keeps the last counts, or the process, from leaving."""
    script = f"""
    logging.getLogger("mlobs").addHandler(logging.FileHandler(os.devnull))
    logging.getLogger("mlobs").propagate = False
    work(1000)
    mlobs.flush(timeout=20)
    mark = mlobs.observe(model="mark")(lambda x: 0.5)
    def other():  # beside the main thread, which may not come to it
        mark(np.ones((1, 3)))
        say("ready")
    threading.Timer(0.02, other).start()
    while True:
        {PLACES[place]}
    """
    for _ in range(3):
        sink.metrics.clear()
        with program(sink, script) as process:
            status, out, err = ended(process)
        assert (status, out, err) == (-signal.SIGTERM, "", "")
        assert "mark" in {
            pair.value.string_value
            for metrics in sink.latest().values()
            for point in metrics["mlobs.prediction.duration"].histogram.data_points
            for pair in point.attributes
        }


def test_forked_children_send_their_own(sink: Sink) -> None:
    """A child that is terminated sends what it counted, dies of SIGTERM, and its parent goes on."""
    script = """
    work(3)
    def child():
        work(10)
        os.write(1, b".")
        wait()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child) for _ in range(2)]
    for one in children:
        one.start()
    ready = os.read(0, 1)
    for one in children:
        one.terminate()
        one.join()
        assert one.exitcode == -signal.SIGTERM
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script)],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.read(1) + process.stdout.read(1) == b".."
        process.communicate(b"\n", timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == 0
    assert counted(sink) == [3, 10, 10]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs util-linux")
def test_the_first_process_of_a_container(sink: Sink) -> None:
    """The kernel does not end process 1 by SIGTERM unless it asks for it; with mlobs it sends, and goes on as before."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("may not make namespaces")
    script = """
    assert os.getpid() == 1
    work(5)
    say("ready")
    for line in sys.stdin:
        work(int(line))
        say("worked")
    """
    with program(sink, script, *unshare) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for more in (4, 2):
            os.kill(int(children), signal.SIGTERM)
            before = sink.calls() if sink.wait(lambda s: s.calls() > 0) else 0
            process.stdin.write(f"{more}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "worked\n"
            os.kill(int(children), signal.SIGTERM)
            assert sink.wait(lambda s, goal=before + more: s.calls() == goal)  # type: ignore[misc]
    assert counted(sink) == [11]
