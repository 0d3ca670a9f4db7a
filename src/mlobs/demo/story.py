"""The run: learn, serve, send winter, send spring, and compare what was counted with what was sent."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.demo.glance import Glance
from mlobs.demo.history import History
from mlobs.demo.landings import Landings
from mlobs.demo.ledger import Ledger
from mlobs.demo.outcome import Outcome, Season
from mlobs.demo.place import Place
from mlobs.demo.preparation import prepare
from mlobs.demo.receiver import Receiver
from mlobs.demo.totals import Totals
from mlobs.demo.traffic import Traffic, requests
from mlobs.demo.verdicts import verdicts
from mlobs.demo.workers import Workers, environment
from mlobs.errors import MlobsError

if TYPE_CHECKING:
    import pandas as pd

    from mlobs.demo.landings import Landing
    from mlobs.demo.narrator import Narrator
    from mlobs.demo.recording import Recording
    from mlobs.profile import Profile

_REQUESTS: Final = 6000  # what a short run tries to reach, for clear verdicts
_RATE: Final = 200.0  # requests a second of a long one
_TICK: Final = 0.25  # seconds between two looks
_PATIENCE: Final = 20.0  # seconds in which all that was sent must have been counted


class Script(NamedTuple):
    """How a run goes: seconds of traffic; requests a second, None for as many as clear verdicts take; the dice."""

    seconds: float = 60.0
    rate: float | None = None
    seed: int = 0

    @property
    def pace(self) -> float:
        """Requests a second."""
        return self.rate or max(_RATE, _REQUESTS / self.seconds)


class _Part(NamedTuple):
    name: str
    flights: pd.DataFrame
    seconds: float


def play(script: Script, narrator: Narrator, recording: Recording | None = None) -> Outcome:
    """Run from the data to the verdicts; nothing is left behind, whatever ends it. What fails is one clear MlobsError.

    A ``recording`` gets all that arrives.
    """
    ledger = Ledger()
    sinks = [ledger] if recording is None else [ledger, recording]
    with tempfile.TemporaryDirectory(prefix="mlobs-demo-") as folder, Receiver(*sinks) as receiver:
        place = Place(Path(folder))
        flights, profile = prepare(place, narrator, script.seed)
        told = environment(place, receiver.endpoint)
        with Workers(place, told) as workers, Landings(place, told) as landings:
            with narrator.step("Starting two uvicorn workers"):
                traffic = Traffic(workers.wait(), script.pace, landings.depart)
            run = _Run(script, narrator, _Cast(ledger, workers, traffic, landings), profile)
            try:
                winter = run.season(
                    "winter, held out",
                    [_Part("winter flights, held out", flights.winter, 0.4 * script.seconds)],
                )
                spring = run.season(
                    "April and May",
                    [
                        _Part("April's flights", flights.april, 0.3 * script.seconds),
                        _Part("May's flights", flights.may, 0.3 * script.seconds),
                    ],
                )
            finally:
                narrator.close()
    return Outcome(
        sent=traffic.sent,
        malformed=traffic.malformed,
        truths=landings.sent,
        totals=ledger.totals(),
        winter=winter,
        spring=spring,
        auc=run.auc,
        auc_of_truths=_auc(landings.told),
    )


class _Cast(NamedTuple):
    """Who plays in a run."""

    ledger: Ledger
    workers: Workers
    traffic: Traffic
    landings: Landings


class _Run:
    """The traffic of one run, season by season, on the thread that tells it."""

    def __init__(self, script: Script, narrator: Narrator, cast: _Cast, profile: Profile) -> None:
        self._script = script
        self._narrator = narrator
        self._ledger, self._workers, self._traffic, self._landings = cast
        self._profile = profile
        self._history = History(time.monotonic())
        self._before = Totals()  # when the season began
        self._elapsed = 0.0  # seconds of traffic in the parts that have ended
        self.auc: dict[str, float] = {}

    def season(self, name: str, parts: list[_Part]) -> Season:
        """Send the parts of a season; return when every request of it, and every truth, has been counted."""
        self._before = self._ledger.totals()
        told = len(self._landings.told)
        for part in parts:
            self._send(part)
        self._settle(parts[-1].name)
        totals = self._ledger.totals().since(self._before)
        return Season(name, totals, verdicts(self._profile, totals), _auc(self._landings.told[told:]))

    def _send(self, part: _Part) -> None:
        answered = len(self._traffic.answers)
        began = time.monotonic()
        with self._traffic.sending(requests(part.flights, self._script.seed)):
            while (passed := time.monotonic() - began) < part.seconds:
                self._look(part.name, self._elapsed + passed)
                time.sleep(min(_TICK, part.seconds - passed))
        self._elapsed += part.seconds
        self.auc[part.name] = _auc(self._traffic.answers[answered:])

    def _settle(self, part: str) -> None:
        """Wait until all flights have landed, every worker has reported since, and all that was sent is counted."""
        while self._landings.in_air:
            self._look(part, self._elapsed, settling=True)
            time.sleep(_TICK)
        answered = time.time_ns()
        deadline = time.monotonic() + _PATIENCE
        while True:
            totals = self._look(part, self._elapsed, settling=True)
            reported = all(worker.heard > answered for worker in totals.workers)
            counted = totals.predictions, totals.errors
            truths = totals.worth.joined + totals.worth.rejected
            sent = self._traffic.sent, self._traffic.malformed
            if reported and counted == sent and truths == self._landings.sent:
                return
            if time.monotonic() > deadline:
                raise MlobsError(
                    f"{self._traffic.sent:,} requests were answered, {self._traffic.malformed:,} of them malformed, but "
                    f"{_PATIENCE:.0f} s later mlobs had counted {counted[0]:,} and {counted[1]:,}; of {self._landings.sent:,} "
                    f"truths it had counted {truths:,}. Either a process cannot reach the demo's receiver, or this is a "
                    "defect of mlobs worth reporting."
                )
            time.sleep(_TICK)

    def _look(self, part: str, elapsed: float, *, settling: bool = False) -> Totals:
        """Take one reading, check that all is well, and show it."""
        totals = self._ledger.totals()
        self._history.add(time.monotonic(), totals)
        season = totals.since(self._before)
        glance = Glance(
            part=part,
            elapsed=elapsed,
            seconds=self._script.seconds,
            settling=settling,
            sent=self._traffic.sent,
            malformed=self._traffic.malformed,
            totals=totals,
            rate=self._history.rate(),
            rates=self._history.rates(),
            recent=self._history.durations(),
            drifts=verdicts(self._profile, season),
            worth=season.worth,
        )
        self._narrator.show(glance)
        self._traffic.check()
        self._workers.check()
        self._landings.check()
        return totals


def _auc(answers: list[Landing]) -> float:
    """Return the area under the ROC curve, NaN where all flights were late or none was."""
    from sklearn.metrics import roc_auc_score

    late = [answer.late for answer in answers]
    if len(set(late)) < 2:
        return float("nan")
    return float(roc_auc_score(late, [answer.probability for answer in answers]))
