"""The duplicate filter: exact for the latest keys, and bounded."""

from __future__ import annotations

import os
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from mlobs.release.recent import Recent


@given(st.integers(1, 20), st.lists(st.integers(0, 40)))
def test_the_latest_keys_are_remembered_exactly(limit: int, keys: list[int]) -> None:
    """A key among the latest `limit` is known, one that never came is not, and at most twice as many are kept."""
    recent = Recent(limit)
    history: list[int] = []  # different keys, the latest last
    for key in keys:
        known = recent.seen(key.to_bytes(12, "little"))
        if known:
            assert key in history[-2 * limit :]
        else:
            assert key not in history[-limit:]
            if key in history:
                history.remove(key)
            history.append(key)
        assert min(len(history), limit) <= len(recent) <= max(1, 2 * limit - 1)


def test_a_key_that_is_asked_for_is_not_added() -> None:
    """Looking does not remember, adding does."""
    recent = Recent(10)
    assert b"a" not in recent
    assert b"a" not in recent
    recent.add(b"a")
    assert b"a" in recent
    assert recent.seen(b"a")


def test_a_million_keys_take_the_memory_of_the_limit() -> None:
    """However many keys come, a limit of 10,000 takes at most 2.5 MB, and none that is new is taken for known."""
    recent = Recent(10_000)
    tracemalloc.start()
    try:
        assert not any(recent.seen(os.urandom(12)) for _ in range(1_000_000))
        assert tracemalloc.get_traced_memory()[1] < 2_500_000
    finally:
        tracemalloc.stop()
