"""Findings for people and for machines."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from mlobs.doctor.finding import Finding

_MARKS: Final = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skipped": "-"}
_COLOURS: Final = {"ok": "32", "warn": "33", "fail": "1;31", "skipped": "2"}
_MARK: Final = 4
_STEP: Final = 12
_INDENT: Final = " " * (_MARK + _STEP + 4)


def colourful(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether colours are wanted: on a terminal that is not told otherwise (no-color.org)."""
    has = os.environ if environ is None else environ
    return stream.isatty() and not has.get("NO_COLOR") and has.get("TERM") != "dumb"


def line(one: Finding, *, colours: bool, width: int | None = None) -> str:
    """One finding; its cure stands below it, where something is amiss."""
    mark = f"{_MARKS[one.mark]:<{_MARK}}"
    if colours:
        mark = f"\x1b[{_COLOURS[one.mark]}m{mark}\x1b[0m"
    said = one.said
    if one.cure and one.mark == "skipped":
        said = f"{said}. {one.cure}"
    text = _wrapped(said, width)
    if one.cure and one.mark != "skipped":
        text += f"\n{_INDENT}{_wrapped(one.cure, width)}"
    return f"{mark}  {one.step:<{_STEP}}  {text}"


def _wrapped(text: str, width: int | None) -> str:
    if width is None:
        return text
    room = max(40, width - len(_INDENT))
    return f"\n{_INDENT}".join(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False))


def verdict(found: Sequence[Finding]) -> str:
    """The last line."""
    marks = Counter(one.mark for one in found)
    steps = list(dict.fromkeys(one.step for one in found if one.mark == "fail"))
    if steps:
        return f"{len(steps)} of {len({one.step for one in found})} steps failed: {', '.join(steps)}."
    warned = f"; {marks['warn']} to look at" if marks["warn"] else ""
    tried = {one.step for one in found} - {one.step for one in found if one.mark == "skipped"}
    left = len({one.step for one in found} - tried)
    return f"{len(tried)} steps work{warned}" + (f"; {left} were not tried." if left else ".")


def failed(found: Sequence[Finding]) -> bool:
    """Whether something does not work."""
    return any(one.mark == "fail" for one in found)


def to_json(found: Sequence[Finding]) -> dict[str, Any]:
    """For machines; ``ok`` is the exit status' word."""
    return {"ok": not failed(found), "findings": [one._asdict() for one in found]}
