"""What may not be shown: passwords in URLs, the values of headers, ticket keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN: Final = "***"
_SHORT: Final = 4  # characters; shorter ones would be found everywhere
_USER: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY: Final = re.compile(r"(?<==)[^&#\s]+")


def shown(url: str) -> str:
    """A URL without its user, its password and the values of its query."""
    head, mark, tail = _USER.sub(f"{HIDDEN}@", url).partition("?")
    return head + mark + _QUERY.sub(HIDDEN, tail)


class Secrets:
    """The secrets of one environment. Texts of servers and libraries may quote them: each text goes through `hide`."""

    def __init__(self, environ: Mapping[str, str], urls: Iterable[str | None] = ()) -> None:
        found = {part for value in _values(environ, urls) for part in (value, *value.split())}
        self._values = sorted((one for one in found if len(one) >= _SHORT), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """The text without them, on one line."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return " ".join(_USER.sub(f"{HIDDEN}@", text).split())


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
            yield from _password(text)
    for url in urls:
        yield from _password(url or "")


def _password(url: str) -> Iterator[str]:
    try:
        found = urlsplit(url.strip()).password
    except ValueError:
        return
    if found:
        yield found
        yield unquote(found)
