"""Everything that this process has to say, at one moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlobs.otel import names
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Collected, Histogram, Numbers, Points
from mlobs.resource import peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlobs.core.model import Model
    from mlobs.core.monitor import Monitor
    from mlobs.core.outcomes import Outcomes
    from mlobs.core.reports import Reports
    from mlobs.core.state import State


class Totals:
    """Collects from all models, from what outcomes and resources tell, and from mlobs itself. ``fold`` folds what waits."""

    def __init__(self, state: State, fold: Callable[[], object], outcomes: Outcomes) -> None:
        self._state = state
        self._fold = fold
        self._outcomes = outcomes
        self._series = 0

    def collect(self) -> Collected:
        """Fold what waits, and everything this process has to say."""
        state = self._state
        self._fold()
        points: list[Points] = []
        with state.counting:
            sources: list[Model | Monitor | Reports] = [
                *state.models.values(),
                *state.monitors.values(),
                state.reports,
            ]
            for source in sources:
                try:
                    points.extend(source.collect())
                except Exception as error:  # noqa: BLE001 - ours; the others are sent all the same
                    state.guard.error("collect", error)
        for collect in (self._outcomes.collect, state.resources.collect, self._collect_memory):
            try:
                points.extend(collect())
            except Exception as error:  # noqa: BLE001 - likewise
                state.guard.error("collect", error)
        points.extend(self._collect_self())
        if not state.settings.exemplars:
            points = [one._replace(exemplars=()) if isinstance(one, Histogram) else one for one in points]
        collected = Collected(state.begun, max(state.begun, time.time_ns()), points)  # a clock may be set back
        self._series = collected.series
        return collected

    def _collect_memory(self) -> Iterator[Points]:
        """The process' peak, where it is one model's."""
        served = {
            monitor.model.identity: monitor.model for monitor in list(self._state.monitors.values()) if monitor.ended
        }
        if len(served) == 1:
            peak = peak_memory()
            if peak is not None:
                (model,) = served.values()
                yield Numbers(names.MODEL_MEMORY_PEAK, model.attributes, (peak,))

    def _collect_self(self) -> list[Points]:
        guard = self._state.guard
        found: list[Points] = [
            Numbers(names.SDK_SERIES, NO_ATTRIBUTES, (self._series,)),
            Numbers(names.SDK_FOLD_DURATION, NO_ATTRIBUTES, (self._state.fold_seconds,)),
            Numbers(names.SDK_EXPORT_DURATION, NO_ATTRIBUTES, (self._state.export_seconds,)),
        ]
        for instrument, counts in ((names.SDK_DROPPED, dict(guard.dropped)), (names.SDK_ERRORS, dict(guard.errors))):
            each = [Attributes((names.REASON, reason)) for reason in counts]
            if each:
                found.append(Numbers(instrument, NO_ATTRIBUTES, list(counts.values()), each))
        return found
