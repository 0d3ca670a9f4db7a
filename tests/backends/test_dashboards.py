"""The dashboards of grafana/: what is committed is written by their script, keeps the linter's rules, and asks for what exists."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.backends.programs import program
from tests.backends.promtool import RULES, promtool

from mlobs.otel import machine, names

GRAFANA = RULES.parent / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
BOARDS = {file.stem: json.loads(file.read_text("utf-8")) for file in FILES}
VALUES = {"__rate_interval": "1m", "datasource": "p", "tempo": "t"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board: dict[str, Any]) -> list[str]:
    found = [target["expr"] for panel in panels(board) for target in panel["targets"] if "expr" in target]
    return found + [one["expr"] for one in board.get("annotations", {}).get("list", ())]


def filled(query: str) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda match: VALUES.get(match[1], ".+"), query)


def test_the_files_are_up_to_date() -> None:
    """What is committed is what the script writes."""
    done = subprocess.run(
        [sys.executable, str(GRAFANA / "make_dashboards.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(BOARDS) == 9


@pytest.mark.parametrize("name", BOARDS)
def test_the_rules_of_the_linter(name: str) -> None:
    """Data sources are variables, each panel has a title, a description and a unit, and rates fit the scrape interval."""
    board = BOARDS[name]
    assert board["uid"] == name
    variables = {one["name"] for one in board["templating"]["list"]}
    assert board["templating"]["list"][0]["type"] == "datasource"
    assert [link for link in board["links"] if link["includeVars"] and link["keepTime"]]
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith((".", "?"))
        assert panel["datasource"]["uid"] in ("${datasource}", "${tempo}")
        if panel["datasource"]["type"] == "prometheus":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    for query in queries(board):
        assert {one for one in re.findall(r"\$\{?(\w+)\}?", query) if not one.startswith("__")} <= variables, query
        assert not re.findall(r"\brate\([^\[]*\[(?!\$__rate_interval)", query), query
        assert "rate(" not in query or re.search(r"\b(sum|max|min|count)\b", query), query


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_side_by_side(name: str) -> None:
    """No panel hides another, or has the number of another."""
    placed = [(one["gridPos"], one["title"]) for one in BOARDS[name]["panels"]]
    for (a, first), (b, second) in itertools.combinations(placed, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (first, second)
    assert all(one["x"] + one["w"] <= 24 for one, _ in placed)


def test_nothing_is_asked_for_that_nobody_tells(tmp_path: Path) -> None:
    """Each metric is of the telemetry contract or recorded by a rule, and promtool takes every query."""
    sys.path.insert(0, str(RULES))
    from vocabulary import prometheus

    contract = {*names.INSTRUMENTS, *(one for one in vars(machine).values() if isinstance(one, names.Instrument))}
    known = {"ALERTS"}
    for one in contract:
        parts = ("_bucket", "_count", "_sum") if one.kind == "histogram" else ("",)
        known |= {prometheus(one) + part for part in parts}
    for file in RULES.glob("*.rules.yml"):
        groups = yaml.safe_load(file.read_text("utf-8"))["groups"]
        known |= {rule["record"] for group in groups for rule in group["rules"]}
    asked = {query for board in BOARDS.values() for query in queries(board)}
    for query in asked:
        used = set(
            re.findall(
                r"\b(?:mlobs[_:]|process_|container_|hw_|cpython_|ALERTS)[a-zA-Z0-9_:]*",
                re.sub(r'"[^"]*"', '""', query),
            )
        )
        used -= {"hw_id", "hw_gpu_task"}
        assert used <= known, used - known
    rules = {
        "groups": [{"name": "q", "rules": [{"record": f"q:{i}", "expr": filled(one)} for i, one in enumerate(asked)]}]
    }
    file = tmp_path / "queries.json"
    file.write_text(json.dumps(rules), encoding="utf-8")
    promtool("check", "rules", "--lint=none", str(file))


def test_the_mixin_has_all_of_it() -> None:
    """As jsonnet evaluates it: nine dashboards, and every rule and alert of prometheus/."""
    done = subprocess.run([program("jsonnet"), str(GRAFANA / "mixin.libsonnet")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hidden = "local m = import 'mixin.libsonnet'; [std.objectFields(m.grafanaDashboards), m.prometheusRules.groups, m.prometheusAlerts.groups]"
    command = [program("jsonnet"), "-J", str(GRAFANA), "-e", hidden]
    boards, rules, alerts = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert {one.removesuffix(".json") for one in boards} == set(BOARDS)
    for groups, pattern in ((rules, "*.rules.yml"), (alerts, "*.alerts.yml")):
        shipped = [
            group for file in sorted(RULES.glob(pattern)) for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        ]
        assert {group["name"] for group in groups} == {group["name"] for group in shipped}
