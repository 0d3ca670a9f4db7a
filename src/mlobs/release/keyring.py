"""The keys that seal and open tickets."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Final

from mlobs.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_SIZE: Final = 32  # bytes: AES-256
_CURE: Final = "Make one with: openssl rand -hex 32"
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


class Keyring:
    """Ciphers by the id of their key. The first key seals, all of them open: that is how keys are rotated.

    A key is the text of 32 random bytes: 64 hexadecimal digits, or base64 or base64url, padded or not. Its id, which
    every ticket shows, is the first four bytes of a hash of it. Raises ConfigurationError for anything else, without
    quoting it, and MissingDependencyError where `cryptography` is not installed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if isinstance(keys, (str, bytes)):
            raise ConfigurationError(f"ticket keys are a list of texts, and not one {type(keys).__name__}. {_CURE}")
        found = [_key(key, f"ticket key {number} of {len(keys)}") for number, key in enumerate(keys, start=1)]
        if not found:
            raise ConfigurationError(f"there is no ticket key. {_CURE}")
        cipher = _cipher()
        self.sealing = identify(found[0])
        self._by_id: dict[bytes, bytes] = {}
        self.ciphers: dict[bytes, AESGCM] = {}
        for key in found:
            if self._by_id.setdefault(identify(key), key) != key:  # one pair of keys in four thousand million
                raise ConfigurationError(f"two ticket keys have the same id: replace one of them. {_CURE}")
            self.ciphers[identify(key)] = cipher(key)

    def __repr__(self) -> str:
        return f"<{len(self.ciphers)} ticket keys>"


def identify(key: bytes) -> bytes:
    """The four bytes that a key's tickets carry, so that the right key is tried and only that one."""
    return hashlib.blake2b(key, digest_size=4, person=b"mlobs ticket key").digest()


def _cipher() -> type[AESGCM]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingDependencyError(
            "tickets are sealed with the package cryptography, which cannot be loaded "
            f"({error}). Try: pip install cryptography"
        ) from error
    return AESGCM


def _key(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise ConfigurationError(f"{what} is no text but of type {type(text).__name__}. {_CURE}")
    stripped = text.strip()
    key = b""
    try:
        if len(stripped) == 2 * _SIZE:
            key = bytes.fromhex(stripped)
        elif stripped.isascii() and len(stripped.rstrip("=")) == 43 and len(stripped) <= 44:
            key = base64.b64decode(stripped.rstrip("=").encode().translate(_STANDARD) + b"=", validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _SIZE:
        raise ConfigurationError(
            f"{what} is no text of 32 bytes: expected 64 hexadecimal digits, or 43 or 44 characters of base64, and "
            f"found {len(stripped)} characters. {_CURE}"
        )
    return key
