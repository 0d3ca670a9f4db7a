"""Ids of spans in mlobs' own provider. Imported where the SDK is needed."""

from __future__ import annotations

import os

from opentelemetry.sdk.trace.id_generator import IdGenerator


class Ids(IdGenerator):
    """From the system: the SDK's come from `random`, whose numbers are the program's, and the same again once it is seeded."""

    def generate_span_id(self) -> int:
        """64 random bits, not all of them zero."""
        return _number(8)

    def generate_trace_id(self) -> int:
        """128 of them."""
        return _number(16)

    def is_trace_id_random(self) -> bool:
        """Whether they are."""
        return True


def _number(size: int) -> int:
    while True:
        found = int.from_bytes(os.urandom(size), "big")
        if found:
            return found
