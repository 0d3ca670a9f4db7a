"""Numbers of whatever kind people give, as Python's own."""

from __future__ import annotations

import math
from fractions import Fraction

from mlobs.release.packing import plain


def number(value: object) -> float:
    """A real number of Python, numpy, decimal or fractions as a float; one that no float can hold is infinite.

    Raises ValueError for truth values, NaN and what is no number.
    """
    known = value if type(value) is Fraction else plain(value)
    if isinstance(known, (bool, str)) or known is None:
        raise ValueError("no number")
    try:
        found = float(known)
    except OverflowError:
        return math.inf if known > 0 else -math.inf
    if math.isnan(found):
        raise ValueError("not a number")
    return found


def whole(value: object) -> int:
    """A whole number of any kind, 3.0 too. Raises ValueError for what is none."""
    known = plain(value)
    if type(known) is int:
        return known
    found = number(value)
    if not found.is_integer():
        raise ValueError("no whole number")
    return int(found)
