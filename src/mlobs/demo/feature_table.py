"""A line a feature: its PSI as a bar on a logarithmic scale, against its noise floor, and the verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from mlobs.sketch import Drift

STYLES: Final = {"insufficient": "dim", "stable": "green", "drifting": "yellow", "drifted": "bold red"}
_LOWEST: Final = 0.001  # where the scale begins
_DECADES: Final = 4
_WIDTH: Final = 32  # cells, a whole number a decade
_SCALE: Final = "0.001   0.01    0.1     1      10"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


class FeatureBar:
    """PSI from 0.001 to 10, a cell an eighth of a decade; the noise floor is a mark, and left of it all is chance."""

    def __init__(self, drift: Drift) -> None:
        self._drift = drift

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw with blocks, or with what ASCII has where the terminal knows no more."""
        yield self.text(plain=options.ascii_only)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """A whole scale, or whatever part of it there is room for."""
        return Measurement(1, _WIDTH).clamp(max_width=options.max_width)

    def text(self, *, plain: bool = False) -> Text:
        """Return the bar as text."""
        length = _place(self._drift.psi)
        whole = int(length)
        cells = ["#" if plain else "█"] * whole
        if not plain and whole < _WIDTH:
            cells.append(_EIGHTHS[int((length - whole) * 8)])
        cells += [" "] * (_WIDTH - len(cells))
        floor = min(int(_place(self._drift.psi_noise)), _WIDTH - 1)
        bar = Text("".join(cells), STYLES[self._drift.verdict], no_wrap=True, overflow="crop")
        if math.isfinite(self._drift.psi_noise):
            bar.stylize("dim", 0, floor)
            bar = bar[:floor] + Text("|" if plain else "│", "bold") + bar[floor + 1 :]
        return bar


def feature_table(drifts: list[Drift]) -> Table:
    """Return the lines of all features, inputs first."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("feature", no_wrap=True)
    table.add_column(Text(_SCALE, no_wrap=True, overflow="crop"))  # what gives way in a narrow terminal
    for name in ("PSI", "│noise", "KS"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for drift in drifts:
        name = drift.name if drift.role == "input" else f"→ {drift.name}"
        verdict = Text(drift.verdict, STYLES[drift.verdict])
        table.add_row(name, FeatureBar(drift), *map(figure, (drift.psi, drift.psi_noise, drift.ks)), verdict)
    return table


def figure(value: float) -> str:
    """Return a distance in five characters; a dash where there is none."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if value < 10 else f"{value:.2f}"


def _place(value: float) -> float:
    """Return where a value lies on the scale, in cells."""
    if not value > _LOWEST:
        return 0.0
    return (
        min(math.log10(value / _LOWEST) * _WIDTH / _DECADES, float(_WIDTH)) if math.isfinite(value) else float(_WIDTH)
    )
