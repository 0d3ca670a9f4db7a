"""What rules are made of: recording rules, alerts, and the names that Prometheus knows metrics by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from mlobs.otel.instrument import Instrument

_UNITS: Final = {"s": "_seconds", "By": "_bytes", "W": "_watts", "J": "_joules", "Cel": "_celsius"}


MODEL: Final = "model_name, model_version, model_variant"  # whose series it is


class Rule(NamedTuple):
    """One recording rule; ``labels`` are added to what it records."""

    record: str
    expr: str
    labels: Mapping[str, str] = {}


class Alert(NamedTuple):
    """One alert; its runbook is a heading of docs/alerts.md."""

    alert: str
    expr: str
    severity: str
    wait: str
    keep: str
    summary: str
    description: str


def prometheus(instrument: Instrument) -> str:
    """The name that Prometheus knows a metric by: dots to underscores, the unit's and the kind's suffix.

    So have it the Collector and Prometheus' own OTLP receiver.
    """
    unit = _UNITS.get(instrument.unit, "")
    total = "_total" if instrument.kind == "counter" else ""
    share = instrument.kind == "gauge" and instrument.unit == "1" and not instrument.name.endswith("ratio")
    return instrument.name.replace(".", "_") + unit + total + ("_ratio" if share else "")
