"""What is known of one prediction until its truth comes."""

from typing import NamedTuple


class Prediction(NamedTuple):
    """One prediction as a ticket or a join store carries it: what is needed to judge it, and no feature of its input."""

    id: bytes
    """12 random bytes that tell one prediction from another: the nonce of its ticket."""
    model: str
    version: str
    variant: str
    time: float
    """When the call ended, seconds since the epoch."""
    trace: tuple[int, int, int] | None
    """Trace id (128 bits), span id (64 bits) and trace flags (8 bits) of the call; `None` where none was open."""
    task: str
    """`"binary"`, `"multiclass"`, `"regression"`, or empty where it is not known."""
    label: str | int | float | bool | None
    """The predicted class, or the predicted value of a regression."""
    score: float | None
    """Probability of the positive class (binary) or of the predicted class (multiclass)."""
