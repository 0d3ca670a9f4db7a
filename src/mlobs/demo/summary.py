"""The last words of a run: what was seen, and what to do next."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from mlobs.demo.dashboard import auc, milliseconds, money
from mlobs.demo.feature_table import STYLES, figure
from mlobs.demo.glance import drifted
from mlobs.demo.stakes import CURRENCY, IN_VAIN, THRESHOLD, UNWARNED, WARNED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from mlobs.demo.outcome import Outcome, Season
    from mlobs.sketch.scores import Measured

_CODE: Final = """\
mlobs.Profile.build(training_data).save("reference.json")

@mlobs.observe(model="my-model", version="1", reference="reference.json")
def predict(rows): ...

mlobs.outcome(ticket, actual=True)  # later, anywhere: how good it was
"""
_SECONDS: Final = (
    "Seconds are not seasons: the demo squeezes months into a minute, so its windows are seconds long. An "
    "afternoon's weather differs from a winter's too, and that is no drift. In service keep windows of hours and days."
)
_STAKES: Final = (
    f"Passengers are warned from a probability of {THRESHOLD} on. A warning saves {WARNED:.0f} {CURRENCY} where the flight "
    f"is late and costs {-IN_VAIN:.0f} where it is not; a delay that nobody was warned of costs {-UNWARNED:.0f}."
)
_NEXT: Final = (
    "Drift says that the inputs changed, not yet that the model is wrong. Look first at the features that drifted: "
    "has the world changed (train on newer data), or what feeds the model (mend it)?"
)


def summary(outcome: Outcome) -> RenderableType:
    """Return the whole summary."""
    return Group(
        "",
        Text("What was seen", "bold"),
        _sums(outcome),
        "",
        _seasons(outcome.winter, outcome.spring),
        "",
        _worth(outcome.winter, outcome.spring),
        Text(_STAKES, "dim"),
        "",
        _consequences(outcome),
        "",
        Text("What to do next", "bold"),
        Text(_NEXT),
        Text(_SECONDS),
        Text.assemble(
            "Observe a model of your own, and set ",
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "bold"),
            " to where your telemetry goes:",
        ),
        Padding(Syntax(_CODE.strip(), "python", background_color="default"), (0, 0, 0, 4)),
    )


def _sums(outcome: Outcome) -> Text:
    totals = outcome.totals
    return Text(
        f"{outcome.sent:,} requests sent, {totals.predictions:,} predictions counted by {len(totals.workers)} workers; "
        f"{outcome.malformed} malformed, {totals.errors} errors counted; {totals.spans:,} spans. "
        f"{outcome.truths:,} truths told, {totals.worth.joined:,} joined to their prediction, {totals.worth.rejected} refused"
        f"{_reasons(totals.worth.refused)}. "
        f"p50 {milliseconds(totals.durations, 0.5)}, p99 {milliseconds(totals.durations, 0.99)}."
    )


def _reasons(refused: Mapping[str, int]) -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()) if count)
    return f" ({told})" if told else ""


def _worth(winter: Season, spring: Season) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("worth")
    for season in (winter, spring):
        table.add_column(season.name, justify="right")
    both = [season.totals.worth for season in (winter, spring)]
    table.add_row("AUC that the scores promised", *(auc(worth.expected_auc) for worth in both))
    table.add_row("AUC once the truth had come", *(_measured(worth.auc) for worth in both))
    table.add_row("money", *(money(worth.value) for worth in both))
    table.add_row("truth of", *("-" if worth.coverage is None else f"{worth.coverage:.1%}" for worth in both))
    table.add_row(
        "came later by, on average",
        *("-" if (late := worth.delays.mean) is None else f"{late:.2f} s" for worth in both),
    )
    table.add_row("CPU", *(f"{worth.cpu:.1f} s" for worth in both))
    table.add_row("CPU's cost per 1,000 predictions", *(_cost(worth.cost_per_1000) for worth in both))
    return table


def _measured(figure: Measured | None) -> str:
    return "-" if figure is None else f"{figure.value:.2f} ± {figure.bound:.2f}"


def _cost(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:.7f} {CURRENCY}"


def _seasons(winter: Season, spring: Season) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("PSI")
    for season in (winter, spring):
        table.add_column(season.name, justify="right")
        table.add_column("noise", justify="right", style="dim")
        table.add_column("verdict")
    for before, after in zip(winter.drifts, spring.drifts, strict=True):
        cells = [
            cell
            for drift in (before, after)
            for cell in (figure(drift.psi), figure(drift.psi_noise), Text(drift.verdict, STYLES[drift.verdict]))
        ]
        table.add_row(before.name if before.role == "input" else f"→ {before.name}", *cells)
    return table


def _consequences(outcome: Outcome) -> Text:
    names = drifted(outcome.spring.drifts)
    said = f"Drifted in spring: {', '.join(names)}." if names else "Nothing drifted in spring."
    scores = [f"{score:.2f} on {part}" for part, score in outcome.auc.items() if math.isfinite(score)]
    told = f" Once it was known which flights were late, the model's AUC was {', '.join(scores)}." if scores else ""
    return Text(said + told)
