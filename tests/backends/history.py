"""Days of a small fleet, told to a Prometheus as mlobs would have told them: every instrument of the contract, by OTLP.

Two processes serve `credit`, a classifier whose version 2 came this morning and whose `income` has just drifted, and `eta`, a
regression. Figures are plain functions of time; `backfill` brings them to a Prometheus.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlobs.core.settings import DURATION_BOUNDS, ROWS_BOUNDS
from mlobs.otel import machine, names
from mlobs.otel.instrument import Instrument
from mlobs.sketch import scores

Floats = NDArray[np.float64]

DAYS: Final = 3
STEP: Final = 120  # seconds between two exports
DAY: Final = 86400
SPAN_CALLS: Final = Instrument("traces.span.metrics.calls", "counter", "", "As the Collector's span_metrics counts.")
SPAN_DURATION: Final = Instrument("traces.span.metrics.duration", "histogram", "s", "As the Collector's span_metrics.")

_BINS: Final = ("00", "01", "02", "03", "missing")
_SHARES: Final = np.array([0.3, 0.3, 0.2, 0.19, 0.01])
_DRIFTED: Final = np.array([0.05, 0.15, 0.3, 0.45, 0.05])
_CLASSES: Final = ("0", "1")
_OF_SCORES: Final = {
    names.PREDICTION_SCORE, names.OUTCOME_CONFUSION, names.OUTCOME_SCORE, names.QUALITY_EXPECTED, names.QUALITY_REALIZED,
    names.QUALITY_GAP, names.QUALITY_CALIBRATION, names.QUALITY_THRESHOLD,
}  # fmt: skip
_OF_NUMBERS: Final = {
    names.OUTCOME_ERROR, names.OUTCOME_ERROR_ABSOLUTE, names.OUTCOME_ERROR_SQUARED, names.FEATURE_VALUE,
}  # fmt: skip
_VALUES: Final[dict[str, tuple[str, ...]]] = {
    names.MODEL_OPERATION: ("predict",),
    names.WINDOW: ("1h",),
    names.PROFILE_ID: ("5f1d",),
    names.KPI: ("prediction", "conversion"),
    names.CURRENCY: ("EUR",),
    names.STAGE: ("queue", "preprocess", "inference"),
    names.TOKEN_TYPE: ("input", "output"),
    names.GENERATION_OPERATION: ("text_completion",),
    names.HARDWARE: ("cpu", "gpu"),
    names.CANARY_ID: ("c-1",),
    names.MEASURE: ("accuracy", "f1", "auc"),
    machine.CPU_MODE: ("user", "system"),
    machine.DISK_DIRECTION: ("read", "write"),
    machine.SWITCH_TYPE: ("voluntary", "involuntary"),
    machine.FAULT_TYPE: ("major", "minor"),
    machine.GC_GENERATION: ("0", "1", "2"),
    machine.RESOURCE: ("cpu", "memory", "io"),
    machine.HW_ID: ("GPU-1",),
    machine.HW_NAME: ("H100",),
    machine.HW_VENDOR: ("NVIDIA",),
    machine.HW_TYPE: ("gpu",),
    machine.GPU_TASK: ("general",),
}
_OWN: Final[dict[Instrument, dict[str, tuple[str, ...]]]] = {
    names.FEATURE_VIOLATIONS: {names.KIND: ("missing", "range"), names.FEATURE: ("income",)},
    names.SCHEMA_VIOLATIONS: {names.KIND: ("dtype",)},
    names.OUTCOME_UNJOINED: {names.REASON: ("unknown", "duplicate")},
    names.OUTCOME_ERROR_ABSOLUTE: {names.DIRECTION: ("over", "under")},
    names.BUSINESS_VALUE: {names.DIRECTION: ("gain", "loss")},
    names.SDK_DROPPED: {names.REASON: ("ring_full",)},
    names.SDK_ERRORS: {names.REASON: ("fold",)},
    machine.GPU_ERRORS: {names.ERROR_TYPE: ("corrected", "uncorrected")},
    machine.GPU_THROTTLED: {names.REASON: ("sw_power_cap",)},
}
_BOUNDS: Final[dict[Instrument, tuple[float, ...]]] = {
    names.PREDICTION_BATCH_SIZE: ROWS_BOUNDS,
    names.OUTCOME_DELAY: (60.0, 600.0, 3600.0, 10800.0, 43200.0),
    names.TOKEN_USAGE: (1.0, 4.0, 16.0, 64.0, 256.0),
}
_LEVELS: Final = {  # of gauges
    machine.PROCESS_CPU_UTILIZATION: 0.3,
    machine.PROCESS_MEMORY_USAGE: 6e8,
    machine.PROCESS_UPTIME: 3e5,
    machine.CAPACITY_CPU_LIMIT: 2.0,
    machine.CAPACITY_MEMORY_LIMIT: 2e9,
    machine.CONTAINER_MEMORY_WORKING_SET: 9e8,
    machine.GPU_UTILIZATION: 0.6,
    machine.GPU_MEMORY_UTILIZATION: 0.5,
    machine.GPU_TEMPERATURE: 61.0,
    machine.GPU_POWER: 320.0,
    names.SDK_SERIES: 412.0,
    names.DRIFT_PSI: 0.3,
    names.DRIFT_PSI_NOISE: 0.01,
    names.QUALITY_THRESHOLD: 0.5,
}
_RATES: Final = {  # of counters, a second
    names.PREDICTION_CPU_TIME: 0.08,
    names.PREDICTION_POOL_TIME: 0.02,
    names.OUTCOME_ERROR_SQUARED: 30.0,
    names.BUSINESS_VALUE: 0.4,
    names.PREDICTION_COST: 1e-5,
    names.SDK_FOLD_DURATION: 0.002,
    names.SDK_EXPORT_DURATION: 0.004,
    names.SDK_ERRORS: 1e-4,
    machine.CAPACITY_CPU_PERIODS: 10.0,
    machine.CAPACITY_CPU_THROTTLED_PERIODS: 0.8,
    machine.CAPACITY_MEMORY_KILLS: 2e-5,
    machine.CAPACITY_STALLED_TIME: 0.05,
}


class Release(NamedTuple):
    """A version that serves; ``begun`` is how long ago its first call came."""

    model: str
    version: str
    variant: str
    begun: float
    classifies: bool
    calls: float  # a second and process
    failing: float


FLEET: Final = (
    Release("credit", "1", names.CHAMPION, DAYS * DAY, classifies=True, calls=4.0, failing=0.0004),
    Release("credit", "2", "challenger", 5 * 3600, classifies=True, calls=1.0, failing=0.03),
    Release("eta", "2026.1", names.CHAMPION, DAYS * DAY, classifies=False, calls=2.0, failing=0.0001),
)
PROCESSES: Final = ("pod-1", "pod-2")
JOB: Final = "scoring"


class Series(NamedTuple):
    """What one process tells under one set of attributes, at each of its exports: numbers, or counts of buckets."""

    instrument: Instrument
    attributes: Mapping[str, str]
    values: Floats


def times(now: float) -> Floats:
    """When exports were."""
    end = math.floor(now / STEP) * STEP
    return np.arange(end - DAYS * DAY, end + 1, STEP, dtype=np.float64)


def told(process: int, at: Floats) -> Iterator[Series]:
    """All that one process tells."""
    for release in FLEET:
        yield from _of_release(release, at)
    for instrument in (*names.INSTRUMENTS, *machine.INSTRUMENTS):
        if names.MODEL_NAME not in instrument.attributes:
            for attributes in _attributes(instrument, {}):
                yield Series(instrument, attributes, _plain(instrument, at, process))
    server = {"span.name": "POST /predict", "status.code": "STATUS_CODE_UNSET"}
    yield Series(SPAN_CALLS, server, _grown(at, 7.0))
    yield Series(SPAN_DURATION, server, _buckets(at, 7.0, DURATION_BOUNDS, 0.03))


def _of_release(release: Release, at: Floats) -> Iterator[Series]:
    own = {
        names.MODEL_NAME: release.model,
        names.MODEL_VERSION: release.version,
        names.MODEL_VARIANT: release.variant,
    }
    on = at >= at[-1] - release.begun
    calls = release.calls * on
    for instrument in names.INSTRUMENTS:
        if names.MODEL_NAME not in instrument.attributes:
            continue
        if instrument in (_OF_NUMBERS if release.classifies else _OF_SCORES):
            continue
        if (
            instrument in (names.FEATURE_VIOLATIONS, names.SCHEMA_VIOLATIONS)
            or names.FEATURE not in instrument.attributes
        ):
            yield from _of_calls(release, instrument, own, at, calls)
        elif release.classifies:
            yield from _of_features(instrument, own, at, on)
        elif instrument is names.FEATURE_VALUE:
            for feature in ("distance", "hour"):
                attributes = {**own, names.ROLE: names.ROLE_INPUT, names.FEATURE: feature}
                yield Series(instrument, attributes, _buckets(at, calls, tuple(range(1, 9)), 4.0))
    for status, share in (("STATUS_CODE_UNSET", 1 - release.failing), ("STATUS_CODE_ERROR", release.failing)):
        attributes = {**own, "span.name": f"predict {release.model}", "status.code": status}
        yield Series(SPAN_CALLS, attributes, _seen(_grown(at, calls * share), on))


def _of_calls(
    release: Release, instrument: Instrument, own: dict[str, str], at: Floats, calls: Floats
) -> Iterator[Series]:
    """What follows from calls: durations, rows, scores, truths, money."""
    on = calls > 0
    base = {**own, names.MODEL_OPERATION: "predict"} if names.MODEL_OPERATION in instrument.attributes else own
    if instrument is names.PREDICTION_DURATION:
        mean = 0.02 if release.version != "2" else 0.12
        yield Series(instrument, base, _seen(_buckets(at, calls * (1 - release.failing), DURATION_BOUNDS, mean), on))
        failed = {**base, names.ERROR_TYPE: "ValueError"}
        yield Series(instrument, failed, _seen(_buckets(at, calls * release.failing, DURATION_BOUNDS, mean), on))
    elif instrument is names.PREDICTION_BATCH_SIZE:
        yield Series(instrument, base, _seen(_buckets(at, calls, ROWS_BOUNDS, 3.0), on))
    elif instrument.kind in ("histogram", "exponential"):
        ends = bounds(instrument) if instrument.kind == "histogram" else tuple(range(1, 9))
        for attributes in _attributes(instrument, base):
            yield Series(instrument, attributes, _seen(_buckets(at, calls / 2, ends, float(ends[2])), on))
    elif names.BIN in instrument.attributes:
        yield from _of_scores(instrument, base, at, calls)
    elif instrument is names.OUTCOME_CONFUSION:
        for predicted, actual in itertools.product(_CLASSES, _CLASSES):
            share = 0.4 if predicted == actual else 0.1
            attributes = {**base, names.PREDICTED: predicted, names.ACTUAL: actual}
            yield Series(instrument, attributes, _seen(_grown(at, calls * share / 2), on))
    else:
        for attributes in _attributes(instrument, base):
            fast = calls * (1.0 if instrument is names.PREDICTION_ROWS else 0.5)
            counted = instrument.unit.startswith("{") and instrument.kind == "counter" and instrument not in _RATES
            money = 0.5 if attributes.get(names.DIRECTION) == "loss" else 1.0
            values = _grown(at, fast) if counted else _plain(instrument, at, 0, on * money)
            yield Series(instrument, attributes, _seen(values, on))


def _of_scores(instrument: Instrument, base: dict[str, str], at: Floats, calls: Floats) -> Iterator[Series]:
    """Bins of scores that promise a little more than they keep."""
    for key, middle, share in zip(scores.KEYS, scores.MIDDLES, _spread(), strict=True):
        each = {**base, names.BIN: key}
        if instrument is names.OUTCOME_SCORE:
            positive = 0.95 * float(middle)
            for actual, part in zip(_CLASSES, (1 - positive, positive), strict=True):
                values = _grown(at, calls * share * part / 2)
                yield Series(instrument, {**each, names.ACTUAL: actual}, _seen(values, calls > 0))
        else:
            counted = instrument is names.PREDICTION_SCORE
            values = _grown(at, calls * share) if counted else np.full(len(at), float(middle))
            yield Series(instrument, each, _seen(values, calls > 0))


def _of_features(instrument: Instrument, own: dict[str, str], at: Floats, on: NDArray[np.bool_]) -> Iterator[Series]:
    """Bins of two inputs and one output; the last two hours of one input are drifted."""
    drifting = (at > at[-1] - 2 * 3600)[:, None]
    for role, feature in ((names.ROLE_INPUT, "age"), (names.ROLE_INPUT, "income"), (names.ROLE_OUTPUT, "score")):
        base = {**own, names.ROLE: role, names.FEATURE: feature}
        if names.BIN not in instrument.attributes:
            level = 20_000.0 if instrument is names.FEATURE_REFERENCE_SAMPLES else _LEVELS.get(instrument, 1.0)
            window = {names.WINDOW: "1h"} if names.WINDOW in instrument.attributes else {}
            yield Series(instrument, base | window, _seen(np.full(len(at), level), on))
            continue
        shares = np.where(drifting, _DRIFTED, _SHARES) if feature == "income" else np.tile(_SHARES, (len(at), 1))
        for index, key in enumerate(_BINS):
            label = {names.LABEL: f"≤ {index}"} if names.LABEL in instrument.attributes else {}
            values = np.full(len(at), _SHARES[index] if instrument is names.FEATURE_REFERENCE_RATIO else 1.0)
            if instrument is names.FEATURE_OBSERVATIONS:
                values = _grown(at, 2.0 * shares[:, index] * on)
            yield Series(instrument, {**base, names.BIN: key} | label, _seen(values, on))


def _attributes(instrument: Instrument, base: dict[str, str]) -> Iterator[dict[str, str]]:
    known = _VALUES | _OWN.get(instrument, {})
    open_ = [key for key in instrument.attributes if key not in base and key in known]
    for values in itertools.product(*(known[key] for key in open_)):
        yield {**base, **dict(zip(open_, values, strict=True))}


def _plain(instrument: Instrument, at: Floats, process: int, weight: NDArray[Any] | float = 1.0) -> Floats:
    if instrument.kind == "counter":
        return _grown(at, np.asarray(weight) * _RATES.get(instrument, 0.05))
    if instrument is machine.CAPACITY_MEMORY_HEADROOM:
        return np.asarray(1.2e9 - 2e3 * (at - at[0]) * (process + 1))  # a leak
    return np.full(len(at), _LEVELS.get(instrument, 1.0))


def _grown(at: Floats, rate: Floats | float) -> Floats:
    """A counter from its rate, which is higher by day."""
    daily = 1 + 0.3 * np.sin(at * 2 * math.pi / DAY)
    return np.asarray(np.cumsum(np.asarray(rate) * daily * STEP))


def _buckets(at: Floats, rate: Floats | float, bounds: tuple[float, ...], mean: float) -> Floats:
    """Cumulative counts of the buckets of exponentially distributed values."""
    below = np.array([0.0, *(1 - math.exp(-bound / mean) for bound in bounds), 1.0])
    return np.floor(np.diff(below) * _grown(at, rate)[:, None])


def _spread() -> Floats:
    """Shares of score bins, with both ends well filled."""
    weights = 0.2 + (scores.MIDDLES - 0.5) ** 2
    return np.asarray(weights / weights.sum())


def _seen(values: Floats, on: NDArray[np.bool_]) -> Floats:
    """Nothing before the first call."""
    return np.where(on if values.ndim == 1 else on[:, None], values, np.nan)


def bounds(instrument: Instrument) -> tuple[float, ...]:
    """Where the buckets of a histogram end."""
    return _BOUNDS.get(instrument, DURATION_BOUNDS)
