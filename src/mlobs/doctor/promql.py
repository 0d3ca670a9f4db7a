"""PromQL as a tree: enough of it to compare two expressions, and to tell how many series one has.

Two texts that mean the same by their spacing, parentheses, spelling of numbers or order of matchers are one tree.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from mlobs.errors import ConfigurationError

AGGREGATIONS: Final = frozenset({
    "avg", "bottomk", "count", "count_values", "group", "limitk", "max", "min", "quantile", "stddev", "stdvar", "sum",
    "topk",
})  # fmt: skip
_LEVELS: Final = (
    frozenset({"or"}),
    frozenset({"and", "unless"}),
    frozenset({"==", "!=", "<", "<=", ">", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%", "atan2"}),
)
COMPARISONS: Final = _LEVELS[2]
SETS: Final = _LEVELS[0] | _LEVELS[1]
_TOKEN: Final = re.compile(
    r"""\s*(?:\#[^\n]*\n\s*)*(?:
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
  | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<duration>(?:\d+(?:ms|[smhdwy]))+)
  | (?P<name>[a-zA-Z_:][\w:]*)
  | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^(){}\[\],=<>:@])
  | (?P<end>\Z))""",
    re.VERBOSE,
)


class Number(NamedTuple):
    """A scalar."""

    value: float


class Text(NamedTuple):
    """A string."""

    value: str


class Selector(NamedTuple):
    """Series; ``matchers`` are (label, operator, value), ``reach`` is the range or the subquery's."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    reach: str = ""
    offset: str = ""


class Call(NamedTuple):
    """A function."""

    name: str
    args: tuple[Expr, ...]


class Aggregation(NamedTuple):
    """Without labels everything is one."""

    name: str
    without: bool
    labels: tuple[str, ...]
    args: tuple[Expr, ...]


class Binary(NamedTuple):
    """``on`` is None where all labels count, ``group`` is left, right or empty."""

    sign: str
    is_bool: bool
    on: bool | None
    labels: tuple[str, ...]
    group: str
    include: tuple[str, ...]
    left: Expr
    right: Expr


class Negation(NamedTuple):
    """A minus in front."""

    expr: Expr


class Sub(NamedTuple):
    """An expression with a range or an offset: a subquery."""

    expr: Expr
    reach: str
    offset: str


Expr = Number | Text | Selector | Call | Aggregation | Binary | Negation | Sub


def parse(text: str) -> Expr:
    """The tree. Raises ConfigurationError for what this does not understand."""
    parser = _Parser(text)
    expr = parser.binary(0)
    parser.take("end")
    return expr


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        place, kind = 0, ""
        while kind != "end":
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise self._wrong(text[place : place + 20])
            kind, place = found.lastgroup, found.end()
            self._tokens.append((kind, found[kind]))
        self._at = 0

    def _wrong(self, at: str) -> ConfigurationError:
        return ConfigurationError(f"mlobs does not understand {at!r} in the expression {' '.join(self._text.split())}")

    @property
    def _next(self) -> str:
        kind, text = self._tokens[self._at]
        return text if kind in ("sign", "name") else kind

    def _skip(self, *wanted: str) -> str:
        """The next token if it is one of these."""
        if self._next in wanted:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return ""

    def take(self, kind: str) -> str:
        """The next token, which has to be of a kind, or a sign."""
        found, text = self._tokens[self._at]
        if kind not in (found, text):
            raise self._wrong(text or "its end")
        self._at += 1
        return text

    def binary(self, level: int) -> Expr:
        if level == len(_LEVELS):
            return self._unary()
        left = self.binary(level + 1)
        while self._next in _LEVELS[level]:
            left = self._pair(left, level + 1)
        return left

    def _pair(self, left: Expr, level: int) -> Expr:
        sign = self._tokens[self._at][1]
        self._at += 1
        is_bool = bool(self._skip("bool"))
        on: bool | None = None
        labels: tuple[str, ...] = ()
        word = self._skip("on", "ignoring")
        if word:
            on, labels = word == "on", self._labels()
        group = self._skip("group_left", "group_right").removeprefix("group_")
        include = self._labels() if group and self._next == "(" else ()
        return Binary(sign, is_bool, on, labels, group, include, left, self.binary(level))

    def _unary(self) -> Expr:
        sign = self._skip("-", "+")
        if sign:
            inner = self._unary()
            if sign == "+":
                return inner
            return Number(-inner.value) if isinstance(inner, Number) else Negation(inner)
        left = self._postfix(self._atom())
        if self._skip("^"):
            return Binary("^", False, None, (), "", (), left, self._unary())
        return left

    def _postfix(self, expr: Expr) -> Expr:
        reach = offset = ""
        if self._skip("["):
            while self._next != "]":
                reach += self._tokens[self._at][1]
                if self._tokens[self._at][0] == "end":
                    raise self._wrong("its end")
                self._at += 1
            self.take("]")
        if self._skip("offset"):
            offset = self._skip("-") + self.take("duration")
        if not reach and not offset:
            return expr
        return expr._replace(reach=reach, offset=offset) if isinstance(expr, Selector) else Sub(expr, reach, offset)

    def _atom(self) -> Expr:
        kind, text = self._tokens[self._at]
        if kind in ("number", "string"):
            self._at += 1
            return Text(_string(text)) if kind == "string" else Number(_number(text))
        if text == "(":
            self._at += 1
            inner = self.binary(0)
            self.take(")")
            return inner
        if text == "{":
            return self._selector("")
        if kind != "name":
            raise self._wrong(text or "its end")
        self._at += 1
        if text in AGGREGATIONS and self._next in ("by", "without", "("):
            return self._aggregation(text)
        if self._next == "(":
            return Call(text, self._arguments())
        return Number(float(text)) if text.lower() in ("inf", "nan") else self._selector(text)

    def _aggregation(self, name: str) -> Expr:
        word = self._skip("by", "without")
        labels = self._labels() if word else ()
        args = self._arguments()
        if not word:
            word = self._skip("by", "without")
            labels = self._labels() if word else ()
        return Aggregation(name, word == "without", labels, args)

    def _arguments(self) -> tuple[Expr, ...]:
        self.take("(")
        found: list[Expr] = []
        while not self._skip(")"):
            found.append(self.binary(0))
            if self._next != ")":
                self.take(",")
        return tuple(found)

    def _labels(self) -> tuple[str, ...]:
        self.take("(")
        found = []
        while not self._skip(")"):
            found.append(self.take("name"))
            if self._next != ")":
                self.take(",")
        return tuple(found)

    def _selector(self, name: str) -> Selector:
        found = []
        if self._skip("{"):
            while not self._skip("}"):
                label = self.take("name")
                sign = self._skip("=", "!=", "=~", "!~")
                found.append((label, sign, _string(self.take("string"))))
                if self._next != "}":
                    self.take(",")
        return Selector(name, tuple(sorted(found)))


def _number(text: str) -> float:
    return float(int(text, 16)) if text[:2].lower() == "0x" else float(text)


def _string(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    body = text[1:-1]
    try:
        return str(json.loads(f'"{body}"')) if text[0] == '"' else body.replace("\\'", "'")
    except ValueError:  # an escape that JSON does not have
        return body
