"""What one metric of the contract is."""

from __future__ import annotations

from typing import Literal, NamedTuple

InstrumentKind = Literal["counter", "updowncounter", "gauge", "histogram", "exponential"]


class Instrument(NamedTuple):
    """One metric of the contract; ``attributes`` are those it carries beside its model's."""

    name: str
    kind: InstrumentKind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
