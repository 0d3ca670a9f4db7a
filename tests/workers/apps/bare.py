"""A server of the standard library with an observed model, and nobody who handles a signal."""

from __future__ import annotations

import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import numpy as np

import mlobs

mlobs.configure(export_interval=60, flush_timeout=20)


@mlobs.observe(model="m", version="1")
def predict(rows: Any) -> float:
    return 0.5


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        predict(np.ones((1, 3)))
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    kind = {"threads": ThreadingHTTPServer, "one": HTTPServer}[sys.argv[2]]
    server = kind(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(sys.argv[1]))
    server.serve_forever()
