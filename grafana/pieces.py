"""What dashboards are made of: boards, rows and panels, and how Grafana's SDK is told of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, tempo, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

PROMETHEUS: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TEMPO: Final = models.DataSourceRef(type_val="tempo", uid="${tempo}")
MODEL: Final = 'model_name=~"$model", model_version=~"$version", model_variant=~"$variant"'
NAMED: Final = 'model_name=~"$model"'
BY: Final = "model_name, model_version, model_variant"
LEGEND: Final = "{{model_name}} {{model_version}} {{model_variant}}"
TAG: Final = "mlobs"
WIDTH: Final = 24


class Panel(NamedTuple):
    """One panel: its queries are (PromQL, legend), of a trace panel (TraceQL, ""); ``steps`` are thresholds from below."""

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "lines"  # or `number`, `traces`
    width: int = 12
    steps: Sequence[tuple[float | None, str]] = ()


class Row(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


class Board(NamedTuple):
    """One dashboard: the question that it answers, and its variables beside the data source."""

    uid: str
    title: str
    question: str
    rows: Sequence[Row]
    variables: Sequence[str] = ("model", "version", "variant")
    since: str = "now-6h"


# each variable's label and query; those of models narrow each other
VARIABLES: Final = {
    "model": ("Model", "label_values(mlobs_model_info, model_name)"),
    "version": ("Version", 'label_values(mlobs_model_info{model_name=~"$model"}, model_version)'),
    "variant": ("Variant", 'label_values(mlobs_model_info{model_name=~"$model"}, model_variant)'),
    "role": ("Role", 'label_values(mlobs_feature_reference_samples{model_name=~"$model"}, role)'),
    "feature": (
        "Feature",
        'label_values(mlobs_feature_reference_samples{model_name=~"$model", role=~"$role"}, feature)',
    ),
    "instance": ("Instance", "label_values(process_uptime_seconds, instance)"),
}
NEW_VERSION: Final = f"count by ({BY}) (mlobs_model_info{{{NAMED}}}) unless on ({BY}) count by ({BY}) (mlobs_model_info{{{NAMED}}} offset 5m)"


def written(board: Board) -> str:
    """The dashboard as Grafana's JSON."""
    built = (
        dashboard.Dashboard(f"mlobs / {board.title}")
        .uid(board.uid)
        .description(board.question)
        .tags([TAG])
        .readonly()
        .refresh("1m")
        .time(board.since, "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("mlobs")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(as_dropdown=True)
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Metrics").type("prometheus"))
    )
    if any(panel.kind == "traces" for row in board.rows for panel in row.panels):
        built = built.with_variable(dashboard.DatasourceVariable("tempo").label("Traces").type("tempo"))
    for name in board.variables:
        label, query = VARIABLES[name]
        built = built.with_variable(
            dashboard.QueryVariable(name)
            .label(label)
            .query(query)
            .datasource(PROMETHEUS)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".+")
            .current(models.VariableOption(selected=True, text="All", value="$__all"))
        )
    for row in board.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_panel(panel))
    made = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(built.build()))
    if "model" in board.variables:
        made["annotations"] = {"list": [_new_version()]}
    for panel in made["panels"]:
        if (panel.get("datasource") or {}).get("type") == "tempo":
            panel.update(type="table", options={}, fieldConfig={"defaults": {}, "overrides": []})
    return json.dumps(made, indent=2) + "\n"


def _new_version() -> dict[str, Any]:
    return {
        "name": "New model version",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "iconColor": "blue",
        "expr": NEW_VERSION,
        "titleFormat": "{{model_name}} {{model_version}}",
        "textFormat": "first seen, as {{model_variant}}",
        "step": "60s",
    }


def _panel(panel: Panel) -> Any:
    kind = stat.Panel() if panel.kind == "number" else timeseries.Panel()
    built: Any = kind.title(panel.title).description(panel.description).unit(panel.unit).span(panel.width)
    built = built.height(5 if panel.kind == "number" else 8).datasource(TEMPO if panel.kind == "traces" else PROMETHEUS)
    if panel.kind == "lines":
        built = built.fill_opacity(8).line_width(2)
    steps = panel.steps or ((None, "green"),)
    built = built.thresholds(
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps])
    )
    for index, (query, legend) in enumerate(panel.queries):
        ref = chr(ord("A") + index)
        if panel.kind == "traces":
            built = built.with_target(tempo.Query().query(query).query_type("traceql").ref_id(ref).limit(20))
        else:
            asked = prometheus.Query().expr(query).legend_format(legend).ref_id(ref)
            exemplars = "duration_seconds_bucket" in query
            built = built.with_target(asked.instant() if panel.kind == "number" else asked.range().exemplar(exemplars))
    return built
