"""What may not be shown: passwords in URLs, the values of headers, ticket keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN: Final = "***"
_SHORT: Final = 4  # characters; shorter ones would be found everywhere
_USER: Final = re.compile(r"(?:(?<=://)|^)[^/?#\s]*@")
_BROKEN: Final = re.compile(r"^(\w+://)?.*@")  # a password with a slash in it ends no authority
_QUERY: Final = re.compile(r"(?<==)[^&#]+")
_VALUE: Final = re.compile(r"[^&#\s=]+=([^&#\s]+)")


def shown(url: str) -> str:
    """A URL without its user, its password and the values of its query."""
    head, mark, tail = _USER.sub(f"{HIDDEN}@", url).partition("?")
    try:
        urlsplit(url).port  # noqa: B018 - it raises where there is none
    except ValueError:
        head = _BROKEN.sub(rf"\1{HIDDEN}@", head)
    return head + mark + _QUERY.sub(HIDDEN, tail)


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
    """The secrets of a URL: its password, and the values of its query."""
    try:
        parts = urlsplit(url.strip())
        found = [parts.password or "", *_VALUE.findall(parts.query)]
    except ValueError:
        return
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
        else:
            yield from in_url(text)
    for url in urls:
        yield from in_url(url or "")
