"""The file a profile travels in: JSON for people and programs, with a schema version and a checksum."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from mlobs.errors import ProfileError, quoted
from mlobs.profile.build import MOST
from mlobs.profile.feature import LARGEST, Feature, make_cuts
from mlobs.replacement import replacement
from mlobs.sketch import Categories, Cuts

if TYPE_CHECKING:
    from mlobs.profile.feature import Role

FORMAT: Final = "mlobs.profile"
VERSION: Final = 1
DIGITS: Final = 9  # of a version
CURE: Final = "Build it again with mlobs.Profile.build(...) or `mlobs profile`."


class Content(NamedTuple):
    """What a profile holds."""

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    rows: int
    created: str
    model: str | None
    version: str | None


def identify(content: Content) -> str:
    """16 hexadecimal digits that stand for everything but the time of creation."""
    document = _document(content)
    del document["created"]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def dump(content: Content) -> str:
    """The file's text: one line for each entry of a feature."""
    head, *rest = {**_document(content), "id": identify(content)}.items()
    first = ("id", rest.pop()[1])
    return "{\n" + ",\n".join(_line(key, value) for key, value in (head, first, *rest)) + "\n}\n"


def parse(text: str, where: str) -> Content:
    """The content of a file's text; `where` names it in the ProfileError about a bad one."""
    if not isinstance(text, str):
        raise ProfileError(f"{where} is a {type(text).__name__}: expected the text that to_json() gives. {CURE}")
    try:
        # an editor may have put a byte order mark before it
        document = json.loads(text[1:] if text[:1] == "\ufeff" else text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{where} is damaged, or no mlobs profile: {error}. {CURE}") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    name, _, version = schema.partition("/") if isinstance(schema, str) else ("", "", "")
    if name != FORMAT or not version.isdecimal() or len(version) > DIGITS:
        raise ProfileError(f'{where} is no mlobs profile: it does not say "schema": "{FORMAT}/{VERSION}". {CURE}')
    if int(version) > VERSION:
        raise ProfileError(
            f"{where} was written by a newer mlobs: its schema is {schema}, and this one reads up to "
            f"{FORMAT}/{VERSION}. Try: a newer mlobs."
        )
    try:
        content = _content(document)
        found = identify(content)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ProfileError(f"{where} is damaged: {reason}. {CURE}") from error
    if document.get("id", found) != found:
        raise ProfileError(
            f"{where} is damaged or was edited: its content has the id {found}, and it says {document['id']}. {CURE} "
            'To keep an edit, remove the line "id".'
        )
    return content


def write(path: str | os.PathLike[str], text: str) -> None:
    """Write all of the file or nothing of it. Raises OSError."""
    with replacement(path) as out:
        out.write(text)


def read(path: str | os.PathLike[str]) -> str:
    """The text of a file. Raises ProfileError where there is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise ProfileError(f"a {type(path).__name__} is no path of a profile: expected a text or a Path. {CURE}")
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ProfileError(f"the profile {os.fspath(path)} cannot be read: {error.strerror}. {CURE}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"the profile {os.fspath(path)} is damaged, or none: it is no text. {CURE}") from error
    except (ValueError, TypeError) as error:  # a null character, half of a surrogate pair, a path of bytes
        raise ProfileError(f"{quoted(os.fspath(path))} cannot be the path of a profile. {CURE}") from error


def _document(content: Content) -> dict[str, Any]:
    return {
        "schema": f"{FORMAT}/{VERSION}",
        "model": content.model,
        "version": content.version,
        "created": content.created,
        "rows": content.rows,
        "inputs": [_entry(feature) for feature in content.inputs],
        "outputs": [_entry(feature) for feature in content.outputs],
    }


def _entry(feature: Feature) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": feature.name, "kind": feature.kind, "dtype": feature.dtype}
    part = feature.partition
    if isinstance(part, Cuts):
        entry["low"] = part.low if math.isfinite(part.low) else None
        entry["high"] = part.high if math.isfinite(part.high) else None
        entry["edges"] = part.edges.tolist()
    else:
        entry["names"] = list(part.names)
        entry["known"] = sorted(part.known)
    return {**entry, "counts": feature.counts.tolist()}


def _line(key: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    if key not in ("inputs", "outputs") or not value:
        return f"  {json.dumps(key)}: {_compact(value)}"
    entries = (
        "    {\n"
        + ",\n".join(f"      {json.dumps(name)}: {_compact(part)}" for name, part in entry.items())
        + "\n    }"
        for entry in value
    )
    return f"  {json.dumps(key)}: [\n" + ",\n".join(entries) + "\n  ]"


def _compact(value: Any) -> str:  # noqa: ANN401 - any JSON value
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a data set may hold and UTF-8 may not
        return json.dumps(value, allow_nan=False)
    return text


def _content(document: dict[str, Any]) -> Content:
    inputs = tuple(_feature(entry, "input") for entry in _typed(document, "inputs", list))
    outputs = tuple(_feature(entry, "output") for entry in _typed(document, "outputs", list))
    for features in (inputs, outputs):
        if len({feature.name for feature in features}) < len(features):
            raise ValueError("a column is there twice")
    texts = [document[key] if document[key] is None else _typed(document, key, str) for key in ("model", "version")]
    rows = _typed(document, "rows", int)
    if not 0 <= rows <= LARGEST:
        raise ValueError(f"'rows' cannot be {rows}")
    return Content(inputs, outputs, rows, _typed(document, "created", str), *texts)


def _feature(entry: dict[str, Any], role: Role) -> Feature:
    kind: Any = _typed(entry, "kind", str)
    partition: Cuts | Categories
    if kind == "categorical":
        names, known = _typed(entry, "names", list), _typed(entry, "known", list)
        if not all(isinstance(name, str) for name in (*names, *known)):
            raise TypeError("categories are no strings")
        partition = Categories(tuple(names), frozenset(known))
    else:
        low, high = (None if entry[key] is None else _number(entry[key], key) for key in ("low", "high"))
        edges = [_number(edge, "edges") for edge in _typed(entry, "edges", list)]
        if len(edges) >= MOST:
            raise ValueError(f"{len(edges)} edges make more than {MOST} bins")
        partition = make_cuts(kind, edges, -math.inf if low is None else low, math.inf if high is None else high)
    counts = _typed(entry, "counts", list)
    if not all(type(count) is int for count in counts):
        raise TypeError("counts are no whole numbers")
    return Feature(_typed(entry, "name", str), role, kind, _typed(entry, "dtype", str), partition, counts)


def _typed(entry: dict[str, Any], key: str, wanted: type) -> Any:  # noqa: ANN401 - any JSON value
    value = entry[key]
    if type(value) is not wanted:
        raise TypeError(f"{key!r} is no {wanted.__name__}")
    return value


def _number(value: Any, key: str) -> float:  # noqa: ANN401 - any JSON value
    if type(value) not in (int, float):
        raise TypeError(f"{key!r} holds what is no number")
    return float(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
