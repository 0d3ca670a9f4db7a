"""What tests of integrations ask of telemetry, in one place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlobs.otel.points import Histogram
    from mlobs.testing import Telemetry


def rows(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Rows by model and operation, without those of none."""
    found: Counter[tuple[str, str]] = Counter()
    for key, value in telemetry.numbers("mlobs.prediction.rows").items():
        of = dict(key)
        found[of["model.name"], of["model.operation"]] += value  # type: ignore[assignment]
    return {key: value for key, value in found.items() if value}


def calls(telemetry: Telemetry) -> dict[tuple[str, str], int]:
    """Calls that ended, well or not, by model and operation, without those of none."""
    return _durations(telemetry, "model.name", "model.operation")


def errors(telemetry: Telemetry) -> dict[str, int]:
    """Failed calls by the type of their error."""
    return {key[0]: value for key, value in _durations(telemetry, "error.type").items() if key[0]}


def stages(telemetry: Telemetry) -> dict[str, int]:
    """How many of each stage were told."""
    found = {key[0]: value for key, value in _histograms(telemetry, "mlobs.stage.duration", "stage").items()}
    return {key: value for key, value in found.items() if value}


def standing(*places: tuple[Any, str]) -> dict[tuple[int, str], object]:
    """What stands in classes and modules under these names themselves: to be the same after uninstrumenting."""
    return {(id(owner), name): vars(owner).get(name) for owner, name in places}


def _durations(telemetry: Telemetry, *keys: str) -> dict[Any, int]:
    return {key: value for key, value in _histograms(telemetry, "mlobs.prediction.duration", *keys).items() if value}


def _histograms(telemetry: Telemetry, name: str, *keys: str) -> dict[Any, int]:
    found: Counter[Any] = Counter()
    points: Histogram
    for points in telemetry.histograms(name):  # type: ignore[assignment]
        of = dict(points.attributes.items())
        found[tuple(of.get(key, "") for key in keys)] += int(sum(points.counts))
    return dict(found)
