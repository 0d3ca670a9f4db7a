"""What every test has: mlobs' own errors are raised, and telemetry stays in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.sink import Sink, running

from mlobs import testing
from mlobs.api import runtime


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
