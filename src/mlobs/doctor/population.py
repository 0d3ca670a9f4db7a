"""The eighth step: how many series there are, and how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlobs.doctor.estimate import Estimate, estimate
from mlobs.doctor.finding import CARDINALITY, Finding, fail, ok, skipped, warn
from mlobs.doctor.prometheus import PrometheusError
from mlobs.doctor.series import Fleet
from mlobs.otel import machine, names
from mlobs.otel.scrape import metric_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlobs.doctor.prometheus import Prometheus
    from mlobs.doctor.rulefile import Group
    from mlobs.profile import Profile

_SERIES: Final = metric_name(names.SDK_SERIES)
_DROPPED: Final = f"{metric_name(names.SDK_DROPPED)}_total"
_OVER: Final = "model_limit|feature_limit|operation_limit"
_MOST: Final = 3  # metrics that are named
_NEAR: Final = 0.8  # of the limit


def count(prometheus: Prometheus) -> dict[str, int]:
    """Series by metric: those whose names are mlobs' alone, and of the machine those of processes that it observes.

    Raises PrometheusError.
    """
    shared = "|".join(
        metric_name(one) + ("_total" if one.kind == "counter" else "")
        for one in machine.INSTRUMENTS
        if not one.name.startswith("mlobs.")
    )
    own = 'count by (__name__) ({__name__=~"mlobs[_:].+"})'
    others = f'count by (__name__) ({{__name__=~"{shared}|target_info"}} and on (job, instance) {_SERIES})'
    found = [*prometheus.query(own), *prometheus.query(others)]
    return {str(one["metric"]["__name__"]): int(float(one["value"][1])) for one in found}


def population(
    prometheus: Prometheus, limit: int, profile: Profile | None, groups: Sequence[Group]
) -> Iterator[Finding]:
    """What there is, against the limit and, with a reference, against the estimate."""
    try:
        by_name = count(prometheus)
        processes = _number(prometheus, f"count({_SERIES})")
        over = _number(prometheus, f'sum({_DROPPED}{{reason=~"{_OVER}"}})')
        models = prometheus.query(f"count by (model_version, model_variant) ({metric_name(names.MODEL_INFO)})")
    except PrometheusError as error:
        yield fail(CARDINALITY, str(error), "Look at Prometheus' log.")
        return
    total = sum(by_name.values())
    if not processes:
        cure = "Start an observed program; it tells of itself a minute later at the latest."
        yield skipped(CARDINALITY, "no observed process is in this Prometheus now", cure)
        return
    largest = sorted(by_name, key=lambda name: (-by_name[name], name))[:_MOST]
    said = (
        f"{total:,} series of {processes:,.0f} processes and the rules, limit {limit:,}; "
        f"most: {', '.join(f'{name} {by_name[name]:,}' for name in largest)}"
    )
    cure = "Fewer features or bins, fewer versions at a time: mlobs cardinality REF says what costs most. Or raise --limit."
    if total > limit:
        yield fail(CARDINALITY, said, cure)
    elif total > limit * _NEAR:
        yield warn(CARDINALITY, said, cure)
    else:
        yield ok(CARDINALITY, said)
    if over:
        said = f"{over:,.0f} rows, models or operations are beyond max_models, max_features or a hundred operations a model"
        yield warn(
            CARDINALITY, said, "Give models and operations stable names; see docs/alerts.md, MlobsCardinalityOverflow."
        )
    if profile is not None:
        fleet = _fleet([one["metric"] for one in models], int(processes))
        yield _foreseen(estimate(profile, fleet, groups), limit)


def _foreseen(found: Estimate, limit: int) -> Finding:
    fleet, most = found.fleet, found.total.most
    of = f"{fleet.replicas} processes, {fleet.versions} versions, {fleet.variants} variants"
    said = f"for {of} the reference makes {found.total.sure:,} series, {most:,} at most; limit {limit:,}"
    if most > limit:
        return warn(CARDINALITY, said, "mlobs cardinality REF says which features cost most.")
    return ok(CARDINALITY, said)


def _fleet(models: Sequence[dict[str, str]], processes: int) -> Fleet:
    versions = {one.get("model_version") for one in models}
    variants = {one.get("model_variant") for one in models}
    return Fleet(max(1, processes), max(1, len(versions)), max(1, len(variants)))


def _number(prometheus: Prometheus, expr: str) -> float:
    found = prometheus.query(expr)
    return float(found[0]["value"][1]) if found else 0.0
