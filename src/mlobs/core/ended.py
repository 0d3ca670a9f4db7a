"""The observed calls that have just ended, kept for whoever asks for their tickets: of this task or thread, and of a request.

Each is a context variable: tasks and threads that serve different users never see each other's.
"""

from __future__ import annotations

import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.columns import kind_of
from mlobs.core.pack import unpacked
from mlobs.core.ring import Left, Part

if TYPE_CHECKING:
    from mlobs.core.monitor import Monitor
    from mlobs.core.pack import Pack


class Lot:
    """The rows from ``first`` to before ``last`` of an answer to several callers; ``read`` is what all its rows say, read once."""

    __slots__ = ("first", "last", "read")

    def __init__(self, first: int, last: int, read: list[list[Any]]) -> None:
        self.first = first
        self.last = last
        self.read = read


class Handed(NamedTuple):
    """An observed call that ended well, kept for tickets: whose it was, what it answered, and when (perf_counter_ns).

    ``answer`` may be a weak reference, see `said`. ``owner``: the task or thread that called, see `here`. ``sealed``: its
    tickets, one a row, once somebody has them: whoever asks again gets the same. One that runs, and has been asked for its
    ticket by its own function, has none of the rest, and ``ended`` is -1. ``single``: it answered one row of input with as
    many values as there are classes, which may be that row's probabilities. ``lot``: which rows of the answer these are; None: all.
    """

    monitor: Monitor
    answer: Any
    ended: int
    sealed: list[str]
    owner: object
    single: bool = False
    lot: Lot | None = None

    @property
    def said(self) -> Any:  # noqa: ANN401 - any answer
        """What it answered; None where it is gone."""
        return self.answer() if type(self.answer) is weakref.ref else self.answer

    @property
    def gone(self) -> bool:
        """Whether the answer was held weakly, and nobody has it any more."""
        return type(self.answer) is weakref.ref and self.answer() is None

    def runs(self, monitor: object) -> bool:
        """Whether it is the call of this monitor that runs."""
        return self.ended < 0 and self.monitor is monitor


LAST: Final[ContextVar[Handed | None]] = ContextVar("mlobs_last", default=None)

# the calls of one request, whatever threads serve it, and tickets from other processes; set by who wraps the application
REQUEST: Final[ContextVar[list[Handed | str] | None]] = ContextVar("mlobs_request", default=None)
_LIGHT: Final = 10_000  # items
KEPT: Final = 64  # calls of one request whose answers are kept


def here() -> object:
    """The task that runs here, or the thread: a new task begins with a copy of its maker's context, and of that one's last call.

    Never raises.
    """
    asyncio: Any = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)  # amid its import it has none
    loop = None if running is None else running()
    task = None if loop is None else asyncio.current_task(loop)
    return threading.get_ident() if task is None else weakref.ref(task)


def last() -> Handed | None:
    """The observed call that has just ended in this very task or thread, or that runs here and has a ticket already.

    None where later ones may have ended that were not kept.
    """
    handed = LAST.get()
    if handed is None or handed.owner != here():
        return None
    monitor = handed.monitor
    return handed if monitor.hands and (handed.ended < 0 or handed.ended >= monitor.kept_from) else None


def hand(monitor: Monitor, answer: object, ended: int, given: object, pack: Pack | None = None) -> None:
    """A call has ended well, and tickets may be asked for. Never raises."""
    before, owner = LAST.get(), here()
    sealed = before.sealed if before is not None and before.runs(monitor) and before.owner == owner else []
    single = monitor.whole and _single(monitor, answer, given, pack)
    handed = Handed(monitor, answer if monitor.whole else _lightly(answer), ended, sealed, owner, single)
    LAST.set(handed)
    request = REQUEST.get()
    if monitor.whole and request is not None and len(request) < KEPT:
        request.append(handed)


def _single(monitor: Monitor, answer: Any, given: object, pack: Pack | None) -> bool:  # noqa: ANN401 - any answer
    """See `Handed`. ``given`` is what was kept of the input, of an array perhaps the bytes alone, as ``pack`` says."""
    objective = monitor.model.objective
    if objective is None or type(answer) not in (list, np.ndarray) or type(given) in (Part, Left):
        return False
    try:
        if getattr(answer, "ndim", 1) != 1 or len(answer) != objective.width:
            return False
        kept = unpacked(pack, given)
        return kind_of(type(kept)).rows([kept], monitor.features) == [1]
    except Exception:  # noqa: BLE001 - what cannot be read is counted where it is folded
        return False


def _lightly(answer: object) -> object:
    """An answer for whose ticket nobody has asked yet: held so that its memory is free again when the program lets go of it."""
    try:
        return weakref.ref(answer)
    except TypeError:  # Python's own values
        return None if isinstance(answer, (list, tuple, dict, str, bytes)) and len(answer) > _LIGHT else answer
