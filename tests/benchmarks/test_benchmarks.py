"""The benchmarks run and say what they promise to say; how fast is for a person to judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.backends.programs import program

FOLDER = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *options: str) -> str:
    """Run a benchmark with tiny slices; what it printed."""
    return subprocess.run(
        [sys.executable, str(FOLDER / script), "--quick", *options],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


def report(script: str) -> Any:
    """The one JSON object that a benchmark prints."""
    return json.loads(run(script, "--json"))


def test_hot_path_compares_every_container_with_bare_and_by_hand() -> None:
    """Five containers, five figures each; a tail ratio; three crowds."""
    found = report("hot_path.py")
    assert list(found["cases"]) == ["ndarray", "list", "dict", "dataframe", "dataframe_mixed"]
    for case in found["cases"].values():
        assert set(case) == {"bare_us", "mlobs_us", "otel_us", "added_us", "times_cheaper"}
        assert all(isinstance(figure, float) for figure in case.values())
    assert found["p999_ratio_while_exporting"] > 0
    assert set(found["threads"]) == {"1", "8", "64"}
    assert found["tail"]["series"] > 1_000


def test_fold_compares_with_numpy_and_tells_what_is_absent() -> None:
    """Nanoseconds a value for each that ran, and the time from raw rows to verdicts."""
    found = report("fold.py")
    assert set(found["ns_per_value"]) == {"numpy_sum", "mlobs"}  # quick: no peers
    assert found["times"]["numpy_sum"] > 0
    assert found["bins"] == 12
    assert found["verdicts_ms"] > 0
    assert len(found["no_reference_ns_per_value"]) == 4


def test_import_time_tells_milliseconds_and_bytes() -> None:
    """What importing adds, and what one more feature holds."""
    found = report("import_time.py")
    assert set(found["import_ms"]) == {"needed_anyway", "mlobs_adds"}
    assert found["bytes_a_feature"] > 0


def test_server_compares_with_bare_and_with_opentelemetrys_instrumentation() -> None:
    """Requests a second of each, what is kept of the bare service's with its spread, and proof that telemetry left."""
    found = report("server.py")
    kinds = set(found["requests_per_s"])
    assert kinds >= {"bare", "mlobs"}
    assert all(rate > 0 for rate in found["requests_per_s"].values())
    assert set(found["kept"]) == set(found["exports"]) == kinds - {"bare"}
    assert all(kept["low"] <= kept["median"] <= kept["high"] for kept in found["kept"].values())
    assert all(exports > 0 for exports in found["exports"].values())
    assert (found["kept_beside_otel"] is None) == ("both" not in kinds)


def test_a_table_names_the_machine_it_was_measured_on() -> None:
    """Without --json a reader gets tables under one line about interpreter and processor."""
    printed = run("fold.py")
    assert printed.startswith("python ")
    assert "numpy_sum" in printed


def test_outcomes_compare_with_fernet_and_count_every_truth() -> None:
    """Tickets and truths beside Fernet, the hot path three ways, CPU time, and bounded memory."""
    found = report("outcomes.py")
    assert set(found["tickets"]) >= {"ticket_times_fernet", "outcome_times_fernet"}
    assert all(figure > 0 for figure in found["tickets"].values())
    assert set(found["hot_path"]) == {"off_us", "on_us", "taken_us", "on_adds_us"}
    assert found["accounting"]["short_calls_us"] < found["accounting"]["long_calls_us"]
    assert found["million"]["counted"] == found["million"]["truths"]


def test_resources_tell_every_family() -> None:
    """Milliseconds of each family and of a whole collection, beside psutil's."""
    found = report("resources.py")
    assert set(found["ms"]) == {"psutil", "process", "garbage", "container", "gpu", "all"}
    assert all(0 < figures["median"] <= figures["p99"] for figures in found["ms"].values())
    assert set(found["times_psutil"]) == set(found["ms"]) - {"psutil"}


def test_collector_compares_the_chain_with_a_bare_one() -> None:
    """Points a second of both, their ratio, and the processor time that each Collector takes for a point."""
    program("collector")
    found = report("collector.py")
    assert set(found["points_per_s"]) == {"bare", "chain"}
    assert all(rate > 0 for rate in found["points_per_s"].values())
    assert found["times_slower"] > 0
    assert set(found["cpu_us_a_point"]) == {"bare", "agent", "gateway"}
    assert found["points_an_export"] > 1_000


def test_rules_tell_every_group_beside_its_interval() -> None:
    """Each shipped group was evaluated over history, and took a share of the interval that it is shipped with."""
    program("prometheus")
    found = report("rules.py")
    assert {name: one["interval_s"] for name, one in found["groups"].items()} == {
        **dict.fromkeys(("mlobs-drift", "mlobs-drift-alerts", "mlobs-quality", "mlobs-quality-alerts"), 300),
        **dict.fromkeys(("mlobs-serving", "mlobs-serving-alerts"), 30),
    }
    for one in found["groups"].values():
        assert 0 < one["median_s"] <= one["most_s"]
        assert one["share"] == one["most_s"] / one["interval_s"]
    assert found["series"] > found["recorded_series"] > 1_000
    assert found["tiles_a_day"] > 12


def test_integrations_compare_bare_with_hooked() -> None:
    """Microseconds a call of each framework that is here, and why there are none of the others."""
    found = report("integrations.py")
    frameworks = {key.partition(":")[0] for key in found["integrations"]}
    assert "sklearn" in frameworks
    for figures in found["integrations"].values():
        assert set(figures) == {"bare_us", "hooked_adds_us", "hooked_ratio", "judged_adds_us", "judged_ratio", "goal"}
        assert figures["hooked_ratio"] > 0
        assert figures["judged_ratio"] > 0
    assert all(found["absent"].values())
    assert {*frameworks, *found["absent"]} >= {
        "xgboost",
        "lightgbm",
        "catboost",
        "onnxruntime",
        "torch",
        "keras",
    }
