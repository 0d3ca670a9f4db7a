"""Dask: workers of a client's cluster observe what the client observes; what they counted is sent before they end."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import types
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlobs.integration import Integration

if TYPE_CHECKING:
    from mlobs.integration import Hooks


class _Worker:
    """What a worker process knows."""

    hooks: Hooks | None = None
    alone = False  # nothing but its tasks runs in this process


def _arrive(names: Any) -> Any:  # noqa: ANN401 - a WorkerPlugin
    """Run where the plugin arrives. It is pickled by value: a worker may be without mlobs."""
    from importlib import import_module

    try:
        return import_module("mlobs_dask").plugin(*names)
    except Exception:  # noqa: BLE001 - not installed, or another version: the worker works all the same
        return import_module("distributed").WorkerPlugin()


def plugin(*names: str) -> Any:  # noqa: ANN401 - a WorkerPlugin, whose module is not imported here
    """What a worker needs: ``client.register_plugin(mlobs_dask.plugin())``, where no integration does it.

    ``names`` are the integrations to turn on there, all by default.
    """
    base: Any = importlib.import_module("distributed").WorkerPlugin

    class Mlobs(base):  # type: ignore[misc] # of a module that carries no types
        """Observe in this worker, and send before it ends."""

        name = "mlobs"
        idempotent = True

        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            arrive = types.FunctionType(_arrive.__code__, {"__name__": "__main__"}, "_arrive")
            arrive.__module__ = "__main__"  # so cloudpickle takes it by value
            return arrive, (names,)

        def setup(self, worker: object) -> None:
            """Turn on the integrations. Never raises."""
            del worker
            with suppress(Exception):
                mlobs = importlib.import_module("mlobs")
                for name in names or (None,):
                    with suppress(mlobs.MlobsError):  # a framework that is not here, or too old
                        mlobs.instrument(*(name,) if name else ())
                # on any other thread it lives in the process of its client, or of other workers
                _Worker.alone = threading.current_thread() is threading.main_thread()
                if _Worker.alone and _Worker.hooks is not None:
                    _Worker.hooks.worker()

        def teardown(self, worker: object) -> None:
            """Send everything."""
            del worker
            with suppress(Exception):
                if _Worker.hooks is not None:
                    _Worker.hooks.flush()

    return Mlobs()


def _client(hooks: Hooks) -> None:
    """A client that has connected brings its workers, those to come too, what is on in its own process."""
    client = sys.modules["distributed.client"].Client
    start = client._start  # noqa: SLF001 - there is no public door for clients of both kinds

    @functools.wraps(start)
    async def start_and_register(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Dask has it
        answer = await start(self, *args, **kwargs)
        with suppress(Exception):  # the client works all the same
            await self._register_worker_plugin(plugin(*hooks.on()), name="mlobs", idempotent=True)
        return answer

    hooks.replace(client, "_start", start_and_register)


def _worker(hooks: Hooks) -> None:
    """A task that will be tried again is counted once, where the worker runs one task at a time."""
    module = sys.modules["distributed.worker"]
    run = module._run_task  # noqa: SLF001 - there is no public door

    @functools.wraps(run)
    def run_task(task: Any, data: Any, state: Any, key: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Dask has it
        if not _again(state, key):
            return run(task, data, state, key, *args, **kwargs)
        block = hooks.task()
        block.__enter__()
        error: BaseException | None = None
        try:
            answer = run(task, data, state, key, *args, **kwargs)
            error = answer.get("actual_exception")
        except BaseException as raised:
            error = raised
            raise
        finally:
            block.__exit__(None if error is None else type(error), error, None)
        return answer

    hooks.replace(module, "_run_task", run_task)
    _Worker.hooks = hooks


def _again(state: Any, key: Any) -> bool:  # noqa: ANN401 - Dask's own
    """Whether a task that fails is run again, as far as this worker is told."""
    with suppress(Exception):
        worker = state["worker"].state
        return bool(_Worker.alone and worker.nthreads == 1 and worker.tasks[key].annotations.get("retries"))
    return False


integration = Integration(
    name="dask",
    distribution="distributed",
    lowest="2025.1",
    modules={"distributed.client": _client, "distributed.worker": _worker},
)
