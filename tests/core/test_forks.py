"""A fork waits for what mlobs' own threads import: a module that is half loaded would stay so in the child, for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.test_processes import run
from tests.sink import Sink

SLOW = """
import importlib.abc, importlib.machinery

begun = threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != {module!r}:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def slowly(module):
            begun.set()
            time.sleep(1)
            load(module)

        spec.loader.exec_module = slowly
        return spec

sys.meta_path.insert(0, Slow())
"""
FORK = """
assert begun.wait(20)
child = os.fork()
if not child:
    import faulthandler
    faulthandler.dump_traceback_later(10)  # where it hangs, if it does
    work(3)
    mlobs.remember(["c"])
    sys.exit()
deadline = time.monotonic() + 20
while not (ended := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < deadline:
    time.sleep(0.02)
if not ended:
    os.kill(child, signal.SIGKILL)
assert ended
"""


@pytest.mark.parametrize(
    ("store", "module"), [("redis://127.0.0.1:9/0", "redis.backoff"), ("", "mlobs.release.sqlite_store")]
)
def test_a_child_forked_while_the_join_store_is_loaded_ends(
    sink: Sink, tmp_path: Path, store: str, module: str
) -> None:
    """It has its own way to the store, and its calls arrive."""
    script = SLOW.format(module=module) + "\nwork(2)\nmlobs.remember(['p'])\n" + FORK
    done = run(script, sink, MLOBS_JOIN_STORE=store or str(tmp_path / "joins.sqlite"), MLOBS_FLUSH_TIMEOUT="20")
    assert done.returncode == 0, done.stderr
    assert sink.calls() == 5


def test_a_child_forked_amid_the_first_export_sends_what_it_counts(sink: Sink) -> None:
    """What an export needs is loaded before it, while forks wait."""
    done = run(
        SLOW.format(module="mlobs.otel.partial")
        + "\nwork(2)\nthreading.Timer(0.3, mlobs.flush).start()\n"
        + FORK.replace("mlobs.remember", "len"),
        sink,
        MLOBS_FLUSH_TIMEOUT="20",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.calls() == 5
