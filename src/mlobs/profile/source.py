"""A data file as batches of frames: Parquet, or text with separators, compressed or not."""

from __future__ import annotations

import importlib
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mlobs.errors import MissingDependencyError, MlobsError, ProfileError
from mlobs.profile.table import check_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

ROWS: Final = 65_536
COMPRESSED: Final = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}
PARQUET: Final = (".parquet", ".pq")
# What is missing where numbers are expected, as pandas has it. Among text only nothing at all is: NA is a country.
MISSING: Final = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
BOOLEANS: Final = {text: text.lower() == "true" for text in ("true", "True", "TRUE", "false", "False", "FALSE")}
# What says that a file is damaged; some are known by the name of their module, because not all of them are everywhere.
_DAMAGED: Final = (ValueError, OSError, EOFError, NotImplementedError)
_WHOLE: Final = r" *[+-]?[0-9]{1,400} *"
_COMPRESSORS: Final = ("zlib", "_lzma", "zstandard", "zstd", "_zstd", "compression")


class TextFoundError(Exception):
    """Columns that were numbers, or empty, in the `rows` before hold text: read the file again, knowing that."""

    def __init__(self, names: Sequence[str], rows: int) -> None:
        super().__init__(f"text in {names} after {rows} rows")
        self.names = names
        self.rows = rows


class Source(NamedTuple):
    """A file as batches, each with the position in the file that it ends at; and the file's last position."""

    batches: Iterator[tuple[Any, int]]
    total: int


def source(path: Path, kinds: Mapping[str, str], text: Collection[str] = ()) -> Source:
    """The file at `path`, told what its columns are: by a person in `kinds`, by an earlier reading in `text`.

    Raises ProfileError for what is no such file or damaged, MissingDependencyError; its batches raise them too, and
    TextFoundError.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = COMPRESSED.get(suffixes[-1]) if suffixes else None
    suffix = suffixes[-2 if compression and len(suffixes) > 1 else -1] if suffixes else ""
    if suffix not in (*PARQUET, *SEPARATORS):
        raise ProfileError(f"{path} is of no kind this command reads. Give a .parquet, .csv or .tsv file.")
    total = path.stat().st_size  # an absent file is an absent file before it is anything else
    if not path.is_file() and not path.is_dir():
        raise ProfileError(f"{path} is a pipe or a device, and a file may have to be read twice. Save the data first.")
    pandas = _need("pandas")
    if suffix in PARQUET:
        return _parquet(path)
    how = {"sep": SEPARATORS[suffix], "compression": compression, "index_col": False}
    return Source(_told(path, _csv(pandas, path, how, kinds, text)), total)


def _parquet(path: Path) -> Source:
    parquet = _need("pyarrow.parquet")
    with _explained(path):
        file = parquet.ParquetFile(path)

    def batches() -> Iterator[tuple[Any, int]]:
        done = 0
        for batch in file.iter_batches(batch_size=ROWS):
            done += batch.num_rows
            yield batch.to_pandas(), done

    return Source(_told(path, batches()), file.metadata.num_rows)


def _csv(
    pandas: Any,  # noqa: ANN401 - the module
    path: Path,
    how: Mapping[str, Any],
    kinds: Mapping[str, str],
    text: Collection[str],
) -> Iterator[tuple[Any, int]]:
    strings = {*text, *(name for name, kind in kinds.items() if kind in ("categorical", "text"))}
    with path.open("rb") as file:
        header = pandas.read_csv(file, header=None, nrows=1, dtype="str", keep_default_na=False, **how)
    names, nameless = _header(path, header.iloc[0].tolist())
    missing: dict[str | int, Sequence[str]] = {name: [""] if name in strings else MISSING for name in names}
    # what is behind a separator at the end of each row, of the first one or not
    missing |= {name: [""] for name in nameless} | {len(names) + len(nameless): [""]}
    whole = {name: "str" for name in names if name in strings or kinds.get(name) == "datetime"}
    rows = 0
    with path.open("rb") as file:
        chunks = pandas.read_csv(
            file, **how, chunksize=ROWS, dtype=whole, na_values=missing, keep_default_na=False, low_memory=False
        )
        while (chunk := _next(pandas, path, chunks)) is not None:
            for name in names:
                kind = kinds.get(name)
                if kind in ("numeric", "integer"):  # what reads as no number is missing
                    chunk[name] = pandas.to_numeric(chunk[name], errors="coerce")
                elif kind == "boolean" and _is_text(chunk[name]):
                    chunk[name] = chunk[name].map(BOOLEANS)
            found = [name for name in names if name not in whole and _is_text(chunk[name])]
            for name in found[:]:  # from 2**63 up, and below 0 besides, or missing, which pandas leaves as it is
                cells = chunk[name].mask(chunk[name].isin(MISSING))
                if cells.str.fullmatch(_WHOLE, na=True).all():
                    chunk[name] = cells.map(int, na_action="ignore")
                    found.remove(name)
            if found:
                raise TextFoundError(found, rows)
            if nameless and chunk[nameless].notna().any(axis=None):
                raise _too_wide(path)
            rows += len(chunk)
            yield chunk[names] if nameless else chunk, file.tell()


def _header(path: Path, cells: list[str]) -> tuple[list[str], list[str]]:
    """The columns' names, and those that pandas gives the columns behind the last one that has one."""
    named = [index for index, cell in enumerate(cells) if cell]
    if not named:
        raise ProfileError(f"{path} has no names in its first line. Name every column there.")
    try:
        check_names([cells[index] for index in named], "column")
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from error
    names = [cell or f"Unnamed: {index}" for index, cell in enumerate(cells)]
    return names[: named[-1] + 1], names[named[-1] + 1 :]


def _next(pandas: Any, path: Path, chunks: Iterator[Any]) -> Any:  # noqa: ANN401 - the module, a frame
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            return next(chunks, None)
        except pandas.errors.ParserWarning as error:
            raise _too_wide(path) from error


def _too_wide(path: Path) -> ProfileError:
    return ProfileError(
        f"{path} has rows of more fields than its header has names. Name every column in the first line, and quote "
        "values that hold the separator."
    )


def _is_text(column: Any) -> bool:  # noqa: ANN401 - of pandas
    first = column.first_valid_index() if column.dtype.kind == "O" else None
    return first is not None and isinstance(column[first], str)


def _told(path: Path, batches: Iterator[tuple[Any, int]]) -> Iterator[tuple[Any, int]]:
    with _explained(path):
        yield from batches


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What a damaged file raises is told with its name and the cure; other errors pass."""
    try:
        yield
    except ImportError as error:
        if isinstance(error, MlobsError) or path.suffix.lower() != ".zst":
            raise
        raise MissingDependencyError(
            f"{path} is read with zstandard, which is not installed. Try: pip install zstandard"
        ) from error
    except Exception as error:
        damage = isinstance(error, _DAMAGED) or type(error).__module__.partition(".")[0] in _COMPRESSORS
        named = isinstance(error, MlobsError) or getattr(error, "filename", None) is not None
        if named or not damage:
            raise
        reason = str(error).strip().rstrip(".")
        raise ProfileError(f"{path} cannot be read: {reason}. Is it whole, and what its name says?") from error


def _need(module: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f"mlobs profile reads this file with {package}, which is not installed. Try: pip install pandas pyarrow"
        ) from error
