"""What a service keeps of its throughput: bare, with mlobs, with OpenTelemetry's FastAPI instrumentation, with both.

python benchmarks/server.py [--json] [--quick]
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from measure import environment, header, options, table, told
from server_app import FEATURES, INTERVAL
from server_client import CONNECTIONS, Client, requests
from sink import Sink
from turns import STOPPABLE, pipe

KINDS = ("bare", "mlobs", "otel", "both")
GOAL = 0.98


class Server:
    """One contestant in a process of its own; stopped while it has not its turn."""

    def __init__(self, kind: str, endpoint: str, texts: Sequence[bytes], loop: asyncio.AbstractEventLoop) -> None:
        """Start it, and connect."""
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server_app.py")), kind, endpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = pipe(self.process.stdout).readline()
        if not line:
            message = f"The service {kind!r} did not start: it ended with status {self.process.wait()}."
            raise RuntimeError(message)
        self.client = Client(int(line), texts, loop)

    def slice(self, seconds: float) -> float:
        """Let it serve for so long; answers a second."""
        self._signal("SIGCONT")
        try:
            return self.client.ask(seconds)
        finally:
            self._signal("SIGSTOP")

    def _signal(self, name: str) -> None:
        if STOPPABLE:
            os.kill(self.process.pid, getattr(signal, name))

    def close(self) -> None:
        """End it in an orderly way, so that it sends what it has counted."""
        self._signal("SIGCONT")
        self.client.close()
        self.process.communicate(timeout=60)


def compare(
    kinds: Sequence[str], endpoints: dict[str, str], *, rounds: int, seconds: float, warm_up: float
) -> dict[str, list[float]]:
    """Let each serve in turn, in rotating order; answers a second by kind, one a round."""
    loop = asyncio.new_event_loop()
    texts = requests(FEATURES)
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        servers = {}
        for kind in kinds:
            servers[kind] = Server(kind, endpoints[kind], texts, loop)
            stack.callback(servers[kind].close)
            servers[kind].slice(warm_up)
        order = list(kinds)
        for _ in range(rounds):
            for kind in order:
                found[kind].append(servers[kind].slice(seconds))
            order.append(order.pop(0))
    return found


def kept(more: Sequence[float], less: Sequence[float]) -> dict[str, float]:
    """Return what is kept of the throughput: the median of the round-by-round ratios, and their middle half."""
    ratios = [a / b for a, b in zip(more, less, strict=True)]
    low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {"median": median(ratios), "low": low, "high": high}


def main() -> None:
    """Measure, then print a table or one JSON object."""
    chosen = options(__doc__)
    quick: bool = chosen.quick
    kinds = list(KINDS)
    if importlib.util.find_spec("opentelemetry.instrumentation.fastapi") is None:
        told("server: opentelemetry-instrumentation-fastapi is not installed, so it is left out")
        kinds = ["bare", "mlobs"]
    if not chosen.json:
        told(f"server: {', '.join(kinds)}, {CONNECTIONS} connections; the client shares the cores …")
    with contextlib.ExitStack() as stack:
        sinks = {kind: stack.enter_context(Sink()) for kind in kinds if kind != "bare"}
        endpoints = {"bare": "-", **{kind: sink.endpoint for kind, sink in sinks.items()}}
        figures = compare(
            kinds,
            endpoints,
            rounds=2 if quick else 12,
            seconds=0.1 if quick else 3.0,
            warm_up=0.1 if quick else 3.0,
        )
        exported = {kind: sink.received()["requests"] for kind, sink in sinks.items()}
    for kind, count in exported.items():
        if not count:
            message = f"{kind} exported nothing to the sink: its figure would mean nothing."
            raise RuntimeError(message)
    report: dict[str, Any] = {
        "requests_per_s": {kind: median(slices) for kind, slices in figures.items()},
        "kept": {kind: kept(figures[kind], figures["bare"]) for kind in kinds if kind != "bare"},
        "kept_beside_otel": kept(figures["both"], figures["otel"]) if "both" in kinds else None,
        "slices": figures,
        "exports": exported,
        "connections": CONNECTIONS,
        "export_interval_s": INTERVAL,
        "environment": environment("fastapi", "uvicorn", "scikit-learn", "opentelemetry-sdk"),
    }
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    rates, ratios = report["requests_per_s"], report["kept"]
    rows: list[list[Any]] = [["bare", rates["bare"], None, None, None]]
    rows += [[kind, rates[kind], *found.values()] for kind, found in ratios.items()]
    if report["kept_beside_otel"]:
        rows.append(["both, of otel", rates["both"], *report["kept_beside_otel"].values()])
    return "\n".join(
        [
            header(report["environment"]),
            table(
                f"FastAPI and scikit-learn behind one uvicorn worker, {report['connections']} connections; the client and "
                f"the sink share its cores (goal: mlobs keeps ≥ {GOAL:.2f} of bare)",
                ["", "requests/s", "kept", "middle half from", "to"],
                rows,
            ),
        ]
    )


if __name__ == "__main__":
    main()
