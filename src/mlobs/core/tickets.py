"""Tickets for predictions: given out to callers and requests, and opened when they come back.

What is asked for here is asked for at run time, in a service: nothing is raised, and what cannot be had is counted under
its reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.core.ended import LAST, Handed, here, last
from mlobs.core.inside import INSIDE
from mlobs.core.monitor import Monitor
from mlobs.core.predicted import ended, predicted, prediction, rows_of
from mlobs.errors import MlobsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlobs.core.predicted import Label, Predicted
    from mlobs.core.settings import Settings
    from mlobs.core.state import State
    from mlobs.release.joins import Joins
    from mlobs.release.prediction import Prediction
    from mlobs.release.ticket import Ticketer

_HEADER: Final = 16  # tickets; more are no header, but a body
_LONGEST: Final = 3584  # characters: nginx has 4 KB for all headers of an answer, and refuses one with more
_MORE: Final = ""  # stands for the tickets of all rows but the first


class Given(NamedTuple):
    """What a person says that the current call predicts, where its answer does not, or not yet."""

    label: Label = None
    score: float | None = None


class Tickets:
    """One a process. ``expect`` is told of every prediction whose truth can come; ``wall`` is seconds since the epoch."""

    def __init__(self, state: State, expect: Callable[[Sequence[Prediction]], None], wall: Callable[[], float]) -> None:
        self._state = state
        self._expect = expect
        self._wall = wall
        self._ticketer: Ticketer | None = None
        self._made_of: tuple[tuple[str, ...], float] | None = None

    def prepare(self, settings: Settings) -> None:
        """Load what seals tickets, so that no request waits for it. Raises MlobsError for keys that cannot be used."""
        made_of = (settings.ticket_keys, settings.ticket_ttl)
        if made_of == self._made_of:
            return
        ticketer = None
        if settings.ticket_keys:
            from mlobs.release.ticket import Ticketer

            with self._state.loading:
                ticketer = Ticketer(settings.ticket_keys, ttl=settings.ticket_ttl)
        self._ticketer, self._made_of = ticketer, made_of

    def ticketer(self) -> Ticketer | None:
        """What seals and opens tickets; None where there is no key, or none that can be used."""
        settings = self._state.settings
        try:
            self.prepare(settings)
        except MlobsError as error:
            self._ticketer, self._made_of = None, (settings.ticket_keys, settings.ticket_ttl)
            self._state.guard.tell("ticket keys", "mlobs gives no tickets: %s", error)
        return self._ticketer

    def ticket(self, given: Given) -> str | None:
        """A ticket for the call that runs here, or for the first row of the one that has just ended."""
        found = self._sealed(given, first=True)
        return found[0] if found else None

    def tickets(self) -> list[str]:
        """A ticket for each row that the call answered which has just ended here."""
        return self._sealed(Given(), first=False)

    def header(self, calls: Sequence[Handed | str], longest: int = _LONGEST) -> str | None:
        """The tickets of a request's calls, for its answer; None where there are none, or too many. Never raises.

        A text among the calls is a header of another process, whose calls these were. ``longest``: in characters.
        """
        try:
            ticketer = self.ticketer()
            if ticketer is None or not calls:
                return None
            count = sum(one.count(",") + 1 if isinstance(one, str) else rows_of(one) for one in calls)
            header = self._header(ticketer, calls, longest) if count <= _HEADER else None
            if header is None:
                self._drop("ticket_header", count)
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("ticket", error)
            return None
        return header or None

    def _header(self, ticketer: Ticketer, calls: Sequence[Handed | str], longest: int) -> str | None:
        sealed: list[str] = []
        made: list[tuple[Handed, Sequence[Prediction], list[str]]] = []
        for one in calls:
            if isinstance(one, str):
                sealed.append(one)
            elif _whole(one):
                sealed += one.sealed
            else:
                made.append((one, *self._seal(ticketer, one, self._of(one, self._rows(one)))))
                sealed += made[-1][2]
        header = ",".join(sealed)
        if len(header) > longest:
            return None
        for handed, new, found in made:
            self._given(handed, new, found)
        return header

    def _sealed(self, given: Given, *, first: bool) -> list[str]:
        if not self._state.settings.enabled:
            return []
        try:
            ticketer = self.ticketer()
            if ticketer is None:
                self._drop("ticket_key")
                return []
            handed, within = last(), INSIDE.get()
            running = isinstance(within, Monitor)
            if handed is not None and handed.runs(within) is not running:
                handed = None
            said = given.label is not None or given.score is not None
            if handed is not None and not said and (running or _whole(handed) or (first and _begun(handed))):
                return handed.sealed[:1] if first else list(handed.sealed)
            predictions, sealed = self._seal(ticketer, None if said else handed, self._predictions(given, first=first))
            if running and within.hands:  # which ends by `hand`
                LAST.set(Handed(within, None, -1, sealed, here()))
            self._given(None if running else handed, predictions, sealed, begins=first and not said)
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("ticket", error)
            return []
        return sealed

    @staticmethod
    def _seal(
        ticketer: Ticketer, handed: Handed | None, predictions: Sequence[Prediction]
    ) -> tuple[Sequence[Prediction], list[str]]:
        """Tickets for all of these, and which of them had none: the first may have one already."""
        known = handed.sealed[:1] if handed is not None and predictions and _begun(handed) else []
        new = predictions[len(known) :]
        return new, [*known, *(ticketer.seal(one) for one in new)]

    def _given(
        self, handed: Handed | None, new: Sequence[Prediction], sealed: Sequence[str], *, begins: bool = False
    ) -> None:
        """Somebody has these tickets now; where they are all that ``handed`` predicts, or its first, it keeps them."""
        self._expect(new)
        if handed is None or not sealed:
            return
        if len(sealed) == rows_of(handed):
            handed.sealed[:] = sealed
        elif begins:
            handed.sealed[:] = [sealed[0], _MORE]

    def _predictions(self, given: Given, *, first: bool, asked: int = 1) -> list[Prediction]:
        """What the current call predicts, or the one before; none where there is none, and ``asked`` are counted."""
        within = INSIDE.get()
        if isinstance(within, Monitor):
            return [prediction(within, given, self._wall(), self._task(within))]
        handed = last()
        if handed is None or handed.gone:
            self._state.hand()  # from now on there is one
            if within is not True:  # else nothing counts here, and nothing has a ticket
                self._drop("ticket_call", asked)
            return []
        rows: list[Predicted] = self._rows(handed)
        if first and not rows and given.label is None and given.score is None:
            self._drop("ticket_call", asked)
        elif first:  # whoever says what was predicted knows of a row
            label, score = rows[0] if rows else (None, None)
            rows = [(label if given.label is None else given.label, score if given.score is None else given.score)]
        return self._of(handed, rows)

    def _of(self, handed: Handed, rows: Sequence[Predicted]) -> list[Prediction]:
        at, task = ended(handed), self._task(handed.monitor)
        return [prediction(handed.monitor, row, at, task) for row in rows]

    def _rows(self, handed: Handed) -> list[Predicted]:
        return predicted(handed, handed.monitor.model.objective)

    @staticmethod
    def _task(monitor: Monitor) -> str:
        objective = monitor.model.objective
        return (objective.task or "") if objective is not None else ""

    def remember(self, joins: Joins, ids: Sequence[object], given: Given) -> bool:
        """Keep the current call's prediction under an id, or the rows of the one before under one each."""
        try:
            self._state.hand()
            predictions = self._predictions(given, first=len(ids) == 1, asked=len(ids))
            if len(predictions) != len(ids):
                if predictions:
                    self._drop("id_rows", len(ids))
                return False
            taken = [joins.remember(key, one) for key, one in zip(ids, predictions, strict=True)]
            self._expect([one for one, was in zip(predictions, taken, strict=True) if was])
            return all(taken)
        except Exception as error:  # noqa: BLE001 - ours
            self._state.guard.error("remember", error)
            return False

    def open(self, ticket: object) -> Prediction | str:
        """The prediction of a ticket, or the reason why there is none."""
        ticketer = self.ticketer()
        return "wrong_key" if ticketer is None else ticketer.open(ticket, self._wall())

    def _drop(self, reason: str, count: int = 1) -> None:
        self._state.guard.drop(reason, count)


def _whole(handed: Handed) -> bool:
    """Whether all its rows have tickets; one that was taken inside is of its only row."""
    return bool(handed.sealed) and handed.sealed[-1] != _MORE and len(handed.sealed) == rows_of(handed)


def _begun(handed: Handed) -> bool:
    """Whether, of several rows, the first has a ticket."""
    return handed.sealed[1:] == [_MORE]
