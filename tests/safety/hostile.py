"""Values that a caller may hand over: ordinary, odd, and hostile. Each is made from a seed, so that a failure repeats."""

# ruff: noqa: N818, PLR0911, PLR0912, DTZ001, PLE0303, SLOT000 - tables of makers, and classes that break the rules on purpose

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import math
import random
import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

Maker = Callable[[random.Random], Any]


class Hostility(Exception):
    """What hostile objects raise."""


def refuse(*_: Any, **__: Any) -> Any:
    raise Hostility("hostile")


HOOKS: Final = (
    "__array__", "__len__", "__getitem__", "__iter__", "__bool__", "__eq__", "__hash__", "__float__", "__int__",
    "__index__", "__str__", "__repr__", "__format__", "__getattr__", "__contains__", "__copy__", "__deepcopy__",
    "__reduce_ex__", "__array_ufunc__", "__array_function__", "__lt__", "__ne__", "__sizeof__", "__dir__",
)  # fmt: skip
PROPERTIES: Final = ("__class__", "__dict__", "__array_interface__", "__array_struct__", "shape", "dtype", "columns",
                     "ndim", "iloc", "index", "values", "copy", "__module__", "nbytes", "size", "T")  # fmt: skip


def hostile_class(rng: random.Random, base: type = object) -> type:
    """A class some of whose behaviour raises."""
    hooks = rng.sample(HOOKS, rng.randrange(1, len(HOOKS)))
    body: dict[str, Any] = dict.fromkeys(hooks, refuse)
    body.update({name: property(refuse) for name in rng.sample(PROPERTIES, rng.randrange(4))})
    return type(rng.choice(["DataFrame", "Series", "ndarray", "Thing"]), (base,), body)


class Unnamed(type):
    """A class that can only be raised: Python itself asks nothing else of it."""

    __hash__ = refuse
    __eq__ = refuse
    __name__ = property(refuse)
    __module__ = property(refuse)

    def __getattr__(cls, name: str) -> Any:
        raise Hostility(name)


class Meta(Unnamed):
    """A class that cannot be asked for anything."""

    __instancecheck__ = refuse
    __subclasscheck__ = refuse


class OfMeta(metaclass=Meta):
    """An instance of such a class."""


class IntOfMeta(int, metaclass=Meta):
    """A number of such a class."""


class Liar:
    """An array that is not what it says."""

    def __init__(self, says: Any) -> None:
        self.says = says
        self.shape = (10**30, -1)
        self.dtype = "nonsense"
        self.ndim = 2
        self.columns = [1, 2]

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.says

    def __len__(self) -> int:
        return 2**62

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise KeyError


class Endless:
    """A sequence without an end, as data sets that are read lazily are."""

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: int) -> float:
        return float(index)


class NoLength:
    """A length that cannot be."""

    def __len__(self) -> int:
        return -1

    def __getitem__(self, index: int) -> Any:
        raise RuntimeError


class LyingList(list[Any]):
    """A list that overrides what it says of itself."""

    def __len__(self) -> int:
        return 2**61

    def copy(self) -> Any:
        return iter(())

    def __getitem__(self, index: Any) -> Any:
        return self if isinstance(index, slice) else 1.0


class RaisingList(list[Any]):
    """A list that raises when it is read."""

    __iter__ = __getitem__ = __len__ = copy = __bool__ = refuse


class LyingDict(dict[Any, Any]):
    """A dict that overrides what it says of itself."""

    def values(self) -> Any:
        return [[1.0] * 3, "x", 3]

    def items(self) -> Any:
        return {1: 2}.items()

    def copy(self) -> Any:
        return 3

    def __len__(self) -> int:
        return 5


class RaisingDict(dict[Any, Any]):
    """A dict that raises when it is read."""

    __iter__ = __getitem__ = __len__ = copy = keys = values = items = refuse


class LyingText(str):
    """A text that is none."""

    def __str__(self) -> str:
        return LyingText("other")

    def __hash__(self) -> int:
        raise Hostility

    def __eq__(self, other: object) -> bool:
        raise Hostility

    def isascii(self) -> bool:
        raise Hostility

    def encode(self, *_: Any) -> bytes:
        raise Hostility


class LyingArray(np.ndarray):
    """An array that overrides what it says of itself."""

    def copy(self, *_: Any) -> Any:
        return [self, "x"]

    def __len__(self) -> int:
        return 2**60

    @property
    def shape(self) -> Any:
        return (2**60, 3)

    @shape.setter
    def shape(self, value: Any) -> None:
        raise Hostility


class RaisingArray(np.ndarray):
    """An array that raises when it is copied."""

    def __array_finalize__(self, other: Any) -> None:
        if other is not None and getattr(other, "armed", False):
            raise Hostility

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise Hostility


class LyingFrame(pd.DataFrame):  # type: ignore[misc]
    """A frame that overrides what it says of itself."""

    @property
    def columns(self) -> Any:
        return [OfMeta, 3]

    def to_numpy(self, *_: Any, **__: Any) -> Any:
        return "no array"

    def __len__(self) -> int:
        return 7

    @property
    def shape(self) -> Any:
        return (10**40, 1.5)


# ── what is honest ──────────────────────────────────────────────────────────────────────────────────────────────────


class Row(NamedTuple):
    f0: float
    f1: Any


def nan_payload(rng: random.Random) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000001 | rng.getrandbits(51)))[0])


TEXTS: Final = (
    "",
    "a",
    "3.5",
    "\x00",
    "nul\x00in",
    "\ud800",
    "é€",
    "名",
    "x" * 5000,
    "NaN",
    "None",
    "\n",
    "other",
    "missing",
)


def number(rng: random.Random) -> Any:
    return rng.choice(
        [
            rng.random(), rng.randrange(-5, 100), math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308, 10**400, -(10**400),
            2**63, True, nan_payload(rng), np.float32(1.5), np.float16(0.1), np.int8(-3), np.uint64(2**64 - 1), np.bool_(1),
            decimal.Decimal("1.1"), decimal.Decimal("sNaN"), fractions.Fraction(1, 3), np.longdouble(1) / 3,
        ]
    )  # fmt: skip


def scalar(rng: random.Random) -> Any:
    return rng.choice(
        [
            None, number(rng), number(rng), rng.choice(TEXTS), b"\xff", 1j, np.str_("a"), np.bytes_(b"a"), pd.NA, pd.NaT,
            datetime.datetime(2020, 1, 1), datetime.datetime.max.replace(tzinfo=datetime.timezone.utc), datetime.date(1, 1, 1),
            datetime.timedelta.max, np.datetime64("NaT"), np.datetime64("2020-01-01"), np.timedelta64(3, "M"), Ellipsis,
            NotImplemented, object(), np.ma.masked, pd.Timestamp("2020-01-01", tz="Europe/Oslo"), pd.Period("2020Q1"),
            pd.Interval(0, 1), frozenset({1}), range(3), int, len,
        ]
    )  # fmt: skip


def row(rng: random.Random) -> list[Any]:
    return [scalar(rng) if rng.random() < 0.3 else rng.random() for _ in range(rng.randrange(5))]


def named(rng: random.Random) -> dict[Any, Any]:
    keys = rng.sample(
        ["f0", "f1", "f2", "city", "other", "\ud800", "", 3, None, ("a", 1), 1.5, "n" * 2000], rng.randrange(6)
    )
    return {key: scalar(rng) for key in keys}


def array(rng: random.Random) -> Any:
    shape = rng.choice(
        [(), (0,), (3,), (5000,), (2, 3), (0, 3), (3, 0), (1, 1), (2, 3, 4), (1,) * 6, (40, 3), (700, 3)]
    )
    dtype = rng.choice(["f8", "f4", "f2", "i8", "u1", "?", "O", "U5", "S3", "M8[s]", "m8[D]", "c16", ">f8", ">i4", "V4",
                        [("a", "f8"), ("b", "U3")]])  # fmt: skip
    made: Any = np.zeros(shape, np.dtype(dtype))  # type: ignore[call-overload]
    if made.dtype.kind in "fiub" and made.size:
        made[...] = np.random.default_rng(rng.randrange(99)).integers(0, 9, shape).astype(made.dtype)
        if made.dtype.kind == "f":
            made.ravel()[0] = rng.choice([math.nan, math.inf, 1.0])
    if made.dtype == object and made.size:
        made.ravel()[0] = scalar(rng)
    way = rng.randrange(8)
    if way == 1 and made.ndim:
        return made[::-1]
    if way == 2:
        return np.asfortranarray(made)
    if way == 3:
        made.setflags(write=False)
    if way == 4 and made.ndim:
        return np.broadcast_to(made, (2, *made.shape))[1]
    if way == 5 and made.dtype.kind in "fiU":
        return np.ma.array(made, mask=np.ones(made.shape, bool))
    if way == 6 and made.ndim == 2 and made.dtype.kind == "f":
        return np.matrix(made)
    return made


def frame(rng: random.Random) -> Any:
    rows = rng.choice([0, 1, 3, 120])
    columns: list[Any] = rng.choice([["f0", "f1", "f2"], ["a", "a", "b"], [0, 1, 2], [None, math.nan, "x"], [], ["\ud800", "", "city"],
                          [("a", 1), ("a", 2)], [3.5, object(), True]])  # fmt: skip
    made = pd.DataFrame({index: [number(rng) if rng.random() < 0.2 else 1.5] * rows for index in range(len(columns))})
    made.columns = pd.MultiIndex.from_tuples(columns) if columns and isinstance(columns[0], tuple) else columns
    way = rng.randrange(10)
    if way == 1 and len(columns):
        return made.iloc[:, 0]
    if way == 2 and rows:
        return made.iloc[0]
    if way == 3:
        return made.T
    if way == 4 and len(columns):
        return made.iloc[:, 0].astype(str).astype("category")
    if way == 5:
        made.index = pd.RangeIndex(len(made)) * 2
    if way == 6:
        return pd.Series([scalar(rng) for _ in range(rows)], dtype=object, name=rng.choice(["f0", 3, None, "\ud800"]))
    if way == 7:
        return pd.Series([1, None, 3], dtype="Int64", index=list("abc"))
    if way == 8:
        return pd.DataFrame({"when": pd.to_datetime(["2020-01-01", None]), "kind": pd.Categorical(["a", None])})
    return made


def listed(rng: random.Random) -> Any:
    rows = [rng.choice([row, named, scalar])(rng) for _ in range(rng.randrange(6))]
    way = rng.randrange(9)
    if way == 0:
        rows.append(rows)
    if way == 1:
        return tuple(rows)
    if way == 2:
        return [[rng.random() for _ in range(3)] for _ in range(rng.choice([1, 5, 300]))]
    if way == 3:
        return [{"f0": 1.0, "f1": rng.random(), "f2": 2} for _ in range(rng.choice([1, 5, 300]))]
    if way == 4:
        return [rng.random() for _ in range(rng.choice([3, 300, 5000]))]
    if way == 5:
        return {"f0": [1.0, 2.0], "f1": (3.0, scalar(rng)), "f2": np.arange(rng.choice([2, 2, 3]))}
    if way == 6:
        return Row(1.0, scalar(rng))
    if way == 7:
        return collections.OrderedDict(named(rng))
    return rows


def recursive(rng: random.Random) -> Any:
    made: dict[Any, Any] = {"a": 1}
    made["self"] = made
    ring: list[Any] = []
    ring.append([ring, [ring]])
    return rng.choice([made, ring, (ring,), [made, made]])


def lazy(rng: random.Random) -> Any:
    return rng.choice(
        [
            (item for item in [1, 2, 3]), iter([1.0]), map(float, [1]), range(10**12), memoryview(b"abc"), bytearray(b"x"),
            collections.deque([1.0, 2.0]), {1.0, 2.0}, SimpleNamespace(f0=1), slice(1), type, {}.keys(), zip([1], [2], strict=True),
            collections.UserList([1.0]), collections.Counter("ab"), collections.ChainMap({}, {"a": 1}),
        ]
    )  # fmt: skip


HONEST: Final[tuple[Maker, ...]] = (array, frame, listed, scalar, row, named, lazy, recursive)


# ── what is hostile ─────────────────────────────────────────────────────────────────────────────────────────────────


def raising_array(rng: random.Random) -> Any:
    made = np.arange(6.0).reshape(2, 3).view(RaisingArray)
    made.armed = rng.random() < 0.7  # type: ignore[attr-defined]
    return made


def hostile(rng: random.Random) -> Any:
    way = rng.randrange(16)
    if way == 0:
        return hostile_class(rng)()
    if way == 1:
        return OfMeta()
    if way == 2:
        return IntOfMeta(3)
    if way == 3:
        return Liar(rng.choice([3, "x", None, [1], np.zeros((2, 2)), refuse, np.zeros(3, object), OfMeta()]))
    if way == 4:
        return Endless()
    if way == 5:
        return NoLength()
    if way == 6:
        return rng.choice([LyingList, RaisingList])([1.0, [2.0], {"a": 1}])
    if way == 7:
        return rng.choice([LyingDict, RaisingDict])({"f0": 1.0, "f1": [2.0]})
    if way == 8:
        return LyingText("text")
    if way == 9:
        return np.arange(6.0).reshape(2, 3).view(LyingArray)
    if way == 10:
        return raising_array(rng)
    if way == 11:
        return LyingFrame({"f0": [1.0, 2.0], "f1": [3.0, 4.0]})
    if way == 12:
        return hostile_class(rng, rng.choice([int, float, list, tuple, dict, str]))()
    if way == 13:
        return [hostile(rng) if rng.random() < 0.5 else scalar(rng) for _ in range(rng.randrange(1, 4))]
    if way == 14:
        made = np.empty(3, object)
        made[1] = hostile(rng)
        return rng.choice([made, made.reshape(1, 3)])
    keys: list[Any] = [hostile_class(rng, str)("f0")] if rng.random() < 0.2 else ["f0"]
    try:
        return {key: hostile(rng) for key in keys}
    except Hostility:  # a key has to be hashed by whoever makes the dict
        return {"f0": hostile(rng)}


ANY: Final[tuple[Maker, ...]] = (*HONEST, hostile)


# ── what a function may raise ───────────────────────────────────────────────────────────────────────────────────────


class Unprintable(Exception):
    """An exception that cannot be shown."""

    __str__ = __repr__ = __format__ = refuse
    __notes__ = property(refuse)


class OddMessage(Exception):
    """An exception whose message is of a class of its own."""

    def __str__(self) -> str:
        return LyingText("odd \ud800")


class NotEvenAnException(BaseException):
    """Not an Exception."""


class OfMetaError(Exception, metaclass=Unnamed):
    """An exception whose class cannot be asked for anything."""


class Unhashable(Exception):
    """An exception that is compared by value."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise Hostility


def error(rng: random.Random) -> BaseException:
    made: list[BaseException] = [
        ValueError("no"), KeyError("\ud800"), Unprintable(), OddMessage(), NotEvenAnException(), OfMetaError(), Unhashable(),
        KeyboardInterrupt(), SystemExit(3), GeneratorExit(), MemoryError(), RecursionError(), AssertionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "r"), OSError(2, "x"), StopIteration(3), StopAsyncIteration(),
        type(rng.choice(TEXTS[1:3]) + "Error", (Exception,), {"__module__": rng.choice([3, None, "m", "\ud800"])})(),
    ]  # fmt: skip
    import builtins

    if hasattr(builtins, "ExceptionGroup"):
        made.append(builtins.ExceptionGroup("several", [ValueError("a"), Unprintable()]))
        made.append(builtins.BaseExceptionGroup("several", [KeyboardInterrupt()]))
    return rng.choice(made)
