"""How many different texts there were: close, bounded, and the same in any order and parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.sketch.distinct import Distinct


def counted(*parts: list[str], kept: int = 1024) -> Distinct:
    made = Distinct(kept)
    for part in parts:
        made.add(part)
    return made


@given(st.lists(st.lists(st.text() | st.just("\ud800")), max_size=5))
def test_few_are_counted_exactly(parts: list[list[str]]) -> None:
    """Below its bound the count is exact, whatever comes twice."""
    assert counted(*parts).count == len({text for part in parts for text in part})


@given(st.permutations(range(60)), st.integers(0, 60))
def test_parts_and_order_do_not_matter(order: list[int], cut: int) -> None:
    """Beyond the bound the count is that of the same texts in any order, added or merged, and again."""
    texts = [f"id {index}" for index in order]
    one, other = counted(texts[:cut], kept=8), counted(texts[cut:], texts[:3], kept=8)
    one.merge(other)
    assert one.count == counted(sorted(texts), kept=8).count


@pytest.mark.parametrize("many", [2_000, 50_000, 300_000])
def test_many_are_counted_closely(many: int) -> None:
    """The error is within four of the standard errors that the docstring tells."""
    assert counted([f"user {index}" for index in range(many)]).count == pytest.approx(many, rel=4 * 0.031)


def test_the_hash_is_the_same_everywhere() -> None:
    """Machines of any byte order and Python of any hash seed keep the same hashes."""
    assert counted(["a"])._hashes.tolist() == [int.from_bytes(bytes.fromhex("40f89e395b66422f"), "little")]
