"""Tables that Prometheus fills: one row for each set of labels, one column for each query, links to the next page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as models
from panels import PROMETHEUS, REFS, Panel, Query, Steps, target, thresholds

HEADINGS: Final = {
    "model_name": "model",
    "model_version": "version",
    "model_variant": "variant",
    "error_type": "error",
    "hw_name": "GPU",
}


class Column(NamedTuple):
    """What a query brings for each row."""

    title: str
    unit: str
    expr: str
    steps: Steps = ()
    base: str = "transparent"
    decimals: int | None = None


def transformation(name: str, **options: object) -> models.DataTransformerConfig:
    """One step from what Prometheus answers to what is shown."""
    return models.DataTransformerConfig(id_val=name, options=options)


def merged(*hidden: str, by: str = "") -> list[models.DataTransformerConfig]:
    """The answers of several queries as one table, sorted, without times and what is ``hidden``."""
    order = [transformation("sortBy", fields={}, sort=[{"field": by}])] if by else []
    without = transformation("organize", excludeByName=dict.fromkeys(("Time", *hidden), True))
    return [transformation("merge"), *order, without]


def matrix(row: str, column: str, by: str) -> list[models.DataTransformerConfig]:
    """One column for each value of a label."""
    return [
        transformation("sortBy", fields={}, sort=[{"field": by}]),
        transformation("groupingToMatrix", columnField=column, rowField=row, valueField="Value"),
    ]


def link(
    title: str, uid: str, labels: Mapping[str, str], kept: Sequence[str] = ("prometheus_datasource",)
) -> models.DynamicConfigValue:
    """A link to a page; variables come from the row's labels, those that are ``kept`` and the time from here."""
    chosen = [f"var-{name}=${{__data.fields.{label}}}" for name, label in labels.items()]
    url = f"/d/{uid}?{'&'.join([*chosen, *(f'${{{name}:queryparam}}' for name in kept)])}&${{__url_time_range}}"
    return models.DynamicConfigValue("links", [{"title": title, "url": url}])


def tabled(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    links: Mapping[str, models.DynamicConfigValue] | None = None,
    sort: str = "",
    hidden: Sequence[str] = (),
    headings: Mapping[str, str] = HEADINGS,
    empty: str = "no data",
) -> Panel:
    """One row for each set of labels that the queries have in common."""
    panel = table.Panel().title(title).description(description).datasource(PROMETHEUS).unit("none").no_value(empty)
    for label, heading in headings.items():
        properties = [models.DynamicConfigValue("displayName", heading)]
        properties += [links[label]] if links and label in links else []
        panel = panel.override_by_name(label, properties)
    for ref, column in zip(REFS, columns, strict=False):
        panel = panel.with_target(target(Query(column.expr, ""), ref, instant=True, form="table"))
        panel = panel.override_by_name(f"Value #{ref}" if len(columns) > 1 else "Value", _shown(column))
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(desc=True)])
    for one in merged(*hidden):
        panel = panel.with_transformation(one)
    return panel


def _shown(column: Column) -> list[models.DynamicConfigValue]:
    found = [models.DynamicConfigValue("displayName", column.title), models.DynamicConfigValue("unit", column.unit)]
    if column.decimals is not None:
        found.append(models.DynamicConfigValue("decimals", column.decimals))
    if column.steps:
        found.append(models.DynamicConfigValue("thresholds", thresholds(column.steps, column.base).build()))
        found.append(models.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
    return found


def confused(title: str, description: str, query: Query, row: str, column: str) -> Panel:
    """Counts by two labels, as a matrix."""
    panel = table.Panel().title(title).description(description).datasource(PROMETHEUS).unit("short").decimals(0)
    panel = panel.with_target(target(query, instant=True, form="table")).override_by_name(
        f"{row}\\{column}", [models.DynamicConfigValue("displayName", f"{row} ↓ {column} →")]
    )
    for one in matrix(row, column, row):
        panel = panel.with_transformation(one)
    return panel
