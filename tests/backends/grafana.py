"""Dashboards as Grafana reads them: their panels, their queries, and what becomes of variables in them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tests.backends.promtool import RULES

GRAFANA: Final = RULES.parent / "grafana"
BOARDS: Final[dict[str, dict[str, Any]]] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in sorted((GRAFANA / "dashboards").glob("*.json"))
}
VARIABLE: Final = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")
SOURCE: Final = re.compile(r"label_values\((?:(?P<query>.*), )?(?P<label>\w+)\)")
POINTS: Final = 1000  # that a panel asks for, about its width in pixels
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Question(NamedTuple):
    """A query of a panel, a variable or an annotation."""

    where: str
    expr: str
    instant: bool
    step: float  # the least, in seconds
    folded: bool  # in a section that is opened by hand: for what not everybody has
    exemplar: bool


def panels(board: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """All panels but rows, and whether their section is folded."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel, False
        for inner in panel.get("panels") or ():
            yield inner, True


def questions(board: Mapping[str, Any]) -> list[Question]:
    """What a dashboard asks of Prometheus, but for its variables."""
    found = [
        _question(f"{panel['id']} {panel['title']} {target['refId']}", target, folded=folded)
        for panel, folded in panels(board)
        for target in panel["targets"]
        if target["datasource"]["type"] == "prometheus"
    ]
    marks = board["annotations"]["list"]
    return found + [_question(f"annotation {one['name']}", one["target"], folded=False) for one in marks]


def _question(where: str, target: Mapping[str, Any], *, folded: bool) -> Question:
    step = seconds(target["interval"]) if "interval" in target else 0.0
    return Question(where, target["expr"], bool(target.get("instant")), step, folded, bool(target.get("exemplar")))


def variables(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its variables but for the data sources, in order."""
    return [one for one in board["templating"]["list"] if one["type"] != "datasource"]


def seconds(duration: str) -> float:
    """Of a duration such as 90s or 24h."""
    return float(duration[:-1]) * _UNITS[duration[-1]]


def span(board: Mapping[str, Any]) -> float:
    """How long a time a dashboard shows when it is opened."""
    return seconds(board["time"]["from"].removeprefix("now-"))


def pace(length: float, least: float) -> tuple[float, float]:
    """Grafana's $__interval and $__rate_interval, which is never less than four exports."""
    interval = max(least, math.ceil(length / POINTS / 15) * 15)
    return interval, max(interval + least, 4 * least)


def filled(expr: str, values: Mapping[str, str | Sequence[str]], length: float, least: float) -> str:
    """The query as Grafana sends it; several values are alternatives of a regular expression."""
    interval, rate = pace(length, least or 60)
    known: dict[str, str | Sequence[str]] = {
        "__interval": f"{interval:.0f}s",
        "__rate_interval": f"{rate:.0f}s",
        "__range": f"{length:.0f}s",
        **values,
    }

    def put(found: re.Match[str]) -> str:
        value = known[found[1] or found[2]]
        if isinstance(value, str):
            return value.replace("\\", "\\\\").replace('"', '\\"')
        return f"({'|'.join(re.escape(one).replace(chr(92), chr(92) * 2) for one in value)})"

    return VARIABLE.sub(put, expr)


def names_in(expr: str) -> set[str]:
    """The metrics that a query names."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', VARIABLE.sub("1h", expr))
    bare = re.sub(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}", lambda inside: "{}" if inside else "", bare)
    bare = re.sub(r"\[[^\]]*\]|\boffset \w+", " ", bare)
    words = set(re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])", bare))
    return words - {"and", "or", "unless", "bool", "by", "on", "inf"}
