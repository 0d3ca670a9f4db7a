"""Every container is read the same way, and a snapshot is out of the caller's reach."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlobs import UnreadableError
from mlobs.columns import LARGE, blocks, kind_of, read

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
MIXED = pd.DataFrame(
    {
        "a": [1.0, None],
        "b": ["x", None],
        "c": pd.Categorical(["u", "v"]),
        "d": pd.array([1, None], dtype="Int64"),
        "e": pd.to_datetime(["2020-01-01", None]),
        "f": [True, False],
    }
)


@pytest.mark.parametrize(
    ("value", "rows", "names", "matrix"),
    [
        (np.arange(3.0), 1, None, [[0, 1, 2]]),
        (np.ones((2, 3), np.float32), 2, None, [[1, 1, 1], [1, 1, 1]]),
        (np.array(5), 1, None, [[5]]),
        ([1, 2.5], 1, None, [[1, 2.5]]),
        ((1, 2.5), 1, None, [[1, 2.5]]),
        ([[1, 2], [3, 4]], 2, None, [[1, 2], [3, 4]]),
        ([(1, 2), (3, 4)], 2, None, [[1, 2], [3, 4]]),
        ([np.array([1, 2]), np.array([3, 4])], 2, None, [[1, 2], [3, 4]]),
        ({"a": 1, "b": 2.5}, 1, ("a", "b"), [[1, 2.5]]),
        ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], 2, ("a", "b"), [[1, 2], [3, 4]]),
        (FRAME, 2, ("a", "b"), [[1, 3], [2, 4]]),
        (FRAME.iloc[0], 1, ("a", "b"), [[1, 3]]),
        (FRAME["a"], 2, ("a",), [[1], [2]]),
        (3.5, 1, None, [[3.5]]),
        (True, 1, None, [[1]]),
        (np.float32(2), 1, None, [[2]]),
        (np.zeros((0, 4)), 0, None, np.zeros((0, 4))),
    ],
)
def test_numbers_become_a_matrix(value: Any, rows: int, names: Any, matrix: Any) -> None:
    """Containers of numbers are read as one matrix, with names where they have them."""
    block = read(value)
    assert (block.rows, block.names) == (rows, names)
    assert block.matrix is not None
    np.testing.assert_array_equal(block.matrix, matrix)
    kept = kind_of(type(value)).keep(value)
    assert kind_of(type(kept)).rows([kept], None) == [rows]


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ([1, "a"], [[1], ["a"]]),
        ([[1, "3.5"], [2, None]], [[1, 2], ["3.5", None]]),
        ({"a": "x", "b": None}, [["x"], [None]]),
        ({"a": [1, 2], "b": ["x", "y"]}, [[1, 2], ["x", "y"]]),
        (["some", "texts"], [["some", "texts"]]),
        ("text", [["text"]]),
        ([10**400, 1.5], [[10**400], [1.5]]),
        (np.array([["a", 1]], object), [["a"], [1]]),
    ],
)
def test_mixed_values_keep_their_types(value: Any, columns: Any) -> None:
    """Numbers that stand beside text are not made text, nor the other way round."""
    block = read(value)
    assert block.matrix is None
    assert [list(column) for column in block.columns] == columns


def test_a_mixed_frame_keeps_every_column() -> None:
    """Nullable, categorical, text, date and boolean columns are read as what they are."""
    block = read(MIXED)
    a, b, c, d, e, f = (list(block.column(index)) for index in range(block.width))
    assert a[0] == 1.0
    assert np.isnan(a[1])
    assert b[0] == "x"
    assert pd.isna(b[1])
    assert c == ["u", "v"]
    assert d[0] == 1
    assert pd.isna(d[1])
    assert e[0] == np.datetime64("2020-01-01")
    assert f == [True, False]


def test_one_dimension_is_a_row_unless_a_row_has_one_column() -> None:
    """How many features are known decides what a flat list is."""
    assert read([1.0, 2.0]).rows == 1
    assert read([1.0, 2.0], features=2).rows == 1
    assert read([1.0, 2.0], features=1).rows == 2
    assert read(np.arange(5000.0)).rows == 5000


@pytest.mark.parametrize(
    "value",
    [
        np.ones((1, 3)),
        [1.0, 2.0],
        [[1.0], [2.0]],
        {"a": 1.0},
        [{"a": 1.0}],
        FRAME.copy(),
        FRAME["a"].copy(),
        MIXED.copy(),
    ],
)
def test_a_snapshot_is_out_of_reach(value: Any) -> None:
    """What the caller changes after the call is not seen."""
    kept = [kind_of(type(value)).keep(value) for _ in range(3)]
    before = [read(one) for one in kept]
    if isinstance(value, np.ndarray):
        value[:] = 9
    elif isinstance(value, list):
        inner = value[0]
        if isinstance(inner, list):
            inner[0] = 9.0
        elif isinstance(inner, dict):
            inner["a"] = 9.0
        else:
            value[0] = 9.0
    elif isinstance(value, dict):
        value["a"] = 9.0
    elif isinstance(value, pd.DataFrame):
        value.iloc[0, 0] = 9.0
    else:
        value.iloc[0] = 9.0
    for one, was in zip(kept, before, strict=True):
        now = read(one)
        assert [str(list(now.column(i))) for i in range(now.width)] == [
            str(list(was.column(i))) for i in range(was.width)
        ]
        assert 9.0 not in list(now.column(0))


def test_large_values_ask_for_room_and_are_taken_in_part() -> None:
    """A large value is not copied by itself, and part of it is evenly spaced rows."""
    for value in (np.arange(3000.0).reshape(1000, 3), [[1.0] * 3] * 1000, pd.DataFrame(np.ones((1000, 3)))):
        kind = kind_of(type(value))
        assert kind.keep(value) is LARGE
        assert kind.shape(value) == (1000, 3)
        assert read(kind.part(value, 10)).rows == 100
    assert read(kind_of(np.ndarray).part(np.arange(3000.0).reshape(1000, 3), 500)).matrix is not None


def test_a_class_that_was_made_and_forgotten_does_not_stay() -> None:
    """A program may make one by the request; whatever has its place in memory next is found for itself."""
    gone = []
    for number in range(200):
        made = dataclasses.make_dataclass("Made", ["a", "b"][: 1 + number % 2])
        assert read(made(*[1.0, 2.0][: 1 + number % 2])).width == 1 + number % 2
        gone.append(weakref.ref(made))
        del made
        if not number % 10:
            gc.collect()
    gc.collect()
    assert [made() for made in gone] == [None] * 200


def test_many_snapshots_are_read_together() -> None:
    """Equal shapes become one block; others stay apart, and no row is lost."""
    values = [np.ones((1, 3)), np.ones((2, 3)), np.ones((1, 4)), np.array([["a", 1, 2]], object), [1.0, 2.0, 3.0]]
    found = list(blocks(values))
    assert sum(block.rows for block in found) == 6
    assert sorted(block.width for block in found) == [3, 3, 3, 4]


def test_what_cannot_be_read_says_so() -> None:
    """Unknown types and tensors are refused with a reason that is counted."""
    with pytest.raises(UnreadableError, match="inputs=") as unknown:
        read(object())
    assert unknown.value.reason == "unreadable"
    with pytest.raises(UnreadableError) as tensor:
        read(np.zeros((5, 2, 2)))
    assert (tensor.value.reason, tensor.value.rows) == ("not_tabular", 5)
    with pytest.raises(UnreadableError) as ragged:
        read([[1, 2], [3]])
    assert ragged.value.reason == "ragged"


def test_array_likes_are_read_through_their_own_protocol() -> None:
    """An object with __array__ is read as the array it makes."""

    class Like:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.ones((2, 3))

    assert read(Like()).rows == 2


def test_masked_values_are_missing() -> None:
    """The mask of a masked array is honoured."""
    block = read(np.ma.array([[1.0, 2.0]], mask=[[False, True]]))
    assert list(block.column(1)) == [None]
