"""The sixth step: whether Prometheus has the rules, the same ones, and they run."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from mlobs.doctor.finding import RULES, Finding, fail, ok, warn
from mlobs.doctor.prometheus import PrometheusError
from mlobs.doctor.promql import parse
from mlobs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlobs.doctor.prometheus import Prometheus
    from mlobs.doctor.rulefile import Group

_NEVER: Final = "0001-01-01"
_SHOWN: Final = 3
_LATE: Final = 3  # intervals without an evaluation
_ADDED: Final = frozenset({"component", "severity"})


def loaded(prometheus: Prometheus, wanted: list[Group]) -> Iterator[Finding]:
    """What of the wanted groups is missing, other, failing, slow or late; else that all is well."""
    try:
        there = {str(group["name"]): group for group in prometheus.groups()}
    except PrometheusError as error:
        yield fail(RULES, str(error), "Look at Prometheus' log.")
        return
    missing = [group.name for group in wanted if group.name not in there]
    if missing:
        yield fail(
            RULES,
            f"Prometheus has not loaded {_few(missing)}",
            "Try: mlobs assets export DIR, name DIR/prometheus/mlobs-*.yml in rule_files, and reload Prometheus.",
        )
    found: list[Finding] = []
    for group in wanted:
        if group.name in there:
            found += _compared(group, there[group.name])
            found += _running(group.name, there[group.name])
    yield from found
    if not missing and not found:
        rules = sum(len(group.rules) for group in wanted)
        slowest = max((float(there[group.name].get("evaluationTime") or 0) for group in wanted), default=0.0)
        yield ok(
            RULES, f"{len(wanted)} groups, {rules} rules, all as mlobs has them; slowest group {slowest * 1000:.0f} ms"
        )


def _compared(group: Group, there: dict[str, Any]) -> Iterator[Finding]:
    wanted = Counter((rule.name, rule.labels if rule.records else ()) for rule in group.rules)
    has = Counter((str(rule["name"]), _labels(rule)) for rule in there["rules"])
    lacking = sorted({name for name, _ in wanted - has})
    if lacking:
        cure = "They are of another version of mlobs: export them again, and reload Prometheus."
        yield fail(RULES, f"group {group.name} lacks {_few(lacking)}", cure)
    exprs: dict[tuple[str, object], list[str]] = {}
    for rule in there["rules"]:
        exprs.setdefault((str(rule["name"]), _labels(rule)), []).append(str(rule["query"]))
    other = [
        rule.name
        for rule in group.rules
        if (key := (rule.name, rule.labels if rule.records else ())) in exprs
        and not any(_same(rule.expr, expr) for expr in exprs[key])
    ]
    if other:
        cure = "Fine where you changed them on purpose (then point --rules at yours); else export them again."
        yield warn(RULES, f"in group {group.name} other than mlobs has it: {_few(sorted(set(other)))}", cure)


def _labels(rule: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    if rule.get("type") == "alerting":
        return ()
    return tuple(sorted((str(key), str(value)) for key, value in (rule.get("labels") or {}).items()))


def _same(mine: str, theirs: str) -> bool:
    try:
        return parse(mine) == parse(theirs)
    except ConfigurationError:  # a function of a later Prometheus: letter by letter, then
        return re.sub(r"[\s()]", "", mine) == re.sub(r"[\s()]", "", theirs)


def _running(name: str, there: dict[str, Any]) -> Iterator[Finding]:
    for rule in there["rules"]:
        if rule.get("health") == "err":
            said = f"{rule['name']} of group {name} fails: {rule.get('lastError')}"
            yield fail(RULES, said, "Its own words say why; two processes of one `instance` make duplicates.")
            break
    interval = float(there.get("interval") or 0)
    last, took = str(there.get("lastEvaluation", _NEVER)), float(there.get("evaluationTime") or 0)
    if last.startswith(_NEVER):
        yield warn(RULES, f"group {name} was never evaluated yet", f"It is, every {interval:g} s: look again then.")
    elif interval and _age(last) > _LATE * interval:
        yield fail(
            RULES, f"group {name} was last evaluated at {last[:19]}", "Look at Prometheus' log, and whether it has CPU."
        )
    if interval and took > interval:
        said = f"group {name} takes {took:.1f} s of its {interval:g} s: evaluations are left out"
        yield fail(RULES, said, "Fewer series (mlobs cardinality), or more CPU for Prometheus.")
    elif interval and took > interval / 2:
        said = f"group {name} takes {took:.1f} s of its {interval:g} s"
        yield warn(RULES, said, "It will not keep up for long: fewer series (mlobs cardinality), or more CPU.")


def _age(text: str) -> float:
    """Seconds since a time as Prometheus writes it, with nanoseconds."""
    found = re.fullmatch(r"(.{19})(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if found is None:
        return 0.0
    zone = "+00:00" if found[2] == "Z" else found[2]
    return time.time() - dt.datetime.fromisoformat(found[1] + zone).timestamp()


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
