"""Whom an endpoint's certificate may be signed by, and our own: files that may be replaced while the process runs."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlobs.otel.endpoint import Endpoint

Stamp = tuple[tuple[int, int, int] | None, ...]


class Files:
    """The three files of an endpoint. Each method raises OSError, with variable and file, where one cannot be used."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._variable = endpoint.variable
        self._named = {
            "CERTIFICATE": endpoint.certificate,
            "CLIENT_CERTIFICATE": endpoint.client_certificate,
            "CLIENT_KEY": endpoint.client_key,
        }

    def stamp(self) -> Stamp:
        """Another one once a file has been replaced."""
        return tuple(_stamp(path) for path in self._named.values())

    def read(self, name: str) -> bytes | None:
        """What is in one of them; None where there is none."""
        path = self._named[name]
        if path is None:
            return None
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise OSError(f"{self._variable(name)}: {path} cannot be read: {error.strerror}") from None

    def context(self) -> ssl.SSLContext:
        """What all of them say together."""
        for name in self._named:
            self.read(name)
        authority, ours, key = self._named.values()
        try:
            context = ssl.create_default_context(cafile=authority)
        except ssl.SSLError:
            raise OSError(f"{self._variable('CERTIFICATE')}: {authority} has no certificate in it") from None
        if ours:
            try:
                context.load_cert_chain(ours, key)
            except ssl.SSLError:
                said = f"{self._variable('CLIENT_CERTIFICATE')}: {ours} and {key or 'the key in it'} are no pair"
                raise OSError(said) from None
        return context


def _stamp(path: str | None) -> tuple[int, int, int] | None:
    try:
        found = Path(path or "").stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
