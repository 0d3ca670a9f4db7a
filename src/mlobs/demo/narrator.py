"""Tells a run to whoever watches: a live view on a terminal, lines of text anywhere else."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from rich.live import Live
from rich.text import Text

from mlobs.demo.dashboard import auc, dashboard, milliseconds, money
from mlobs.demo.glance import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from rich.console import Console

    from mlobs.demo.glance import Glance

_MEBI: Final = 1024 * 1024


class Narrator(Protocol):
    """What a run calls as it goes."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Something of seconds happens while the `with` block runs."""

    def show(self, glance: Glance) -> None:
        """Show the traffic of this moment; called several times a second."""

    def close(self) -> None:
        """End the showing; what was shown last stays."""


class LiveNarrator:
    """A spinner for each step, then the view that changes in its place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Spin, then leave a line that says how long it took."""
        began = time.monotonic()
        with self._console.status(f"{name} …"):
            yield
        self._console.print(Text.assemble(("✓ ", "green"), name, (f"  {time.monotonic() - began:.1f} s", "dim")))

    def show(self, glance: Glance) -> None:
        """Draw the view anew."""
        if not self._live.is_started:
            self._live.start()
        self._live.update(dashboard(glance), refresh=True)

    def close(self) -> None:
        """Let go of the terminal."""
        self._live.stop()


class PlainNarrator:
    """A line a step, and one every few seconds of traffic."""

    def __init__(self, console: Console, every: float = 5.0) -> None:
        self._console = console
        self._every = every
        self._told = -every
        self._part = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what begins, so that a log that stops tells where."""
        self._say(f"{name} …")
        yield

    def show(self, glance: Glance) -> None:
        """Say a line when there is something to count, it is time, or another part begins."""
        due = glance.elapsed - self._told >= self._every or glance.part != self._part
        if due and glance.totals.predictions and not glance.settling:
            self._told, self._part = glance.elapsed, glance.part
            self._say(line(glance))

    def close(self) -> None:
        """Nothing is held."""

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def line(glance: Glance) -> str:
    """Return one moment in one line."""
    totals = glance.totals
    cpu = sum(worker.cpu for worker in totals.workers)
    memory = sum(worker.memory for worker in totals.workers) / _MEBI
    worth = glance.worth
    return (
        f"{glance.elapsed:3.0f} s  {glance.part}: {totals.predictions:,} of {glance.sent:,} counted, "
        f"{glance.rate:.0f} calls/s, p50 {milliseconds(glance.recent, 0.5)}, p99 {milliseconds(glance.recent, 0.99)}, "
        f"{totals.errors} errors, {len(totals.workers)} workers, CPU {cpu:.0%}, {memory:.0f} MiB. "
        f"{worth.joined:,} landed, AUC {auc(worth.auc)}, expected {auc(worth.expected_auc)}, {money(worth.value)}. "
        f"{verdict(glance.drifts)}"
    )
