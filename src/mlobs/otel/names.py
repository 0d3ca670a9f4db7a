"""The telemetry contract: every metric, attribute, unit and description that mlobs emits.

docs/telemetry.md is generated from this file; dashboards, rules and tests are checked against it. Three rules keep
OTLP, the Collector and a direct scrape agreeing on names: durations are in ``s``; counters of things have a
``{thing}`` unit; the name of a gauge of unit ``1`` ends in ``.ratio``.
"""

from __future__ import annotations

from typing import Final

from mlobs.otel.instrument import Instrument

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
PREDICTED: Final = "predicted"
ACTUAL: Final = "actual"
DIRECTION: Final = "direction"
MEASURE: Final = "measure"
KPI: Final = "kpi"
CURRENCY: Final = "currency"
HARDWARE: Final = "hardware"
CANARY_ID: Final = "canary.id"
STAGE: Final = "stage"

# of generations, as OpenTelemetry's conventions for generative models name them
GENERATION_OPERATION: Final = "gen_ai.operation.name"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a kind of token, no secret

# on spans of calls whose variant a feature flag chose, as OpenTelemetry names them
FLAG_KEY: Final = "feature_flag.key"
FLAG_VARIANT: Final = "feature_flag.result.variant"
FLAG_REASON: Final = "feature_flag.result.reason"

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
    ERROR_TYPE: "The class of the exception that ended the call; absent on calls that succeeded. Of memory errors of a GPU "
    "`corrected` or `uncorrected`.",
    ROLE: "`input` or `output`.",
    FEATURE: "The feature's name in the reference profile, or the column's name.",
    BIN: "`00` to `19` for ordered bins, `c00` to `c18` for categories, `other`, `missing`; of scores `00` to `39`.",
    LABEL: "What a bin holds: `≤ 3.5`, `> 9`, `red`.",
    WINDOW: "The length of the rotating window: `1h`.",
    KIND: "Which violation: `missing`, `infinite`, `type`, `range`, `unseen`; of a schema `missing_column`, "
    "`extra_column`, `order`, `dtype`.",
    REASON: "Why something was dropped, why a truth was not joined, or why a GPU's clocks are held down.",
    PROFILE_ID: "The identifier of the reference profile, a hash of its content.",
    PREDICTED: "The predicted class; at most 20 classes a model, the rest are `_OTHER`.",
    ACTUAL: "The class it really was, `_ANOTHER` where it and the predicted one are two beyond the 20; of scores `1` for the "
    "positive class and `0` for the others.",
    DIRECTION: "`over` or `under`: on which side of the truth a prediction was; of money `gain` or `loss`.",
    MEASURE: "`accuracy`, `f1` or `auc`.",
    KPI: "What a business event is called; `prediction` for what the cost matrix says a prediction was worth.",
    CURRENCY: "The currency's three letters (ISO 4217).",
    HARDWARE: "`cpu` or `gpu`: what was paid for.",
    STAGE: "A part of a prediction: `queue`, `preprocess`, `inference`, `postprocess`, or the user's own; at most 50 a model, the "
    "rest are `_OTHER`.",
    GENERATION_OPERATION: "`text_completion`.",
    TOKEN_TYPE: "`input` for tokens of the prompt, `output` for those of the answer.",
    CANARY_ID: "Which run of `mlobs doctor` sent the canary.",
    ROWS: "On spans: how many rows the call had.",
    FEATURES: "On spans: how many features a row had.",
    CONFIDENCE: "On spans: the largest class probability of a one-row probability output, in hundredths.",
    VIOLATIONS: "On spans: how many values of the call were missing, infinite, of a wrong type, out of range or unseen. "
    "Told for at most a hundred spans a second and operation.",
    DRIFT_DETECTED: "On spans: whether any input feature was drifting when the call was made.",
    SLOW: "On spans made after the fact: the call took longer than the slow threshold.",
    CAPTURED: "On spans: prefix of the raw values that `capture=[…]` asked for.",
    FLAG_KEY: "On spans: the flag that chose the variant.",
    FLAG_VARIANT: "On spans: the variant that it chose.",
    FLAG_REASON: "On spans: why, as OpenFeature says it.",
    EXCEPTION_TYPE: "On exception events: the class of the exception.",
    EXCEPTION_MESSAGE: "On exception events, only where `capture` names it: the exception's message.",
    EXCEPTION_STACKTRACE: "On exception events: the frames, without the message and without argument values.",
}

# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────

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
    "CPU time of the calling thread during calls. Read on every call of a model whose mean call takes 2 ms or more; "
    "else on one call in several, 64 at the most unless that were more than 50 a second, and scaled by duration (a ratio "
    "estimate). Work of other threads and processes is not in it; coroutines have none.",
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
PREDICTION_SCORE: Final = Instrument(
    "mlobs.prediction.score",
    "counter",
    "{prediction}",
    "Scores in 40 fixed bins, where an objective says that the model classifies: the probability of the positive class, "
    "or of the predicted one where there are more than two.",
    (*_MODEL, BIN),
)
OUTCOME_EXPECTED: Final = Instrument(
    "mlobs.outcome.expected",
    "counter",
    "{prediction}",
    "Predictions that were given a ticket or remembered by an id: those whose truth can be joined.",
    _MODEL,
)
OUTCOME_JOINED: Final = Instrument(
    "mlobs.outcome.joined",
    "counter",
    "{outcome}",
    "Truths that were joined to their prediction; over `mlobs.outcome.expected` it is the coverage.",
    _MODEL,
)
OUTCOME_UNJOINED: Final = Instrument(
    "mlobs.outcome.unjoined", "counter", "{outcome}", "Truths that were not joined, by reason.", (REASON,)
)
OUTCOME_DELAY: Final = Instrument(
    "mlobs.outcome.delay", "histogram", "s", "From the prediction to the arrival of its truth.", _MODEL
)
OUTCOME_CONFUSION: Final = Instrument(
    "mlobs.outcome.confusion",
    "counter",
    "{outcome}",
    "Joined truths of classifiers by predicted and actual class.",
    (*_MODEL, PREDICTED, ACTUAL),
)
OUTCOME_SCORE: Final = Instrument(
    "mlobs.outcome.score",
    "counter",
    "{outcome}",
    "Joined truths by the score's bin and whether it was the positive class: AUC, log-loss, Brier score and calibration "
    "error follow from the sums.",
    (*_MODEL, BIN, ACTUAL),
)
OUTCOME_ERROR: Final = Instrument(
    "mlobs.outcome.error", "exponential", "{value}", "Absolute errors of regressions, without sum and extremes.", _MODEL
)
OUTCOME_ERROR_ABSOLUTE: Final = Instrument(
    "mlobs.outcome.error.absolute",
    "counter",
    "{value}",
    "Sum of absolute errors, too high and too low apart: together over `mlobs.outcome.joined` the mean absolute error, "
    "their difference the bias.",
    (*_MODEL, DIRECTION),
)
OUTCOME_ERROR_SQUARED: Final = Instrument(
    "mlobs.outcome.error.squared", "counter", "{value}", "Sum of squared errors of regressions.", _MODEL
)
QUALITY_EXPECTED: Final = Instrument(
    "mlobs.quality.expected.ratio",
    "gauge",
    "1",
    "What the scores of this process' window promise if they are calibrated (confidence-based estimation).",
    (*_MODEL, MEASURE, WINDOW),
)
QUALITY_REALIZED: Final = Instrument(
    "mlobs.quality.realized.ratio",
    "gauge",
    "1",
    "What the truths that arrived in this process' window say.",
    (*_MODEL, MEASURE, WINDOW),
)
QUALITY_GAP: Final = Instrument(
    "mlobs.quality.gap.ratio",
    "gauge",
    "1",
    "Realised less expected, of the same predictions: far from 0, what the scores mean has changed (concept drift).",
    (*_MODEL, MEASURE, WINDOW),
)
QUALITY_CALIBRATION: Final = Instrument(
    "mlobs.quality.calibration.ratio",
    "gauge",
    "1",
    "The share of positives that a score bin stands for: measured where the objective brings scores and labels, else the "
    "bin's middle.",
    (*_MODEL, BIN),
)
QUALITY_THRESHOLD: Final = Instrument(
    "mlobs.quality.threshold.ratio", "gauge", "1", "The score from which on the positive class is predicted.", _MODEL
)
BUSINESS_EVENTS: Final = Instrument(
    "mlobs.business.events", "counter", "{event}", "Business events, by what they are called.", (*_MODEL, KPI)
)
BUSINESS_VALUE: Final = Instrument(
    "mlobs.business.value",
    "counter",
    "{currency}",
    "Money that predictions brought and cost, gains and losses apart so that both only grow; the difference is the net.",
    (*_MODEL, KPI, CURRENCY, DIRECTION),
)
PREDICTION_COST: Final = Instrument(
    "mlobs.prediction.cost",
    "counter",
    "{currency}",
    "CPU and GPU time of predictions at the prices of the settings; over `mlobs.prediction.rows`, the cost of one.",
    (*_CALL, CURRENCY, HARDWARE),
)
PREDICTION_GPU_TIME: Final = Instrument(
    "mlobs.prediction.gpu.time", "counter", "s", "GPU time that calls reported with `mlobs.gpu_time`.", _CALL
)
PREDICTION_POOL_TIME: Final = Instrument(
    "mlobs.prediction.cpu.pool.time",
    "counter",
    "s",
    "CPU time of the process' other threads during calls, beyond the calling thread's: a model's thread pools (OpenMP, "
    "BLAS, joblib), and whatever else ran meanwhile. Read on one in 16 of the calls whose CPU time is read, where no other ran beside it, and scaled by duration.",
    _CALL,
)
MODEL_MEMORY_PEAK: Final = Instrument(
    "mlobs.model.memory.peak",
    "gauge",
    "By",
    "The process' peak of physical memory, where one model version is all that it serves: nobody else can have used it.",
    _MODEL,
)
MODEL_GPU_MEMORY_PEAK: Final = Instrument(
    "mlobs.model.gpu.memory.peak",
    "gauge",
    "By",
    "The most GPU memory that tensors had allocated during a call of the model, as far as it is known.",
    _MODEL,
)
STAGE_DURATION: Final = Instrument(
    "mlobs.stage.duration",
    "histogram",
    "s",
    "How long a stage of predictions took: what `mlobs.stage` encloses, and what servers tell of their queues. Outside of a "
    "prediction a stage that names no model has no model's attributes.",
    (*_MODEL, STAGE),
)
TOKEN_USAGE: Final = Instrument(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    "Tokens of a generation, as OpenTelemetry's conventions for generative models define it.",
    (*_MODEL, GENERATION_OPERATION, TOKEN_TYPE),
)
TIME_TO_FIRST_TOKEN: Final = Instrument(
    "gen_ai.server.time_to_first_token",
    "histogram",
    "s",
    "From the beginning of a generation to its first token.",
    (*_MODEL, GENERATION_OPERATION),
)
TIME_PER_OUTPUT_TOKEN: Final = Instrument(
    "gen_ai.server.time_per_output_token",
    "histogram",
    "s",
    "The mean time of each token of a generation after the first.",
    (*_MODEL, GENERATION_OPERATION),
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
SDK_CANARY: Final = Instrument(
    "mlobs.sdk.canary", "counter", "{canary}", "Sent once by each run of `mlobs doctor`, and by nothing else.",
    (CANARY_ID,),
)  # fmt: skip

INSTRUMENTS: Final[tuple[Instrument, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Instrument)
)

SCOPE: Final = "mlobs"

ROLE_INPUT: Final = "input"
ROLE_OUTPUT: Final = "output"
CHAMPION: Final = "champion"
UNVERSIONED: Final = "unversioned"
