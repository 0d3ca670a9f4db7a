"""What one step of an examination found."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Mark = Literal["ok", "warn", "fail", "skipped"]

ENVIRONMENT: Final = "environment"
INSTALLATION: Final = "installation"
EXPORTER: Final = "exporter"
TRACES: Final = "traces"
COLLECTOR: Final = "collector"
PROMETHEUS: Final = "prometheus"
CANARY: Final = "canary"
RULES: Final = "rules"
DASHBOARDS: Final = "dashboards"
CARDINALITY: Final = "cardinality"


class Finding(NamedTuple):
    """A step may have several: each is one line. ``cure`` says what to do, or how to have a skipped step done."""

    step: str
    mark: Mark
    said: str
    cure: str = ""


def ok(step: str, said: str) -> Finding:
    """It works."""
    return Finding(step, "ok", said)


def warn(step: str, said: str, cure: str) -> Finding:
    """It works, and something about it is not as it looks."""
    return Finding(step, "warn", said, cure)


def fail(step: str, said: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(step, "fail", said, cure)


def skipped(step: str, said: str, cure: str = "") -> Finding:
    """Nothing was tried."""
    return Finding(step, "skipped", said, cure)
