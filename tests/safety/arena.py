"""One observed function and everything that is promised of it, checked after every batch of calls."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pandas as pd
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

import mlobs
from mlobs.api import runtime
from mlobs.core.guard import Mute
from mlobs.core.intake import Intake
from mlobs.core.observations import Observations
from mlobs.core.settings import Settings
from mlobs.otel import wire
from mlobs.otel.metricsdata import metrics_data
from mlobs.otel.points import Histogram
from mlobs.otel.scrape import Collector

SPANS: Final = InMemorySpanExporter()
PROVIDER: Final = TracerProvider(shutdown_on_exit=False)
PROVIDER.add_span_processor(SimpleSpanProcessor(SPANS))
QUIET: Final = {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
RESOURCE: Final = Resource({"service.name": "s"})

_RNG: Final = np.random.default_rng(3)
TRAINING: Final = pd.DataFrame({f"f{i}": _RNG.normal(size=400) for i in range(3)}).assign(
    city=_RNG.choice(["Rome", "Oslo"], 400),
    when=pd.date_range("2020-01-01", periods=400),
    text=[str(i) for i in range(400)],
)
REFERENCES: Final[tuple[mlobs.Profile | None, ...]] = (
    None,
    mlobs.Profile.build(TRAINING, outputs=_RNG.random(400)),
    mlobs.Profile.build(TRAINING[["f0", "f1", "f2"]].to_numpy(), outputs=_RNG.choice(["a", "b"], 400)),
    mlobs.Profile.build(TRAINING["city"].tolist()),
)
# what is lost before it is a block of rows; everything else that is dropped has been one
EARLY: Final = ("unreadable", "ragged", "not_tabular", "ring_full")


class Ledger:
    """What the folder was given and what it counted."""

    def __init__(self) -> None:
        self.rows = 0
        self.added = 0


@contextmanager
def ledger() -> Iterator[Ledger]:
    """Watch the rows on their way."""
    made = Ledger()
    take, add = Intake.take, Observations.add

    def watched_take(self: Intake, kept: list[Any], packed: Any = (), *, single: bool = False) -> list[int]:
        rows = take(self, kept, packed, single=single)
        made.rows += 0 if type(self._guard) is Mute else sum(rows)
        return rows

    def watched_add(self: Observations, block: Any) -> None:
        made.added += 0 if type(self._guard) is Mute else block.rows  # what is counted once more, for nobody
        add(self, block)

    Intake.take, Observations.add = watched_take, watched_add  # type: ignore[method-assign]
    try:
        yield made
    finally:
        Intake.take, Observations.add = take, add  # type: ignore[method-assign]


@contextmanager
def arena(*, strict: bool, **settings: Any) -> Iterator[Ledger]:
    """A runtime of its own; our own errors are raised where ``strict``, and none may have been met in either case."""
    SPANS.clear()
    before = runtime.guard.strict
    runtime.guard.strict = strict
    try:
        with (
            ledger() as seen,
            runtime.isolated(
                Settings(tracer_provider=PROVIDER, environ=QUIET, fold_interval=3600.0, **settings),
                itertools.count().__next__,
            ),
        ):
            runtime.started = True  # no threads: an example folds for itself
            yield seen
    finally:
        runtime.guard.strict = before


def check(calls: int, seen: Ledger, *, honest: bool, inner: int = 0) -> None:
    """What holds after ``calls`` outermost calls, whatever they were given."""
    runtime.fold()
    assert dict(runtime.guard.errors) == {}
    collected = runtime.pipeline.collect()
    durations = [points for points in collected.points if isinstance(points, Histogram)]
    counted = [sum(points.counts) for points in durations if points.instrument.name == "mlobs.prediction.duration"]
    assert sum(counted) == calls
    assert sum(monitor.active() for monitor in runtime.monitors.values()) == inner
    dropped: Counter[str] = Counter(runtime.guard.dropped)
    if honest:
        assert seen.rows == seen.added + sum(dropped[reason] for reason in EARLY)
    assert min(dropped.values(), default=0) >= 0
    assert wire.encode(collected, {"service.name": "s"})
    assert dict(runtime.guard.errors) == {}


def check_exports() -> None:
    """Every way out takes what was collected: the SDK's encoder, a scrape, and the encoder of spans."""
    collected = runtime.pipeline.collect()
    assert encode_metrics(metrics_data(collected, RESOURCE)).SerializeToString()
    registry = CollectorRegistry()
    registry.register(Collector(lambda: collected, {}))
    assert generate_latest(registry)
    encode_spans(SPANS.get_finished_spans()).SerializeToString()
