"""What is said of a model's calls beside their time and data: stages, tokens, GPU memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from mlobs.core.ring import drain
from mlobs.core.settings import DURATION_BOUNDS
from mlobs.otel import names
from mlobs.otel.histogram import Histogram
from mlobs.otel.points import Attributes, Numbers, Points, sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlobs.core.guard import Guard
    from mlobs.core.monitor import Monitor
    from mlobs.otel.instrument import Instrument

_STAGES: Final = 50  # of a model; the rest are one
_WAITING: Final = 65536  # reports that have not been folded, of each kind
# as OpenTelemetry's conventions for generative models advise
_TOKENS: Final = tuple(4.0**power for power in range(14))
_FIRST: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_NEXT: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


def _number(value: object) -> float | None:
    """A finite number that is not negative; else None. Never raises."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - an integration's object that is none
        return None
    return found if 0 <= found < math.inf else None


class Reports:
    """Reports of one model, or of none; appended without a lock, folded with the calls."""

    def __init__(self, attributes: Attributes, guard: Guard) -> None:
        self._attributes = attributes
        self._guard = guard
        self._waiting: list[tuple[Instrument, str, float]] = []
        self._histograms: dict[tuple[Instrument, str], tuple[Histogram, Attributes]] = {}
        self._stages: set[str] = set()
        self._memory = 0.0

    def stage(self, name: str, seconds: float) -> None:
        """A stage took so long. Never raises."""
        self._append(names.STAGE_DURATION, name, seconds)

    def tokens(self, kind: str, count: float) -> None:
        """A generation had so many tokens of a kind. Never raises."""
        self._append(names.TOKEN_USAGE, kind, count)

    def first_token(self, seconds: float) -> None:
        """The first token came after so long. Never raises."""
        self._append(names.TIME_TO_FIRST_TOKEN, "", seconds)

    def next_token(self, seconds: float) -> None:
        """Each further token took so long. Never raises."""
        self._append(names.TIME_PER_OUTPUT_TOKEN, "", seconds)

    def gpu_memory(self, size: float) -> None:
        """So many bytes of GPU memory were allocated. Never raises."""
        found = _number(size)
        if found is None:
            self._guard.drop("report")
        else:
            self._memory = max(self._memory, found)

    def _append(self, instrument: Instrument, key: str, value: float) -> None:
        number = _number(value)
        if not issubclass(type(key), str):
            self._guard.drop("stage")
        elif number is None:
            self._guard.drop("report")
        elif len(self._waiting) >= _WAITING:
            self._guard.drop("report_full")
        else:
            self._waiting.append((instrument, key, number))

    # ── mlobs' own thread; the caller holds the counting lock ───────────────────────────────────────────────────────

    def fold(self) -> None:
        """Turn what waits into counts."""
        found: dict[tuple[Instrument, str], list[float]] = {}
        for instrument, key, value in drain(self._waiting):
            found.setdefault((instrument, self._known(instrument, key)), []).append(value)
        for (instrument, key), values in found.items():
            self._histogram(instrument, key)[0].add(values)

    def _known(self, instrument: Instrument, key: str) -> str:
        if instrument is not names.STAGE_DURATION or key in self._stages:
            return key
        if len(self._stages) >= _STAGES:
            return "_OTHER"
        self._stages.add(key)
        return key

    def _histogram(self, instrument: Instrument, key: str) -> tuple[Histogram, Attributes]:
        found = self._histograms.get((instrument, key))
        if found is None:
            bounds, attribute = _SHAPES[instrument]
            more = _GENERATION if attribute != names.STAGE else ()
            pairs = [*more, *([(attribute, sendable(key))] if attribute else [])]
            found = self._histograms[instrument, key] = (Histogram(bounds), self._attributes.extended(*pairs))
        return found

    def collect(self) -> Iterator[Points]:
        """Everything that was said."""
        self.fold()
        for (instrument, _), (histogram, attributes) in list(self._histograms.items()):
            yield histogram.collect(instrument, attributes)
        if self._memory:
            yield Numbers(names.MODEL_GPU_MEMORY_PEAK, self._attributes, (self._memory,))


_GENERATION: Final = ((names.GENERATION_OPERATION, "text_completion"),)
_SHAPES: Final[dict[Instrument, tuple[Sequence[float], str]]] = {
    names.STAGE_DURATION: (DURATION_BOUNDS, names.STAGE),
    names.TOKEN_USAGE: (_TOKENS, names.TOKEN_TYPE),
    names.TIME_TO_FIRST_TOKEN: (_FIRST, ""),
    names.TIME_PER_OUTPUT_TOKEN: (_NEXT, ""),
}


class CallReport:
    """The `mlobs.integration.Report` of an operation's calls."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def __reduce__(self) -> tuple[type[CallReport], tuple[Any, ...]]:
        return CallReport, (self._monitor,)

    def stage(self, name: str, seconds: float) -> None:
        """See `mlobs.integration.Report`."""
        self._monitor.model.reports.stage(name, seconds)

    def gpu(self, finished: Callable[[], float | None]) -> None:
        """See `mlobs.integration.Report`."""
        self._monitor.ring.polled.append(finished)

    def gpu_memory(self, size: float) -> None:
        """See `mlobs.integration.Report`."""
        self._monitor.model.reports.gpu_memory(size)

    def tokens(self, *, read: int | None = None, written: int | None = None) -> None:
        """See `mlobs.integration.Report`."""
        for kind, count in (("input", read), ("output", written)):
            if count is not None:
                self._monitor.model.reports.tokens(kind, count)

    def first_token(self, seconds: float) -> None:
        """See `mlobs.integration.Report`."""
        self._monitor.model.reports.first_token(seconds)

    def next_token(self, seconds: float) -> None:
        """See `mlobs.integration.Report`."""
        self._monitor.model.reports.next_token(seconds)
