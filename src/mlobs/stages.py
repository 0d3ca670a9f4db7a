"""The verb of a prediction's parts: preprocessing, inference, postprocessing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

from mlobs.api import runtime
from mlobs.core.inside import INSIDE
from mlobs.core.monitor import Monitor

if TYPE_CHECKING:
    from types import TracebackType

    from mlobs.core.model import Model

_Begun = tuple[int, Callable[[BaseException | None], None] | None]


class stage(ContextDecorator):  # noqa: N801 - a verb: with mlobs.stage("preprocess"): …
    """Time a part of a prediction: ``with mlobs.stage("preprocess"):``, or ``@mlobs.stage("preprocess")`` on a function.

    Inside an observed call it is a part of that call's model; elsewhere, in a request's handler say, of the model that
    ``model`` names (and ``version``, where it has several in this process), else of none. Where a trace is being recorded it
    has a span of its own. It never raises; a ``model`` that nothing observes yet is taken for none.

    name
        what the part is called: queue, preprocess, inference, postprocess, or a name of your own. At most 50 a model.
    """

    def __init__(self, name: str, *, model: str | None = None, version: str | None = None) -> None:
        self._name = name
        self._model = model
        self._version = version
        self._begun: list[_Begun] = []

    def _recreate_cm(self) -> stage:
        return stage(self._name, model=self._model, version=self._version)

    def __enter__(self) -> stage:
        end = None
        if not runtime.settings.enabled:
            self._begun.append((-1, None))
            return self
        try:
            end = runtime.tracing.stage(self._name)
        except Exception as error:  # noqa: BLE001 - ours, or the user's sampler's
            runtime.guard.error("stage", error)
        self._begun.append((time.perf_counter_ns(), end))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        began, end = self._begun.pop()
        if began < 0:
            return
        took = time.perf_counter_ns() - began
        try:
            if end is not None:
                end(error)
            self._report(took * 1e-9)
        except Exception as ours:  # noqa: BLE001 - ours, or the user's span processor's
            runtime.guard.error("stage", ours)

    def _report(self, seconds: float) -> None:
        if not isinstance(self._name, str) or not self._name:
            runtime.guard.drop("stage")
            return
        within: Any = INSIDE.get()
        if within is True:  # training, scoring: nothing counts
            return
        runtime.start()
        model = within.model if type(within) is Monitor else self._find()
        (runtime.reports if model is None else model.reports).stage(self._name, seconds)

    def _find(self) -> Model | None:
        if self._model is None:
            return None
        for identity, model in list(runtime.models.items()):
            if identity.name == self._model and self._version in (None, identity.version):
                return model
        return None
