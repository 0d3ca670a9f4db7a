"""One column of an answer: labels, numbers, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.release.label import class_name
from mlobs.release.packing import plain
from mlobs.sketch import numbers as numbers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlobs.columns import Block

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_EXACT: Final = 2.0**53  # from here on not every whole number is a float


class Column(NamedTuple):
    """Labels, which ``labelled`` says where there are, or numbers, or neither. ``text``: some labels are."""

    rows: int
    labels: Sequence[Any] | NDArray[Any] = ()
    labelled: Mask | None = None
    numbers: Floats | None = None
    text: bool = False

    def classes(self) -> Column:
        """A column of labels, whatever numbers it holds: whole ones are such, and as whole numbers; others are none."""
        if self.numbers is None:
            return self
        whole = is_whole(self.numbers)
        return self._replace(labels=np.where(whole, self.numbers, 0).astype(np.int64), labelled=whole, numbers=None)

    def values(self) -> Column:
        """The values of a regression, which are its labels."""
        if self.numbers is None:
            return self
        return self._replace(labels=self.numbers, labelled=np.isfinite(self.numbers))

    def among(self, names: Sequence[str]) -> Column:
        """Whole numbers without those that are none of these classes: an id is no label."""
        if self.labelled is None or self.text:
            return self
        each = [class_name(plain(label)) in names for label in np.asarray(self.labels).tolist()]
        return self._replace(labelled=self.labelled & np.array(each, bool))


def columns_of(block: Block) -> list[Column]:
    """The columns of a block. Of a matrix those are labels that came as whole numbers or truth values."""
    source = block.source
    if source is None:
        return [_column(block.column(index), block.rows) for index in range(block.width)]
    whole = [block.whole(index) for index in range(block.width)]
    return [
        _column([row[index] for row in source] if is_label else block.column(index), block.rows)
        for index, is_label in enumerate(whole)
    ]


def is_whole(numbers: NDArray[Any]) -> Mask:
    """Which floats are whole numbers; neither NaN nor what no longer is one exactly."""
    with np.errstate(invalid="ignore"):
        whole: Mask = (numbers == np.floor(numbers)) & (np.abs(numbers) < _EXACT)
    return whole


def _column(values: Sequence[Any] | NDArray[Any], rows: int) -> Column:
    kind = values.dtype.kind if isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray) else "O"
    if kind == "f":
        return Column(rows, numbers=np.asarray(values, np.float64))
    if kind in "iubU":
        return Column(rows, values, np.ones(rows, bool), text=kind == "U")
    if kind != "O":  # times, bytes
        return Column(rows)
    cells = [_python(cell) for cell in (values.tolist() if isinstance(values, np.ma.MaskedArray) else values)]
    kinds = [_kind(cell) for cell in cells]
    if "text" in kinds or ("whole" in kinds and "number" not in kinds):
        labelled = np.array([kind in ("text", "whole") for kind in kinds], bool)
        return Column(rows, cells, labelled, text="text" in kinds)
    if "number" in kinds or "other" not in kinds:
        return Column(rows, numbers=numbers_of(cells)[0])
    return Column(rows)


def _python(cell: object) -> object:
    """As a truth is read: what text, whole number or float a scalar, an enumeration or a `Decimal` stands for; else itself."""
    known = plain(cell)
    return cell if known is None else known


def _kind(cell: object) -> str:
    """By identity: a class of somebody's metaclass may raise when it is compared."""
    cls = type(cell)
    if cls is str:
        return "text"
    if cls is int or cls is bool:
        return "whole"
    return "number" if cls is float else "none" if cell is None else "other"
