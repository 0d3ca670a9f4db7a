"""The dashboards of grafana/: written by their script, as Grafana's linter wants them, and asking for what exists."""

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
from tests.backends.deployment import compose, mounts
from tests.backends.grafana import BOARDS, GRAFANA, SOURCE, VARIABLE, filled, names_in, panels, questions, variables
from tests.backends.programs import program
from tests.backends.promtool import RULES, promtool

from mlobs.otel import machine, names

ROOT = RULES.parent
UNITS = {"none", "short", "percentunit", "s", "dtdurations", "reqps", "cps", "bytes", "Bps", "celsius", "watt"}
OTHERS = {"ALERTS"}
EVERYTHING = [(name, panel) for name, board in BOARDS.items() for panel, _ in panels(board)]
LINK = re.compile(r"/d/([\w-]+)\?(\S+)")


def known() -> set[str]:
    """What can be asked for: the contract, what rules record, what the Collector counts of spans, and alerts."""
    sys.path.append(str(RULES))
    from vocabulary import prometheus

    found = set(OTHERS)
    for one in (*names.INSTRUMENTS, *machine.INSTRUMENTS):
        parts = ("_bucket", "_count", "_sum") if one.kind == "histogram" else ("",)
        found |= {prometheus(one) + part for part in parts}
    for file in RULES.glob("*.rules.yml"):
        groups = yaml.safe_load(file.read_text("utf-8"))["groups"]
        found |= {rule["record"] for group in groups for rule in group["rules"]}
    gateway = yaml.safe_load((ROOT / "collector-config" / "gateway.yaml").read_text("utf-8"))
    spans = gateway["connectors"]["span_metrics"]
    space = spans["namespace"].replace(".", "_")
    assert spans["histogram"]["unit"] == "s"
    return found | {f"{space}_calls_total", f"{space}_duration_seconds_bucket"}


def queries() -> list[tuple[str, str]]:
    """Every PromQL of panels, annotations and variables, and whose it is."""
    found = []
    for name, board in BOARDS.items():
        found += [(f"{name}: {one.where}", one.expr) for one in questions(board)]
        asked = [(one["name"], one["query"]["query"]) for one in variables(board) if one["type"] == "query"]
        for variable, query in asked:
            source = SOURCE.fullmatch(query)
            assert source, query
            found.append((f"{name}: {variable}", source["query"]))
    return found


def test_the_files_are_up_to_date() -> None:
    """What is committed is what the script writes, and nothing else lies there."""
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk needs Python 3.11 or later")
    command = [sys.executable, str(GRAFANA / "make_dashboards.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {board["uid"] for board in BOARDS.values()} == set(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS) == 9


# ── the rules of Grafana's dashboard linter ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", BOARDS)
def test_data_sources_are_variables(name: str) -> None:
    """Data sources are variables with the linter's names and labels; all else asks through them; nobody edits by hand."""
    board = BOARDS[name]
    sources = {one["name"]: one for one in board["templating"]["list"] if one["type"] == "datasource"}
    for called, one in sources.items():
        assert called == f"{one['query']}_datasource"
        assert one["label"] == f"{one['query'].title()} data source"
    allowed = {f"${{{called}}}": one["query"] for called, one in sources.items()}
    asking = [panel for panel, _ in panels(board)]
    asking += [target for panel in asking for target in panel["targets"]]
    asking += [one for one in variables(board) if one["type"] == "query"] + board["annotations"]["list"]
    assert [one for one in asking if allowed.get(one["datasource"]["uid"]) != one["datasource"]["type"]] == []
    assert board["editable"] is False


@pytest.mark.parametrize("name", BOARDS)
def test_variables_follow_the_time_and_are_used(name: str) -> None:
    """Variables are asked for anew when the time changes, come after those they depend on, and each is used somewhere."""
    board = BOARDS[name]
    ahead: set[str] = set()
    used = {found[1] or found[2] for found in VARIABLE.finditer(json.dumps(board["panels"]))}
    for one in variables(board):
        if one["type"] == "query":
            assert one["refresh"] == 2
            assert {found[1] or found[2] for found in VARIABLE.finditer(one["query"]["query"])} <= ahead
            assert one["multi"] == one["includeAll"]
        ahead.add(one["name"])
        assert one["label"]
    asked = {found[1] or found[2] for _, expr in queries() for found in VARIABLE.finditer(expr)}
    assert ahead <= used | asked
    assert {one for one in used if not one.startswith("__")} <= ahead | {
        "prometheus_datasource",
        "tempo_datasource",
    }


@pytest.mark.parametrize(("name", "panel"), EVERYTHING, ids=[f"{name}-{panel['id']}" for name, panel in EVERYTHING])
def test_a_panel_says_what_it_shows(name: str, panel: dict[str, Any]) -> None:
    """A title, one sentence, a unit that Grafana knows, steps that rise, and queries of the classic kind."""
    assert panel["title"]
    assert re.fullmatch(r"[A-Z0-9]\S*(?: \S+)+\.", panel["description"]), panel["description"]
    assert ". " not in panel["description"]
    assert len(panel["description"]) <= 160
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    overrides = [one for override in panel["fieldConfig"]["overrides"] for one in override["properties"]]
    assert {one["value"] for one in overrides if one["id"] == "unit"} <= UNITS
    steps = [one["value"]["steps"] for one in overrides if one["id"] == "thresholds"]
    steps += [panel["fieldConfig"]["defaults"].get("thresholds", {"steps": [{"value": None}]})["steps"]]
    for some in steps:
        rising = [one["value"] for one in some]
        assert rising[0] is None
        assert rising[1:] == sorted(set(rising[1:]))
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["expr" if panel["datasource"]["type"] == "prometheus" else "query"]
        assert "spec" not in target, "a query of Grafana's second schema, which a classic panel does not read"
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize(("where", "expr"), queries(), ids=[where for where, _ in queries()])
def test_counters_are_taken_by_their_growth(where: str, expr: str) -> None:
    """A counter or bucket stands in rate or increase, a rate is of $__rate_interval, and all are summed or the like."""
    if where.partition(": ")[2] in {"role", "feature"}:
        return  # label_values takes a counter's labels
    # the most that a series had which was not there before is its growth
    expr = re.sub(r"\w+\{[^}]*\} offset \$__range", "before", expr)
    expr = re.sub(r"max_over_time\([^)]*\) unless before", "begun", expr)
    for found in re.finditer(r"\b\w+(?:_total|_bucket|_count)\b(?=\{|\[|\))", expr):
        before = expr[: found.start()]
        if found[0].endswith("_total") or "seconds_" in found[0] or "size_" in found[0]:
            assert re.search(r"\b(rate|increase|count by \(\w+\)) ?\($", before), found[0]
    ranges = re.findall(r"\brate\([^\[]*\[([^\]]*)\]", expr)
    assert set(ranges) <= {"$__rate_interval"}
    for found in re.finditer(r"\b(?:rate|increase)\(", expr):
        assert re.search(r"(sum|max|min|avg)(?: by \([^)]*\))? ?\($", expr[: found.start()].rstrip(" ")), expr


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    """Each query is PromQL once variables have values."""
    values = {"model": "m", "version": "1", "variant": "v", "window": "1h", "role": "input", "feature": "f"}
    values |= {"measure": "auc", "baseline": "1", "baseline_variant": "v", "job": "j", "instance": "i"}
    rules = [
        {"record": f"query:{index}", "expr": filled(expr, values, 21600, 60)}
        for index, (_, expr) in enumerate(queries())
    ]
    file = tmp_path / "queries.json"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in promtool("check", "rules", "--lint=none", str(file))


# ── what exists ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_asked_for_that_nobody_tells() -> None:
    """Each metric that a query names is of the telemetry contract, recorded by a rule, or the Collector's count of spans."""
    there = known()
    asked = {(where, name) for where, expr in queries() for name in names_in(expr)}
    assert len(asked) > 300
    assert sorted(one for one in asked if one[1] not in there) == []


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("sum by (job) (rate(nope_total{a='x'}[5m])) / 2", {"nope_total"}),
        ('a:b:c{x="y_z"} or 0 * max(up)', {"a:b:c", "up"}),
        ("x * on (bin) group_left (label) max by (bin, label) (y offset 1h)", {"x", "y"}),
        ("count(z > bool 0.25) unless on () topk(3, w)", {"z", "w"}),
    ],
)
def test_names_are_found_wherever_they_stand(expr: str, found: set[str]) -> None:
    """The names of metrics are told from functions, labels, values and words of the language."""
    assert names_in(expr) == found


@pytest.mark.parametrize("name", BOARDS)
def test_one_value_is_never_a_pattern(name: str) -> None:
    """A variable of one value, which Grafana does not escape, stands in no regular expression of Prometheus: c++ is a name."""
    single = {one["name"] for one in variables(BOARDS[name]) if not one.get("multi")}
    asked = [(one.where, one.expr) for one in questions(BOARDS[name])]
    asked += [(one["name"], str(one["query"])) for one in variables(BOARDS[name])]
    patterns = [(where, text) for where, expr in asked for text in re.findall(r'[=!]~"([^"]*)"', expr)]
    assert patterns
    for where, text in patterns:
        assert single.isdisjoint(first or second for first, second in VARIABLE.findall(text)), where


def test_traces_are_searched_by_attributes_that_spans_have() -> None:
    """Every span attribute in TraceQL is one of the contract."""
    texts = [target["query"] for _, panel in EVERYTHING for target in panel["targets"] if "query" in target]
    assert texts
    for text in texts:
        bare = re.sub(r"`[^`]*`", "``", text)
        assert '"' not in bare  # between quotes the escapes of a pattern are an error
        attributes = set(re.findall(r"\bspan\.([\w.]+)", bare))
        assert names.MODEL_NAME in attributes
        assert attributes <= set(names.ATTRIBUTES)
        assert bare.count("{") == bare.count("}")


def test_no_model_is_named() -> None:
    """No model, version, feature or job stands in a query: variables do."""
    own = {"model_name": {""}, "role": {"input", "output"}}
    for where, expr in queries():
        for label, value in re.findall(r'\b(model_\w+|feature|role|job|instance)=~?"([^"]*)"', expr):
            assert "$" in value or value in own.get(label, ()), where


# ── how they lie, and lead to each other ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_side_by_side(name: str) -> None:
    """No panel hides another, none is wider than the page, each has a number of its own."""
    board = BOARDS[name]
    groups = [list(board["panels"]), *(row["panels"] for row in board["panels"] if row.get("panels"))]
    for group in groups:
        for first, second in itertools.combinations(group, 2):
            a, b = first["gridPos"], second["gridPos"]
            beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
            below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
            assert beside or below, (first["title"], second["title"])
    numbered = [one["id"] for one in itertools.chain(*groups)]
    assert len(set(numbered)) == len(numbered)
    assert all(one["gridPos"]["x"] + one["gridPos"]["w"] <= 24 for one in itertools.chain(*groups))


@pytest.mark.parametrize("name", BOARDS)
def test_links_keep_what_was_chosen(name: str) -> None:
    """Every page leads to all pages in one order, with its variables and time; a row's link sets variables that are there."""
    board = BOARDS[name]
    in_order = sorted(BOARDS, key=lambda one: BOARDS[one]["title"])
    assert [one["url"] for one in board["links"]] == [f"/d/{uid}" for uid in in_order]
    assert all(one["keepTime"] and one["includeVars"] for one in board["links"])
    own = {one["name"] for one in board["templating"]["list"]}
    assert {"model", "version", "variant"} <= own  # so that none of them is lost on the way over any page
    for uid, query in LINK.findall(json.dumps(board["panels"])):
        theirs = {one["name"] for one in BOARDS[uid]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", query)) <= theirs
        assert set(re.findall(r"\$\{(\w+):queryparam\}", query)) <= own & theirs
        assert "${__url_time_range}" in query


@pytest.mark.parametrize("name", BOARDS)
def test_a_new_version_is_marked(name: str) -> None:
    """Each page marks when a version came that was not there the hour before, and when alerts fired."""
    marks = {one["name"]: one for one in BOARDS[name]["annotations"]["list"]}
    assert set(marks) == {"New model version", "Firing alerts"}
    assert all(one["enable"] and one["expr"] == one["target"]["expr"] for one in marks.values())


# ── how they get into Grafana ───────────────────────────────────────────────────────────────────────────────────────


def test_provisioning_finds_the_dashboards() -> None:
    """The provider's path is where the compose file puts the dashboards; what is provisioned is not edited by hand."""
    [file] = (GRAFANA / "provisioning" / "dashboards").glob("*.y*ml")
    [provider] = yaml.safe_load(file.read_text("utf-8"))["providers"]
    mounted = {target: source for source, target in mounts(compose()["services"]["grafana"])}
    assert mounted[provider["options"]["path"]] == GRAFANA / "dashboards"
    assert mounted["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    assert provider["allowUiUpdates"] is False


def test_the_data_sources_know_each_other() -> None:
    """Exemplars lead to Tempo, traces back to metrics that exist, and a rate spans four exports of mlobs' own interval."""
    [file] = (GRAFANA / "provisioning" / "datasources").glob("*.y*ml")
    metrics, traces = yaml.safe_load(file.read_text("utf-8"))["datasources"]
    assert (metrics["type"], traces["type"]) == ("prometheus", "tempo")
    assert metrics["jsonData"]["exemplarTraceIdDestinations"] == [{"name": "trace_id", "datasourceUid": traces["uid"]}]
    back = traces["jsonData"]["tracesToMetrics"]
    assert back["datasourceUid"] == metrics["uid"]
    assert {tag["key"] for tag in back["tags"]} <= set(names.ATTRIBUTES)
    assert all(tag["value"] == tag["key"].replace(".", "_") for tag in back["tags"])
    for one in back["queries"]:
        assert names_in(one["query"].replace("$$__tags", "")) <= known()
    from mlobs.core.settings import Settings

    assert metrics["jsonData"]["timeInterval"] == f"{Settings.export_interval:.0f}s"


def test_the_mixin_has_all_of_it() -> None:
    """As jsonnet evaluates it: these dashboards, and every rule and alert of prometheus/, unchanged."""
    hidden = (
        "local m = import 'mixin.libsonnet'; [m.grafanaDashboards, m.prometheusRules.groups, m.prometheusAlerts.groups]"
    )
    command = [program("jsonnet"), "-J", str(GRAFANA), "-e", hidden]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    boards, rules, alerts = json.loads(done.stdout)
    assert boards == {f"{name}.json": board for name, board in BOARDS.items()}
    for groups, pattern in ((rules, "*.rules.yml"), (alerts, "*.alerts.yml")):
        files = [yaml.safe_load(file.read_text("utf-8")) for file in sorted(RULES.glob(pattern))]
        assert groups == [group for file in files for group in file["groups"]]
