"""Every panel has data: each query of each dashboard, asked of a real Prometheus 3 as Grafana would ask it.

Twice: of days of a small fleet (see `history` and `backfill`), where nothing at all may be empty, and of what the demo recorded, where all
has to be shown that the demo told.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from tests.backends import backfill, history
from tests.backends.grafana import BOARDS, GRAFANA, SOURCE, Question, filled, names_in, pace, questions, span, variables
from tests.backends.programs import program
from tests.backends.promtool import RULES
from tests.backends.server import Prometheus, prometheus

from mlobs.otel import machine, names

Values = dict[str, str | list[str]]
LATE = {"storage": {"tsdb": {"out_of_order_time_window": "10d"}}}
QUARTER = 900.0  # seconds: what is shown of the demo, whose minute seven days would hide
FEATURES = 3  # of a page's features that are looked at: more are more of the same


class Filled(NamedTuple):
    """A Prometheus and the time at which its data ends."""

    server: Prometheus
    now: float


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Days of a fleet."""
    options = ("--enable-feature=exemplar-storage",)
    with prometheus(tmp_path_factory.mktemp("fleet"), *options, config=LATE) as server:
        at = backfill.tell(server, time.time())
        yield Filled(server, float(at[-1]))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """What forty seconds of the demo recorded."""
    folder = tmp_path_factory.mktemp("demo")
    promtool = program("promtool")
    command = [sys.executable, "-m", "mlobs", "demo", "--headless", "--json", "--seconds", "40"]
    run = subprocess.run([*command, "--record", str(folder / "demo")], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    ended = time.time()
    make = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(folder / "demo"), str(folder / "data")]
    made = subprocess.run(make, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    with prometheus(folder) as server:
        yield Filled(server, ended)


def options(data: Filled, variable: Mapping[str, Any], values: Values, length: float) -> list[str]:
    """What a variable can be, as Prometheus says."""
    found = SOURCE.fullmatch(variable["query"]["query"])
    assert found, variable
    selector = filled(found["query"], values, length, 0)
    told = backfill.asked(
        data.server, "series", **{"match[]": selector, "start": repr(data.now - length), "end": repr(data.now)}
    )
    return sorted({one[found["label"]] for one in told if found["label"] in one})


def choices(data: Filled, board: Mapping[str, Any], values: Values, rest: list[dict[str, Any]]) -> Iterator[Values]:
    """Every choice of the variables that have one value; All of those that can have several."""
    if not rest:
        yield values
        return
    variable, length = rest[0], span(board)
    if variable["type"] == "textbox":
        found: list[str | list[str]] = [variable["query"]]
    elif variable["type"] == "custom":
        found = list(variable["query"].split(","))
    else:
        asked = options(data, variable, values, length)
        found = [asked] if variable["multi"] else list(asked[:FEATURES] if variable["name"] == "feature" else asked)
        found = [variable["allValue"]] if variable["multi"] and asked else found
    for value in found or [""]:  # as Grafana has it where nothing is found
        yield from choices(data, board, {**values, variable["name"]: value}, rest[1:])


def answer(data: Filled, question: Question, values: Values, length: float) -> list[dict[str, Any]]:
    """What Prometheus says, of numbers only; fails where it refuses the question."""
    expr = filled(question.expr, values, length, question.step)
    try:
        if question.instant:
            found = backfill.asked(data.server, "query", query=expr, time=repr(data.now))["result"]
            return [one for one in found if not math.isnan(float(one["value"][1]))]
        step, _ = pace(length, question.step or 60)
        found = backfill.ranged(data.server, expr, data.now - length, data.now, step)
    except urllib.error.HTTPError as error:
        pytest.fail(f"{question.where}: {error.read().decode()}\n{expr}")
    return [one for one in found if not all(math.isnan(float(value)) for _, value in one["values"])]


def key(question: Question, values: Values) -> str:
    """What has to have data: a query, and where it is of a window, of each window."""
    return question.where + (f" {values['window']}" if "window" in values and "window}" in question.expr else "")


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_is_empty(fleet: Filled, name: str) -> None:
    """Each variable has values, and each query some data, with the model that is shown first unless its section is folded."""
    board = BOARDS[name]
    asked, chosen = questions(board), list(choices(fleet, board, {}, variables(board)))
    assert all(chosen[0].values()), chosen[0]
    assert asked
    empty: dict[str, str] = {}
    answered: set[str] = set()
    first = chosen[0].get("model")
    for values in chosen:
        for question in asked:
            of_all = key(question, values)
            if of_all in answered or (values.get("model") != first and not question.folded):
                continue
            if answer(fleet, question, values, span(board)):
                answered.add(of_all)
                empty.pop(of_all, None)
            else:
                empty[of_all] = filled(question.expr, values, span(board), question.step)
    assert empty == {}


@pytest.mark.parametrize("name", BOARDS)
def test_no_query_fails_for_any_choice(fleet: Filled, name: str) -> None:
    """Whatever is chosen, Prometheus takes every query: no match finds two partners, no selector is broken."""
    board = BOARDS[name]
    for values in choices(fleet, board, {}, variables(board)):
        for question in questions(board):
            answer(fleet, question._replace(instant=True), values, span(board))


@pytest.mark.parametrize("name", BOARDS)
def test_what_the_demo_tells_is_shown(demo: Filled, name: str) -> None:
    """A query whose metrics are all told by the demo itself, and that asks no rule, gives data."""
    there = set(_metrics(demo))
    assert {"mlobs_prediction_duration_seconds_bucket", "mlobs_business_value_total", "mlobs_sdk_series"} <= there
    board = BOARDS[name]
    known = [one for one in variables(board) if not (one["type"] == "query" and ":" in one["query"]["query"])]
    ruled = {one["name"]: "accuracy" for one in variables(board) if one not in known}
    chosen = [{**values, **ruled} for values in choices(demo, board, {}, known)]
    assert all(chosen[0].values()), chosen[0]
    empty = []
    for question in questions(board):
        used = names_in(question.expr)
        if used <= there and not any(answer(demo, question, values, QUARTER) for values in chosen):
            empty.append((question.where, question.expr))
    assert empty == []


def _metrics(data: Filled) -> list[str]:
    found = backfill.asked(data.server, "query", query='group by (__name__) ({__name__=~".+"})', time=repr(data.now))
    return [one["metric"]["__name__"] for one in found["result"]]


def test_the_names_are_those_of_prometheus(fleet: Filled) -> None:
    """What Prometheus' own receiver calls each metric of the contract is what rules and dashboards call it."""
    sys.path.append(str(RULES))
    from vocabulary import prometheus as called

    there = set(_metrics(fleet))
    for one in (*names.INSTRUMENTS, *machine.INSTRUMENTS):
        assert called(one) + ("_count" if one.kind == "histogram" else "") in there, one.name


def test_an_exemplar_leads_to_its_trace(fleet: Filled) -> None:
    """Where a panel asks for exemplars there are some, with the label that the data source opens traces by."""
    source = yaml.safe_load(next((GRAFANA / "provisioning" / "datasources").glob("*.y*ml")).read_text("utf-8"))
    metrics, traces = source["datasources"]
    [destination] = metrics["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["datasourceUid"] == traces["uid"]
    shown = 0
    for board in BOARDS.values():
        [values, *_] = choices(fleet, board, {}, variables(board))
        for question in questions(board):
            if question.exemplar:
                expr = filled(question.expr, values, span(board), question.step)
                begin, end = repr(fleet.now - 3600), repr(fleet.now)
                found = backfill.asked(fleet.server, "query_exemplars", query=expr, start=begin, end=end)
                assert found, question.where
                assert all(destination["name"] in one["labels"] for series in found for one in series["exemplars"])
                shown += 1
    assert shown


# ── nothing false ───────────────────────────────────────────────────────────────────────────────────────────────────


def told(data: Filled, board: str, where: str, **chosen: str) -> list[dict[str, Any]]:
    """What a panel's query says, for the first choice that has these values."""
    for values in choices(data, BOARDS[board], {}, variables(BOARDS[board])):
        if chosen.items() <= {name: value for name, value in values.items() if isinstance(value, str)}.items():
            [question] = [one for one in questions(BOARDS[board]) if one.where.partition(" ")[2] == where]
            return answer(data, question, values, span(BOARDS[board]))
    raise AssertionError(chosen)


def number(one: Mapping[str, Any]) -> float:
    return float(one["value"][1])


@pytest.mark.parametrize("which", ["A", "B"])
def test_shares_of_a_feature_are_one(fleet: Filled, which: str) -> None:
    """Live and reference bars sum to one, each has its label, and the drifted feature's bars part."""
    found = told(fleet, "mlobs-data", f"$feature: live beside reference {which}", feature="income", window="1h")
    assert sum(map(number, found)) == pytest.approx(1)
    assert [one["metric"]["label"] for one in sorted(found, key=lambda one: one["metric"]["bin"])] == [
        f"≤ {index}" for index in range(len(found))
    ]
    lowest = min(found, key=lambda one: one["metric"]["bin"])
    assert number(lowest) == pytest.approx({"A": 0.05, "B": 0.3}[which], abs=0.01)


def test_what_was_earned_adds_up(fleet: Filled) -> None:
    """The columns of the money table: net is gains less losses less cost, a thousand's is a thousand times one's."""
    title = "What each version earned in the time shown"
    columns = [
        {one["metric"]["model_version"]: number(one) for one in told(fleet, "mlobs-outcomes", f"{title} {ref}")}
        for ref in "ABCDEF"
    ]
    gains, losses, cost, net, of_thousand, cost_of_thousand = columns
    assert set(net) == {"1", "2"}
    for version, value in net.items():
        assert value == pytest.approx(gains[version] - losses[version] - cost[version])
        assert value > 0
        assert of_thousand[version] / cost_of_thousand[version] == pytest.approx(value / cost[version])


def test_what_was_dropped_once_is_told(fleet: Filled) -> None:
    """A reason that came with its whole count, as a burst's does, is in the sum of the time shown, and of no later one."""
    where = "Dropped in the time shown A"
    [question] = [one for one in questions(BOARDS["mlobs-telemetry"]) if one.where.partition(" ")[2] == where]
    only: Values = {"job": history.JOB, "instance": "burst"}
    at = fleet.now + np.arange(-3600.0, 1.0, 60.0)
    once = history.Series(names.SDK_DROPPED, {names.REASON: "ring_full"}, np.full(len(at), 70_000.0))
    backfill.export(fleet.server, "burst", [once], at)
    assert [number(one) for one in answer(fleet, question, only, 2 * 3600)] == [70_000]
    assert [number(one) for one in answer(fleet, question, only, 1800)] == [0]


def test_two_references_are_no_error(fleet: Filled) -> None:
    """Where a process tells another reference, a bin is called what most call it, and no panel fails."""
    of = {
        names.MODEL_NAME: "credit", names.MODEL_VERSION: "1", names.MODEL_VARIANT: names.CHAMPION,
        names.ROLE: names.ROLE_INPUT, names.FEATURE: "income", names.BIN: "00",
    }  # fmt: skip
    strange = history.Series(names.FEATURE_BIN_INFO, {**of, names.LABEL: "≤ 17"}, np.ones(1))
    backfill.export(fleet.server, "third", [strange], np.array([fleet.now]))
    for board, where in (
        ("mlobs-data", "$feature: live beside reference A"),
        ("mlobs-data", "$feature: live beside reference B"),
        ("mlobs-data", "$feature: shares over time A"),
    ):
        found = told(fleet, board, where, model="credit", version="1", role="input", feature="income", window="1h")
        assert {one["metric"]["label"] for one in found} == {f"≤ {index}" for index in range(5)}


def test_what_fails_is_a_share(fleet: Filled) -> None:
    """The share of failed calls of each version is what was made to fail."""
    found = told(fleet, "mlobs-model", "Failed calls by version A")
    mean = {one["metric"]["model_version"]: fmean(float(value) for _, value in one["values"]) for one in found}
    made = {one.version: one.failing for one in history.FLEET if one.model == "credit"}
    assert mean == pytest.approx(made, rel=0.2)


def test_nobody_is_told_that_all_is_well_without_rules(tmp_path: Path) -> None:
    """Of a Prometheus that evaluates no rules, the number of firing alerts is no number at all, not zero."""
    with prometheus(tmp_path) as server:
        data = Filled(server, time.time())
        asked = [one for one in questions(BOARDS["mlobs-fleet"]) if "Firing alerts" in one.where and one.instant]
        assert asked
        assert [answer(data, one, {"model": ".+"}, 3600) for one in asked] == [[]] * len(asked)
