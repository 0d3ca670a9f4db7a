"""For tests of programs that use mlobs: what would have been sent, held in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlobs.api import runtime
from mlobs.core.settings import Settings
from mlobs.otel.points import Histogram, Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from mlobs.otel.points import Collected, Exponential

__all__ = ["Clock", "Telemetry", "capture"]


class Clock:
    """A clock that only a test moves; seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Telemetry:
    """What the observed functions of a `capture` block have left behind."""

    def __init__(self, exporter: Any, clock: Clock) -> None:  # noqa: ANN401 - the SDK's InMemorySpanExporter, not imported at the top
        self.clock = clock
        self._exporter = exporter

    def collect(self) -> Collected:
        """Everything, as it would be exported now."""
        return runtime.pipeline.collect()

    def numbers(self, name: str, **attributes: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The numbers of a metric by their attributes; only those that have these, given with _ for a dot."""
        found: dict[tuple[tuple[str, str], ...], float] = {}
        for points in self.collect().points:
            if points.instrument.name == name and isinstance(points, Numbers):
                for each, value in zip(points.each, points.values, strict=True):
                    pairs = points.attributes.items() + each.items()
                    if _has(pairs, attributes):
                        found[pairs] = value
        return found

    def total(self, name: str, **attributes: str) -> float:
        """The sum of a metric's numbers that have these attributes; of a histogram the number of its values."""
        histograms = self.histograms(name, **attributes)
        if histograms:
            return sum(sum(one.counts) if isinstance(one, Histogram) else one.observed for one in histograms)
        return sum(self.numbers(name, **attributes).values())

    def histograms(self, name: str, **attributes: str) -> list[Histogram | Exponential]:
        """The histograms of a metric that have these attributes."""
        return [
            points
            for points in self.collect().points
            if points.instrument.name == name
            and not isinstance(points, Numbers)
            and _has(points.attributes.items(), attributes)
        ]

    def names(self) -> set[str]:
        """The names of all metrics that say something."""
        return {points.instrument.name for points in self.collect().points if points.series}

    @property
    def spans(self) -> list[ReadableSpan]:
        """The finished spans, oldest first."""
        runtime.folder.fold()
        return list(self._exporter.get_finished_spans())


def _has(pairs: tuple[tuple[str, str], ...], wanted: dict[str, str]) -> bool:
    have = {key.replace(".", "_"): value for key, value in pairs}
    return all(have.get(key) == value for key, value in wanted.items())


@contextmanager
def capture(**settings: Any) -> Iterator[Telemetry]:  # noqa: ANN401 - the fields of Settings
    """Observe into memory: functions decorated inside the block send nothing, and what they leave can be asked for.

    ``settings`` are the arguments of `mlobs.configure`. Models observed before are set aside until the block ends.
    """
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import DEFAULT_ON

    from mlobs.otel.ids import Ids

    exporter = InMemorySpanExporter()
    if "tracer_provider" not in settings:
        # whatever the environment says: where tests run it may turn telemetry off
        provider = TracerProvider(sampler=DEFAULT_ON, id_generator=Ids(), shutdown_on_exit=False)
        provider._disabled = False  # noqa: SLF001 - there is no argument for it
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        settings["tracer_provider"] = provider
    clock = Clock()
    quiet = {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    with runtime.isolated(Settings(environ=quiet).changed(**settings), clock):
        yield Telemetry(exporter, clock)
