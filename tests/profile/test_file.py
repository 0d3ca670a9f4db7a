"""The file of a profile: it comes back equal, and a bad one is told apart from a good one."""

from __future__ import annotations

import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.errors import ProfileError
from mlobs.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = st.one_of(
    *(
        st.lists(st.none() | element, min_size=6, max_size=6)
        for element in (
            st.floats(),
            st.integers(),
            st.booleans(),
            st.sampled_from(["red", "grün", "", '"\n', "\ud800"]),
            st.datetimes(),
            st.floats(0, 1) | st.sampled_from(["mixed"]),
        )
    )
)
DATA = st.dictionaries(st.text(min_size=1, max_size=4), COLUMNS, min_size=1, max_size=3)


@pytest.fixture
def profile() -> Profile:
    """A small profile with every kind of bins."""
    return Profile.build(
        {"x": [1.0, 2.5, None] * 2, "colour": ["red"] * 6, "flag": [True, False, True] * 2, "none": [None] * 6},
        outputs=np.array([0.1, 0.2, 0.9] * 2),
        model="demo",
        version="1",
        clock=lambda: 0.0,
    )


def assert_same(one: Profile, other: Profile) -> None:
    assert one == other
    assert (one.inputs, one.outputs, one.rows) == (other.inputs, other.outputs, other.rows)
    assert (one.created, one.model, one.version) == (other.created, other.model, other.version)
    assert [part.partition.labels for part in one.inputs] == [part.partition.labels for part in other.inputs]


@given(DATA)
def test_what_is_read_is_what_was_written(data: dict[str, Any]) -> None:
    """load(dump(p)) == p for any data, and the text is strict JSON."""
    made = Profile.build(data)
    text = made.to_json()
    json.loads(text, parse_constant=pytest.fail)
    text.encode()
    assert_same(Profile.from_json(text), made)


def test_a_saved_profile(profile: Profile, tmp_path: Path) -> None:
    """Save and load meet in one file, which replaces the one before and leaves nothing beside it."""
    path = tmp_path / "référence.json"
    path.write_text("something older")
    profile.save(path)
    assert_same(Profile.load(path), profile)
    assert_same(Profile.load(str(path)), profile)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_is_there_keeps_its_mode_and_its_links(profile: Profile, tmp_path: Path) -> None:
    """A file that only its owner may read stays so, a link leads where it led, and a new file is made as the umask says."""
    secret, link, new = tmp_path / "secret.json", tmp_path / "link", tmp_path / "new.json"
    secret.write_text("something older")
    secret.chmod(0o600)
    link.symlink_to("secret.json")
    profile.save(link)
    assert (link.is_symlink(), secret.stat().st_mode & 0o777) == (True, 0o600)
    assert_same(Profile.load(secret), profile)
    new.touch()
    usual = new.stat().st_mode
    new.unlink()
    profile.save(new)
    assert new.stat().st_mode == usual
    assert len(list(tmp_path.iterdir())) == 3


def test_a_name_may_be_as_long_as_any(profile: Profile, tmp_path: Path) -> None:
    """What waits to take the file's place has a short name of its own."""
    path = tmp_path / ("x" * 255)
    profile.save(path)
    assert_same(Profile.load(path), profile)


def test_a_pipe_is_written_into(profile: Profile, tmp_path: Path) -> None:
    """What is no file is not replaced by one: a pipe's reader gets the profile, and the pipe is there still."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(path.read_text, "utf-8")
        profile.save(path)
        assert_same(Profile.from_json(read.result()), profile)
    assert path.is_fifo()


def test_a_device_is_written_into(profile: Profile, tmp_path: Path) -> None:
    """The null device takes a profile, by its name or through a link, and stays what it is."""
    (tmp_path / "null").symlink_to(os.devnull)
    profile.save(tmp_path / "null")
    assert (tmp_path / "null").is_char_device()
    assert Path(os.devnull).is_char_device()


def test_a_socket_is_left_alone(profile: Profile, tmp_path: Path) -> None:
    """What takes no text is refused, and stays."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        with pytest.raises(OSError, match="is no file, pipe or character device"):
            profile.save(path)
    assert path.is_socket()


@pytest.mark.parametrize("path", [".", "absent/x.json", "y" * 256])
def test_a_file_that_cannot_be(path: str, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what was given, and nothing is left."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r".") as caught:
        profile.save(path)
    assert (caught.value.filename, caught.value.filename2) == (path, None)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_for_people_too(profile: Profile) -> None:
    """One line holds one fact."""
    lines = profile.to_json().splitlines()
    assert lines[1:8] == [
        '  "schema": "mlobs.profile/1",',
        f'  "id": "{profile.id}",',
        '  "model": "demo",',
        '  "version": "1",',
        '  "created": "1970-01-01T00:00:00Z",',
        '  "rows": 6,',
        '  "inputs": [',
    ]
    assert '      "edges": [0.25, 1.75, 3.25],' in lines
    assert '      "low": null,' in lines


def test_the_id_stands_for_the_content(profile: Profile) -> None:
    """The time of creation does not change the id; anything else does."""
    settings: dict[str, Any] = {"outputs": [1, 2], "model": "demo", "version": "1"}
    one = Profile.build({"x": [1, 2]}, clock=lambda: 0.0, **settings)
    later = Profile.build({"x": [1, 2]}, clock=lambda: 9e8, **settings)
    assert (one.created, later.created) == ("1970-01-01T00:00:00Z", "1998-07-09T16:00:00Z")
    assert one.id == later.id
    assert one == later
    assert len({one, later}) == 1
    assert len(one.id) == 16
    others = [{"x": [1, 3]}, {"y": [1, 2]}, {"x": [1.0, 2.0]}]
    ids = {Profile.build(data, **settings).id for data in others}
    ids.add(Profile.build({"x": [1, 2]}, **{**settings, "version": "2"}).id)
    assert len(ids | {one.id, profile.id}) == 6


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return edit


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: "", "Expecting value"),
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda _: "[" * 100_000, "damaged"),
        (lambda text: text.replace('"low": 1.0', '"low": NaN'), "NaN is no number"),
        (lambda _: "[]", "does not say"),
        (lambda _: '{"openapi": "3.0"}', "does not say"),
        (lambda text: text.replace("mlobs.profile/1", "mlobs.profile/x"), "does not say"),
        (lambda text: text.replace("mlobs.profile/1", "mlobs.profile/2"), "newer mlobs.*Try: a newer mlobs"),
        (lambda text: text.replace('"red"', '"rot"'), "edited"),
        (lambda text: text.replace("2.5", "2.75"), "edited"),
        (edited(lambda document: document.update(inputs=None)), "'inputs' is no list"),
        (edited(lambda document: document.update(inputs=[5])), "damaged"),
        (edited(lambda document: document.pop("rows")), "'rows' is missing"),
        (edited(lambda document: document["inputs"].append(document["inputs"][0])), "there twice"),
        (edited(lambda document: document["inputs"][0].update(counts=[1])), "needs 5 counts"),
        (edited(lambda document: document["inputs"][0].update(counts=[1, 1, 1, 0, -3])), "from 0 up"),
        (edited(lambda document: document["inputs"][0].update(counts=[1, 1, 1, 0, 10**30])), "damaged"),
        (edited(lambda document: document["inputs"][0].update(counts=[1, 1, 1, 0, 0.5])), "no whole numbers"),
        (edited(lambda document: document["inputs"][0].update(edges=[2, 1, 3])), "strictly increasing"),
        (edited(lambda document: document["inputs"][0].update(edges=["a", "b", "c"])), "damaged"),
        (edited(lambda document: document["inputs"][0].update(kind="colour")), "must be one of"),
        (edited(lambda document: document["inputs"][1].update(names=[1])), "no strings"),
        (edited(lambda document: document.update(rows=-5)), "'rows' cannot be -5"),
        (edited(lambda document: document.update(rows=2**63)), "'rows' cannot be"),
        (edited(lambda document: document.update(schema="mlobs.profile/" + "9" * 5000)), "does not say"),
        (edited(lambda document: document["inputs"][0].update(low=True)), "'low' holds what is no number"),
        (edited(lambda document: document["inputs"][0].update(high=[])), "'high' holds what is no number"),
        (edited(lambda document: document["inputs"][0].update(edges=[0, True, 2])), "'edges' holds what is no number"),
        (edited(lambda document: document["inputs"][0].update(counts=[2**62] * 5)), "more than can be added up"),
        (
            edited(lambda document: document["inputs"][0].update(edges=list(range(30)), counts=[1] * 32)),
            "30 edges make more than 20 bins",
        ),
    ],
)
def test_a_bad_file(profile: Profile, tmp_path: Path, damage: Callable[[str], str], reason: str) -> None:
    """A damaged, foreign, edited or newer file is a ProfileError that names the file, the reason and the cure."""
    path = tmp_path / "reference.json"
    path.write_text(damage(profile.to_json()), encoding="utf-8")
    with pytest.raises(ProfileError, match=reason) as caught:
        Profile.load(path)
    assert str(path) in str(caught.value)
    assert "Build it again" in str(caught.value) or "Try:" in str(caught.value)


def test_a_byte_order_mark_is_no_damage(profile: Profile, tmp_path: Path) -> None:
    """What an editor of Windows writes before the text does not belong to it."""
    path = tmp_path / "reference.json"
    path.write_text(profile.to_json(), encoding="utf-8-sig")
    assert_same(Profile.load(path), profile)


def test_no_text(tmp_path: Path) -> None:
    """A binary file is no profile."""
    path = tmp_path / "reference.json"
    path.write_bytes(b"PAR1\xff\xfe\x00")
    with pytest.raises(ProfileError, match="no text"):
        Profile.load(path)


def test_no_file(tmp_path: Path) -> None:
    """An absent file is a ProfileError with its name, and so is a folder."""
    with pytest.raises(ProfileError, match=r"nothing\.json cannot be read"):
        Profile.load(tmp_path / "nothing.json")
    with pytest.raises(ProfileError, match="cannot be read"):
        Profile.load(tmp_path)


@pytest.mark.parametrize("path", [5, "a\0b", "\ud800", None, b"x"])
def test_no_path(path: Any) -> None:
    """What no file can be called is a ProfileError, too."""
    with pytest.raises(ProfileError, match=r"path of a profile.* Build it again"):
        Profile.load(path)


@pytest.mark.parametrize("text", [None, b"{}", {}])
def test_no_text_at_all(text: Any) -> None:
    """Only a text is read."""
    with pytest.raises(ProfileError, match=r"expected the text"):
        Profile.from_json(text)


def test_an_edit_can_be_kept(profile: Profile) -> None:
    """Without its id a changed file is taken as it is."""
    text = profile.to_json().replace('"red"', '"rot"').replace(f'  "id": "{profile.id}",\n', "")
    assert Profile.from_json(text).id != profile.id


@given(st.integers(0, 2000), st.binary(max_size=3))
def test_no_damage_gets_through(position: int, junk: bytes) -> None:
    """Whatever bytes are replaced, the file is refused or still says the same."""
    made = Profile.build({"x": [1.0, 2.5, None], "c": ["red"] * 3}, clock=lambda: 0.0)
    data = made.to_json().encode()
    damaged = data[:position] + junk + data[position + len(junk) :]
    try:
        read = Profile.from_json(damaged.decode("utf-8", errors="replace"))
    except ProfileError:
        return
    assert read.id == made.id or b'"id"' not in damaged


def test_repr(profile: Profile) -> None:
    """The repr says what a person wants to know first."""
    assert repr(profile) == (
        f"<mlobs.Profile {profile.id} of demo 1: 4 inputs, 1 output, 6 rows, 1970-01-01T00:00:00Z>"
    )
    assert repr(profile.inputs[0]) == "<input 'x': numeric, 5 bins, 6 samples>"
