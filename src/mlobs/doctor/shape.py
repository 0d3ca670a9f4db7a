"""Which series an expression has, given which series there are: label sets, without any value.

Comparisons are taken to let everything pass, so that what comes out is the most there can be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mlobs.doctor.promql import COMPARISONS, SETS, Aggregation, Binary, Call, Expr, Negation, Selector, Sub, Text
from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

Labels = frozenset[tuple[str, str]]
Series = frozenset[Labels]

_NOTHING: Final[Labels] = frozenset()
_SCALARS: Final = frozenset({"scalar", "time", "pi"})
_ONE: Final = frozenset({"vector", "absent", "absent_over_time"})


def shape(expr: Expr, known: Mapping[str, Collection[Labels]]) -> Series | None:
    """The label sets of an expression; None of a scalar. Raises ConfigurationError for a function it does not know."""
    if isinstance(expr, Selector):
        return frozenset(_selected(expr, known))
    if isinstance(expr, (Negation, Sub)):
        return shape(expr.expr, known)
    if isinstance(expr, Aggregation):
        return _aggregated(expr, known)
    if isinstance(expr, Call):
        return _called(expr, known)
    return _paired(expr, known) if isinstance(expr, Binary) else None


def _selected(expr: Selector, known: Mapping[str, Collection[Labels]]) -> Iterator[Labels]:
    if expr.name:
        named = {expr.name: known.get(expr.name, ())}
    else:
        tests = [_test(sign, value) for label, sign, value in expr.matchers if label == "__name__"]
        named = {name: series for name, series in known.items() if all(test(name) for test in tests)}
    tests_of = [(label, _test(sign, value)) for label, sign, value in expr.matchers if label != "__name__"]
    for series in named.values():
        for labels in series:
            has = dict(labels)
            if all(test(has.get(label, "")) for label, test in tests_of):
                yield labels


def _test(sign: str, value: str) -> Callable[[str], bool]:
    if sign in ("=", "!="):
        return lambda has: (has == value) == (sign == "=")
    pattern = re.compile(value)
    return lambda has: bool(pattern.fullmatch(has)) == (sign == "=~")


def _aggregated(expr: Aggregation, known: Mapping[str, Collection[Labels]]) -> Series:
    inner = shape(expr.args[-1], known) or frozenset()
    if expr.name in ("topk", "bottomk", "limitk"):
        return inner
    return frozenset(_kept(labels, expr.labels, on=not expr.without) for labels in inner)


def _called(expr: Call, known: Mapping[str, Collection[Labels]]) -> Series | None:
    if expr.name in _SCALARS:
        return None
    if expr.name in _ONE:
        return frozenset({_NOTHING})
    if expr.name in ("label_replace", "label_join"):
        return _renamed(expr, known)
    found = [one for one in (shape(arg, known) for arg in expr.args) if one is not None]
    if not found:
        return None
    if expr.name == "histogram_quantile":
        return frozenset(_kept(labels, ("le",), on=False) for labels in found[0])
    return found[0]


def _renamed(expr: Call, known: Mapping[str, Collection[Labels]]) -> Series:
    texts = [one.value for one in expr.args if isinstance(one, Text)]
    if expr.name == "label_join" or len(texts) != 4:
        raise ConfigurationError(f"mlobs cannot tell how many series {expr.name} has here")
    target, replacement, source, pattern = texts
    found = set()
    for labels in shape(expr.args[0], known) or ():
        has = dict(labels)
        match = re.fullmatch(pattern, has.get(source, ""))
        if match:
            has[target] = match.expand(re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", replacement))
        found.add(frozenset((key, value) for key, value in has.items() if value))
    return frozenset(found)


def _paired(expr: Binary, known: Mapping[str, Collection[Labels]]) -> Series | None:
    left, right = shape(expr.left, known), shape(expr.right, known)
    if left is None or right is None:
        return right if left is None else left
    on, names = (False, ()) if expr.on is None else (expr.on, expr.labels)
    if expr.sign in SETS:
        return _combined(expr, left, right, on=on, names=names)
    if expr.group == "right":
        left, right = right, left
    others = {_kept(labels, names, on=on): labels for labels in right}
    found = set()
    for labels in left:
        other = others.get(_kept(labels, names, on=on))
        if other is None:
            continue
        if expr.group:
            more = frozenset(pair for pair in other if pair[0] in expr.include)
            found.add(_kept(labels, expr.include, on=False) | more)
        else:
            found.add(_kept(labels, names, on=on))
    return frozenset(found)


def _combined(expr: Binary, left: Series, right: Series, *, on: bool, names: tuple[str, ...]) -> Series:
    keys = {_kept(labels, names, on=on) for labels in right}
    if expr.sign == "and":
        return frozenset(labels for labels in left if _kept(labels, names, on=on) in keys)
    if expr.sign == "unless":
        if _filters(expr.right):  # it may let nothing pass, and then nothing is taken away
            return left
        return frozenset(labels for labels in left if _kept(labels, names, on=on) not in keys)
    there = {_kept(labels, names, on=on) for labels in left}
    return left | {labels for labels in right if _kept(labels, names, on=on) not in there}


def _kept(labels: Labels, names: tuple[str, ...], *, on: bool) -> Labels:
    return frozenset(pair for pair in labels if (pair[0] in names) == on)


def _filters(expr: Expr) -> bool:
    """Whether a comparison in it may leave series out."""
    if isinstance(expr, Binary):
        own = expr.sign in COMPARISONS and not expr.is_bool
        return own or _filters(expr.left) or _filters(expr.right)
    if isinstance(expr, (Negation, Sub)):
        return _filters(expr.expr)
    return any(map(_filters, expr.args)) if isinstance(expr, (Call, Aggregation)) else False
