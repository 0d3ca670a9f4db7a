"""Profiles of parts add up to the profile of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.errors import ProfileError
from mlobs.profile import Profile
from mlobs.sketch import Categories, Cuts


def data(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"x": rng.normal(size=rows), "colour": np.array(["red", "blue", None])[rng.integers(0, 3, size=rows)]}
    )


@given(st.integers(0, 40), st.integers(0, 40))
def test_parts_add_up(rows: int, more: int) -> None:
    """Parts counted in one profile's bins and merged have the counts of all rows counted in them."""
    first = Profile.build(data(50, 0))
    one, other = data(rows, 1), data(more, 2)
    parts = [Profile.build(part, like=first) for part in (one, other)]
    whole = Profile.build(pd.concat([one, other]), like=first)
    merged = first.merge(*parts)
    assert merged.rows == 50 + rows + more
    for mine, begun, rest in zip(merged.inputs, first.inputs, whole.inputs, strict=True):
        assert mine.counts.tolist() == (begun.counts + rest.counts).tolist()
        assert mine.partition == begun.partition
        assert mine.partition.labels == begun.partition.labels


def test_order_does_not_matter() -> None:
    """A + b equals b + a, and merging nothing changes nothing."""
    first = Profile.build(data(50, 0), outputs=np.zeros(50), clock=lambda: 0.0)
    second = Profile.build(data(30, 1), outputs=np.ones(30), like=first, clock=lambda: 60.0)
    assert first.merge(second) == second.merge(first)
    assert first.merge(second).created == "1970-01-01T00:01:00Z"
    assert first.merge() == first


def test_ranges_and_known_categories_grow() -> None:
    """The merged range is that of both, and so are the categories known beyond the named."""
    first = Profile.build(data(50, 0))
    texts = [first.to_json().replace(f'  "id": "{first.id}",\n', "") for _ in range(2)]
    texts[0] = texts[0].replace('"known": []', '"known": ["green"]')
    texts[1] = texts[1].replace(f'"high": {_high(first)}', '"high": 99.0')
    merged = Profile.merge(*map(Profile.from_json, texts))
    x, colour = merged.inputs
    assert isinstance(x.partition, Cuts)
    assert isinstance(colour.partition, Categories)
    assert x.partition.high == 99.0
    assert colour.partition.known == {"green"}


def _high(profile: Profile) -> float:
    partition = profile.inputs[0].partition
    assert isinstance(partition, Cuts)
    return partition.high


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"y": [1.0, 2.0]}, "other columns"),
        ({"x": [1.0, 5.0]}, "other bins of 'x'.*like="),
        ({"x": ["a", "b"]}, "other bins of 'x'"),
        ({"x": [1, 2]}, "other bins of 'x'"),
    ],
)
def test_what_cannot_be_merged(other: Any, message: str) -> None:
    """Other columns, kinds or edges are a ProfileError with the cure."""
    with pytest.raises(ProfileError, match=message):
        Profile.build({"x": [1.0, 2.0]}).merge(Profile.build(other))


def test_like_settles_everything() -> None:
    """Counting in other bins takes no kinds, needs the same columns, and the outputs if there are some."""
    first = Profile.build({"x": [1.0, 2.0]}, outputs=[0, 1])
    with pytest.raises(ProfileError, match="Leave kinds= out"):
        Profile.build({"x": [1.0]}, outputs=[0], like=first, kinds={"x": "text"})
    with pytest.raises(ProfileError, match=r"lacks the columns \['x'\]"):
        Profile.build({"y": [1.0]}, outputs=[0], like=first)
    with pytest.raises(ProfileError, match="come with 0 outputs"):
        Profile.build({"x": [1.0]}, like=first)
    assert Profile.build({"x": [9.0]}, outputs=[1], like=first).inputs[0].counts.tolist() == [0, 0, 0, 1, 0]
