"""The verb of a prediction's parts: preprocessing, inference, postprocessing."""

from __future__ import annotations

import functools
import inspect
import time
from contextvars import ContextVar, Token
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from mlobs.api import runtime
from mlobs.core.inside import INSIDE
from mlobs.core.monitor import Monitor
from mlobs.core.streams import driving
from mlobs.errors import ConfigurationError
from mlobs.otel.points import sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from mlobs.core.model import Model

F = TypeVar("F", bound="Callable[..., Any]")

# its value says nothing; whether one of its tokens can be given back says whether this is the context it was taken in
_HERE: Final[ContextVar[None]] = ContextVar("mlobs_stage", default=None)


class _Begun:
    """A block that has been entered."""

    __slots__ = ("at", "end", "here", "monitor")

    def __init__(self, monitor: Monitor | None, end: Callable[..., None] | None, *, counts: bool = True) -> None:
        self.monitor = monitor
        self.end = end
        self.here: Token[None] = _HERE.set(None)
        self.at = time.perf_counter_ns() if counts else -1


class stage:  # noqa: N801 - a verb: with mlobs.stage("preprocess"): …
    """Time a part of a prediction: ``with mlobs.stage("preprocess"):``, or ``@mlobs.stage("preprocess")`` on a function.

    Inside an observed call it is a part of that call's model; elsewhere, in a request's handler say, of the model that
    ``model`` names (and ``version``, where it has several in this process), else of none. Where a trace is being recorded it
    has a span of its own. It never raises; a ``model`` that nothing observes yet is taken for none.

    A coroutine function takes until it is done. So does a generator, from its first item to its end, its consumer's
    time between two items included; its span is nobody's parent. Decorating what is no function, or without a name,
    raises ConfigurationError.

    name
        what the part is called: queue, preprocess, inference, postprocess, or a name of your own. At most 50 a model.
    """

    def __init__(self, name: str, *, model: str | None = None, version: str | None = None) -> None:
        # `@mlobs.stage` on a function, whose calls would be taken for decorating
        if issubclass(type(name), FunctionType):
            raise ConfigurationError(
                "mlobs.stage is given the name of the part first. Try: @mlobs.stage('preprocess')."
            )
        self._name = _text(name) or ""
        self._model = _text(model)
        self._version = _text(version)
        self._begun: list[_Begun] = []  # of several threads and tasks, if they share this object

    def __reduce__(self) -> tuple[Callable[..., stage], tuple[str]]:
        return functools.partial(stage, model=self._model, version=self._version), (self._name,)

    def __enter__(self) -> stage:
        self._begun.append(self._begin(attach=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for begun in reversed(list(self._begun)):
            if _left(begun):
                self._take(begun)
                self._end(begun, error, here=True)
                return
        while self._begun:  # entered in another context: by a generator that somebody else ends
            begun = self._begun[-1]
            if self._take(begun):
                self._end(begun, error, here=False)
                return

    def __call__(self, function: F) -> F:
        """Decorate: each call is a block of its own."""
        if isinstance(function, (classmethod, staticmethod)):
            return cast("F", type(function)(self(function.__func__)))
        if not callable(function):
            raise ConfigurationError(f"mlobs.stage decorates functions, and this is a {type(function).__name__}.")
        return cast("F", functools.wraps(function)(self._around(function)))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            async def coroutine(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
                with self._again():
                    return await function(*args, **kwargs)

            return coroutine
        if inspect.isgeneratorfunction(function):

            def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401 - passed on
                with _Run(self):
                    return (yield from function(*args, **kwargs))

            return generator
        if inspect.isasyncgenfunction(function):
            return driving(function, functools.partial(_Run, self))

        def plain(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
            with self._again():
                return function(*args, **kwargs)

        return plain

    def _again(self) -> stage:
        return stage(self._name, model=self._model, version=self._version)

    def _take(self, begun: _Begun) -> bool:
        try:
            self._begun.remove(begun)
        except ValueError:  # another thread has just taken it
            return False
        return True

    def _begin(self, *, attach: bool) -> _Begun:
        try:
            within: Any = INSIDE.get()
            settings = runtime.settings
            if not settings.enabled or within is True:
                return _Begun(None, None, counts=False)
            traced = self._name and settings.spans != "never"
            end = runtime.tracing.stage(self._name, attach=attach) if traced else None
        except Exception as error:  # noqa: BLE001 - ours, or the user's sampler's
            runtime.guard.error("stage", error)
            within, end = None, None
        return _Begun(within if type(within) is Monitor else None, end)

    def _end(self, begun: _Begun, error: BaseException | None, *, here: bool) -> None:
        if begun.at < 0:
            return
        took = time.perf_counter_ns() - begun.at
        try:
            if begun.end is not None:
                begun.end(error, here=here)
            if not self._name:
                runtime.guard.drop("stage")
                return
            runtime.start()
            model = self._find() if begun.monitor is None else begun.monitor.model
            (runtime.reports if model is None else model.reports).stage(self._name, took * 1e-9)
        except Exception as ours:  # noqa: BLE001 - ours, or the user's span processor's
            runtime.guard.error("stage", ours)

    def _find(self) -> Model | None:
        if self._model is None:
            return None
        for identity, model in list(runtime.models.items()):
            if identity.name == self._model and self._version in (None, identity.version):
                return model
        return None


class _Run:
    """The block of a generator's run: its consumer runs between two items, and must not find itself inside."""

    __slots__ = ("_begun", "_stage")

    def __init__(self, stage: stage) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        self._begun = self._stage._begin(attach=False)  # noqa: SLF001 - a part of it

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        over = None if isinstance(error, GeneratorExit) else error  # the consumer has enough
        self._stage._end(self._begun, over, here=False)  # noqa: SLF001 - a part of it


def _left(begun: _Begun) -> bool:
    """Whether it was entered in this context; asked once."""
    try:
        _HERE.reset(begun.here)
    except (ValueError, RuntimeError):  # another's, or given back already
        return False
    return True


def _text(value: object) -> str | None:
    """A text as it is, of a subclass without the subclass' methods; None for everything else."""
    return sendable(cast("str", value)) if issubclass(type(value), str) else None
