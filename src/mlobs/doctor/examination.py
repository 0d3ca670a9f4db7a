"""All steps, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.doctor.canary import Canary
from mlobs.doctor.estimate import LIMIT
from mlobs.doctor.exporting import collector, exporting
from mlobs.doctor.finding import CANARY, CARDINALITY, DASHBOARDS, PROMETHEUS, RULES, Finding, skipped
from mlobs.doctor.installation import installation
from mlobs.doctor.loaded import loaded
from mlobs.doctor.panels import Dashboard, dashboards, shown
from mlobs.doctor.population import population
from mlobs.doctor.prometheus import Prometheus
from mlobs.doctor.rulefile import Group, groups
from mlobs.doctor.setup import Setup
from mlobs.doctor.visible import answering, visible
from mlobs.otel.secrets import Secrets
from mlobs.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EXPORT: Final = 10.0  # seconds for one export
_ASK: Final = "Try: --prometheus http://localhost:9090"


class Asked(NamedTuple):
    """What is to be examined; ``timeout`` is how long the canary may take to be seen, in seconds."""

    environ: Mapping[str, str]
    endpoint: str | None = None
    prometheus: str | None = None
    health: str | None = None
    rules: tuple[Path, ...] = ()
    dashboards: tuple[Path, ...] = ()
    reference: Path | None = None
    limit: int = LIMIT
    timeout: float = 30.0


class Examination:
    """What is asked for is read first, so that a wrong file is told before anything is sent.

    Raises ConfigurationError, ProfileError and OSError for files and an endpoint that cannot be used.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._secrets = Secrets.of(asked.environ, (asked.endpoint, asked.prometheus, asked.health))
        self._groups: list[Group] = groups(asked.rules)
        self._dashboards: list[Dashboard] = dashboards(asked.dashboards)
        self._profile = None if asked.reference is None else Profile.load(asked.reference)
        self._setup, self._told = Setup.of(asked.environ, asked.endpoint)

    def steps(self) -> Iterator[Finding]:
        """The findings, as they are made, without a secret in them."""
        for one in self._steps():
            yield one._replace(said=self._secrets.hide(one.said), cure=self._secrets.hide(one.cure))

    def _steps(self) -> Iterator[Finding]:
        asked, setup = self._asked, self._setup
        yield from self._told
        yield from installation(setup)
        canary = Canary(setup)
        yield from exporting(setup, canary, min(_EXPORT, asked.timeout))
        yield collector(setup, asked.health)
        if asked.prometheus is None:
            for step in (PROMETHEUS, CANARY, RULES, DASHBOARDS, CARDINALITY):
                yield skipped(step, "not asked", _ASK)
            return
        prometheus = Prometheus(asked.prometheus, max(1.0, min(_EXPORT, asked.timeout)))
        found = answering(prometheus)
        yield found
        if found.mark == "fail":
            for step in (CANARY, RULES, DASHBOARDS, CARDINALITY):
                yield skipped(step, "Prometheus does not answer")
            return
        yield from visible(setup, canary, prometheus, asked.timeout)
        yield from loaded(prometheus, self._groups)
        yield from shown(prometheus, self._dashboards)
        yield from population(prometheus, asked.limit, self._profile, self._groups)
