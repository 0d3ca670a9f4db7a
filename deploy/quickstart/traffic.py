"""People who ask about flats, later tell which ones sold, and, for a while in each round, send square feet.

python -m quickstart.traffic --target http://localhost:8000 --rate 10
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import deque
from typing import Final, NamedTuple

import httpx
import numpy as np

from .flats import Flat, flats, sells

SQUARE_FEET: Final = 10.76


class Awaited(NamedTuple):
    """A flat whose sale is not known yet."""

    due: float
    ticket: str
    sold: bool


class Traffic:
    """Asks one flat after the other, and keeps the tickets until their truth is due."""

    def __init__(self, client: httpx.Client, *, seed: int, delay: float) -> None:
        self._client = client
        self._rng = np.random.default_rng(seed)
        self._delay = delay
        self._awaited: deque[Awaited] = deque()
        self._coming: list[Flat] = []

    def ask(self, *, feet: bool) -> None:
        """Ask about one flat. Raises httpx.TransportError where nobody answers."""
        flat = self._next()
        truth = sells(flat)
        answer = self._client.post("/predict", json=self._as_sent(flat, feet=feet))
        ticket = answer.json().get("ticket") if answer.is_success else None
        if not ticket:
            return
        if self._rng.random() < 0.1:
            self._client.post("/visit", json={"ticket": ticket, "fee": 15.0})
        if self._rng.random() < 0.9:  # of one in ten flats nobody ever hears again
            due = time.monotonic() + float(self._rng.exponential(self._delay))
            self._awaited.append(Awaited(due, ticket, bool(self._rng.random() < truth)))

    def tell(self, *, everything: bool = False) -> None:
        """Tell what came of the flats whose time has come."""
        now = time.monotonic()
        for _ in range(len(self._awaited)):
            one = self._awaited.popleft()
            if everything or one.due <= now:
                self._client.post("/outcome", json={"ticket": one.ticket, "sold": one.sold})
            else:
                self._awaited.append(one)

    def _next(self) -> Flat:
        if not self._coming:
            self._coming = flats(self._rng, 256)
        return self._coming.pop()

    def _as_sent(self, flat: Flat, *, feet: bool) -> Flat:
        sent = dict(flat)
        if feet:
            sent["area"] = round(flat["area"] * SQUARE_FEET, 1)
        chance = self._rng.random()
        if chance < 0.01:
            sent["age"] = None  # nobody knows
        elif chance < 0.0104:
            sent["area"] = "unknown"  # a form that somebody filled in by hand
        return sent


def main() -> int:
    """Send, until told to stop."""
    parser = argparse.ArgumentParser(prog="quickstart.traffic", description=__doc__)
    parser.add_argument("--target", default="http://localhost:8000", help="where the service is")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second (default: 10)")
    parser.add_argument("--calm", type=float, default=1800.0, help="seconds in square metres, each round")
    parser.add_argument("--feet", type=float, default=1800.0, help="seconds in square feet, each round")
    parser.add_argument("--delay", type=float, default=60.0, help="mean seconds until a sale is told")
    parser.add_argument("--requests", type=int, help="stop after so many, with everything told")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    limits = httpx.Timeout(10.0)
    with httpx.Client(base_url=arguments.target, timeout=limits) as client:
        traffic = Traffic(client, seed=arguments.seed, delay=arguments.delay)
        start = time.monotonic()
        steps = itertools.count() if arguments.requests is None else range(arguments.requests)
        for step in steps:
            due = start + step / arguments.rate
            time.sleep(max(0.0, due - time.monotonic()))
            where = (time.monotonic() - start) % (arguments.calm + arguments.feet)
            try:
                traffic.ask(feet=where >= arguments.calm)
                traffic.tell()
            except httpx.TransportError as error:
                print(f"{arguments.target}: {type(error).__name__}", file=sys.stderr, flush=True)
                time.sleep(1)
        traffic.tell(everything=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
