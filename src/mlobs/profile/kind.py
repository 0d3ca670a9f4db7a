"""What kind of values a column holds."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from mlobs.sketch import is_missing, plain_list, unmasked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Kind = Literal["numeric", "integer", "boolean", "categorical", "text", "datetime"]
Family = Literal["number", "string", "datetime"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
NUMBERS: Final[tuple[Kind, ...]] = ("boolean", "integer", "numeric")  # each includes the ones before it

_DTYPES: Final[dict[str, Kind]] = {
    "b": "boolean",
    "i": "integer",
    "u": "integer",
    "f": "numeric",
    "m": "numeric",
    "M": "datetime",
    "U": "categorical",
    "S": "categorical",
}
_TYPES: Final[tuple[tuple[tuple[type, ...], Kind], ...]] = (  # the first that fits: a bool is an int, too
    ((bool, np.bool_), "boolean"),
    ((dt.timedelta, np.timedelta64), "numeric"),
    ((int, np.integer), "integer"),
    ((float, np.floating, Decimal, Fraction), "numeric"),
    ((dt.date, np.datetime64), "datetime"),
)


def family(kind: Kind) -> Family:
    """Kinds of one family can take each other's place from batch to batch."""
    if kind in NUMBERS:
        return "number"
    return "datetime" if kind == "datetime" else "string"


def declared(dtype: Any) -> Kind | None:  # noqa: ANN401 - a numpy or pandas dtype
    """The kind that a dtype promises whatever the values are; None where the values have to say."""
    if str(dtype) in {"category", "Categorical", "Enum"}:
        return "categorical"
    letter = getattr(dtype, "kind", "")
    return _DTYPES[letter] if letter in ("b", "i", "u", "M") else None


def infer(values: Sequence[Any] | NDArray[Any]) -> Kind | None:
    """The kind of a column's values, shape (n,), or None where all are missing.

    An array's dtype says it. Among objects the most frequent family does, and within numbers the widest kind that
    occurs: what does not fit it is a type violation. Text is never inferred here: that takes the whole column.
    """
    values = unmasked(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in _DTYPES:
        array: NDArray[Any] = values
        empty = not len(array) or (
            bool(np.isnan(array).all())
            if array.dtype.kind == "f"
            else array.dtype.kind in "mM" and bool(np.isnat(array).all())
        )
        return None if empty else _DTYPES[array.dtype.kind]
    kinds = Counter(_kind_of(value) for value in plain_list(values))
    del kinds[None]
    families: Counter[Family] = Counter()
    for kind, times in kinds.items():
        if kind is not None:
            families[family(kind)] += times
    if not families:
        return None
    most = families.most_common(1)[0][0]
    if most == "number":
        return max((kind for kind in kinds if kind in NUMBERS), key=NUMBERS.index)
    return "datetime" if most == "datetime" else "categorical"


def dtype(values: Sequence[Any] | NDArray[Any]) -> str:
    """The dtype of an array, or the name of a sequence's most frequent type."""
    if isinstance(values, np.ndarray):
        return str(values.dtype)
    types = Counter(type(value).__name__ for value in values)
    return types.most_common(1)[0][0] if types else "object"


def _kind_of(value: object) -> Kind | None:
    if type(value) is str:
        return "categorical"
    try:
        if is_missing(value):
            return None
    except Exception:  # noqa: BLE001 - a value may be of any class, with any behaviour
        return "categorical"
    return next((kind for types, kind in _TYPES if isinstance(value, types)), "categorical")
