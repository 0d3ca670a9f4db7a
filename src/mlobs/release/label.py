"""What classes are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlobs.otel.points import sendable

if TYPE_CHECKING:
    from mlobs.release.packing import Label


def class_name(label: Label) -> str:
    """The name of a class: of text the text, of numbers their digits.

    ``True``, 1 and 1.0 are one class, as they are for scikit-learn: ``1``.
    """
    if type(label) is str:
        return sendable(label)
    if type(label) is float and label.is_integer() and abs(label) < 2**53:
        return str(int(label))
    return sendable(str(int(label) if type(label) is bool else label))
