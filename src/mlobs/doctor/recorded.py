"""The series that recording rules make of those there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlobs.doctor.promql import parse
from mlobs.doctor.shape import shape
from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlobs.doctor.rulefile import Group
    from mlobs.doctor.series import Series
    from mlobs.doctor.shape import Labels

_WHOSE = (("job", "*"), ("instance", "*"))
_EVERY = 60.0  # seconds between evaluations where a group leaves it to Prometheus


class Recorded(NamedTuple):
    """What one rule records; ``interval`` is its group's, in seconds."""

    group: str
    name: str
    interval: float
    series: frozenset[Labels]


def record(told: Iterable[Series], groups: Sequence[Group]) -> list[Recorded]:
    """The label sets that each recording rule makes, given what processes tell.

    Groups may use each other's results, whatever their order. Raises ConfigurationError, with the rule's name, for an
    expression that cannot be understood.
    """
    known: dict[str, set[Labels]] = {}
    for one in told:
        sets = known.setdefault(one.name, set())
        sets.update(frozenset((*one.labels, *each, *_WHOSE)) for each in one.each)
    rules = [(group, rule) for group in groups for rule in group.rules if rule.records]
    trees = {}
    for group, rule in rules:
        try:
            trees[rule.expr] = parse(rule.expr)
        except ConfigurationError as error:
            raise ConfigurationError(f"rule {rule.name} of group {group.name}: {error}") from error
    found: list[Recorded] = []
    made: dict[str, set[Labels]] = {}
    for _ in range(2):  # a group may use what a later one records
        before, made, found = made, {}, []
        for group, rule in rules:
            series = shape(trees[rule.expr], {**known, **before, **made}) or frozenset()
            if rule.labels:
                own = dict(rule.labels)
                series = frozenset(frozenset({**dict(labels), **own}.items()) for labels in series)
            found.append(Recorded(group.name, rule.name, group.interval or _EVERY, series))
            made.setdefault(rule.name, set()).update(series)
        if made == before:
            break
    return found
