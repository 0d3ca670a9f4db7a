"""The doctor and the estimate against a real Prometheus 3 with the shipped rules: well, and then each thing broken."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.backends import server
from tests.backends.collector import collector, free_ports, poll
from tests.backends.promtool import RULES
from tests.cli import observed
from tests.sink import running

import mlobs
from mlobs.doctor.estimate import _times, _weights
from mlobs.doctor.prometheus import Prometheus
from mlobs.doctor.recorded import record
from mlobs.doctor.rulefile import groups
from mlobs.doctor.series import Fleet, name_of, process, shapes

OFTEN = {"global": {"evaluation_interval": "1s"}}
ROOT = Path(__file__).parents[2]
WORKING = ("environment", "installation", "exporter", "prometheus", "canary", "rules", "dashboards", "cardinality")
FLEET = Fleet(replicas=2, task="binary", priced=True)


class World:
    """Where things are: the fast copy of the rules, the reference, a dashboard, and two processes that predict."""

    def __init__(self, folder: Path, alive: server.Prometheus) -> None:
        self.folder = folder
        self.alive = alive
        self.rules = folder / "rules"
        self.reference = folder / "ref.json"
        self.board = folder / "board.json"
        self.processes: list[subprocess.Popen[str]] = []

    def tell(self, what: str) -> None:
        """Every process does it, and has delivered what it counted."""
        for one in self.processes:
            assert one.stdin is not None
            one.stdin.write(f"{what}\n")
            one.stdin.flush()
        for one in self.processes:
            assert one.stdout is not None
            assert one.stdout.readline().strip() == "True"


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MLOBS_"))}
    return {**kept, "OTEL_SERVICE_NAME": "churn", "OTEL_TRACES_EXPORTER": "none", **variables}


def otlp(url: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{url}/api/v1/otlp/v1/metrics"}


def hurried(folder: Path) -> None:
    """The shipped rules, evaluated every second over seconds: what they record does not depend on how often."""
    folder.mkdir()
    for file in RULES.glob("mlobs-*.yml"):
        text = re.sub(r"interval: \w+", "interval: 1s", file.read_text("utf-8"))
        (folder / file.name).write_text(text.replace("[5m] offset 1m", "[10s]"), encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A Prometheus that takes OTLP and has the rules, and two processes that have told it everything."""
    folder = tmp_path_factory.mktemp("live")
    hurried(folder / "rules")
    with server.prometheus(folder / "alive", rules=[folder / "rules" / "*.yml"], config=OFTEN) as alive:
        found = World(folder, alive)
        observed.reference().save(found.reference)
        panels = [
            {"title": "rows", "targets": [{"expr": 'sum(mlobs_prediction_rows_total{model_name=~"$model"})'}]},
            {"title": "PSI", "targets": [{"expr": 'mlobs:feature_psi:1h{feature="$feature"}'}]},
        ]
        variables = [{"name": name, "type": "query"} for name in ("model", "feature")]
        board = {"title": "Model", "templating": {"list": variables}, "panels": panels}
        found.board.write_text(json.dumps(board), encoding="utf-8")
        variables_ = environment(**otlp(alive.url), MLOBS_TICKET_KEYS="5b" * 32)
        for _ in range(FLEET.replicas):
            found.processes.append(
                subprocess.Popen(
                    [sys.executable, str(Path(observed.__file__)), str(found.reference)],
                    env=variables_,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        try:
            for what in ("calm", "messy", "truths"):
                found.tell(what)
            yield found
        finally:
            for one in found.processes:
                one.communicate(timeout=60)


def doctor(*arguments: str, **variables: str) -> tuple[int, dict[str, list[dict[str, str]]], str]:
    """Status, findings by step, and all that was printed."""
    command = [sys.executable, "-m", "mlobs", "doctor", "--json", *arguments]
    done = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    steps: dict[str, list[dict[str, str]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        steps.setdefault(one["step"], []).append(one)
    return done.returncode, steps, done.stdout


def marks(steps: dict[str, list[dict[str, str]]]) -> dict[str, set[str]]:
    return {step: {one["mark"] for one in found} for step, found in steps.items()}


def estimated(world: World, *, recorded: bool) -> Counter[str]:
    """Series by metric: what the processes tell, or what the rules record."""
    counted = shapes(mlobs.Profile.load(world.reference))
    told = list(process(counted, FLEET))
    found: Counter[str] = Counter()
    if not recorded:
        for one in told:
            found[one.name] += one.total * FLEET.replicas
        return found
    weights = _weights(FLEET, {name_of(shape): times for shape, times in counted.items()})
    for rule in record(told, groups([world.rules])):
        found[rule.name] += sum(_times(labels, weights) for labels in rule.series)
    return +found


def there(world: World, pattern: str) -> Counter[str]:
    """Series by metric in the real Prometheus."""
    found = Prometheus(world.alive.url).query(f'count by (__name__) ({{__name__=~"{pattern}"}})')
    return Counter({one["metric"]["__name__"]: int(one["value"][1]) for one in found})


def test_the_rules_record_what_is_estimated(world: World) -> None:
    """Of every rule as many series are in Prometheus as the estimate says, and of each metric of the model as many, too."""
    wanted = estimated(world, recorded=True)
    seen: Counter[str] = Counter()

    def settled() -> bool:
        world.tell("calm")
        world.tell("truths")
        seen.clear()
        seen.update(there(world, "mlobs:.+"))
        return seen == wanted

    poll(settled, 30)
    assert {name: (seen[name], wanted[name]) for name in seen | wanted if seen[name] != wanted[name]} == {}
    raw = there(world, "mlobs_(prediction|feature|schema|drift|quality|business|model)_.+")
    expected = estimated(world, recorded=False)
    expected["mlobs_prediction_cpu_pool_time_seconds_total"] = raw["mlobs_prediction_cpu_pool_time_seconds_total"]
    assert {name: (count, expected[name]) for name, count in raw.items() if count != expected[name]} == {}


def test_all_is_well(world: World) -> None:
    """Every step that was asked for works, the estimate is told beside what there is, and the status is 0."""
    status, steps, out = doctor(
        *("--prometheus", world.alive.url, "--rules", str(world.rules), "--dashboards", str(world.board)),
        *("--reference", str(world.reference)),
        **otlp(world.alive.url),
    )
    assert marks(steps) == {
        **{step: {"ok"} for step in WORKING},
        "traces": {"skipped"},
        "collector": {"skipped"},
    }, out
    assert status == 0
    assert "job churn" in steps["canary"][0]["said"]
    assert "2 of 2 queries" in steps["dashboards"][0]["said"]
    total = int(re.sub(",", "", re.match(r"[\d,]+", steps["cardinality"][0]["said"])[0]))  # type: ignore[index]
    assert total >= sum(there(world, "mlobs[_:].+").values())
    assert "2 processes" in steps["cardinality"][0]["said"]


def test_through_a_collector(world: World, tmp_path: Path) -> None:
    """By way of the shipped Collector, deltas too, the canary arrives, and the Collector's health is told."""
    with collector("local", folder=tmp_path / "collector", OTELCOL_PROMETHEUS=f"{world.alive.url}/api/v1/otlp") as one:
        status, steps, out = doctor(
            *("--prometheus", world.alive.url, "--rules", str(world.rules), "--dashboards", str(world.board)),
            *("--collector-health", f"http://{one.address('HEALTH')}"),
            OTEL_EXPORTER_OTLP_ENDPOINT=one.endpoint,
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
            OTEL_TRACES_EXPORTER="otlp",
        )
    assert status == 0, out
    assert marks(steps) == {step: {"ok"} for step in (*WORKING, "traces", "collector")}


def test_more_series_than_the_limit(world: World) -> None:
    """Above the limit the cardinality fails, and says which metrics have most."""
    status, steps, _ = doctor(
        *(
            "--prometheus",
            world.alive.url,
            "--rules",
            str(world.rules),
            "--dashboards",
            str(world.board),
            "--limit",
            "100",
        ),
        **otlp(world.alive.url),
    )
    assert status == 1
    assert {step for step, found in marks(steps).items() if "fail" in found} == {"cardinality"}
    assert "mlobs_outcome_score_total" in steps["cardinality"][0]["said"]


def test_rules_of_another_version(world: World) -> None:
    """Rules that say something else than the shipped ones are told as such, and are no failure."""
    status, steps, _ = doctor(
        "--prometheus", world.alive.url, "--dashboards", str(world.board), **otlp(world.alive.url)
    )
    assert status == 0
    assert marks(steps)["rules"] == {"warn"}
    assert "mlobs:feature_observations:increase5m" in steps["rules"][0]["said"]


def test_deltas_to_prometheus(world: World) -> None:
    """A real Prometheus takes no deltas, and the canary finds out."""
    variables = {**otlp(world.alive.url), "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
    status, steps, _ = doctor("--prometheus", world.alive.url, "--rules", str(world.rules), **variables)
    assert status == 1
    assert marks(steps)["exporter"] == {"fail"}
    assert "takes no deltas" in steps["exporter"][0]["cure"]
    assert marks(steps)["canary"] == {"skipped"}


def test_a_prometheus_without_otlp_and_rules(world: World) -> None:
    """One that was started without its receiver and without rules fails in both, each with its own cure."""
    with server.prometheus(world.folder / "bare", otlp=False) as bare:
        status, steps, _ = doctor("--prometheus", bare.url, "--dashboards", str(world.board), **otlp(bare.url))
        assert status == 1
        assert "--web.enable-otlp-receiver" in steps["exporter"][0]["cure"]
        assert marks(steps)["rules"] == {"fail"}
        assert "rule_files" in steps["rules"][0]["cure"]
        assert marks(steps)["prometheus"] == {"ok"}
        assert marks(steps)["dashboards"] == {"fail"}
        assert marks(steps)["cardinality"] == {"skipped"}
        status, steps, _ = doctor("--prometheus", bare.url, "--timeout", "1", **otlp(world.alive.url))
        assert status == 1
        assert marks(steps)["exporter"] == {"ok"}
        assert marks(steps)["canary"] == {"fail"}
        assert "send to this Prometheus" in steps["canary"][0]["cure"]


def test_a_wrong_port(world: World) -> None:
    """Where nothing listens the exporter fails, and the rest is examined all the same."""
    [port] = free_ports(1)
    arguments = ("--prometheus", world.alive.url, "--rules", str(world.rules), "--dashboards", str(world.board))
    status, steps, _ = doctor(*arguments, **otlp(f"http://127.0.0.1:{port}"))
    assert status == 1
    assert {step for step, found in marks(steps).items() if "fail" in found} == {"exporter"}
    assert "nothing listens" in steps["exporter"][0]["said"]
    assert marks(steps)["rules"] == marks(steps)["dashboards"] == {"ok"}


def test_a_dead_endpoint() -> None:
    """One that takes the connection and says nothing is given up after its timeout."""
    with socket.create_server(("127.0.0.1", 0)) as dead:
        url = f"http://127.0.0.1:{dead.getsockname()[1]}"
        status, steps, _ = doctor(**otlp(url), OTEL_EXPORTER_OTLP_TIMEOUT="0.5")
    assert status == 1
    assert "says nothing" in steps["exporter"][0]["said"]


def test_no_credentials() -> None:
    """A receiver that answers 401 is told with the variable that holds the credentials."""
    with running() as sink:
        sink.status = 401
        status, steps, _ = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert status == 1
    assert "401" in steps["exporter"][0]["said"]
    assert "OTEL_EXPORTER_OTLP_HEADERS" in steps["exporter"][0]["cure"]


def test_prometheus_is_down(world: World, tmp_path: Path) -> None:
    """When Prometheus has ended, that is what fails, and what it would be asked is not tried."""
    with server.prometheus(tmp_path / "ended") as one:
        url = one.url
    status, steps, _ = doctor("--prometheus", url, "--dashboards", str(world.board), **otlp(world.alive.url))
    assert status == 1
    assert {step for step, found in marks(steps).items() if "fail" in found} == {"prometheus"}
    assert "Start it" in steps["prometheus"][0]["cure"]
    skipped: Any = [marks(steps)[step] for step in ("canary", "rules", "dashboards", "cardinality")]
    assert skipped == [{"skipped"}] * 4
