"""Write docs/demo.svg: the demo's live view, drawn by rich from a run of its own, three seconds before its end."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mlobs.demo.dashboard import dashboard
from mlobs.demo.story import Script, play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.demo.glance import Glance

TARGET = Path(__file__).with_name("demo.svg")
SECONDS = 60.0
BEFORE_THE_END = 3.0


class Photographer:
    """Watches a run, and keeps the last look before the picture is due."""

    def __init__(self) -> None:
        self.picture: Glance | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what the run is doing."""
        print(f"{name} …", file=sys.stderr)
        yield

    def show(self, glance: Glance) -> None:
        """Keep a look."""
        if glance.elapsed <= glance.seconds - BEFORE_THE_END:
            self.picture = glance

    def close(self) -> None:
        """Nothing is held."""


if __name__ == "__main__":
    photographer = Photographer()
    play(Script(seconds=SECONDS), photographer)
    if photographer.picture is None:
        sys.exit("the run showed nothing")
    console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print("[bold]$[/bold] make demo")
    console.print(dashboard(photographer.picture))
    console.save_svg(str(TARGET), title="make demo", unique_id="demo")
