"""The live view: serving on top, the features below, the verdict last. Fits 80 columns and 24 lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from mlobs.demo.feature_table import feature_table
from mlobs.demo.glance import drifted, verdict
from mlobs.demo.stakes import CURRENCY

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mlobs.demo.durations import Durations
    from mlobs.demo.glance import Glance
    from mlobs.sketch.scores import Measured

_STEPS: Final = "▁▂▃▄▅▆▇█"
_MEBI: Final = 1024 * 1024


def dashboard(glance: Glance) -> RenderableType:
    """Return the whole view of one moment."""
    title = Text.assemble("mlobs demo", ("  flight-delay, version 1", "dim"))
    said = Text(verdict(glance.drifts), "bold red" if drifted(glance.drifts) else "bold")
    said.no_wrap, said.overflow = True, "ellipsis"
    return Group(
        Rule(title, align="left", style="dim"),
        _progress(glance),
        _calls(glance),
        _sums(glance),
        *_workers(glance),
        _truths(glance),
        _worth(glance),
        feature_table(glance.drifts),
        said,
    )


def auc(measured: Measured | None) -> str:
    """Return an AUC with two digits; a dash where there is none."""
    return "-" if measured is None else f"{measured.value:.2f}"


def money(amount: float) -> str:
    """Return money with its sign and currency."""
    return f"{amount:+,.0f} {CURRENCY}"


def milliseconds(durations: Durations, share: float) -> str:
    """Return a quantile with its unit; a dash where nothing was timed."""
    seconds = durations.quantile(share)
    return "-" if seconds is None else f"{seconds * 1e3:.1f} ms"


def sparkline(values: list[float]) -> str:
    """Return values as a line of blocks, from zero to a little above the largest."""
    top = max(values, default=0.0) * 1.3
    return "".join(_STEPS[round(value / top * (len(_STEPS) - 1))] for value in values) if top > 0 else ""


def _progress(glance: Glance) -> Table:
    line = Table.grid(padding=(0, 1, 0, 0), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    left = "sent, counting" if glance.settling else f"{max(0.0, glance.seconds - glance.elapsed):.0f} s left"
    bar = ProgressBar(total=glance.seconds, completed=min(glance.elapsed, glance.seconds), complete_style="cyan")
    line.add_row(Text(glance.part, "bold cyan"), bar, left)
    return line


def _calls(glance: Glance) -> Text:
    recent = glance.recent
    return Text.assemble(
        (f"{glance.rate:.0f}", "bold"),
        " calls/s ",
        (sparkline(glance.rates), "cyan"),
        "  p50 ",
        (milliseconds(recent, 0.5), "bold"),
        "  p99 ",
        (milliseconds(recent, 0.99), "bold"),
    )


def _sums(glance: Glance) -> Text:
    totals = glance.totals
    return Text.assemble(
        f"{glance.sent:,} sent, ",
        (f"{totals.predictions:,}", "bold"),
        f" counted;  {glance.malformed} malformed, ",
        (f"{totals.errors}", "bold"),
        f" errors;  {totals.spans:,} spans",
    )


def _truths(glance: Glance) -> Text:
    worth = glance.worth
    delay = worth.delays.mean
    return Text.assemble(
        ("truth  ", "dim"),
        (f"{worth.joined:,}", "bold"),
        " landed",
        "" if worth.coverage is None else f", {worth.coverage:.0%} of the predictions",
        "" if delay is None else f", {delay:.1f} s later",
        f";  {worth.rejected} refused",
    )


def _worth(glance: Glance) -> Text:
    worth, totals = glance.worth, glance.totals.worth
    per_1000 = totals.cost_per_1000
    return Text.assemble(
        ("worth  ", "dim"),
        "AUC ",
        (auc(worth.auc), "bold"),
        f", expected {auc(worth.expected_auc)};  ",
        (money(worth.value), "bold"),
        f";  CPU {totals.cpu:.1f} s",
        "" if per_1000 is None else f", {per_1000 * 1e6:.1f} µ{CURRENCY}/1,000",
    )


def _workers(glance: Glance) -> list[Text]:
    return [
        Text.assemble(
            ("worker ", "dim"),
            f"{worker.instance[:8]} ",
            f"{worker.predictions:>8,} calls  {worker.cpu:>4.0%} CPU  "
            f"{worker.memory / _MEBI:>4.0f} MiB  {worker.threads} threads",
        )
        for worker in glance.totals.workers
    ]
