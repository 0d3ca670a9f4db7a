"""A bounded buffer between the caller's thread and mlobs' own."""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.columns import kind_of, weight
from mlobs.core.pack import Pack, Packs
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Few and large folds disturb the host least; before the first one nobody knows how large a call is.
_AT_FIRST: Final = 8192
_FIRST: Final = 16  # calls after which the first one comes: they may have brought texts of any length
# Bytes of a waiting call beside its data: an array's head, two numbers, two places in lists. And of data that is not
# an array: a dict of thirty numbers, or the copy of a small frame.
_CALL: Final = 256
_OBJECT: Final = 2048
# A value this large may be taken only in part, even by an empty ring.
_CALL_SHARE: Final = 4
# All calls, and by how much one call is further on among them than the last: the golden ratio, of which no period in the
# traffic is a multiple.
_ALL: Final = 2**32
_TABLE: Final = 2  # dimensions
_NO_SHAPE: Final = (1, 1)  # of lists, say: their reader tells rows from columns
_GOLDEN: Final = 0x9E3779B1
_LEFTS: Final = 64  # numbers of rows, and shapes of a type, whose `Left` is remembered
_TYPES: Final = 16  # whose shapes are
# Nobody hands over a trillion rows: a container that says so is mistaken.
_MOST: Final = 2**40


class Part(NamedTuple):
    """Evenly spaced rows of a value that was too large to take whole."""

    kept: Any
    rows: int


class Left(NamedTuple):
    """Stands for data that was not taken: why, how many rows it had (-1: it cannot be told), and what it was."""

    reason: str
    rows: int
    detail: str = ""

    def __reduce__(self) -> str | tuple[type[Left], tuple[Any, ...]]:
        if self is NOTHING or self is TRACED:
            return "NOTHING" if self is NOTHING else "TRACED"
        return Left, tuple(self)


# there was nothing to take: no argument, no answer
NOTHING: Final = Left("", -1)
# what is given stands for values to come
TRACED: Final = Left("", -2)


def sane(count: Any) -> int:  # noqa: ANN401 - what somebody's class says of itself
    """A number of rows or columns as a plain integer. Raises UnreadableError where it cannot be one."""
    number = operator.index(count)
    if type(number) is not int:
        number = int(number)
    if not 0 <= number <= _MOST:
        raise UnreadableError("a container with an impossible number of rows")
    return number


class Ring:
    """What calls leave behind, appended without a lock and swapped out by the folder.

    Numbers and data of usual calls lie in lists of their own: nothing pairs them, a list of numbers costs the garbage
    collector nothing, and the folder takes each in one step. Calls that have more to say are whole records in ``rare``.

    Small values cost the caller no accounting: their number is bounded, by ``calls`` and by what fits ``size`` bytes at
    the size that the last fold saw. Large ones share as many bytes again; what does not fit is taken in part, and the
    rest is counted. A call itself is never dropped: beyond the limit only its data is, and beyond eight times the
    limit the caller folds.
    """

    def __init__(self, calls: int, size: int, wake: Callable[[], None]) -> None:
        self.took: list[int] = []  # ns
        self.kept: list[Any] = []
        self.answers: list[Any] = []
        self.inputs = Packs()
        self.outputs = Packs()
        self.sampled: list[tuple[int, int]] = []  # ns of CPU, ns of duration
        self.pooled: list[tuple[int, int]] = []  # ns of CPU of other threads, ns of duration
        self.gpu: list[float] = []  # seconds
        self.polled: list[Callable[[], float | None]] = []  # each says its seconds once the GPU is done
        self.rare: list[Any] = []
        self._used = 0
        self._text = [0, 0]  # bytes of it in each input, in each answer
        self._read = _ALL  # of as many calls how many are read
        self._turn = 0
        self._lefts: dict[int, Left] = {}
        self._shapes: dict[type, dict[Any, Left]] = {}
        self._lock = threading.RLock()  # a signal handler may predict while its own thread is in here
        self._wake = wake
        self._calls = self._size = 0
        self.resize(calls, size)

    def resize(self, calls: int, size: int) -> None:
        """So many calls may wait from now on, and so many bytes of large values."""
        if (calls, size) == (self._calls, self._size):
            return
        with self._lock:
            self._calls, self._size, self._most = calls, size, size // _CALL_SHARE
            self._limit = min(calls, _AT_FIRST)
            self.brim = max(1, min(_FIRST, self._limit // 2))

    @property
    def waiting(self) -> int:
        """Calls that have not been folded."""
        return len(self.took) + len(self.rare)

    def read(self, part: float) -> None:
        """From now on `sample` takes this part of the values, 0 to 1."""
        self._read = round(part * _ALL)

    def sample(self, value: Any) -> object:  # noqa: ANN401 - any container
        """`take`, unless only a part of the values is read and this is none of it: then a `Left`."""
        if self._read < _ALL:
            self._turn = turn = (self._turn + _GOLDEN) % _ALL
            if turn >= self._read:
                if type(value) is np.ndarray and value.ndim == _TABLE:
                    return self._lefts.get(len(value)) or self._left(len(value))
                shapes = self._shapes.get(type(value))
                left = self._shaped(value) if shapes is None else shapes.get(value.shape) or self._shaped(value)
                if left is not None:
                    return left
        return self.take(value)

    def _shaped(self, value: Any) -> Left | None:  # noqa: ANN401 - any container
        """The `Left` of what is no array; None where its reader has to see how many rows it is. A table's is remembered."""
        rows = sane(kind_of(type(value)).shape(value)[0])
        shape = getattr(value, "shape", _NO_SHAPE)
        # of one dimension it may be one row or many, as may a list of texts: its reader knows
        if rows <= 1 and (len(shape) <= 1 or isinstance(value, (list, tuple))):
            return None
        left = self._left(rows)
        if shape is not _NO_SHAPE and isinstance(shape, tuple) and len(shape) > 1:
            shapes = self._shapes.get(type(value)) or {}
            if len(shapes) < _LEFTS and len(self._shapes) < _TYPES:
                self._shapes[type(value)] = {**shapes, shape: left}
        return left

    def _left(self, rows: int) -> Left:
        """One object for all values of as many rows: it is made once, and the folder counts how often it is met."""
        left = self._lefts.get(rows)
        if left is None:
            left = Left("sampled", rows)
            if len(self._lefts) < _LEFTS:
                self._lefts[rows] = left
        return left

    def take(self, value: Any) -> object:  # noqa: ANN401 - any container
        """A copy of a large value, of evenly spaced rows of it, or a `Left`."""
        if type(value) is np.ndarray and value.nbytes and self._fits(value.nbytes):
            return value.copy()
        kind = kind_of(type(value))
        rows, width = kind.shape(value)
        if type(rows) is not int or type(width) is not int or not 0 < rows <= _MOST or not 0 < width <= _MOST:
            rows, width = sane(rows), max(1, sane(width))
            if not rows:
                return kind.part(value, 1)
        if self._fits(rows * width * 8):
            return kind.part(value, 1)
        with self._lock:
            fitting = min(rows, min(self._most, self._size - self._used) // (width * 8))
            if fitting <= 0:
                return Left("ring_full", rows)
            step = -(-rows // fitting)
            self._used += -(-rows // step) * width * 8
        return Part(kind.part(value, step), rows)

    def _fits(self, size: int) -> bool:
        """Whether there is room for so many bytes, which are taken then."""
        with self._lock:
            if size > self._most or size > self._size - self._used:
                return False
            self._used += size
            half = self._used > self._size // 2
        if half:
            self._wake()
        return True

    def crowded(self) -> tuple[bool, bool]:
        """Called when `brim` is passed: whether new data must be left out, and whether the caller must fold."""
        self._wake()
        return self.waiting >= self._limit, self.waiting >= 8 * self._limit

    def release(
        self, kept: Sequence[Any], packed: Sequence[tuple[Pack, Sequence[bytes]]], answers: Sequence[Any] = ()
    ) -> int:
        """What was kept has been folded: its room is free again, and as many like it, with such answers, may be kept as fit.

        How many bytes of large values that were.
        """
        with self._lock:
            used, self._used = self._used, 0
        if kept or packed:
            last = kept[-1] if kept else packed[-1][0]
            # a larger one is accounted for by itself
            each = _CALL + (min(_OBJECT, last.nbytes) if type(last) in (np.ndarray, Pack) else _OBJECT)
            for place, values in enumerate((kept, answers)):
                self._text[place] = _text(values, self._text[place])
            each += sum(self._text)
            self._limit = max(1, min(self._calls, self._size // each))
            self.brim = max(1, self._limit // 2)
        return used


def _text(kept: Sequence[Any], before: int) -> int:
    """Bytes of text in each that was taken, on average; as many as ``before`` where none was."""
    taken = [one for one in kept if type(one) is not Left]
    return weight(taken) // len(taken) if taken else before


def drain(waiting: list[Any]) -> list[Any]:
    """Everything in the list, oldest first. Each step is atomic, and what is appended between them stays."""
    batch = waiting[: len(waiting)]
    del waiting[: len(batch)]
    return batch
