"""Certificates are files that others replace: a process that runs for months follows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.otel.certificates import secured

from mlobs.otel.endpoint import Endpoint
from mlobs.otel.http import Http

AUTHORITY = "OTEL_EXPORTER_OTLP_CERTIFICATE"


def test_a_certificate_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    """A new authority is trusted from the next export on, and the opener is kept where nothing changed."""
    with secured(tmp_path) as receiver:
        http = Http(Endpoint.of({AUTHORITY: str(receiver.certificate)}, "metrics", base=receiver.url))
        assert http.post(b"", 10).delivered
        before = http._opener
        assert http.post(b"", 10).delivered
        assert http._opener is before
        receiver.replace()
        assert http.post(b"", 10).delivered


def test_a_file_whose_time_stays_the_same_is_read_after_a_failure(tmp_path: Path) -> None:
    """Where a replaced file looks like the old one, the first export fails and the next one does not."""
    with secured(tmp_path) as receiver:
        seen = tmp_path / "seen.pem"

        def copy(size: int) -> int:
            content = receiver.certificate.read_bytes().rstrip()
            with seen.open("r+b" if seen.exists() else "wb") as file:
                file.write(content.ljust(size or len(content) + 64, b"\n"))
            os.utime(seen, ns=(1, 1))
            return seen.stat().st_size

        size = copy(0)
        http = Http(Endpoint.of({AUTHORITY: str(seen)}, "metrics", base=receiver.url))
        assert http.post(b"", 10).delivered
        receiver.replace()
        copy(size)
        first = http.post(b"", 10)
        assert (first.delivered, first.retryable) == (False, True)
        assert http.post(b"", 10).delivered


def test_a_certificate_that_comes_late_is_taken(tmp_path: Path) -> None:
    """Until then each export fails in one line, which names the variable and the file."""
    with secured(tmp_path) as receiver:
        late = tmp_path / "late.pem"
        http = Http(Endpoint.of({AUTHORITY: str(late)}, "metrics", base=receiver.url))
        answer = http.post(b"", 10)
        assert answer.retryable
        assert answer.problem.startswith(f"{AUTHORITY}: {late} cannot be read: No such file or directory.")
        late.write_bytes(receiver.certificate.read_bytes())
        assert http.post(b"", 10).delivered


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"CERTIFICATE": "key.pem"}, "key.pem has no certificate in it"),
        ({"CERTIFICATE": "ca.pem", "CLIENT_CERTIFICATE": "absent.pem"}, "absent.pem cannot be read"),
        ({"CERTIFICATE": "ca.pem", "CLIENT_CERTIFICATE": "ca.pem"}, "are no pair"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, names: dict[str, str], said: str) -> None:
    """Its variable, too: a certificate without its key, a key where an authority is due."""
    with secured(tmp_path) as receiver:
        environ = {f"OTEL_EXPORTER_OTLP_{name}": str(tmp_path / file) for name, file in names.items()}
        answer = Http(Endpoint.of(environ, "metrics", base=receiver.url)).post(b"", 10)
    assert not answer.delivered
    assert said in answer.problem
    assert f"OTEL_EXPORTER_OTLP_{list(names)[-1]}: " in answer.problem
