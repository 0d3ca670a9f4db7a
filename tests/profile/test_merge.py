"""Profiles of parts add up to the profile of the whole."""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.errors import ProfileError
from mlobs.profile import Profile
from mlobs.profile.partitions import Partition, Sides
from mlobs.sketch import Categories, Cuts

if TYPE_CHECKING:
    from mlobs.profile.kind import Kind


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


def parts(*values: Any, like: Profile) -> list[Profile]:
    return [Profile.build({"x": part}, like=like) for part in values]


def test_another_profiles_bins_and_a_range_of_ones_own() -> None:
    """Counted in another profile's bins, the least and greatest number and the categories are those of the data."""
    january = {"amount": list(range(100)), "plan": ["free"] * 60 + ["pro"] * 40}
    february = {"amount": [*range(0, 200, 2)], "plan": ["team"] * 50 + ["pro"] * 46 + ["rare"] * 4}
    first = Profile.build(january)
    second = Profile.build(february, like=first)
    amount, plan = second.inputs
    assert isinstance(amount.partition, Cuts)
    assert isinstance(plan.partition, Categories)
    assert amount.partition == first.inputs[0].partition
    assert (amount.partition.low, amount.partition.high) == (0.0, 198.0)
    assert plan.partition.names == ("free", "pro")
    assert plan.partition.known == {"team"}
    amount, plan = first.merge(second).inputs
    into = np.zeros(amount.partition.size, dtype=np.int64)
    assert amount.count([150.0, 198.0], into).range == 0
    assert amount.count([199.0], into).range == 1
    assert plan.count(["team"], np.zeros(plan.partition.size, dtype=np.int64)).unseen == 0


@given(st.lists(st.lists(st.floats() | st.none(), max_size=5), min_size=1, max_size=4))
def test_any_parts_have_the_range_of_the_whole(values: list[list[float | None]]) -> None:
    """Parts counted in one profile's bins and merged are the whole counted in them, empty and missing ones too."""
    first = Profile.build({"x": [1.0, 2.0, 3.0]})
    one, *others = parts(*values, like=first)
    (whole,) = parts([value for part in values for value in part], like=first)
    assert Profile.build(({"x": part} for part in values), like=first) == whole
    merged = one.merge(*others)
    assert merged.inputs[0].counts.tolist() == whole.inputs[0].counts.tolist()
    if not any(value is not None and np.isinf(value) for part in values for value in part):
        assert merged == whole


def test_partitions_counted_in_other_bins_are_the_whole() -> None:
    """What machines read of a frame and send adds up to the frame counted on one."""
    first = Profile.build(data(50, 0))
    like = (first.inputs, first.outputs)
    frames = [data(rows, seed) for seed, rows in enumerate((40, 1, 30))]
    whole = Sides.made({}, like)
    for frame in frames:
        sent = Partition(["x", "colour"], [], {}, like).read([frame])
        whole.merge(pickle.loads(pickle.dumps(sent)))
    assert whole.inputs.features(10) == Profile.build(pd.concat(frames), like=first).inputs


def test_text_and_instants_have_ranges_too() -> None:
    """Text's range is that of its lengths, a datetime's that of its instants, a boolean's that of both."""
    data = {"note": ["a", "bbb"], "at": [dt.date(2024, 1, 2), dt.date(2024, 1, 3)], "flag": [True, True]}
    more = {"note": ["dddddd"], "at": [dt.date(1970, 1, 2)], "flag": [True]}
    kinds: dict[str, Kind] = {"note": "text"}
    counted = Profile.build(more, like=Profile.build(data, kinds=kinds))
    ranges = [(one.partition.low, one.partition.high) for one in counted.inputs if isinstance(one.partition, Cuts)]
    assert ranges == [(6.0, 6.0), (86400.0, 86400.0), (0.0, 1.0)]


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


def test_counts_that_no_number_holds_are_not_merged() -> None:
    """They add up to 2**63 - 1 at most."""
    built = Profile.build({"x": [1.0, 2.0]})
    [x] = built.inputs
    most = replace(built, inputs=(replace(x, counts=np.array([2**63 - 1, *[0] * (len(x.counts) - 1)])),))
    with pytest.raises(ProfileError, match=r"counts of 'x' are together more.* Merge fewer"):
        most.merge(built)


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
