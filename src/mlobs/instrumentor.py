"""The door of `opentelemetry-instrument`: zero code."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # the module is not checked

from mlobs import api

_logger = logging.getLogger("mlobs")


class MlobsInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """`mlobs.instrument()` as OpenTelemetry's agent calls it, before the program's first line.

    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=mlobs leaves it out.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: what is hooked is hooked when it is imported."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - the agent's
        del kwargs
        try:
            api.instrument()
        except Exception:
            _logger.exception("mlobs could not be turned on; the program runs without it")

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - the agent's
        del kwargs
        api.uninstrument()
