"""A client that asks a server as fast as it answers: some connections kept alive, one request on each at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from time import perf_counter

import numpy as np

CONNECTIONS = 8
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


def requests(features: int, count: int = 256) -> list[bytes]:
    """Return ready requests, each with another small row."""
    found = []
    for row in np.random.default_rng(11).normal(size=(count, features)).round(3).tolist():
        body = json.dumps({f"f{index}": value for index, value in enumerate(row)}).encode()
        head = f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        found.append(head.encode() + body)
    return found


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, texts: Sequence[bytes], first: int) -> None:
        """Begin with the request at `first`."""
        self.answers = 0
        self.asking = False
        self.idle = asyncio.Event()
        self.problem: str | None = None
        self._texts = cycle([*texts[first:], *texts[:first]])
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        self.problem = self.problem or f"a connection was closed: {exc}"
        self.idle.set()

    def start(self) -> None:
        """Ask, until told otherwise."""
        self.asking = True
        self.idle.clear()
        self.transport.write(next(self._texts))

    def data_received(self, data: bytes) -> None:
        """Count a complete answer, and go on."""
        self._read += data
        head, end, body = self._read.partition(_END)
        if not end:
            return
        length = head[head.index(_LENGTH) + len(_LENGTH) :]
        if len(body) < int(length.partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.problem = self._read.decode(errors="replace")
            self.asking = False
        self._read = b""
        self.answers += 1
        if self.asking:
            self.transport.write(next(self._texts))
        else:
            self.idle.set()


def _same(connection: Connection) -> Connection:
    return connection


class Client:
    """Connections to one server, open from first to last."""

    def __init__(self, port: int, texts: Sequence[bytes], loop: asyncio.AbstractEventLoop) -> None:
        """Connect."""
        self._loop = loop
        self._connections = [Connection(texts, number * 17 % len(texts)) for number in range(CONNECTIONS)]
        for connection in self._connections:
            loop.run_until_complete(loop.create_connection(partial(_same, connection), "127.0.0.1", port))

    def ask(self, seconds: float) -> float:
        """Ask for so long; answers a second. Raises RuntimeError for an answer that is none."""
        return self._loop.run_until_complete(self._ask(seconds))

    async def _ask(self, seconds: float) -> float:
        before = sum(connection.answers for connection in self._connections)
        started = perf_counter()
        for connection in self._connections:
            connection.start()
        await asyncio.sleep(seconds)
        for connection in self._connections:
            connection.asking = False
        for connection in self._connections:
            await asyncio.wait_for(connection.idle.wait(), 60)
        took = perf_counter() - started
        for connection in self._connections:
            if connection.problem:
                raise RuntimeError(connection.problem)
        return (sum(connection.answers for connection in self._connections) - before) / took

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.transport.close()
