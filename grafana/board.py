"""A dashboard: variables, links to the others, annotations, and panels laid out on a grid 24 wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models
from panels import PROMETHEUS, Panel, Query, target
from signals import FIRING, INFO, MODEL, NAME, PROCESS, WHO

WIDTH: Final = 24
TAG: Final = "mlobs"
ANY: Final = ".+"


class Variable(NamedTuple):
    """One that Prometheus is asked for, ``many`` where several may be chosen, and then all of them at first."""

    name: str
    label: str
    query: str
    many: bool = True
    newest: bool = False  # the highest value first


class Choice(NamedTuple):
    """One of a few fixed values."""

    name: str
    label: str
    values: tuple[str, ...]


class Text(NamedTuple):
    """What is typed in."""

    name: str
    label: str
    value: str


def values(metric: str, label: str, selector: str = "") -> str:
    """The query for the values of a label."""
    return f"label_values({metric}{{{selector}}}, {label})" if selector else f"label_values({metric}, {label})"


MODELS: Final = Variable("model", "Model", values(INFO, "model_name"))
A_MODEL: Final = MODELS._replace(many=False)
VERSIONS: Final = Variable("version", "Version", values(INFO, "model_version", NAME), newest=True)
VARIANTS: Final = Variable(
    "variant", "Variant", values(INFO, "model_variant", f'{NAME}, model_version=~"$version"'), newest=False
)
JOBS: Final = Variable("job", "Job", values(INFO, "job", WHO))
INSTANCES: Final = Variable("instance", "Instance", values(INFO, "instance", f"{WHO}, {PROCESS.split(',')[0]}"))


class Section(NamedTuple):
    """Panels under a heading, in rows of one height; a row is panels with their widths."""

    title: str
    rows: Sequence[tuple[int, Sequence[tuple[int, Panel]]]]
    folded: bool = False


class Page(NamedTuple):
    """One dashboard; it answers one question."""

    name: str
    title: str
    question: str
    variables: Sequence[Variable | Choice | Text]
    sections: Sequence[Section]
    time: str = "now-6h"
    traces: bool = False

    @property
    def uid(self) -> str:
        """What links call it by."""
        return f"mlobs-{self.name}"


def built(page: Page, pages: Sequence[Page]) -> models.Dashboard:
    """The whole dashboard; links lead to all pages, in their order."""
    board = dashboard.Dashboard(f"mlobs {pages.index(page) + 1} · {page.title}").uid(page.uid).tags([TAG])
    board = board.description(page.question).readonly().time(page.time, "now").refresh("1m").timezone("browser")
    board = board.tooltip(models.DashboardCursorSync.CROSSHAIR)
    board = board.with_variable(_source("prometheus", "Prometheus"))
    if page.traces:
        board = board.with_variable(_source("tempo", "Tempo"))
    for variable in page.variables:
        board = board.with_variable(_variable(variable))
    for other in pages:
        link = dashboard.DashboardLink(other.title).type(models.DashboardLinkType.LINK).url(f"/d/{other.uid}")
        link = link.tooltip(other.question).icon("dashboard").tags([]).placement("")
        board = board.link(link.keep_time(keep_time=True).include_vars(include_vars=True))
    for annotation in _annotations():
        board = board.annotation(annotation)
    return _laid_out(board, page.sections)


def _source(kind: str, label: str) -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable(f"{kind}_datasource").label(f"{label} data source").type(kind)


def _variable(variable: Variable | Choice | Text) -> Panel:
    if isinstance(variable, Text):
        return dashboard.TextBoxVariable(variable.name).label(variable.label).default_value(variable.value)
    if isinstance(variable, Choice):
        first = models.VariableOption(selected=True, text=variable.values[0], value=variable.values[0])
        custom = dashboard.CustomVariable(variable.name).label(variable.label).values(",".join(variable.values))
        return custom.current(first)
    query = dashboard.QueryVariable(variable.name).label(variable.label).datasource(PROMETHEUS)
    query = query.query({"query": variable.query, "refId": variable.name}).definition(variable.query)
    query = query.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    query = query.sort(models.VariableSort(8) if variable.newest else models.VariableSort.NATURAL_ASC)
    if variable.many:
        every = models.VariableOption(selected=True, text=["All"], value=["$__all"])
        query = query.multi(multi=True).include_all(include_all=True).all_value(ANY).current(every)
    return query


def _annotations() -> list[dashboard.AnnotationQuery]:
    """A version that was not there an hour before, which a rollback is too; and alerts while they fire."""
    before = f"last_over_time({INFO}{{{WHO}}}[1h] offset $__rate_interval)"
    new = f"group by ({MODEL}) ({INFO}{{{WHO}}})\nunless on ({MODEL}) group by ({MODEL}) ({before})"
    return [
        _annotation("New model version", "blue", new, "{{model_name}} {{model_version}} {{model_variant}}"),
        _annotation(
            "Firing alerts",
            "red",
            f"max by (alertname, severity, model_name, model_version, feature) ({FIRING})",
            "{{alertname}} {{model_name}} {{model_version}} {{feature}}",
        ),
    ]


def _annotation(name: str, color: str, expr: str, text: str) -> dashboard.AnnotationQuery:
    found = dashboard.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(enable=True).icon_color(color)
    found = found.expr(expr).title_format(text).text_format(name).step("60s")
    return found.target(target(Query(expr, text), "Anno"))


def _laid_out(board: dashboard.Dashboard, sections: Sequence[Section]) -> models.Dashboard:
    """Numbers from 1 in reading order; a folded section holds its panels, which open below it."""
    number, y = 0, 0
    for section in sections:
        number += 1
        row = dashboard.Row(section.title).id(number).collapsed(section.folded)
        row = row.grid_pos(models.GridPos(h=1, w=WIDTH, x=0, y=y))
        y = below = y + 1
        placed = []
        for height, panels in section.rows:
            x = 0
            for width, panel in panels:
                number += 1
                placed.append(panel.id(number).grid_pos(models.GridPos(h=height, w=width, x=x, y=y)))
                x += width
            if x != WIDTH:
                raise ValueError(f"A row of {section.title!r} is {x} wide, not {WIDTH}")
            y += height
        if section.folded:
            for panel in placed:
                row = row.with_panel(panel)
            y = below  # what comes next is moved down when it opens
        board = board.with_row(row)
        if not section.folded:
            for panel in placed:
                board = board.with_panel(panel)
    return board.build()
