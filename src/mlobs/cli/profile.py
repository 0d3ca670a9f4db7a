"""`mlobs profile data.parquet -o reference.json`: a reference profile of a file, in one pass over it."""

from __future__ import annotations

import argparse
import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mlobs.errors import MissingDependencyError, ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROWS: Final = 65_536
COMPRESSED: Final = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}
PARQUET: Final = (".parquet", ".pq")


class Source(NamedTuple):
    """A file as batches, each with the position in the file that it ends at; and the file's last position."""

    batches: Iterator[tuple[Any, int]]
    total: int


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
    from mlobs.profile import Profile

    kinds = dict(arguments.kinds)
    if arguments.output.exists() and arguments.output.samefile(arguments.data):
        raise ProfileError(
            f"{arguments.output} is the data itself. Give the profile a name of its own: -o reference.json"
        )
    source = _open(arguments.data, kinds)
    with _progress(arguments.data.name, source.total) as advance:
        profile = Profile.build(
            _split(_told(arguments.data, source.batches, advance), arguments.outputs, arguments.drop),
            kinds=kinds,
            bins=arguments.bins,
            model=arguments.model,
            version=arguments.model_version,
        )
    profile.save(arguments.output)
    print(f"{arguments.output}: {profile!r}")
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _kinds(text: str) -> list[tuple[str, str]]:
    pairs = [pair.rpartition("=")[::2] for pair in _names(text)]
    if not all(name and kind for name, kind in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not column=kind")
    return pairs


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _open(path: Path, kinds: Mapping[str, str]) -> Source:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = COMPRESSED.get(suffixes[-1]) if suffixes else None
    suffix = suffixes[-2 if compression and len(suffixes) > 1 else -1] if suffixes else ""
    if suffix not in (*PARQUET, *SEPARATORS):
        raise ProfileError(f"{path} is of no kind this command reads. Give a .parquet, .csv or .tsv file.")
    path.stat()  # an absent file is an absent file before it is anything else
    pandas = _need("pandas")
    if suffix in PARQUET:
        return _open_parquet(path)
    return Source(_read_csv(pandas, path, SEPARATORS[suffix], compression, kinds), path.stat().st_size)


def _open_parquet(path: Path) -> Source:
    parquet = _need("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(path)
    except ValueError as error:
        raise _unreadable(path, error) from error

    def batches() -> Iterator[tuple[Any, int]]:
        done = 0
        for batch in file.iter_batches(batch_size=ROWS):
            done += batch.num_rows
            yield batch.to_pandas(), done

    return Source(batches(), file.metadata.num_rows)


def _read_csv(
    pandas: Any,  # noqa: ANN401 - the module
    path: Path,
    separator: str,
    compression: str | None,
    kinds: Mapping[str, str],
) -> Iterator[tuple[Any, int]]:
    numbers = [name for name, kind in kinds.items() if kind in ("numeric", "integer")]
    strings = {name: "str" for name, kind in kinds.items() if kind in ("categorical", "text", "datetime")}
    with path.open("rb") as file:
        chunks = pandas.read_csv(
            file, sep=separator, compression=compression, chunksize=ROWS, dtype=strings, low_memory=False
        )
        for chunk in chunks:
            for name in numbers:
                if name in chunk:  # what reads as no number is missing
                    chunk[name] = pandas.to_numeric(chunk[name], errors="coerce")
            yield chunk, file.tell()


def _told(path: Path, batches: Iterator[tuple[Any, int]], advance: Callable[[int], None]) -> Iterator[Any]:
    """The batches themselves; progress is told, and a damaged file is said to be one."""
    try:
        for batch, position in batches:
            yield batch
            advance(position)
    except ProfileError:
        raise
    except ValueError as error:
        raise _unreadable(path, error) from error


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


def _need(module: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f"mlobs profile reads this file with {package}, which is not installed. Try: pip install 'mlobs[profile]'"
        ) from error


def _unreadable(path: Path, error: Exception) -> ProfileError:
    return ProfileError(f"{path} cannot be read: {str(error).rstrip('.')}. Is it whole, and what its name says?")


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
