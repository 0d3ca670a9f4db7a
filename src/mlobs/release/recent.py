"""Which keys came lately: the duplicate filter against replays."""

from __future__ import annotations


class Recent:
    """Remembers the latest keys, at least `limit` of them and never more than twice as many.

    Two generations: when the younger holds `limit` keys it becomes the older, and the older is forgotten. A key that
    is remembered is always recognised, and one that never came never is: a Bloom filter would be smaller, and would
    refuse some truths as repeated that never came before. A key of 12 bytes takes 75 to 130 bytes of memory, depending
    on how full the sets are: the default of 100,000 at most 20 MB.

    Not thread-safe: whoever asks holds a lock. What came before the latest keys is forgotten, and so is everything
    when the process ends: each process knows only what it has seen itself.
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def seen(self, key: bytes) -> bool:
        """Whether the key is remembered; from now on it is."""
        if key in self:
            return True
        self.add(key)
        return False

    def add(self, key: bytes) -> None:
        """Remember a key."""
        self._young.add(key)
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, set()

    def __contains__(self, key: bytes) -> bool:
        return key in self._young or key in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
