"""Panels: queries, and what shows them. Each has a title, a sentence, and a unit; a layout gives them places and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import signals
from grafana_foundation_sdk.builders import barchart, common, dashboard, heatmap, prometheus, stat, tempo, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import prometheus as formats
from grafana_foundation_sdk.models import tempo as tables

PROMETHEUS: Final = kinds.DataSourceRef("prometheus", "${prometheus_datasource}")
TEMPO: Final = kinds.DataSourceRef("tempo", "${tempo_datasource}")
REFS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Panel = Any  # each kind of panel has a builder of its own, and they share no type
Steps = tuple[tuple[float, str], ...]  # from which value on which colour; below the first one green

NONE: Final[Steps] = ()


class Query(NamedTuple):
    """One question to Prometheus, and what its answer is called."""

    expr: str
    legend: str = "__auto"
    exemplar: bool = False


def thresholds(steps: Steps, base: str = "green") -> dashboard.ThresholdsConfig:
    """Colours from values on; below all of them the base."""
    found = [models.Threshold(None, base), *(models.Threshold(value, color) for value, color in steps)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def target(
    query: Query, ref: str = "A", *, instant: bool = False, form: str = "time_series", exemplar: bool = False
) -> prometheus.Dataquery:
    """A query of a panel."""
    built = prometheus.Dataquery().datasource(PROMETHEUS).expr(query.expr).ref_id(ref).legend_format(query.legend)
    built = built.editor_mode(formats.QueryEditorMode.CODE).format(formats.PromQueryFormat(form))
    built = (built.instant() if instant else built.range()).interval(signals.step(query.expr))
    return built.exemplar(exemplar=True) if exemplar else built


def stated(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = NONE,
    base: str = "green",
    decimals: int | None = None,
    empty: str = "no data",
) -> Panel:
    """A number, as it is at the end of the time that is shown: never one from before that."""
    panel = stat.Panel().title(title).description(description).datasource(PROMETHEUS).unit(unit).no_value(empty)
    panel = panel.thresholds(thresholds(steps, base)).graph_mode(kinds.BigValueGraphMode.NONE)
    panel = panel.color_mode(kinds.BigValueColorMode.VALUE).text_mode(kinds.BigValueTextMode.AUTO)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["last"]).values(values=False))
    if decimals is not None:
        panel = panel.decimals(decimals)
    for ref, query in zip(REFS, queries, strict=False):
        panel = panel.with_target(target(query, ref, instant=True))
    return panel


def drawn(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = NONE,
    least: float | None = 0,
    most: float | None = None,
    stacked: bool = False,
    whole: bool = False,
    log: bool = False,
) -> Panel:
    """Lines over time; thresholds are dashed lines, ``stacked`` are areas on each other, of a ``whole`` where they are shares."""
    panel = timeseries.Panel().title(title).description(description).datasource(PROMETHEUS).unit(unit)
    panel = panel.line_width(1).fill_opacity(60 if stacked else 5).show_points(kinds.VisibilityMode.NEVER)
    legend = common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST).show_legend(show_legend=True)
    panel = panel.legend(legend.placement(kinds.LegendPlacement.BOTTOM).calcs([]))
    tip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
    panel = panel.tooltip(tip)
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    if stacked:
        mode = kinds.StackingMode.PERCENT if whole else kinds.StackingMode.NORMAL
        panel = panel.stacking(common.StackingConfig().mode(mode).group("A"))
    if log:
        scale = common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(scale)
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds(steps, "transparent")).thresholds_style(style)
    for ref, query in zip(REFS, queries, strict=False):
        panel = panel.with_target(target(query, ref, exemplar=query.exemplar))
    return panel


def heated(title: str, description: str, unit: str, query: Query, axis: str) -> Panel:
    """How many fell into each bucket over time; the axis has a unit of its own."""
    panel = heatmap.Panel().title(title).description(description).datasource(PROMETHEUS).unit(unit)
    color = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    panel = panel.color(color.exponent(0.5)).cell_gap(1).y_axis(heatmap.YAxisConfig().unit(axis)).hide_legend()
    return panel.with_target(target(query, form="heatmap", exemplar=query.exemplar))


def barred(
    title: str,
    description: str,
    unit: str,
    x: str,
    queries: Sequence[Query],
    transformations: Sequence[models.DataTransformerConfig],
    *,
    label: str = "",
) -> Panel:
    """Bars beside each other for each value of a column."""
    panel = barchart.Panel().title(title).description(description).datasource(PROMETHEUS).unit(unit).x_field(x).min(0)
    panel = panel.fill_opacity(70).line_width(0).show_value(kinds.VisibilityMode.NEVER).axis_label(label)
    panel = panel.x_tick_label_spacing(60)
    legend = common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST).show_legend(show_legend=True)
    panel = panel.legend(legend.placement(kinds.LegendPlacement.BOTTOM).calcs([]))
    for ref, query in zip(REFS, queries, strict=False):
        named = [models.DynamicConfigValue("displayName", query.legend)]
        panel = panel.with_target(target(query, ref, instant=True, form="table"))
        if len(queries) > 1:
            panel = panel.override_by_name(f"Value #{ref}", named)
    for transformation in transformations:
        panel = panel.with_transformation(transformation)
    return panel


def searched(title: str, description: str, query: str) -> Panel:
    """A TraceQL search: the spans that match, newest first; the trace's id opens it."""
    from grafana_foundation_sdk.builders import table

    question = tempo.Dataquery().datasource(TEMPO).query_type("traceql").query(query).ref_id("A").limit(50).spss(3)
    panel = table.Panel().title(title).description(description).datasource(TEMPO).unit("none")
    panel = panel.no_value("no such trace in the time shown")
    return panel.with_target(question.table_type(tables.SearchTableType.SPANS))
