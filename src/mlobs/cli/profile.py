"""`mlobs profile data.parquet -o reference.json`: a reference profile of a file, in one pass over it."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlobs.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlobs.profile import Profile
    from mlobs.profile.source import TextFoundError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "profile",
        help="build a reference profile from a data file",
        description="Build a reference profile from a CSV or Parquet file of any size, in one pass.",
    )
    parser.add_argument("data", type=Path, help="a .parquet, .csv or .tsv file; the latter may be compressed")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the profile to write, JSON")
    parser.add_argument("--outputs", type=_names, action="extend", default=[], metavar="COL,COL", help="model outputs")
    parser.add_argument("--drop", type=_names, action="extend", default=[], metavar="COL,COL", help="leave out")
    parser.add_argument(
        "--kinds",
        type=_kinds,
        action="extend",
        default=[],
        metavar="COL=KIND,…",
        help="numeric, integer, boolean, categorical, text or datetime, where the data itself does not say",
    )
    parser.add_argument("--bins", type=int, default=10, metavar="N", help="bins of equal share, 1 to 20 (default: 10)")
    parser.add_argument("--model", metavar="NAME", help="name of the model, to be noted in the profile")
    parser.add_argument("--model-version", metavar="VERSION", help="version of the model, likewise")


def run(arguments: argparse.Namespace) -> int:
    """Build and write the profile."""
    if arguments.output.exists() and arguments.output.samefile(arguments.data):
        raise ProfileError(
            f"{arguments.output} is the data itself. Give the profile a name of its own: -o reference.json"
        )
    profile = _build(arguments)
    profile.save(arguments.output)
    print(f"{arguments.output}: {profile!r}")
    return 0


def _build(arguments: argparse.Namespace) -> Profile:
    from mlobs.profile import Profile
    from mlobs.profile.source import TextFoundError, source

    kinds = dict(arguments.kinds)
    text: list[str] = []
    file = source(arguments.data, kinds)
    with _progress(arguments.data.name, file.total) as advance:
        while True:
            try:
                return Profile.build(
                    _split(_told(file.batches, advance), arguments.outputs, arguments.drop),
                    kinds=kinds,
                    bins=arguments.bins,
                    model=arguments.model,
                    version=arguments.model_version,
                )
            except TextFoundError as found:
                text += found.names
                if found.rows:
                    print(_late(found), file=sys.stderr)
                file = source(arguments.data, kinds, text)


def _late(found: TextFoundError) -> str:
    return (
        f"mlobs profile: {', '.join(found.names)}: text after {found.rows:,} rows without any, so all of it is read as "
        f"text. Where it is none, say so: --kinds {found.names[0]}=numeric"
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _kinds(text: str) -> list[tuple[str, str]]:
    pairs = [pair.rpartition("=")[::2] for pair in _names(text)]
    if not all(name and kind for name, kind in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not column=kind")
    return pairs


def _told(batches: Iterator[tuple[Any, int]], advance: Callable[[int], None]) -> Iterator[Any]:
    """The batches themselves; progress is told."""
    for batch, position in batches:
        yield batch
        advance(position)


def _split(batches: Iterator[Any], outputs: list[str], drop: list[str]) -> Iterator[Any]:
    """Frames as pairs of inputs and outputs."""
    for frame in batches:
        absent = [name for name in (*outputs, *drop) if name not in frame]
        if absent:
            raise ProfileError(f"there is no column {', '.join(absent)}. There are: {', '.join(map(str, frame))}.")
        inputs = frame.drop(columns=[*outputs, *drop])
        if inputs.columns.empty:
            raise ProfileError(
                f"no input is left: {', '.join(map(str, frame))} are outputs or left out. "
                "Name fewer with --outputs and --drop."
            )
        yield (inputs, frame[outputs]) if outputs else inputs


# ── progress ────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error: of rich where it is installed, else a line that counts up on a terminal."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        console = None
    else:
        console = Console(stderr=True)
    if console is None or not console.is_terminal:
        with _counter(name, total) as advance:
            yield advance
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(name, total=total or None)
        yield lambda position: bar.update(task, completed=position)


@contextmanager
def _counter(name: str, total: int) -> Iterator[Callable[[int], None]]:
    shown = sys.stderr.isatty()

    def advance(position: int) -> None:
        if shown:
            print(f"\r{name}: {position / max(total, 1):4.0%}", end="", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        if shown:
            print(file=sys.stderr)
