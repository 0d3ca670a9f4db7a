"""Spark: functions that run on executors take mlobs with them; each task's counts are sent once it has ended well."""

from __future__ import annotations

import copy
import functools
import importlib
import sys
import types
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlobs.integration import Integration

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mlobs.integration import Hooks


def _arrive(command: Any, names: Any) -> Any:  # noqa: ANN401 - whatever Spark sends
    """Run where a function arrives, once a task. It is pickled by value: a worker may be without mlobs."""
    from contextlib import suppress
    from importlib import import_module

    with suppress(Exception):  # not installed, or another version: the function works all the same
        import_module("mlobs_spark").arrived(names)
    return command


class _Travelling:
    """What Spark pickles in place of a function; where it is unpickled it is the function itself."""

    def __init__(self, command: object, names: tuple[str, ...]) -> None:
        self._command = command
        self._names = names

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        arrive = types.FunctionType(_arrive.__code__, {"__name__": "__main__"}, "_arrive")
        arrive.__module__ = "__main__"  # so cloudpickle takes it by value
        return arrive, (self._command, self._names)


def _driver(hooks: Hooks) -> None:
    """All functions for executors, of every kind of UDF and of RDDs, are pickled in one place."""
    module = sys.modules["pyspark.core.rdd"]
    prepare = module._prepare_for_python_RDD  # noqa: SLF001 - there is no public door

    @functools.wraps(prepare)
    def prepare_to_travel(sc: Any, command: Any) -> Any:  # noqa: ANN401 - as Spark has it
        return prepare(sc, _Travelling(command, tuple(hooks.on())))

    hooks.replace(module, "_prepare_for_python_RDD", prepare_to_travel)


def _client(hooks: Hooks) -> None:
    """Spark Connect: a client pickles functions itself, and the workers of a server run them."""
    _plans(hooks, sys.modules["pyspark.sql.connect.expressions"].PythonUDF)


def _tables(hooks: Hooks) -> None:
    """And classes whose methods make tables."""
    _plans(hooks, sys.modules["pyspark.sql.connect.plan"].PythonUDTF)


def _plans(hooks: Hooks, udf: type) -> None:
    plan = vars(udf)["to_plan"]

    @functools.wraps(plan)
    def plan_to_travel(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Spark has it
        travelling = copy.copy(self)
        travelling._func = _Travelling(self._func, tuple(hooks.on()))  # noqa: SLF001 - it has no other name
        return plan(travelling, *args, **kwargs)

    hooks.replace(udf, "to_plan", plan_to_travel)


class _Worker:
    """The task that runs in this worker process: a worker runs one at a time."""

    hooks: Hooks | None = None
    task: AbstractContextManager[None] | None = None
    attempt: int | None = None


def _worker(hooks: Hooks) -> None:
    """The end of a task, as a worker says it to the JVM: that it failed, or, as the last thing, what it accumulated."""
    module = sys.modules["pyspark.worker"]
    send, fail = module.send_accumulator_updates, module.handle_worker_exception

    @functools.wraps(send)
    def flush_and_send(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Spark has it
        _end(None)
        return send(*args, **kwargs)

    @functools.wraps(fail)
    def forget_and_fail(error: BaseException, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Spark has it
        _end(error)
        return fail(error, *args, **kwargs)

    hooks.replace(module, "send_accumulator_updates", flush_and_send)
    hooks.replace(module, "handle_worker_exception", forget_and_fail)
    _Worker.hooks = hooks


def arrived(names: tuple[str, ...]) -> None:
    """A function has come to a worker: what is on in the driver is on here, and its task begins. Never raises."""
    with suppress(Exception):
        mlobs = importlib.import_module("mlobs")
        for name in names:
            with suppress(mlobs.MlobsError):  # a framework that is not here, or too old
                mlobs.instrument(name)
        if _Worker.hooks is None:
            return
        context = sys.modules["pyspark.taskcontext"].TaskContext.get()
        if context is None:
            return  # no task: Spark asks a function something beforehand
        attempt = context.taskAttemptId()
        if _Worker.attempt == attempt:
            return  # a task may bring several functions
        _end(None)
        _Worker.hooks.worker()
        _Worker.attempt, _Worker.task = attempt, _Worker.hooks.task()
        _Worker.task.__enter__()


def _end(error: BaseException | None) -> None:
    task, _Worker.task, _Worker.attempt = _Worker.task, None, None
    if task is not None:
        task.__exit__(None if error is None else type(error), error, None)


integration = Integration(
    name="spark",
    distribution="pyspark",
    lowest="4.0",
    modules={
        "pyspark.core.rdd": _driver,
        "pyspark.sql.connect.expressions": _client,
        "pyspark.sql.connect.plan": _tables,
        "pyspark.worker": _worker,
    },
)
