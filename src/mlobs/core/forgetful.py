"""What a function remembers of the process it runs in."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Forgetful(dict[K, V]):
    """A dict that is pickled as an empty one: what the other process meets is not known yet, nor needs it mlobs."""

    def __reduce__(self) -> tuple[type[dict[K, V]], tuple[()]]:
        return dict, ()
