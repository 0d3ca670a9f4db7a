"""What every test has: mlobs' own errors are raised, and telemetry stays in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.sink import Sink, running

from mlobs import testing
from mlobs.api import runtime

# What may be skipped where CI is set, and where it runs instead; any other skip fails the run.
EXPECTED = {
    "could not import 'torch'": "nox -s frameworks",
    "could not import 'distributed'": "where Dask is installed",
    "could not import 'azureml_inference_server_http'": "nox -s azureml",
    "could not import 'pyspark'": "where Spark is installed",
    "needs an NVIDIA GPU": "wherever there is one",
    "needs a free-threaded Python": "nowhere yet: no dependency of ours was tried on one",
    "scikit-learn makes no checks of it": "nox -s frameworks, with a newer CatBoost",
    "numpy 1 gives its capsules no version": "on numpy 2",
    **{f"{name} is not installed": "wherever there is one" for name in ("docker compose", "go", "kubectl")},
    "alertmanager is not installed": "wherever .ci/components can install Debian's",
    "promtool is not installed": "wherever .ci/components can install Debian's",
    "redis-server is not installed": "wherever .ci/components can install Debian's",
    "is not built": "nox -s backends, which builds what is written in Go first",
    "may not make namespaces": "wherever unprivileged namespaces are allowed",
}
skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember why a test was skipped."""
    if report.skipped and not hasattr(report, "wasxfail"):
        skipped.append(f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else ''}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Remember why a file was skipped."""
    if report.skipped:
        skipped.append(f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else ''}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is skipped that nobody has thought of."""
    if os.environ.get("CI"):
        unexpected = [one for one in skipped if not any(reason in one for reason in EXPECTED)]
        if unexpected:
            print("\nskipped, and nobody expected it:", *unexpected, sep="\n")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    before = runtime.guard.strict
    runtime.guard.strict = True
    yield
    runtime.guard.strict = before


@pytest.fixture
def telemetry() -> Iterator[testing.Telemetry]:
    """Telemetry of functions observed in the test."""
    with testing.capture() as captured:
        yield captured


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A receiver of OTLP on loopback."""
    with running() as receiver:
        yield receiver
