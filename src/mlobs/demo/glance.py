"""One look at a run while it goes on: all that a screen or a line of text says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlobs.demo.durations import Durations
    from mlobs.demo.totals import Totals
    from mlobs.demo.worth import Worth
    from mlobs.sketch import Drift


class Glance(NamedTuple):
    """Everything here was counted by mlobs and received as OTLP, but for what was sent and the time."""

    part: str  # what is being sent
    elapsed: float  # seconds of traffic so far
    seconds: float  # seconds of traffic in all
    settling: bool  # nothing is sent; what was sent is still being counted
    sent: int
    malformed: int
    totals: Totals  # since the beginning
    rate: float  # calls a second, just now
    rates: list[float]
    recent: Durations  # how long calls take, just now
    drifts: list[Drift]  # since the season began
    worth: Worth  # likewise


def drifted(drifts: list[Drift]) -> list[str]:
    """Return the names of the inputs that have drifted, the farthest first."""
    found = [drift for drift in drifts if drift.role == "input" and drift.verdict == "drifted"]
    return [drift.name for drift in sorted(found, key=lambda drift: -drift.psi)]


def verdict(drifts: list[Drift]) -> str:
    """Return all verdicts in one sentence."""
    names = drifted(drifts)
    drifting = [drift.name for drift in drifts if drift.verdict == "drifting"]
    if names:
        return f"Drifted: {', '.join(names)}. These inputs are not what the model learned from."
    if drifting:
        return f"Drifting: {', '.join(drifting)}. Not far from the reference, but beyond chance."
    if not drifts or any(drift.verdict == "insufficient" for drift in drifts):
        return "Counting: a verdict takes some hundred values of a feature."
    return "Stable: the inputs are what the model learned from; what differs is chance."
