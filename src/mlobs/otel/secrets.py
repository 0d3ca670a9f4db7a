"""What may not be shown: passwords in URLs, the values of headers, ticket keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN: Final = "***"
_PLACES: Final = ("_ENDPOINT", "_STORE")  # variables that are URLs, however they are written
_SHORT: Final = 4  # characters; shorter ones would be found everywhere
# how a URL begins, also one that is written badly; what follows it up to the last @ is a user's, whatever is in it
_START: Final = re.compile(r"\s*(?:(?:https?|rediss?|grpcs?|ftp|unix|sqlite):?(?=[/:])|[a-zA-Z]\w*:(?=//))?/*")
_USER: Final = re.compile(r"(?:(?<=://)\S*|^[^/?#\s]*)@")  # amid a text
_APART: Final = re.compile(r"[:/?#@\s]+")
_QUERY: Final = re.compile(r"(?<==)[^&#]+")
_VALUE: Final = re.compile(r"[^&#\s=]+=([^&#\s]+)")


def shown(url: str) -> str:
    """A URL without its user, its password and the values of its query; of one that is none rather too little."""
    start, user, rest = _parts(url)
    if user is None:
        head, mark, tail = rest.partition("?")
        return start + head + mark + _QUERY.sub(HIDDEN, tail)
    if "=" in user.partition("?")[2]:  # the @ may be one of a query's, and what follows it the end of a secret
        return start + HIDDEN
    head, mark, tail = rest.partition("?")
    return f"{start}{HIDDEN}@{head}{mark}" + _QUERY.sub(HIDDEN, tail)


def _parts(url: str) -> tuple[str, str | None, str]:
    """How a URL begins, its user and password, if there are any, and the rest."""
    found = _START.match(url)
    at = 0 if found is None else found.end()
    user, mark, rest = url[at:].rpartition("@")
    return url[:at], user if mark else None, rest


class Secrets:
    """Some secrets. Texts of servers and libraries may quote them: each text goes through `hide`."""

    def __init__(self, values: Iterable[str]) -> None:
        found = {part for value in values for part in (value, *value.split())}
        self._values = sorted((one for one in found if len(one) >= _SHORT), key=len, reverse=True)

    @classmethod
    def of(cls, environ: Mapping[str, str], urls: Iterable[str | None] = ()) -> Secrets:
        """Those of an environment, and of these URLs."""
        return cls(_values(environ, urls))

    def hide(self, text: str) -> str:
        """The text without them, on one line."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return " ".join(_USER.sub(f"{HIDDEN}@", text).split())


def in_url(url: str) -> Iterator[str]:
    """The secrets of a URL: its password and the values of its query, and where it is none their parts."""
    user = _parts(url)[1]
    found = _VALUE.findall(url.partition("?")[2])
    if user is not None:
        password = user.partition(":")[2] or user
        found += [user, password, *_APART.split(password)]
    for one in filter(None, found):
        yield one
        yield unquote(one)


def _values(environ: Mapping[str, str], urls: Iterable[str | None]) -> Iterator[str]:
    for name, text in environ.items():
        if not name.startswith(("OTEL_", "MLOBS_")):
            continue
        if name.endswith("_HEADERS"):
            for item in text.split(","):
                value = (item.partition("=")[2] or item).strip()
                yield value
                yield unquote(value)
        elif name.endswith("_KEYS"):
            yield from (key.strip() for key in text.split(","))
        elif name.endswith(_PLACES) or "//" in text:
            yield from in_url(text)
    for url in urls:
        yield from in_url(url or "")
