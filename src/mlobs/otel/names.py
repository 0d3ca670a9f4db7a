"""The telemetry contract: every metric, attribute, unit and description that mlobs emits.

docs/telemetry.md is generated from this file; dashboards, rules and tests are checked against it. Three rules keep
OTLP, the Collector and a direct scrape agreeing on names: durations are in ``s``; counters of things have a
``{thing}`` unit; the name of a gauge of unit ``1`` ends in ``.ratio``.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

# ── attributes ──────────────────────────────────────────────────────────────────────────────────────────────────────

MODEL_NAME: Final = "model.name"
MODEL_VERSION: Final = "model.version"
MODEL_VARIANT: Final = "model.variant"
MODEL_OPERATION: Final = "model.operation"
ERROR_TYPE: Final = "error.type"
ROLE: Final = "role"
FEATURE: Final = "feature"
BIN: Final = "bin"
LABEL: Final = "label"
WINDOW: Final = "window"
KIND: Final = "kind"
REASON: Final = "reason"
PROFILE_ID: Final = "profile.id"
CPU_MODE: Final = "cpu.mode"

# on spans only
ROWS: Final = "mlobs.prediction.batch_rows"
FEATURES: Final = "mlobs.input.features"
CONFIDENCE: Final = "mlobs.prediction.confidence"
VIOLATIONS: Final = "mlobs.input.violations"
DRIFT_DETECTED: Final = "mlobs.drift.detected"
SLOW: Final = "mlobs.prediction.slow"
CAPTURED: Final = "mlobs.captured."
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

ATTRIBUTES: Final[dict[str, str]] = {
    MODEL_NAME: "The model's name: given by the user, else the class or function name.",
    MODEL_VERSION: "The model's version, or `unversioned`.",
    MODEL_VARIANT: "`champion` by default; `challenger`, `canary`, `shadow` or the user's own.",
    MODEL_OPERATION: "What was called: `predict`, `predict_proba`, or the observed function's name.",
    ERROR_TYPE: "The class of the exception that ended the call; absent on calls that succeeded.",
    ROLE: "`input` or `output`.",
    FEATURE: "The feature's name in the reference profile, or the column's name.",
    BIN: "`00` to `19` for ordered bins, `c00` to `c18` for categories, `other`, `missing`.",
    LABEL: "What a bin holds: `≤ 3.5`, `> 9`, `red`.",
    WINDOW: "The length of the rotating window: `1h`.",
    KIND: "Which violation: `missing`, `infinite`, `type`, `range`, `unseen`; of a schema `missing_column`, "
    "`extra_column`, `order`, `dtype`.",
    REASON: "Why something was dropped.",
    PROFILE_ID: "The identifier of the reference profile, a hash of its content.",
    CPU_MODE: "`user` or `system`.",
    ROWS: "On spans: how many rows the call had.",
    FEATURES: "On spans: how many features a row had.",
    CONFIDENCE: "On spans: the largest class probability of a one-row probability output, in hundredths.",
    VIOLATIONS: "On spans: how many values of the call were missing, infinite, of a wrong type, out of range or unseen. "
    "Told for at most a hundred spans a second and operation.",
    DRIFT_DETECTED: "On spans: whether any input feature was drifting when the call was made.",
    SLOW: "On spans made after the fact: the call took longer than the slow threshold.",
    CAPTURED: "On spans: prefix of the raw values that `capture=[…]` asked for.",
    EXCEPTION_TYPE: "On exception events: the class of the exception.",
    EXCEPTION_MESSAGE: "On exception events, only where `capture` names it: the exception's message.",
    EXCEPTION_STACKTRACE: "On exception events: the frames, without the message and without argument values.",
}

# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────

InstrumentKind = Literal["counter", "updowncounter", "gauge", "histogram", "exponential"]


class Instrument(NamedTuple):
    """One metric of the contract; ``attributes`` are those it carries beside its model's."""

    name: str
    kind: InstrumentKind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()


_MODEL: Final = (MODEL_NAME, MODEL_VERSION, MODEL_VARIANT)
_CALL: Final = (*_MODEL, MODEL_OPERATION)
_DATA: Final = (*_MODEL, ROLE, FEATURE)

PREDICTION_DURATION: Final = Instrument(
    "mlobs.prediction.duration",
    "histogram",
    "s",
    "How long observed calls took, failed ones included; its count is the number of calls.",
    (*_CALL, ERROR_TYPE),
)
PREDICTION_ROWS: Final = Instrument(
    "mlobs.prediction.rows", "counter", "{row}", "Rows that observed calls were given.", _CALL
)
PREDICTION_BATCH_SIZE: Final = Instrument(
    "mlobs.prediction.batch_size", "histogram", "{row}", "Rows a call, for calls whose rows could be told.", _CALL
)
PREDICTION_ACTIVE: Final = Instrument(
    "mlobs.prediction.active", "updowncounter", "{call}", "Calls that have begun and not ended.", _CALL
)
PREDICTION_CPU_TIME: Final = Instrument(
    "mlobs.prediction.cpu.time",
    "counter",
    "s",
    "CPU time of the calling thread during calls. Read on every call of a model whose mean call takes 200 µs or more; "
    "else on one call in 64 and scaled by duration (a ratio estimate). Work of other threads and processes is not in "
    "it; coroutines have none.",
    _CALL,
)
FEATURE_OBSERVATIONS: Final = Instrument(
    "mlobs.feature.observations",
    "counter",
    "{observation}",
    "Values seen in each bin of the reference's partition; every bin is exported from 0.",
    (*_DATA, BIN),
)
FEATURE_REFERENCE_RATIO: Final = Instrument(
    "mlobs.feature.reference.ratio", "gauge", "1", "The share of the reference's values in each bin.", (*_DATA, BIN)
)
FEATURE_REFERENCE_SAMPLES: Final = Instrument(
    "mlobs.feature.reference.samples", "gauge", "{sample}", "How many values the reference has.", _DATA
)
FEATURE_BIN_INFO: Final = Instrument(
    "mlobs.feature.bin.info", "gauge", "{info}", "Always 1; its attribute `label` says what the bin holds.",
    (*_DATA, BIN, LABEL),
)  # fmt: skip
FEATURE_VALUE: Final = Instrument(
    "mlobs.feature.value",
    "exponential",
    "{value}",
    "The finite values of a numeric feature that no reference partitions, from the fifth on; without sum and extremes.",
    _DATA,
)
FEATURE_VIOLATIONS: Final = Instrument(
    "mlobs.feature.violations",
    "counter",
    "{violation}",
    "Values that are missing, infinite, of a wrong type, outside the reference's range, or a category it never saw.",
    (*_MODEL, FEATURE, KIND),
)
SCHEMA_VIOLATIONS: Final = Instrument(
    "mlobs.schema.violations",
    "counter",
    "{violation}",
    "Rows × columns where the input's columns are not the reference's.",
    (*_MODEL, KIND),
)
DRIFT_PSI: Final = Instrument(
    "mlobs.drift.psi",
    "gauge",
    "{psi}",
    "Population stability index against the reference, Jeffreys smoothing, this process' window.",
    (*_DATA, WINDOW),
)
DRIFT_KS: Final = Instrument(
    "mlobs.drift.ks",
    "gauge",
    "{ks}",
    "Kolmogorov-Smirnov distance at the reference's bins, this process' window.",
    (*_DATA, WINDOW),
)
DRIFT_PSI_NOISE: Final = Instrument(
    "mlobs.drift.psi.noise",
    "gauge",
    "{psi}",
    "The PSI that sampling noise alone exceeds once in a thousand windows of this size.",
    (*_DATA, WINDOW),
)
DRIFT_SIGNIFICANT: Final = Instrument(
    "mlobs.drift.significant",
    "gauge",
    "{verdict}",
    "-1 insufficient, 0 stable, 1 drifting, 2 drifted: significant over all features and above the tolerance.",
    (*_DATA, WINDOW),
)
MODEL_INFO: Final = Instrument(
    "mlobs.model.info", "gauge", "{info}", "Always 1; describes the model.", (*_MODEL, PROFILE_ID)
)
SDK_DROPPED: Final = Instrument(
    "mlobs.sdk.dropped", "counter", "{item}", "Rows, spans or calls whose data mlobs did not take in, by reason.",
    (REASON,),
)  # fmt: skip
SDK_ERRORS: Final = Instrument(
    "mlobs.sdk.errors", "counter", "{error}", "Errors inside mlobs that the host never saw, by the place.", (REASON,)
)
SDK_SERIES: Final = Instrument("mlobs.sdk.series", "gauge", "{series}", "Series in the last export.")
SDK_FOLD_DURATION: Final = Instrument(
    "mlobs.sdk.fold.duration", "counter", "s", "Time mlobs' folding thread has worked."
)
SDK_EXPORT_DURATION: Final = Instrument(
    "mlobs.sdk.export.duration", "counter", "s", "Time mlobs' export thread has worked, waiting for answers included."
)
PROCESS_CPU_TIME: Final = Instrument(
    "process.cpu.time", "counter", "s", "Total CPU seconds of the process, by mode.", (CPU_MODE,)
)
PROCESS_CPU_UTILIZATION: Final = Instrument(
    "process.cpu.utilization", "gauge", "1", "CPU seconds since the last reading, over its length × available CPUs.",
    (CPU_MODE,),
)  # fmt: skip
PROCESS_MEMORY_USAGE: Final = Instrument("process.memory.usage", "updowncounter", "By", "Physical memory in use.")
PROCESS_THREAD_COUNT: Final = Instrument("process.thread.count", "updowncounter", "{thread}", "Threads of the process.")

INSTRUMENTS: Final[tuple[Instrument, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Instrument)
)

SCOPE: Final = "mlobs"

ROLE_INPUT: Final = "input"
ROLE_OUTPUT: Final = "output"
CHAMPION: Final = "champion"
UNVERSIONED: Final = "unversioned"
