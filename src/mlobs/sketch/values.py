"""Raw values of one column turned into float64; nothing here raises for what a value is."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Values = Sequence[object] | npt.NDArray[Any]

NAN = math.nan
UTC = dt.timezone.utc
# Known by name, because the packages that own them are not imported here.
MISSING = frozenset({"NoneType", "NAType", "NaTType", "MaskedConstant"})
PLAIN = (float, int, np.floating, np.integer, np.bool_, type(None))
MAYBE_NAN = (float, np.floating, Decimal)
NUMPY_TIMES = (np.datetime64, np.timedelta64)
NOT_REAL = (str, bytes, complex, np.complexfloating)
# Units of numpy's times: seconds in each, and how many of each are a second.
_LONGER = {"W": 604800.0, "D": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_SHORTER = {"ms": 1e3, "us": 1e6, "ns": 1e9, "ps": 1e12, "fs": 1e15, "as": 1e18}
_UNITS = _LONGER.keys() | _SHORTER.keys()


def is_missing(value: object) -> bool:
    """True for None, NaN, NaT, pandas' NA and numpy's masked."""
    if type(value).__name__ in MISSING:
        return True
    if isinstance(value, MAYBE_NAN):
        return bool(value != value)  # noqa: PLR0124 - NaN, without a conversion
    return isinstance(value, NUMPY_TIMES) and bool(np.isnat(value))


def numbers(values: Values) -> tuple[Floats, int]:
    """Numbers as contiguous float64, shape (n,), and how many values were no numbers.

    Bool, int, float, Decimal, Fraction, numpy scalars and timedeltas (in seconds) are numbers; an
    integer beyond float64 becomes an infinity of its sign. Missing values become NaN. Everything
    else becomes NaN and is counted: complex numbers, and strings such as "3.5" too.
    """
    values = unmasked(values)
    if isinstance(values, np.ndarray) and values.ndim == 1:
        kind = values.dtype.kind
        if kind in "biuf":
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(values, dtype=np.float64), 0
        if kind == "m" and np.datetime_data(values.dtype)[0] in _UNITS:  # a month has no number of seconds
            return _seconds(values), 0
        if kind in "USc":
            return np.full(len(values), NAN), len(values)
    raw = plain_list(values)
    try:
        if all(issubclass(cls, PLAIN) and not issubclass(cls, np.timedelta64) for cls in set(map(type, raw))):
            with np.errstate(over="ignore"):
                return np.array(raw, dtype=np.float64), 0
    except Exception:  # noqa: BLE001 - a huge integer, or a class that cannot be hashed: one by one
        pass
    return _each(raw, _number)


def lengths(values: Values) -> tuple[Floats, int]:
    """Lengths of strings or bytes as float64, shape (n,), and how many values were neither."""
    values = unmasked(values)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "US":
        return np.char.str_len(values).astype(np.float64), 0
    return _each(plain_list(values), _length)


def instants(values: Values) -> tuple[Floats, int]:
    """Seconds since 1970 in UTC as float64, shape (n,), and how many values were no instants.

    numpy, Python and pandas datetimes, dates and ISO 8601 strings are instants; without a time
    zone they are read as UTC. A bare number is not an instant.
    """
    values = unmasked(values)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind == "M":
        if np.datetime_data(values.dtype)[0] not in _UNITS:  # months, years, or NaT without a unit
            try:
                values = values.astype("M8[s]")
            except OverflowError:  # years beyond any calendar
                return np.full(len(values), NAN), len(values)
        return _seconds(values), 0
    return _each(plain_list(values), _instant)


def unmasked(values: Values) -> Values:
    """The same values, with None or NaT where a masked array hides one."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    masked: Any = values
    if masked.dtype.kind in "mM":
        return np.asarray(masked.filled(np.array("NaT", masked.dtype)))
    listed: list[object] = masked.tolist()
    return listed


def plain_list(values: Iterable[object]) -> list[Any]:
    """The values in a list, those of an array as Python's own where that loses nothing."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "OUSbiu":
        listed: list[object] = values.tolist()
        return listed
    return list(values)


def _seconds(times: npt.NDArray[Any]) -> Floats:
    """Timedeltas in seconds, datetimes in seconds since 1970, of any unit but months and years; NaT is NaN.

    numpy's own conversion goes through whole seconds, and has not room for as many as there are in the largest days.
    """
    unit, count = np.datetime_data(times.dtype)
    whole = times.astype(np.int64).astype(np.float64) * count
    seconds = whole * _LONGER[unit] if unit in _LONGER else whole / _SHORTER[unit]
    return np.where(np.isnat(times), NAN, seconds)


def _each(raw: list[Any], convert: Callable[[Any], float]) -> tuple[Floats, int]:
    converted = np.empty(len(raw), dtype=np.float64)
    bad = 0
    for index, value in enumerate(raw):
        try:
            converted[index] = NAN if is_missing(value) else convert(value)
        except Exception:  # noqa: BLE001 - a value may be of any class, with any behaviour
            converted[index] = NAN
            bad += 1
    return converted, bad


def _number(value: Any) -> float:  # noqa: ANN401 - any value there is
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    # its own ndim: numpy's would read a sequence to the end to learn its shape, and not every one has an end
    if isinstance(value, NOT_REAL) or getattr(value, "ndim", False):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _length(value: Any) -> float:  # noqa: ANN401 - any value there is
    if not isinstance(value, str | bytes):
        raise TypeError
    return float(len(value))


def _instant(value: Any) -> float:  # noqa: ANN401 - any value there is
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value[:-1] + "+00:00" if value[-1:] in "Zz" else value)
    if isinstance(value, np.datetime64):
        return float((value - np.datetime64(0, "s")) / np.timedelta64(1, "s"))
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    return float(value.timestamp())
