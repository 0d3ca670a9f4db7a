"""Tickets: a prediction as a text that only a holder of the key can read or make."""

from __future__ import annotations

import binascii
import os
from typing import TYPE_CHECKING, Any, Final

from mlobs.release.keyring import Keyring
from mlobs.release.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlobs.release.prediction import Prediction

LONGEST: Final = 4096  # characters
_VERSION: Final = b"\x01"
_KEY_AT: Final = 1
_NONCE_AT: Final = 5
_BODY_AT: Final = 17
_SHORTEST: Final = _BODY_AT + 16 + 2  # the seal of an empty body, and the check
_URL: Final = bytes.maketrans(b"+/", b"-_")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


class Ticketer:
    """Seals and opens tickets with AES-256 in Galois/Counter mode; safe to use from many threads.

    A ticket is base64url without padding, usually 120 to 180 characters and never more than 4,096, of::

        version 1 | key id 4 | nonce 12 | sealed body | seal 16 | check 2

    The body is `mlobs.release.packing`'s, padded: whoever carries a ticket does not learn from its length which label it
    holds. Version, key id and nonce are sealed with it and stay readable. The check, a
    CRC of everything before it, protects nothing: it tells a ticket that was copied badly from one that was forged.

    `keys` are 32 bytes each, as text: the first seals, all open. `ttl` is in seconds. Raises ConfigurationError for
    keys that cannot hold, and MissingDependencyError where `cryptography` is not installed.

    Nonces are random, and so a key must not seal more than 2**32 tickets (NIST SP 800-38D, section 8.3): at 100 a
    second, over all processes that share the key, that is 16 months; at 1,000 a second, 7 weeks. Then put a new key
    first, and keep the old one behind it until its last ticket has expired.
    """

    def __init__(self, keys: Sequence[str], *, ttl: float) -> None:
        ring = Keyring(keys)
        self._ttl = ttl
        self._ciphers = ring.ciphers
        self._head = _VERSION + ring.sealing
        self._seal = ring.ciphers[ring.sealing].encrypt

    def seal(self, prediction: Prediction) -> str:
        """A ticket for a prediction.

        The id that it opens with is drawn here, whatever the prediction's is: the same bytes for two bodies would
        give the key away. The time is kept to the microsecond; what is too long is cut, as `packing` says.
        """
        nonce = os.urandom(12)
        head = self._head + nonce
        text = head + self._seal(nonce, pack(prediction, padded=True), head)
        text += _check(text)
        return binascii.b2a_base64(text, newline=False).translate(_URL).rstrip(b"=").decode("ascii")

    def open(self, ticket: object, now: float) -> Prediction | str:
        """The prediction, or the reason why there is none; `now` is in seconds since the epoch.

        damaged: no text, no ticket, or one that was copied badly; wrong_key: sealed with a key that is not here;
        forged: made without the key; expired: older than the time to live. Raises nothing, whatever it is given.
        """
        text = _decoded(ticket)
        if text is None:
            return "damaged"
        cipher = self._ciphers.get(text[_KEY_AT:_NONCE_AT])
        if cipher is None:
            return "wrong_key"
        nonce = text[_NONCE_AT:_BODY_AT]
        try:
            body = cipher.decrypt(nonce, text[_BODY_AT:-2], text[:_BODY_AT])
        except Exception:  # noqa: BLE001 - InvalidTag; whatever else a library may say, it is not sealed
            return "forged"
        try:
            prediction = unpack(nonce, body, padded=True)
        except ValueError:  # of a later mlobs
            return "damaged"
        return "expired" if now - prediction.time > self._ttl else prediction


def _decoded(ticket: object) -> bytes | None:
    """The bytes of a ticket whose form is right."""
    letters = _letters(ticket)
    try:
        text = binascii.a2b_base64(letters.translate(_STANDARD) + b"==")
    except binascii.Error:
        return None
    # the decoder passes over letters that are none of its alphabet and over bits that make no byte
    if binascii.b2a_base64(text, newline=False).translate(_URL).rstrip(b"=") != letters:
        return None
    if len(text) < _SHORTEST or text[:1] != _VERSION:
        return None
    return text if _check(text[:-2]) == text[-2:] else None


def _check(text: bytes) -> bytes:
    """CRC-16 of CCITT, inverted: neither zeros nor a second ticket behind a ticket have the right one."""
    return (binascii.crc_hqx(text, 0xFFFF) ^ 0xFFFF).to_bytes(2, "big")


def _letters(ticket: Any) -> bytes:  # noqa: ANN401 - whatever arrives
    """The text of a ticket, or none; of a hostile object only methods of `str` and `bytes` themselves are called."""
    kind = type(ticket)
    if issubclass(kind, str) and str.__len__(ticket) <= LONGEST:
        try:
            return str.encode(ticket, "ascii").strip()
        except UnicodeEncodeError:
            return b""
    if issubclass(kind, bytes) and bytes.__len__(ticket) <= LONGEST:
        return bytes.strip(ticket)
    return b""
