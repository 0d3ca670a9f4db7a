"""How many series a model makes: in a process, in a fleet of them, and by the rules that Prometheus records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.doctor.recorded import record
from mlobs.doctor.series import Fleet, Shape, feature, label, name_of, process, shapes
from mlobs.otel import machine, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlobs.doctor.recorded import Recorded
    from mlobs.doctor.rulefile import Group
    from mlobs.doctor.shape import Labels
    from mlobs.profile import Profile

LIMIT: Final = 1_000_000  # series; what one Prometheus of 4 GiB holds by the rule of thumb below
# Brian Brazil, "How much RAM does Prometheus 2.x need for cardinality and ingestion?", Robust Perception 2019, in bytes:
_SERIES: Final = 732
_PAIR: Final = 32  # a label pair
_COLLECTOR: Final = 2  # Go's garbage collector doubles it
_HEAD: Final = 3 * 3600.0  # seconds of samples that are held in memory
_SAMPLE: Final = 2 * 1.5  # bytes of a sample, with what chunks leave empty
_UNKNOWN: Final = 12  # characters of a value that is not known here: a model's name, a feature's
_WHOSE: Final = (("job", "a service's name"), ("instance", "0" * 36))
_EXPORT: Final = 60.0  # seconds between two samples


class Count(NamedTuple):
    """Series that are there once the model is called with ordinary rows, and the most there may be."""

    sure: int
    most: int

    def __mul__(self, times: object) -> Count:
        return Count(self.sure * times, self.most * times) if isinstance(times, int) else NotImplemented

    def plus(self, other: Count) -> Count:
        """Both together."""
        return Count(self.sure + other.sure, self.most + other.most)


NONE: Final = Count(0, 0)


class Cost(NamedTuple):
    """One feature: series in a process, and those that the rules record, at most, for one version and variant."""

    name: str
    role: str
    bins: int
    raw: int
    recorded: int


class Estimate(NamedTuple):
    """``process`` by part, ``recorded`` by group of rules; ``memory`` in bytes for the whole fleet."""

    fleet: Fleet
    process: dict[str, Count]
    recorded: dict[str, int]
    features: tuple[Cost, ...]
    memory: int

    @property
    def per_process(self) -> Count:
        """All series of one process."""
        total = NONE
        for count in self.process.values():
            total = total.plus(count)
        return total

    @property
    def raw(self) -> Count:
        """Those of all processes."""
        return self.per_process * self.fleet.replicas

    @property
    def rules(self) -> int:
        """All that rules record, at most."""
        return sum(self.recorded.values())

    @property
    def total(self) -> Count:
        """What Prometheus holds."""
        return self.raw.plus(Count(self.rules, self.rules))


def estimate(profile: Profile, fleet: Fleet, groups: Sequence[Group]) -> Estimate:
    """Count. Raises ConfigurationError for rules that cannot be understood."""
    counted = shapes(profile)
    told = list(process(counted, fleet))
    parts: dict[str, Count] = {}
    for one in told:
        parts[one.part] = parts.get(one.part, NONE).plus(Count(one.total * one.sure, one.total))
    rules = record(told, groups)
    weights = _weights(fleet, {name_of(one): times for one, times in counted.items()})
    recorded: dict[str, int] = {}
    memory = 0.0
    for rule in rules:
        for labels in rule.series:
            times = _times(labels, weights)
            recorded[rule.group] = recorded.get(rule.group, 0) + times
            memory += times * _bytes(rule.name, labels, rule.interval)
    for one in told:
        pairs = (*one.labels, *one.each[0], *_WHOSE)
        memory += one.total * fleet.replicas * _bytes(one.name, pairs, _EXPORT)
    return Estimate(fleet, parts, recorded, _costs(profile, fleet, rules), int(memory))


def _weights(fleet: Fleet, features: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """How many series a label stands for."""
    return {
        (label(names.MODEL_VERSION), "*"): fleet.versions,
        (label(names.MODEL_VARIANT), "*"): fleet.variants,
        (label(names.MODEL_OPERATION), "*"): fleet.operations,
        (label(names.ERROR_TYPE), "*"): fleet.errors,
        (label(machine.HW_ID), "*"): fleet.gpus,
        (names.STAGE, "*"): fleet.stages,
        ("instance", "*"): fleet.replicas,
        **{(names.FEATURE, name): times for name, times in features.items()},
    }


def _times(labels: Labels, weights: Mapping[tuple[str, str], int]) -> int:
    times = 1
    for pair in labels:
        times *= weights.get(pair, 1)
    return times


def _costs(profile: Profile, fleet: Fleet, rules: Iterable[Recorded]) -> tuple[Cost, ...]:
    """The features, the most expensive first."""
    made: dict[str, int] = {}
    for rule in rules:
        for labels in rule.series:
            name = dict(labels).get(names.FEATURE)
            if name is not None:
                made[name] = made.get(name, 0) + 1
    found = []
    for one in (*profile.inputs, *profile.outputs):
        alike = Shape.of(one)
        raw = sum(series.total for series in feature(alike, fleet))
        found.append(Cost(one.name, one.role, one.partition.size, raw, made.get(name_of(alike), 0)))
    return tuple(sorted(found, key=lambda cost: (-cost.raw * fleet.replicas - cost.recorded, cost.name)))


def _bytes(name: str, labels: Iterable[tuple[str, str]], interval: float) -> float:
    """Memory of one series."""
    pairs = list(labels)
    text = len(name) + sum(
        len(key) + (_UNKNOWN if value == "*" or " " in value else len(value)) for key, value in pairs
    )
    return _COLLECTOR * (_SERIES + _PAIR * (len(pairs) + 1) + 2 * text + _HEAD / interval * _SAMPLE)
