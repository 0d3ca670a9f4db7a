"""A receiver with TLS for tests, whose certificate may be replaced while it runs."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Secure:
    """The receiver; its authority is in ``certificate``."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "ca.pem"
        self.key = folder / "key.pem"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.url = ""
        self.replace()

    def replace(self) -> None:
        """A new certificate, signed by itself, for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
        now = dt.datetime.now(tz=dt.timezone.utc)
        serial = x509.random_serial_number()
        place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        built = x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + dt.timedelta(1))
        built = built.add_extension(place, critical=False)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        signed = built.sign(key, hashes.SHA256())
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(key.private_bytes(*plain))
        self.context.load_cert_chain(self.certificate, self.key)


@contextmanager
def secured(folder: Path) -> Iterator[Secure]:
    """It takes everything, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Whoever does not trust it hangs up."""

    secure = Secure(folder)
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = secure.context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    secure.url = f"https://127.0.0.1:{server.server_port}"
    try:
        yield secure
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
