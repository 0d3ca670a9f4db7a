"""Building a profile: the same one whatever container, batch size or machine the rows come from."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlobs.errors import ProfileError, UnreadableError
from mlobs.profile import Feature, Profile
from mlobs.profile.column import Column
from mlobs.sketch import Categories, Cuts, Quantiles, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 3000


def frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Return rows with a column of every kind, each with something missing where its dtype can say so."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "numeric": rng.normal(size=rows),
            "integer": rng.integers(0, 50, size=rows),
            "boolean": rng.random(rows) < 0.3,
            "categorical": rng.choice(["red", "green", "blue"], size=rows),
            "text": [f"comment {value} " + "x" * (value % 30) for value in rng.integers(0, 10**9, size=rows)],
            "datetime": pd.Timestamp("2024-01-01", tz="Europe/Paris") + pd.to_timedelta(rng.random(rows), unit="D"),
        }
    )
    for name in ("numeric", "categorical", "datetime"):
        made.loc[rng.random(rows) < 0.05, name] = None
    return made


def kinds(profile: Profile) -> dict[str, str]:
    return {feature.name: feature.kind for feature in (*profile.inputs, *profile.outputs)}


def feature(profile: Profile, name: str) -> Feature:
    return next(feature for feature in (*profile.inputs, *profile.outputs) if feature.name == name)


def bins(data: Any, **settings: Any) -> dict[str, int]:
    """Return labels and counts of the only input's bins."""
    (only,) = Profile.build(data, **settings).inputs
    return {label: count for label, count in zip(only.partition.labels, only.counts.tolist(), strict=True) if count}


def test_every_kind_is_inferred() -> None:
    """Dtypes and values tell the six kinds apart, and every row is counted in every column."""
    profile = Profile.build(frame())
    assert kinds(profile) == {name: name for name in frame(1)}
    assert {one.samples for one in profile.inputs} == {ROWS} == {profile.rows}
    assert feature(profile, "numeric").counts[-1] == frame()["numeric"].isna().sum()
    assert feature(profile, "categorical").counts[-1] == frame()["categorical"].isna().sum()
    assert feature(profile, "datetime").counts[-1] == frame()["datetime"].isna().sum()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_builds_the_same_profile(size: int) -> None:
    """Batches of any size give the profile of all rows at once, inputs paired with outputs or beside them."""
    rows = frame(700 if size < 100 else ROWS)
    scores = np.random.default_rng(1).random(len(rows))
    whole = Profile.build(rows, outputs=scores)
    starts = range(0, len(rows), size)

    def pairs() -> Iterator[Any]:
        yield from ((rows.iloc[start : start + size], scores[start : start + size]) for start in starts)

    assert Profile.build(pairs()) == whole
    beside = Profile.build((batch for batch, _ in pairs()), outputs=(answers for _, answers in pairs()))
    assert beside == whole


def test_containers_agree() -> None:
    """A frame, a dict of columns, a list of dicts, a list of rows and an array hold the same rows."""
    values = np.random.default_rng(0).normal(size=(200, 2)).round(3)
    named = pd.DataFrame(values, columns=["f0", "f1"])
    whole = Profile.build(values)
    assert kinds(whole) == {"f0": "numeric", "f1": "numeric"}
    for data in (
        named,
        values.tolist(),
        np.asfortranarray(values),
        {name: named[name].to_numpy() for name in named},
        {name: named[name].tolist() for name in named},
        named.to_dict("records"),
    ):
        built = Profile.build(data)
        assert [one.counts.tolist() for one in built.inputs] == [one.counts.tolist() for one in whole.inputs]
        assert [one.partition for one in built.inputs] == [one.partition for one in whole.inputs]


def test_more_rows_than_are_read_at_once() -> None:
    """Long data is read in parts, and counts are still exact."""
    values = np.random.default_rng(0).normal(size=(150_000, 2))
    built = Profile.build(values)
    for index, one in enumerate(built.inputs):
        into = np.zeros(one.partition.size, dtype=np.int64)
        one.count(values[:, index], into)
        assert into.tolist() == one.counts.tolist()
        assert one.ratios[:-1] == pytest.approx([0.1] * 10, abs=0.001)
    assert Profile.build(pd.DataFrame(values, columns=["f0", "f1"])) == built


@pytest.mark.parametrize(
    "data", [np.array([1.0, 2.0, 2.0]), [1.0, 2.0, 2.0], (1.0, 2.0, 2.0), pd.Series([1.0, 2.0, 2.0], index=list("abc"))]
)
def test_one_dimension_is_one_column(data: Any) -> None:
    """A flat array, list or series is one column of many rows, labelled or not."""
    assert bins(data) == {"≤ 1.5": 1, "≤ 2.5": 2}


def test_names_of_outputs() -> None:
    """One unnamed output is the prediction, several are scores, and frames and dicts keep their names."""
    rows = np.zeros((4, 1))

    def names(outputs: Any) -> list[str]:
        return [one.name for one in Profile.build(rows, outputs=outputs).outputs]

    assert names(np.zeros(4)) == names([0, 1, 0, 1]) == names(np.zeros((4, 1))) == ["prediction"]
    assert names(pd.Series([0, 1, 0, 1], name="late", index=list("abcd"))) == ["prediction"]
    assert names(np.zeros((4, 2))) == ["score_0", "score_1"]
    assert names(pd.DataFrame({"late": [0, 1, 0, 1]})) == names({"late": [0, 1, 0, 1]}) == ["late"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None], "boolean"),
        ([True, 2], "integer"),
        ([1, None, 2], "integer"),
        ([1, 2.5], "numeric"),
        ([1, 10**400], "integer"),
        ([dt.timedelta(1)], "numeric"),
        ([dt.date(2024, 1, 1), None], "datetime"),
        (["a", None], "categorical"),
        (["a", "b", 1], "categorical"),
        ([1, 2, "n/a"], "integer"),
        ([None, math.nan], "numeric"),
        (pd.array([1, None], dtype="Int64"), "integer"),
        (pd.array([True, None], dtype="boolean"), "boolean"),
        (pd.Categorical([3, 4, 3]), "categorical"),
        (np.array(["2024-01-01", "NaT"], dtype="M8[s]"), "datetime"),
        ([f"unique {index}" for index in range(201)], "text"),
        ([f"few {index}" for index in range(200)], "categorical"),
        ([f"often {index // 2}" for index in range(1000)], "categorical"),
    ],
)
def test_inference(values: Any, kind: str) -> None:
    """Each kind of values is found, in a frame and, for lists, in a dict as well."""
    containers = [pd.DataFrame({"x": pd.Series(values, dtype=object) if isinstance(values, list) else values})]
    for data in (*containers, *([{"x": values}] if isinstance(values, list) else [])):
        assert kinds(Profile.build(data)) == {"x": kind}


@pytest.mark.parametrize("size", [50, 200, 1000])
def test_text_is_told_from_all_of_the_column(size: int) -> None:
    """Ids that are more than are kept, yet come again, are categories however they are split; others are text."""
    again = [f"user {number}" for number in np.random.default_rng(0).integers(0, 300, size=1000)]
    for values, kind in ((again, "categorical"), ([f"user {number}" for number in range(1000)], "text")):
        column = Column("id", "input", None, 2048)
        column.tally = Tally(100)
        for start in range(0, 1000, size):
            column.add(values[start : start + size], None, None)
        assert column.feature(10).kind == kind


def test_what_the_caller_says_holds() -> None:
    """kinds= overrules the data; what does not fit is missing."""
    data = {"x": ["3", 4, "2024-01-01T00:00:00", None]}
    told = {kind: Profile.build(data, kinds={"x": kind}).inputs[0] for kind in ("numeric", "text", "datetime")}
    assert {kind: int(one.counts[-1]) for kind, one in told.items()} == {"numeric": 3, "text": 2, "datetime": 3}
    codes = Profile.build({"x": [1, 1.0, 1, 1, 1, 2]}, kinds={"x": "categorical"}).inputs[0]
    assert codes.partition == Categories(("1",))
    assert codes.counts.tolist() == [5, 1, 0]
    assert kinds(Profile.build({"x": [0, 1]}, kinds={"x": "boolean"})) == {"x": "boolean"}


def test_labels_speak_of_the_kind() -> None:
    """Booleans are false and true, datetimes are ISO 8601 in UTC."""
    assert bins({"x": [True, True, False]}) == {"false": 1, "true": 2}
    instants = [dt.datetime(2024, 1, day, tzinfo=dt.timezone.utc) for day in (1, 1, 3)]
    assert bins({"x": instants}) == {"≤ 2024-01-02T00:00:00Z": 2, "≤ 2024-01-04T00:00:00Z": 1}


def test_a_feature_counts_what_it_was_built_from() -> None:
    """Counting the reference's own rows gives the reference's own counts, for every kind."""
    rows = frame()
    for one in Profile.build(rows).inputs:
        into = np.zeros(one.partition.size, dtype=np.int64)
        found = one.count(rows[one.name].to_numpy(), into)
        assert into.tolist() == one.counts.tolist()
        assert (found.range, found.unseen, found.type) == (0, 0, 0)


def test_values_of_another_type_are_violations() -> None:
    """Whatever arrives in a column of any kind is counted once, and as a violation where it is of no such type."""
    for one in Profile.build(frame()).inputs:
        into = np.zeros(one.partition.size, dtype=np.int64)
        found = one.count([object(), [], None, 1j], into)
        assert into.sum() == 4
        if one.kind == "categorical":
            assert (found.missing, found.type, found.unseen) == (1, 1, 2)
        else:
            assert (found.missing, found.type) == (1, 3)


def test_bad_values_in_the_reference() -> None:
    """Infinities take no part in edges and range, NaN is missing, constants and empty columns have their bins."""
    built = Profile.build({"x": [1.0, 2.0, math.inf, math.nan], "same": [7, 7, 7, 7], "none": [None] * 4})
    x, same, none = built.inputs
    assert isinstance(x.partition, Cuts)
    assert (x.partition.low, x.partition.high) == (1.0, 2.0)
    assert x.counts.tolist() == [0, 1, 1, 1, 1]
    assert same.counts.tolist() == [0, 4, 0, 0]
    assert (none.kind, none.partition.keys, none.counts.tolist()) == ("numeric", ("00", "missing"), [0, 4])


def test_one_row() -> None:
    """One row makes a profile."""
    profile = Profile.build({"x": 1.5, "y": "a"})
    assert (profile.rows, kinds(profile)) == (1, {"x": "numeric", "y": "categorical"})


def test_names_become_strings() -> None:
    """Column names are strings, whatever they were, unicode included."""
    names = [one.name for one in Profile.build(pd.DataFrame({1: [1], "größe": [2], ("a", 1): [3]})).inputs]
    assert names == ["1", "größe", "('a', 1)"]


def test_batches_may_widen_a_kind() -> None:
    """An integer column that meets a fraction later is numeric; one that begins empty becomes what it then holds."""
    batches = [{"x": np.array([math.nan, math.nan]), "y": [1, 2]}, {"x": ["a", None], "y": [0.5, None]}]
    built = Profile.build(iter(batches))
    assert kinds(built) == {"x": "categorical", "y": "numeric"}
    assert [int(one.counts[-1]) for one in built.inputs] == [3, 1]


def test_batches_may_order_their_columns_differently() -> None:
    """Columns are found by name, and arrays go by position."""
    batches: list[Any] = [{"x": [1.0], "y": [5.0]}, {"y": [6.0], "x": [2.0]}, np.array([[3.0, 7.0]])]
    x, y = Profile.build(iter(batches)).inputs
    assert isinstance(x.partition, Cuts)
    assert isinstance(y.partition, Cuts)
    assert (x.partition.high, y.partition.high) == (3.0, 7.0)


@example([[0.0], [-0.0]])
@given(st.lists(st.lists(st.floats() | st.integers(-3, 3).map(float), min_size=1, max_size=8), min_size=1, max_size=5))
def test_any_split_into_batches(batches: list[list[float]]) -> None:
    """However values are split, the profile is that of all of them."""
    whole = Profile.build({"x": [value for batch in batches for value in batch]})
    assert Profile.build({"x": batch} for batch in batches) == whole


def test_more_than_the_quantiles_hold() -> None:
    """Beyond the bound on distinct values the edges are close, and the counts exact."""
    values = np.random.default_rng(0).gamma(2.0, size=200_000)
    (one,) = Profile.build(values[start : start + 10_000, np.newaxis] for start in range(0, 200_000, 10_000)).inputs
    exact = Quantiles(10**6)
    exact.add(values)
    assert isinstance(one.partition, Cuts)
    assert one.partition.edges == pytest.approx(exact.edges().edges, rel=1e-3)
    assert one.counts.tolist() == exact.counts(one.partition).tolist()


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (np.zeros((0, 3)), {}, "no rows"),
        (iter([]), {}, "no rows"),
        (pd.DataFrame({"x": []}), {}, "no rows"),
        (np.zeros((3, 1)), {"outputs": np.zeros(2)}, "3 rows of inputs come with 2 outputs"),
        (iter([np.zeros((3, 1))]), {"outputs": np.zeros(3)}, "one piece"),
        (iter([np.zeros((3, 1))]), {"outputs": iter([])}, "the outputs end before"),
        (iter([]), {"outputs": iter([np.zeros(3)])}, "the data ends before"),
        (iter([(np.zeros((3, 1)), np.zeros(3)), np.zeros((3, 1))]), {}, "Give outputs with every batch"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), {}, "more than one input column is called x"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), {}, "more than one input column is called 1"),
        (iter([{"x": [1]}, {"y": [1]}]), {}, r"lacks the columns \['x'\] and has \['y'\]"),
        (iter([{"x": [1]}, {"x": ["a"]}]), {}, "changes from integer .* to categorical"),
        ({"x": [1]}, {"kinds": {"y": "text"}}, "names columns that are not there"),
        ({"x": [1]}, {"kinds": {"x": "number"}}, "choose one of"),
        ({"x": [1]}, {"bins": 0}, "from 1 to 20"),
        ({"x": [1]}, {"bins": 21}, "from 1 to 20"),
    ],
)
def test_what_makes_no_profile(data: Any, settings: dict[str, Any], message: str) -> None:
    """Data that makes no profile is a ProfileError that says why."""
    with pytest.raises(ProfileError, match=message):
        Profile.build(data, **settings)


def test_what_cannot_be_read() -> None:
    """A container mlobs does not know is an UnreadableError."""
    with pytest.raises(UnreadableError):
        Profile.build(object())


def test_nothing_private_is_kept() -> None:
    """Names that occur less than five times, and text of any kind, are not in the profile."""
    text = Profile.build({"name": ["Ada Lovelace"] * 4 + ["x"] * 9, "note": [f"secret {i % 3}" for i in range(13)]})
    assert "Ada" not in text.to_json()
    assert "secret" not in Profile.build(frame(), kinds={"categorical": "text"}).to_json()
