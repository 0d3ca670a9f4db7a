"""The seventh step: whether the dashboards' queries have something to show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mlobs.doctor.finding import DASHBOARDS, Finding, fail, ok, skipped, warn
from mlobs.doctor.prometheus import PrometheusError
from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlobs.doctor.prometheus import Prometheus

_BUILT_IN: Final = {
    "__rate_interval": "5m",
    "__interval": "1m",
    "__interval_ms": "60000",
    "__range": "1h",
    "__range_s": "3600",
    "__range_ms": "3600000",
}
_ANY: Final = ".*"
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)(?::\w+)?\]\]")
_EQUALS: Final = re.compile(r'(!?)=(\s*)"(?=[^"]*\.\*")')
_FIXED: Final = frozenset({"constant", "custom", "interval", "textbox"})  # whose values Grafana asks no Prometheus for
_SHOWN: Final = 3


class Dashboard(NamedTuple):
    """Its title and the PromQL of its panels, variables filled in, by the panel's title."""

    title: str
    queries: tuple[tuple[str, str], ...]


def dashboards(paths: Iterable[Path] = ()) -> list[Dashboard]:
    """Those of these files and folders; without any, those that come with mlobs.

    Raises ConfigurationError for a file that is no dashboard, OSError for one that cannot be read.
    """
    given = list(paths)
    if given:
        files = [file for path in given for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    else:
        from mlobs.assets import assets

        files = [one.source for one in assets() if one.path.parts[0] == "grafana" and one.path.suffix == ".json"]
    found = []
    for file in files:
        try:
            model = json.loads(file.read_text("utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"{file} is no JSON: {error}") from error
        if isinstance(model, dict) and "panels" in model:
            found.append(_dashboard(model))
        elif file in given:
            raise ConfigurationError(f"{file} is no dashboard: it has no panels. Give the classic JSON model.")
    return found


def _dashboard(model: dict[str, Any]) -> Dashboard:
    values = {**_BUILT_IN, **_values(model)}
    queries = [
        (str(panel.get("title", "")), filled(str(target["expr"]), values))
        for panel in _panels(model["panels"])
        for target in panel.get("targets") or ()
        if target.get("expr") and _asks_prometheus(target, panel)
    ]
    return Dashboard(str(model.get("title", "")), tuple(queries))


def _panels(panels: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels") or ())  # a folded row


def _asks_prometheus(target: Mapping[str, Any], panel: Mapping[str, Any]) -> bool:
    source = target.get("datasource") or panel.get("datasource") or {}
    kind = source.get("type") if isinstance(source, dict) else None
    return kind in (None, "prometheus")


def _values(model: Mapping[str, Any]) -> dict[str, str]:
    """Of each variable what fills it in here: everything, or its chosen value where it is not Prometheus' to say."""
    found: dict[str, str] = {}
    for variable in (model.get("templating") or {}).get("list") or ():
        current = (variable.get("current") or {}).get("value")
        if variable.get("type") not in _FIXED:
            value = _ANY
        elif isinstance(current, str) and current and current != "$__all":
            value = current
        else:
            options = [str(one.get("value")) for one in variable.get("options") or () if one.get("value") != "$__all"]
            listed = [
                part.partition(" : ")[2].strip() or part.strip() for part in str(variable.get("query", "")).split(",")
            ]
            value = next(iter(options or listed), "") or _ANY
        found[str(variable.get("name"))] = value
    return found


def filled(expr: str, values: Mapping[str, str]) -> str:
    """PromQL with every variable replaced; one that is unknown stands for everything."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[3]
        return found[0] if name.isdecimal() else values.get(name, _ANY)  # $1 is of label_replace

    return _EQUALS.sub(lambda found: f'{found[1]}{"~" if found[1] else "=~"}{found[2]}"', _VARIABLE.sub(value, expr))


class _Shown(NamedTuple):
    """Of one dashboard: how many queries have data, and which Prometheus refuses."""

    dashboard: Dashboard
    full: int
    refused: list[str]

    @property
    def total(self) -> int:
        """All its queries."""
        return len(self.dashboard.queries)


def shown(prometheus: Prometheus, wanted: list[Dashboard]) -> Iterator[Finding]:
    """Which dashboards show something."""
    if not wanted:
        yield skipped(DASHBOARDS, "this installation has no dashboards", "Try: --dashboards FOLDER")
        return
    try:
        found = [_look(prometheus, dashboard) for dashboard in wanted]
    except PrometheusError as error:
        yield fail(DASHBOARDS, str(error), "Look at Prometheus' log.")
        return
    refused = [said for one in found for said in one.refused]
    for said in refused[:_SHOWN]:
        cure = "It needs a later Prometheus, or the panel was changed."
        yield fail(DASHBOARDS, f"Prometheus refuses a query of {said}", cure)
    full, total = sum(one.full for one in found), sum(one.total for one in found)
    counted = f"{full} of {total} queries of {len(wanted)} dashboards have data"
    empty = [one.dashboard.title for one in found if one.total and not one.full]
    partly = [f"{one.dashboard.title} {one.full}/{one.total}" for one in found if 0 < one.full < one.total]
    if not full:
        cure = "Start an observed program and let it predict; rules need some minutes. Are labels renamed on the way?"
        yield fail(DASHBOARDS, counted, cure)
    elif empty:
        cure = "Outcomes, GPUs and drift show something once there are truths, GPUs and a reference."
        yield warn(DASHBOARDS, f"{counted}; without any: {', '.join(empty)}", cure)
    elif not refused:
        yield ok(DASHBOARDS, counted + (f"; partly: {', '.join(partly)}" if partly else ""))


def _look(prometheus: Prometheus, dashboard: Dashboard) -> _Shown:
    """Raises PrometheusError where nothing more will be answered."""
    full, refused = 0, []
    for panel, expr in dashboard.queries:
        try:
            full += bool(prometheus.query(expr))
        except PrometheusError as error:
            if error.down:
                raise
            refused.append(f"{dashboard.title} / {panel}: {error}")
    return _Shown(dashboard, full, refused)
