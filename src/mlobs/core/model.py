"""One model: its identity, its reference, and what was seen of its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mlobs.core import window
from mlobs.core.observations import Observations
from mlobs.core.reports import Reports
from mlobs.core.scores import Scores
from mlobs.core.window import Window
from mlobs.otel import names
from mlobs.otel.points import Attributes, Numbers, Points
from mlobs.sketch import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlobs.columns import Block
    from mlobs.core.guard import Guard
    from mlobs.core.settings import Settings
    from mlobs.profile import Profile
    from mlobs.release.objective import Objective
    from mlobs.sketch import Drift

_VERDICTS: Final = {"insufficient": -1, "stable": 0, "drifting": 1, "drifted": 2}


class Identity(NamedTuple):
    """What tells one model's telemetry from another's."""

    name: str
    version: str = names.UNVERSIONED
    variant: str = names.CHAMPION


class Margins:
    """Takes in a model's answers that say neither a score nor a label: they are told as outputs, and judged by nothing."""

    def __init__(self, model: Model, guard: Guard) -> None:
        self._model = model
        self._guard = guard

    def add(self, block: Block) -> None:
        """Count a block of answers."""
        self._model.outputs.add(block)
        if self._model.scores is not None:
            self._guard.drop("score_unread", block.rows)


class Model:
    """The data side of a model, shared by all its operations.

    Not thread-safe: whoever folds or collects holds the counting lock.
    """

    def __init__(
        self,
        identity: Identity,
        profile: Profile | None,
        *,
        spans: Sequence[float],
        guard: Guard,
        limit: int,
        objective: Objective | None = None,
    ) -> None:
        self.identity = identity
        self.profile = profile
        self._spans = spans
        self._guard = guard
        self.attributes = Attributes(
            (names.MODEL_NAME, identity.name),
            (names.MODEL_VERSION, identity.version),
            (names.MODEL_VARIANT, identity.variant),
        )
        self.inputs = Observations(names.ROLE_INPUT, profile.inputs if profile else (), self.attributes, guard, limit)
        self.outputs = Observations(
            names.ROLE_OUTPUT, profile.outputs if profile else (), self.attributes, guard, limit
        )
        self.reports = Reports(self.attributes, guard)
        self.windows = tuple(Window(span) for span in spans)
        self.scores: Scores | None = None
        self.objective: Objective | None = None
        self.handed = False  # tickets of its calls may be asked for
        self.drifting = False
        self._info = self.attributes.extended((names.PROFILE_ID, profile.id if profile else ""))
        self._window_attributes: dict[tuple[float, str, str], Attributes] = {}
        self.judge(objective)

    def judge(self, objective: Objective | None) -> None:
        """What its predictions are judged by, from now on; scores of a classifier are counted."""
        self.objective = objective
        if objective is None:
            return
        self.handed = True
        if objective.task not in ("binary", "multiclass"):
            self.scores = None
        elif self.scores is None:
            self.scores = Scores(self.attributes, objective, self._spans, self._guard)
        else:
            self.scores.objective = objective

    def add(self, block: Block) -> None:
        """Count a block of answers."""
        self.outputs.add(block)
        if self.scores is not None:
            self.scores.add(block)

    def follow(self, settings: Settings, now: float) -> None:
        """Take new settings. Counts go on; a window that there was not begins now."""
        self._spans = settings.windows
        self.windows = window.kept(self.windows, self._spans)
        if self.scores is not None:
            self.scores.follow(self._spans)
        self.inputs.limit = self.outputs.limit = settings.max_features
        self.roll(now)

    def total(self) -> NDArray[np.int64]:
        """All counts since the start: those of the inputs, then those of the outputs."""
        return np.concatenate([self.inputs.counts, self.outputs.counts])

    def roll(self, now: float) -> None:
        """Let the windows move on; called with every fold, before new rows are counted."""
        if self.profile is not None:
            total = self.total()
            for rotating in self.windows:
                rotating.roll(now, total)
        if self.scores is not None:
            self.scores.roll(now)

    def drift(self, span: float | None = None) -> list[Drift]:
        """The verdict on every feature, over the window of this length or, with None, since the start."""
        total = self.total()
        if span is not None:
            total = next(rotating for rotating in self.windows if rotating.span == span).counts(total)
        features = (*self.inputs.reference, *self.outputs.reference)
        sizes = [feature.partition.size for feature in features]
        counted = np.split(total, np.cumsum(sizes)[:-1]) if sizes else []
        return judge(
            [
                (feature.name, feature.role, feature.partition.ordered, feature.counts, counts)
                for feature, counts in zip(features, counted, strict=True)
            ]
        )

    def collect(self) -> Iterator[Points]:
        """Everything the model has to say about its data."""
        yield Numbers(names.MODEL_INFO, self._info, (1,))
        yield from self.inputs.collect()
        yield from self.outputs.collect()
        yield from self.inputs.collect_violations(self.attributes)
        if self.scores is not None:
            yield from self.scores.collect()
        yield from self.reports.collect()
        if self.profile is not None:
            for rotating in self.windows:
                yield from self._collect_drift(rotating)

    def _collect_drift(self, rotating: Window) -> Iterator[Points]:
        verdicts = self.drift(rotating.span)
        if rotating is self.windows[0]:
            self.drifting = any(_VERDICTS[one.verdict] > 0 for one in verdicts if one.role == names.ROLE_INPUT)
        for one in verdicts:
            key = (rotating.span, one.role, one.name)
            attributes = self._window_attributes.get(key)
            if attributes is None:
                attributes = self._window_attributes[key] = self.attributes.extended(
                    (names.ROLE, one.role), (names.FEATURE, one.name), (names.WINDOW, window.name(rotating.span))
                )
            yield Numbers(names.DRIFT_SIGNIFICANT, attributes, (_VERDICTS[one.verdict],))
            if one.count:
                yield Numbers(names.DRIFT_PSI, attributes, (float(one.psi),))
                yield Numbers(names.DRIFT_PSI_NOISE, attributes, (float(one.psi_noise),))
                if one.ks == one.ks:  # not NaN, as for categories, which have no order
                    yield Numbers(names.DRIFT_KS, attributes, (float(one.ks),))
