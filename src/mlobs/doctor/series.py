"""Every series that one process tells of itself and of a model, as the telemetry contract has them.

What repeats alike (versions, variants, operations, kinds of errors, features of one shape) stands here once; `Fleet`
says how often it counts. The estimate of what the rules record is made from the same series.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from mlobs.core import window
from mlobs.core.settings import DURATION_BOUNDS, ROWS_BOUNDS
from mlobs.otel import machine, names
from mlobs.otel.scrape import metric_name
from mlobs.release.objective import CLASSES
from mlobs.release.quality import ANOTHER, OTHER
from mlobs.sketch import scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlobs.otel.instrument import Instrument
    from mlobs.profile import Feature, Profile

Part = Literal["serving", "features", "drift", "outcomes", "machine", "mlobs itself"]
Pairs = tuple[tuple[str, str], ...]

REASONS: Final = 40  # for which mlobs leaves something out, or a truth is not joined
PLACES: Final = 32  # inside mlobs where something can fail
DELAYS: Final = 16  # bounds of mlobs.outcome.delay
_KINDS: Final = ("missing_column", "extra_column", "order", "dtype")
_MEASURES: Final = ("accuracy", "f1", "auc")
_VIOLATIONS: Final = {
    "categorical": ("missing", "type", "unseen"),
    "text": ("missing", "type", "range"),
    "datetime": ("missing", "type", "range"),
}
_NUMERIC: Final = ("missing", "type", "range", "infinite")
_VALUES: Final[dict[str, tuple[str, ...]]] = {
    machine.CPU_MODE: ("user", "system"),
    machine.DISK_DIRECTION: ("read", "write"),
    machine.SWITCH_TYPE: ("voluntary", "involuntary"),
    machine.FAULT_TYPE: ("major", "minor"),
    machine.GC_GENERATION: ("0", "1", "2"),
    machine.RESOURCE: ("cpu", "memory", "io"),
    machine.GPU_TASK: ("general", "encoder", "decoder"),
    names.ERROR_TYPE: ("corrected", "uncorrected"),
    names.REASON: tuple(f"reason {index}" for index in range(9)),
}
# what a process has on every Linux; the rest depends on its container
_EVERYWHERE: Final = frozenset(
    {machine.CAPACITY_CPU_LIMIT, machine.CAPACITY_MEMORY_LIMIT, machine.CAPACITY_MEMORY_HEADROOM}
)


class Fleet(NamedTuple):
    """How many of what there are. A process tells of every version and variant.

    ``errors`` are kinds of exceptions that an operation raises, ``task`` is binary, multiclass, regression or empty,
    ``classes`` those of multiclass, ``stages`` names of stages, ``kpis`` names of business events, ``priced`` whether calls have a cost.
    """

    replicas: int = 1
    versions: int = 1
    variants: int = 1
    operations: int = 1
    errors: int = 1
    windows: int = 1
    task: str = ""
    classes: int = 2
    kpis: int = 0
    gpus: int = 0
    stages: int = 0
    priced: bool = False


class Series(NamedTuple):
    """Series of one metric that share a part and labels; ``each`` tells them apart.

    ``name`` is Prometheus'. ``times`` is how many such there are in one process; ``sure`` whether they are there once the
    model has been called with ordinary rows and, where it is judged, a ticket was given; the others may never come.
    """

    part: Part
    name: str
    labels: Pairs
    each: Sequence[Pairs] = ((),)
    times: int = 1
    sure: bool = True

    @property
    def total(self) -> int:
        """How many series these are in one process."""
        return len(self.each) * self.times


class Shape(NamedTuple):
    """What decides how many series a feature has."""

    role: str
    kind: str
    keys: tuple[str, ...]
    ordered: bool

    @classmethod
    def of(cls, feature: Feature) -> Shape:
        """A feature's."""
        kind = feature.kind if feature.kind in _VIOLATIONS else "numeric"
        return cls(feature.role, kind, feature.partition.keys, feature.partition.ordered > 0)


def shapes(profile: Profile) -> Counter[Shape]:
    """How many features there are of each shape."""
    return Counter(map(Shape.of, (*profile.inputs, *profile.outputs)))


def label(key: str) -> str:
    """What Prometheus makes of an attribute's key."""
    return key.replace(".", "_")


MODEL: Final = tuple((label(key), "*") for key in (names.MODEL_NAME, names.MODEL_VERSION, names.MODEL_VARIANT))


def process(counted: Counter[Shape], fleet: Fleet) -> Iterator[Series]:
    """Everything that one process tells."""
    models = fleet.versions * fleet.variants
    for one in itertools.chain(_serving(fleet), _model(fleet), _outcomes(fleet)):
        yield one._replace(times=one.times * models)
    for shape, times in counted.items():
        for one in feature(shape, fleet):
            yield one._replace(times=times * models)
    if models == 1:
        yield _one("serving", names.MODEL_MEMORY_PEAK, MODEL)
    yield from _itself(fleet)
    yield from _machine(fleet)


# ── a model ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _serving(fleet: Fleet) -> Iterator[Series]:
    call = (*MODEL, (label(names.MODEL_OPERATION), "*"))
    failed = (*call, (label(names.ERROR_TYPE), "*"))
    found = [
        *_histogram("serving", names.PREDICTION_DURATION, call, DURATION_BOUNDS),
        *_histogram("serving", names.PREDICTION_BATCH_SIZE, call, ROWS_BOUNDS),
        _one("serving", names.PREDICTION_ROWS, call),
        _one("serving", names.PREDICTION_ACTIVE, call),
        _one("serving", names.PREDICTION_CPU_TIME, call),
        _one("serving", names.PREDICTION_POOL_TIME, call)._replace(sure=False),
    ]
    failures = _histogram("serving", names.PREDICTION_DURATION, failed, DURATION_BOUNDS)
    found += [one._replace(times=fleet.errors, sure=False) for one in failures]
    if fleet.gpus:
        found.append(_one("serving", names.PREDICTION_GPU_TIME, call)._replace(sure=False))
    if fleet.priced:
        for hardware in ("cpu", "gpu") if fleet.gpus else ("cpu",):
            cost = (*call, (names.CURRENCY, "*"), (names.HARDWARE, hardware))
            found.append(_one("serving", names.PREDICTION_COST, cost)._replace(sure=False))
    for one in found:
        yield one._replace(times=one.times * fleet.operations)


def _model(fleet: Fleet) -> Iterator[Series]:
    yield _one("serving", names.MODEL_INFO, (*MODEL, (label(names.PROFILE_ID), "*")))
    stages = (*MODEL, (names.STAGE, "*"))
    for one in _histogram("serving", names.STAGE_DURATION, stages, DURATION_BOUNDS) if fleet.stages else ():
        yield one._replace(times=fleet.stages, sure=False)
    kinds = _each(names.KIND, _KINDS)
    yield Series("features", _name(names.SCHEMA_VIOLATIONS), MODEL, kinds, sure=False)
    if fleet.task in ("binary", "multiclass"):
        bins = _each(names.BIN, scores.KEYS)
        yield Series("outcomes", _name(names.PREDICTION_SCORE), MODEL, bins)
        if fleet.task == "binary":
            yield Series("outcomes", _name(names.QUALITY_CALIBRATION), MODEL, bins)
            yield _one("outcomes", names.QUALITY_THRESHOLD, MODEL)
        yield Series("outcomes", _name(names.QUALITY_EXPECTED), MODEL, _measured(fleet), sure=False)


def feature(shape: Shape, fleet: Fleet) -> Iterator[Series]:
    """What is told of one feature of this shape."""
    data = (*MODEL, (names.ROLE, shape.role), (names.FEATURE, name_of(shape)))
    bins = _each(names.BIN, shape.keys)
    yield Series("features", _name(names.FEATURE_OBSERVATIONS), data, bins)
    yield Series("features", _name(names.FEATURE_REFERENCE_RATIO), data, bins)
    yield _one("features", names.FEATURE_REFERENCE_SAMPLES, data)
    labelled = tuple((*one, (names.LABEL, "*")) for one in bins)
    yield Series("features", _name(names.FEATURE_BIN_INFO), data, labelled)
    if shape.role == names.ROLE_INPUT:
        kinds = _each(names.KIND, _VIOLATIONS.get(shape.kind, _NUMERIC))
        about = (*MODEL, (names.FEATURE, name_of(shape)))
        yield Series("features", _name(names.FEATURE_VIOLATIONS), about, kinds, sure=False)
    distances = [names.DRIFT_SIGNIFICANT, names.DRIFT_PSI, names.DRIFT_PSI_NOISE]
    for instrument in (*distances, names.DRIFT_KS) if shape.ordered else distances:
        yield Series("drift", _name(instrument), data, _windows(fleet))


def name_of(shape: Shape) -> str:
    """Stands for the names of all features of a shape."""
    return f"{shape.role} {shape.kind} {' '.join(shape.keys)}"


def _confused(fleet: Fleet, *, binary: bool) -> Iterator[tuple[str, str]]:
    """Pairs of a predicted and an actual class; beyond those that have names there are one more, and one pair."""
    classes = [str(index) for index in range(2 if binary else min(fleet.classes, CLASSES))]
    more = not binary and fleet.classes > CLASSES
    yield from itertools.product([*classes, OTHER] if more else classes, repeat=2)
    if more:
        yield OTHER, ANOTHER


def _outcomes(fleet: Fleet) -> Iterator[Series]:
    if fleet.task:
        yield _one("outcomes", names.OUTCOME_EXPECTED, MODEL)
        yield _one("outcomes", names.OUTCOME_JOINED, MODEL)
        for one in _histogram("outcomes", names.OUTCOME_DELAY, MODEL, (0.0,) * DELAYS):
            yield one._replace(sure=False)
    if fleet.task in ("binary", "multiclass"):
        binary = fleet.task == "binary"
        pairs = tuple(((names.PREDICTED, one), (names.ACTUAL, other)) for one, other in _confused(fleet, binary=binary))
        yield Series("outcomes", _name(names.OUTCOME_CONFUSION), MODEL, pairs, sure=binary)
        for instrument in (names.QUALITY_REALIZED, names.QUALITY_GAP):
            yield Series("outcomes", _name(instrument), MODEL, _measured(fleet), sure=False)
    if fleet.task == "binary":
        bins = tuple(((names.BIN, key), (names.ACTUAL, actual)) for actual in "01" for key in scores.KEYS)
        yield Series("outcomes", _name(names.OUTCOME_SCORE), MODEL, bins)
    if fleet.task == "regression":
        sides = _each(names.DIRECTION, ("over", "under"))
        yield Series("outcomes", _name(names.OUTCOME_ERROR_ABSOLUTE), MODEL, sides)
        yield _one("outcomes", names.OUTCOME_ERROR_SQUARED, MODEL)
        yield _one("outcomes", names.OUTCOME_ERROR, MODEL)._replace(sure=False)  # one native histogram
    kpis = [f"event {index}" for index in range(fleet.kpis)]
    money = [*kpis, "prediction"] if fleet.task in ("binary", "multiclass") else kpis
    if kpis:
        yield Series("outcomes", _name(names.BUSINESS_EVENTS), MODEL, _each(names.KPI, kpis), sure=False)
    if money:
        each = tuple(
            ((names.KPI, kpi), (names.CURRENCY, "*"), (names.DIRECTION, side))
            for kpi in money
            for side in ("gain", "loss")
        )
        yield Series("outcomes", _name(names.BUSINESS_VALUE), MODEL, each, sure=False)


# ── a process ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _itself(fleet: Fleet) -> Iterator[Series]:
    for instrument in (names.SDK_SERIES, names.SDK_FOLD_DURATION, names.SDK_EXPORT_DURATION):
        yield _one("mlobs itself", instrument, ())
    yield Series("mlobs itself", "target_info", ())
    reasons = _each(names.REASON, [f"reason {index}" for index in range(REASONS)])
    places = _each(names.REASON, [f"place {index}" for index in range(PLACES)])
    yield Series("mlobs itself", _name(names.SDK_DROPPED), (), reasons, sure=False)
    yield Series("mlobs itself", _name(names.SDK_ERRORS), (), places, sure=False)
    if fleet.task:
        yield Series("outcomes", _name(names.OUTCOME_UNJOINED), (), reasons, sure=False)


def _machine(fleet: Fleet) -> Iterator[Series]:
    for instrument in machine.INSTRUMENTS:
        gpu = machine.HW_ID in instrument.attributes
        keys = [key for key in instrument.attributes if key in _VALUES]
        each = tuple(
            tuple(zip(map(label, keys), values, strict=True))
            for values in itertools.product(*(_VALUES[key] for key in keys))
        )
        sure = instrument.name.startswith(("process.", "cpython.")) or instrument in _EVERYWHERE
        if not gpu:
            yield Series("machine", _name(instrument), (), each, sure=sure)
        elif fleet.gpus:
            about = ((label(machine.HW_ID), "*"),)
            yield Series("machine", _name(instrument), about, each, fleet.gpus, sure=False)


# ── small ones ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _name(instrument: Instrument) -> str:
    return metric_name(instrument) + ("_total" if instrument.kind == "counter" else "")


def _one(part: Part, instrument: Instrument, labels: Pairs) -> Series:
    return Series(part, _name(instrument), labels)


def _histogram(part: Part, instrument: Instrument, labels: Pairs, bounds: Sequence[float]) -> Iterator[Series]:
    """The buckets, `+Inf` included, the count and the sum."""
    each = tuple((("le", "+Inf" if bound == math.inf else repr(bound)),) for bound in (*bounds, math.inf))
    if len(set(each)) < len(each):  # bounds that nobody asks for by name
        each = tuple((("le", str(index)),) for index in range(len(each)))
    name = metric_name(instrument)
    yield Series(part, f"{name}_bucket", labels, each)
    yield Series(part, f"{name}_count", labels)
    yield Series(part, f"{name}_sum", labels)


def _each(key: str, values: Sequence[str]) -> tuple[Pairs, ...]:
    return tuple(((label(key), value),) for value in values)


def _windows(fleet: Fleet) -> tuple[Pairs, ...]:
    return _each(names.WINDOW, [window.name(3600.0 * (index + 1)) for index in range(fleet.windows)])


def _measured(fleet: Fleet) -> tuple[Pairs, ...]:
    measures = _MEASURES if fleet.task == "binary" else _MEASURES[:1]
    return tuple((*one, *other) for one in _each(names.MEASURE, measures) for other in _windows(fleet))
