"""Traces: the very calls that failed, were slow, or came while inputs drifted."""

from __future__ import annotations

from typing import Final

import serving
from board import MODELS, VARIANTS, VERSIONS, Page, Section, Text
from panels import Query, drawn, searched
from signals import GOOD, MODEL, WHO, quantile, share

from mlobs.otel import names

SPANS: Final = "traces_span_metrics_calls_total"  # collector-config/gateway.yaml counts them before it samples
SPAN_DURATION: Final = "traces_span_metrics_duration_seconds"
WHOSE: Final = " && ".join(  # in backquotes: between quotes the escapes of a pattern, 1\.2\.0, are an error of TraceQL
    f"span.{key} =~ `${{{variable}:regex}}`"
    for key, variable in (
        (names.MODEL_NAME, "model"),
        (names.MODEL_VERSION, "version"),
        (names.MODEL_VARIANT, "variant"),
    )
)
SHOWN: Final = ", ".join(f"span.{key}" for key in (names.MODEL_NAME, names.MODEL_VERSION, names.MODEL_VARIANT))


def search(condition: str, *more: str) -> str:
    """Spans of the models chosen for which something holds, and what is shown of them."""
    return f"{{ {WHOSE} && {condition} }} | select({', '.join((SHOWN, *(f'span.{key}' for key in more)))})"


def page() -> Page:
    """What somebody opens who wants to see one call."""
    failed = searched(
        "Calls that failed",
        "Spans of predictions that raised, and what they raised; a trace's id opens it.",
        search("status = error", names.ERROR_TYPE),
    )
    slow = searched(
        "Calls that were slow",
        "Spans of predictions longer than the threshold above, or than the one that mlobs keeps for their model.",
        search(f"(duration > $slow || span.{names.SLOW} = true)", names.ROWS),
    )
    drifted = searched(
        "Calls while inputs drifted",
        "Spans of predictions that were made while a feature of their model was drifting.",
        search(f"span.{names.DRIFT_DETECTED} = true", names.CONFIDENCE),
    )
    odd = searched(
        "Calls with bad values",
        "Spans of predictions with values that were missing, infinite, of a wrong type, out of range or unseen.",
        search(f"span.{names.VIOLATIONS} > 0", names.VIOLATIONS, names.ROWS),
    )
    unsure = searched(
        "Calls that were unsure",
        "Spans of one-row predictions whose largest class probability is below the threshold above.",
        search(f"span.{names.CONFIDENCE} < $unsure", names.CONFIDENCE),
    )
    legend = "{{model_name}} {{model_version}} {{model_variant}}"
    spans = "model_name, model_version, model_variant, span_name"
    bad = f'sum by ({spans}) (rate({SPANS}{{{WHO}, status_code="STATUS_CODE_ERROR"}}[$__rate_interval]))'
    every = f"sum by ({spans}) (rate({SPANS}{{{WHO}}}[$__rate_interval]))"
    counts = [
        drawn(
            "Durations, with traces to open",
            "The 99th percentile of successful calls, all of them counted; each point is a traced call and opens its trace.",
            "s",
            Query(quantile(0.99, f"{WHO}, {GOOD}", MODEL), legend, exemplar=True),
            steps=((float(serving.SLOW), "red"),),
            least=None,
            log=True,
        ),
        drawn(
            "Spans by what they are",
            "Spans a second as the Collector counts them before it samples: of models, only calls that got a span.",
            "cps",
            Query(every, f"{{{{span_name}}}} {legend}"),
            stacked=True,
        ),
        drawn(
            "Spans with errors",
            "The share of spans with an error, as the Collector counts them before it samples.",
            "percentunit",
            Query(share(bad, every), f"{{{{span_name}}}} {legend}"),
        ),
    ]
    around = [
        drawn(
            "Services around the models",
            "Requests a second by service and span, of what is no call of a model: what asks and what is asked.",
            "reqps",
            Query(
                f'sum by (job, span_name) (rate({SPANS}{{model_name=""}}[$__rate_interval]))', "{{job}} {{span_name}}"
            ),
        ),
        drawn(
            "How long services take",
            "95th percentile of spans that are no call of a model, by service and span.",
            "s",
            Query(quantile(0.95, 'model_name=""', "job, span_name", SPAN_DURATION), "{{job}} {{span_name}}"),
            least=None,
            log=True,
        ),
    ]
    return Page(
        "traces",
        "Traces",
        "Which very calls failed, were slow, or came while inputs drifted?",
        [MODELS, VERSIONS, VARIANTS, Text("slow", "Slow from", "500ms"), Text("unsure", "Unsure below", "0.5")],
        [
            Section("Calls to look at", [(9, [(12, failed), (12, slow)]), (8, [(8, drifted), (8, odd), (8, unsure)])]),
            Section("How many", [(8, [(8, one) for one in counts])]),
            Section("Around the models", [(8, [(12, one) for one in around])]),
        ],
        traces=True,
    )
