"""Tickets: what was sealed opens, anything else is told apart and refused, and nothing is ever raised."""

from __future__ import annotations

import base64
import binascii
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlobs.errors import ConfigurationError, MissingDependencyError
from mlobs.release.packing import LARGEST, pack, pack_truth, plain, unpack, unpack_truth
from mlobs.release.prediction import Prediction
from mlobs.release.ticket import LONGEST, Ticketer

KEY = "0f" * 31 + "aa"
OTHER = base64.urlsafe_b64encode(bytes(range(32))).decode()
NOW = 1_700_000_000.0
TTL = 3600.0
ONE = Prediction(
    b"", "délai", "2024-05", "champion", NOW - 1.5, (2**128 - 1, 2**64 - 1, 1), "binary", "late", 0.734
)  # fmt: skip
REASONS = {"damaged", "wrong_key", "forged", "expired"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)
labels = st.none() | st.booleans() | st.integers(-(2**2000) + 1, 2**2000 - 1) | st.floats() | texts
predictions = st.builds(
    Prediction,
    id=st.just(b""),
    model=texts,
    version=texts,
    variant=texts,
    time=st.integers(int((NOW - TTL) * 1e6) + 1, int((NOW + TTL) * 1e6)).map(lambda micros: micros / 1e6),
    trace=st.none() | st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1), st.integers(0, 255)),
    task=st.sampled_from(["", "binary", "multiclass", "regression"]),
    label=labels,
    score=st.none() | st.floats(),
)


@pytest.fixture(scope="module")
def ticketer() -> Ticketer:
    return Ticketer([KEY], ttl=TTL)


def letters_of(ticket: str) -> bytes:
    return base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))


def signed(text: bytes) -> str:
    """A ticket whose check is right, whatever it holds."""
    checked = text + (binascii.crc_hqx(text, 0xFFFF) ^ 0xFFFF).to_bytes(2, "big")
    return base64.urlsafe_b64encode(checked).rstrip(b"=").decode()


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@given(predictions)
def test_what_was_sealed_opens(prediction: Prediction) -> None:
    """Every prediction comes back as it was, with its types, its time to the microsecond and an id of 12 bytes."""
    ticketer = Ticketer([KEY], ttl=TTL)
    ticket = ticketer.seal(prediction)
    assert len(ticket) <= LONGEST
    assert ticket.isascii()
    assert set(ticket) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    opened = ticketer.open(ticket, NOW)
    assert isinstance(opened, Prediction)
    assert len(opened.id) == 12
    if (
        len(pack(prediction._replace(model="", version="", variant="", label=None)))
        + sum(len(text.encode()) for text in (*prediction[1:4], str(prediction.label)))
        < LARGEST
    ):
        assert opened[1:4] == prediction[1:4]
        assert same(opened.label, prediction.label)
    assert opened.time == pytest.approx(prediction.time, abs=1e-6)
    assert opened[5:7] == prediction[5:7]
    assert same(opened.score, prediction.score)


def test_the_length_tells_no_label(ticketer: Ticketer) -> None:
    """Whoever carries a ticket does not see from it whether it was approved."""
    lengths = set()
    for label in ("approved", "denied", "manual review", True, False, 0, 1, -7, 0.25, None, "", "\0\0"):
        sealed = ticketer.seal(ONE._replace(label=label))
        lengths.add(len(sealed))
        opened = ticketer.open(sealed, ONE.time)
        assert isinstance(opened, Prediction)
        assert (opened.label, type(opened.label)) == (label, type(label))
    assert len(lengths) == 1


def test_a_ticket_is_short_and_shows_nothing(ticketer: Ticketer) -> None:
    """A usual ticket has at most 180 characters, and two of the same prediction share nothing but version and key."""
    one, other = ticketer.seal(ONE), ticketer.seal(ONE)
    assert len(one) <= 180
    assert b"champion" not in letters_of(one)
    assert letters_of(one)[:5] == letters_of(other)[:5]
    assert letters_of(one)[5:17] != letters_of(other)[5:17]
    assert ticketer.open(one.encode(), NOW) == ticketer.open(f" {one}\n", NOW)


def test_every_changed_byte_is_refused(ticketer: Ticketer) -> None:
    """A ticket with any one byte changed is damaged, and with its check made right again wrong_key or forged."""
    text = letters_of(ticketer.seal(ONE))
    for at in range(len(text)):
        for flip in (1, 0x80, 0xFF):
            changed = bytearray(text)
            changed[at] ^= flip
            assert ticketer.open(base64.urlsafe_b64encode(changed).rstrip(b"="), NOW) == "damaged"
            if at < len(text) - 2:
                expected = "damaged" if at == 0 else "wrong_key" if at < 5 else "forged"
                assert ticketer.open(signed(bytes(changed[:-2])), NOW) == expected


def test_every_changed_letter_is_refused(ticketer: Ticketer) -> None:
    """A ticket with any one letter changed, left out or doubled is refused: also where base64 itself would not mind."""
    for label in ("a", "ab", "abc"):  # tickets of every length modulo 3
        ticket = ticketer.seal(ONE._replace(label=label))
        assert isinstance(ticketer.open(ticket, NOW), Prediction)
        for at, letter in enumerate(ticket):
            for other in "AQgw_-+/= .~é\n":
                if other != letter and not (at in (0, len(ticket) - 1) and other in " \n"):
                    assert ticketer.open(ticket[:at] + other + ticket[at + 1 :], NOW) == "damaged"
            # of another length the checksum may hold by chance; the seal never does
            assert ticketer.open(ticket[:at] + ticket[at + 1 :], NOW) in ("damaged", "forged")
            assert ticketer.open(ticket[:at] + letter + ticket[at:], NOW) in ("damaged", "forged")


def test_a_ticket_cut_short_is_damaged(ticketer: Ticketer) -> None:
    """No beginning and no end of a ticket opens, and neither do two tickets in one."""
    ticket = ticketer.seal(ONE)
    for length in range(len(ticket)):
        assert ticketer.open(ticket[:length], NOW) == "damaged"
        assert ticketer.open(ticket[length + 1 :], NOW) == "damaged"
    assert ticketer.open(f"{ticket},{ticket}", NOW) == "damaged"
    assert ticketer.open(ticket + ticket, NOW) == "damaged"
    assert ticketer.open(ticket + "AAAA", NOW) == "damaged"


def test_keys_rotate() -> None:
    """The first key seals, all open: a ticket of an old key opens as long as the key is there."""
    old, both, new = Ticketer([KEY], ttl=TTL), Ticketer([OTHER, KEY], ttl=TTL), Ticketer([OTHER], ttl=TTL)
    assert isinstance(both.open(old.seal(ONE), NOW), Prediction)
    assert isinstance(new.open(both.seal(ONE), NOW), Prediction)
    assert new.open(old.seal(ONE), NOW) == "wrong_key"
    assert old.open(both.seal(ONE), NOW) == "wrong_key"


def test_the_key_of_another_is_no_key(ticketer: Ticketer) -> None:
    """A ticket that claims our key and was sealed with another is forged."""
    theirs = letters_of(Ticketer([OTHER], ttl=TTL).seal(ONE))
    ours = letters_of(ticketer.seal(ONE))
    assert ticketer.open(signed(ours[:5] + theirs[5:-2]), NOW) == "forged"


def test_tickets_expire(ticketer: Ticketer) -> None:
    """A ticket opens up to its time to live, and one from a clock that is ahead opens too."""
    ticket = ticketer.seal(ONE._replace(time=NOW))
    assert isinstance(ticketer.open(ticket, NOW + TTL), Prediction)
    assert ticketer.open(ticket, NOW + TTL + 0.001) == "expired"
    assert isinstance(ticketer.open(ticket, NOW - TTL), Prediction)
    for never in (math.nan, math.inf, -math.inf):
        assert ticketer.open(ticketer.seal(ONE._replace(time=never)), NOW) == "expired"


@given(st.text() | st.binary() | st.text("ABCab019-_", min_size=40) | st.none() | st.integers() | st.floats())
def test_nothing_else_opens(anything: Any) -> None:
    """Whatever is no ticket is damaged."""
    assert Ticketer([KEY], ttl=TTL).open(anything, NOW) == "damaged"


@given(st.binary(max_size=200))
def test_nothing_that_looks_like_a_ticket_opens(body: bytes) -> None:
    """Bytes behind our own version and key id are refused, whatever they are."""
    ticketer = Ticketer([KEY], ttl=TTL)
    head = letters_of(ticketer.seal(ONE))[:5]
    assert ticketer.open(signed(head + body), NOW) in REASONS


@given(st.binary(max_size=100) | predictions.map(lambda one: pack(one)[:-1]))
def test_a_body_that_is_none_is_told(body: bytes) -> None:
    """What `pack` has not made is a prediction or a ValueError and nothing else."""
    with suppress(ValueError):
        assert isinstance(unpack(b"", body), Prediction)


class Hostile:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise SystemExit

    def __str__(self) -> str:
        raise SystemExit

    __len__ = __bytes__ = __iter__ = __eq__ = __hash__ = __bool__ = __str__  # type: ignore[assignment]


class Text(str):
    __slots__ = ()

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise SystemExit

    __len__ = __str__ = strip = __eq__ = __hash__ = encode  # type: ignore[assignment]


class Letters(bytes):
    def __bytes__(self) -> bytes:
        raise SystemExit

    __len__ = strip = __getitem__ = __bytes__  # type: ignore[assignment]


def test_hostile_objects_are_looked_at_and_not_asked(ticketer: Ticketer) -> None:
    """An object is damaged without any code of it being run; text and bytes of a subclass are what they hold."""
    ticket = ticketer.seal(ONE)
    for bad in (Hostile(), Text("x"), Letters(b"x"), "\ud800" * 60, b"\xff" * 60, bytearray(ticket, "ascii"), [ticket]):
        assert ticketer.open(bad, NOW) == "damaged"
    assert isinstance(ticketer.open(Text(ticket), NOW), Prediction)
    assert isinstance(ticketer.open(Letters(ticket.encode()), NOW), Prediction)
    assert isinstance(ticketer.open(np.str_(ticket), NOW), Prediction)
    assert ticketer.open("A" * 10_000_000, NOW) == "damaged"
    opened = ticketer.open(ticketer.seal(ONE._replace(label=Hostile())), NOW)  # type: ignore[arg-type]
    assert isinstance(opened, Prediction)
    assert opened.label is None


class Colour(Enum):
    RED = "red"


class Mood(str, Enum):
    GOOD = "good"


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        (np.bool_(True), True),
        (np.int64(-7), -7),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.str_("a"), "a"),
        (Mood.GOOD, "good"),
        (-(2**2000) + 1, -(2**2000) + 1),
        (10**400, 10**400),
        (10**700, None),
        (Colour.RED, None),
        (np.datetime64("2024-01-01T00:00:00", "ns"), None),
        (np.timedelta64(1, "s"), None),
        (1 + 2j, None),
        (b"a", None),
        ([1], None),
        (object(), None),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_labels_are_told_apart(ticketer: Ticketer, label: Any, kept: Any) -> None:
    """A label keeps its kind; numpy's are Python's, and what is neither text nor a real number is none."""
    opened = ticketer.open(ticketer.seal(ONE._replace(label=label)), NOW)
    assert isinstance(opened, Prediction)
    assert same(opened.label, kept)
    if label is not None and plain(label) is not None:
        assert same(unpack_truth(pack_truth(plain(label))), kept)


def test_long_names_are_cut(ticketer: Ticketer) -> None:
    """Names and labels are cut as in attributes, a ticket is never too long, and two long names stay apart."""
    long = ONE._replace(label="x" * 10_000, model="m" * 501)
    opened = ticketer.open(ticketer.seal(long), NOW)
    assert isinstance(opened, Prediction)
    assert len(str(opened.label)) == len(opened.model) == 500
    assert opened.version == ONE.version
    wide = ONE._replace(model="😀" * 400 + "a", version="😀" * 400, variant="😀" * 400, label="😀" * 400)
    sealed = [ticketer.seal(one) for one in (wide, wide._replace(model="😀" * 400 + "b"))]
    assert max(map(len, sealed)) <= LONGEST
    first, second = (ticketer.open(one, NOW) for one in sealed)
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    assert len(first.model) == 160
    assert first.model != second.model


@pytest.mark.parametrize("score", ["0.5", 10**400, object()])
def test_a_score_that_is_no_number_is_none(ticketer: Ticketer, score: Any) -> None:
    """A score that no float can hold is left out."""
    opened = ticketer.open(ticketer.seal(ONE._replace(score=score)), NOW)
    assert isinstance(opened, Prediction)
    assert opened.score is None


@pytest.mark.parametrize(
    "key",
    [
        "ab" * 32,
        f"  {'AB' * 32}\n",
        base64.b64encode(b"\xfb\xff" * 16).decode(),
        base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode(),
        base64.b64encode(b"\xfb\xff" * 16).decode().rstrip("="),
    ],
)
def test_keys_are_hexadecimal_or_base64(key: str) -> None:
    """32 bytes are taken as 64 hexadecimal digits, base64 and base64url."""
    ticketer = Ticketer([key], ttl=TTL)
    assert isinstance(ticketer.open(ticketer.seal(ONE), NOW), Prediction)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        KEY,
        [""],
        [KEY, "secret"],
        ["ab" * 16],
        ["zz" * 32],
        ["!" * 43],
        ["é" * 43],
        [b"x" * 32],
        [None],
        [base64.b64encode(os.urandom(31)).decode()],
        [base64.b64encode(os.urandom(33)).decode()],
    ],
)
def test_other_keys_are_refused_with_the_cure(keys: Any) -> None:
    """A key that is none raises with a way to make one, and is not quoted."""
    with pytest.raises(ConfigurationError, match="openssl rand -hex 32") as caught:
        Ticketer(keys, ttl=TTL)
    assert "secret" not in str(caught.value)


def test_without_cryptography_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed, the error says how to get it."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingDependencyError, match=r"Try: pip install cryptography$"):
        Ticketer([KEY], ttl=TTL)


def test_nothing_optional_is_loaded_before_a_key_is_there() -> None:
    """Loading the modules loads neither cryptography nor redis nor sqlite3."""
    modules = "ticket", "keyring", "recent", "joins", "store", "sqlite_store", "redis_store"
    code = f"import sys, {', '.join(f'mlobs.release.{name}' for name in modules)}\n"
    code += "print(sorted({'cryptography', 'redis', 'sqlite3'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_many_threads_share_one(ticketer: Ticketer) -> None:
    """Tickets sealed and opened in several threads at once are all whole, and all different."""

    def some(number: int) -> list[Any]:
        mine = ONE._replace(label=number)
        opened = [ticketer.open(ticketer.seal(mine), NOW) for _ in range(500)]
        assert all(isinstance(one, Prediction) and one.label == number for one in opened)
        return opened

    with ThreadPoolExecutor(4) as pool:
        found = [one.id for opened in pool.map(some, range(8)) for one in opened]
    assert len(set(found)) == len(found) == 4000
