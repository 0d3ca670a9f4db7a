"""What the demo recorded opens in a real Prometheus, by the very commands that it tells, and says what the demo said."""

from __future__ import annotations

import http.client
import json
import shlex
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from tests.backends.collector import free_ports, poll
from tests.backends.programs import program

from mlobs.demo.keeping import ADDRESS, Keeping


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], float]:
    """The file of a short run, what the run said, and when it ended."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    file = tmp_path_factory.mktemp("recorded") / "the demo's"
    command = [sys.executable, "-m", "mlobs", "demo", "--json", "--headless", "--seconds", "8", "--record", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    return file, json.loads(run.stdout), time.time()


@pytest.fixture(scope="module", params=["debian", "3"])
def opened(recorded: tuple[Path, dict[str, Any], float], request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Prometheus that was started as the demo says, on a port of its own."""
    file = recorded[0]
    found = {
        name: shutil.which(name) if request.param == "debian" else program(name) for name in ("prometheus", "promtool")
    }
    if found["prometheus"] is None:
        pytest.skip("prometheus is not installed")
    [port] = free_ports(1)
    folder = f"{file}.{request.param}"
    make, start, look = (
        text.replace(ADDRESS, f"127.0.0.1:{port}").replace(shlex.quote(f"{file}.tsdb"), shlex.quote(folder))
        for text in Keeping(file).commands()
    )
    name, *arguments = shlex.split(make)
    made = subprocess.run([str(found[name]), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stderr
    name, *arguments = shlex.split(start)
    server = subprocess.Popen([str(found[name]), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready() -> bool:
        assert server.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    try:
        assert poll(ready)
        assert shown(look)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def shown(address: str) -> bool:
    """Whether there is a page, or where one has moved to (Prometheus 3 has) with all that the address asks."""
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    connection.close()
    moved = answer.getheader("Location") in {f"/query?{parts.query}", f"/graph/?{parts.query}"}
    return moved or answer.status == HTTPStatus.OK


def asked(url: str, expr: str, at: float) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expr, "time": at})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def number(url: str, expr: str, at: float) -> float:
    [one] = asked(url, expr, at)
    return float(one["value"][1])


def test_it_says_what_the_demo_said(opened: str, recorded: tuple[Path, dict[str, Any], float]) -> None:
    """Calls, errors, truths, money and values of a feature are the numbers of the demo's own summary, to the last one."""
    _, told, at = recorded
    calls = "mlobs_prediction_duration_seconds_count"
    assert number(opened, f"sum({calls})", at) == told["predictions_counted"]
    assert number(opened, f'sum({calls}{{error_type!=""}})', at) == told["errors_counted"]
    assert number(opened, f"count(count by (instance) ({calls}))", at) == told["workers"]
    assert number(opened, "sum(mlobs_outcome_joined_total)", at) == told["outcomes_joined"]
    gains, losses = (
        number(opened, f'sum(mlobs_business_value_total{{direction="{side}"}})', at) for side in ("gain", "loss")
    )
    assert gains - losses == pytest.approx(told["business_value"])
    both = sum(told[season]["temp"]["count"] for season in ("features", "features_winter"))
    assert number(opened, 'sum(mlobs_feature_observations_total{feature="temp"})', at) == both


def test_nothing_counted_is_before_its_first_sample(opened: str, recorded: tuple[Path, dict[str, Any], float]) -> None:
    """Each sum's first sample is its zero, so that an increase over the whole run misses nothing."""
    at = recorded[2]
    sums = '{__name__=~"mlobs_.*_(total|count)", job="flight-delay"}'
    found = asked(opened, f"{sums}[10m]", at)
    assert len(found) > 500
    assert {float(one["values"][0][1]) for one in found} == {0.0}


def test_series_know_their_process(opened: str, recorded: tuple[Path, dict[str, Any], float]) -> None:
    """Each process has its target_info, with job and instance like all its series."""
    at = recorded[2]
    joined = "mlobs_prediction_rows_total * on (job, instance) group_left (service_name) target_info"
    found = asked(opened, f"count by (instance) ({joined})", at)
    assert len(found) == recorded[1]["workers"]
