"""What tickets and truths cost, beside Fernet tokens, what tickets add to the hot path, and what a million truths hold.

    python benchmarks/outcomes.py [--json] [--quick]

Fernet is the sealed token of the package `cryptography`, which tickets are sealed with too: what somebody would take who
wrote this by hand, the prediction packed as JSON. It counts nothing and remembers nothing.
"""

from __future__ import annotations

import gc
import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from cryptography.fernet import Fernet
from measure import Lap, difference, environment, header, interleave, loop, options, ratio, table, told
from sink import Sink

import mlobs
from mlobs.core.budget import Budget
from mlobs.core.guard import Guard
from mlobs.core.model import Identity, Model
from mlobs.core.monitor import Monitor
from mlobs.core.settings import Settings
from mlobs.core.work import Work
from mlobs.release.prediction import Prediction
from mlobs.release.ticket import Ticketer

MODEL = "churn"
ROW = [0.5] * 30
GOALS = {"ticket": 30.0, "outcome": 20.0}  # µs


def predict(_: list[float]) -> float:
    """Answer at once: everything in the time is telemetry."""
    return 0.7


def prediction(score: float) -> Prediction:
    """Return a prediction as a ticket carries it."""
    return Prediction(b"", MODEL, "7", "champion", time.time(), (2**127, 2**63, 0), "binary", None, score)


class Sealed:
    """Tickets made beforehand, never one twice; `open` hands out the next to a function."""

    def __init__(self, seal: Callable[[], Any]) -> None:
        self._seal = seal

    def timed(self, open_: Callable[[Any], object]) -> Callable[[int], float]:
        """Return a lap that opens as many."""

        def run(calls: int) -> float:
            sealed = [self._seal() for _ in range(calls)]
            started = time.perf_counter()
            for one in sealed:
                open_(one)
            return time.perf_counter() - started

        return run


def tickets(key: str, *, quick: bool) -> dict[str, float]:
    """Return µs of a ticket and of a truth, of both by Fernet, and the ratios."""
    observed = mlobs.observe(model=MODEL, version="7")(predict)
    ticketer = Ticketer([key], ttl=3600)
    fernet = Fernet(Fernet.generate_key())
    body = {"model": MODEL, "version": "7", "variant": "champion", "trace": f"{2**127:032x}", "score": 0.7}

    def by_hand() -> bytes:
        return fernet.encrypt(json.dumps({**body, "time": time.time()}).encode())

    observed(ROW)
    laps = {
        "ticket": Lap(loop(mlobs.ticket)),
        "fernet_seal": Lap(loop(by_hand)),
        "outcome": Lap(
            Sealed(lambda: ticketer.seal(prediction(0.7))).timed(lambda one: mlobs.outcome(one, actual=True))
        ),
        "fernet_open": Lap(Sealed(by_hand).timed(lambda one: json.loads(fernet.decrypt(one, ttl=3600)))),
    }
    taken = interleave(laps, rounds=2 if quick else 25, seconds=0.002 if quick else 0.05)
    found = {f"{name}_us": sorted(slices)[len(slices) // 2] * 1e6 for name, slices in taken.items()}
    found["ticket_times_fernet"] = ratio(taken["ticket"], taken["fernet_seal"])
    found["outcome_times_fernet"] = ratio(taken["outcome"], taken["fernet_open"])
    return found


def hot_path(endpoint: str, *, quick: bool) -> dict[str, float]:
    """Return the µs that an observed call adds with tickets off and on, and with a ticket taken of each.

    Off, here, is a function of which nobody has asked for a ticket, while no keys are configured.
    """
    keys = [secrets.token_hex(32)]
    added: dict[str, list[float]] = {"off": [], "on": [], "taken": []}
    observed = mlobs.observe(model="hot", version="7")(predict)
    bare, call = loop(predict, ROW), loop(observed, ROW)

    def taking(row: list[float]) -> None:
        observed(row)
        mlobs.ticket()

    take = loop(taking, ROW)
    calls = 500 if quick else 20_000
    for _ in range(2 if quick else 25):
        for name, configured, run in (("off", [], call), ("on", keys, call), ("taken", keys, take)):
            mlobs.configure(endpoint=endpoint, export_interval=1.0, ticket_keys=configured)
            observed(ROW)
            run(calls // 10)
            mlobs.flush()
            added[name].append(run(calls) / calls - bare(calls) / calls)
    return {
        **{f"{name}_us": sorted(slices)[len(slices) // 2] * 1e6 for name, slices in added.items()},
        "on_adds_us": difference(added["on"], added["off"]) * 1e6,
    }


def accounting(*, quick: bool) -> dict[str, float]:
    """Return the µs a call that CPU time costs: the thread's clock, the process' clock, and folding what was read.

    The thread's is read around one call in 64 of the shortest, more often of longer ones, and around each from 2 ms on; the
    process', which tells the time of thread pools, around one in 128 of the shortest and one in 16 of the longest.
    """
    settings = Settings()
    guard = Guard()
    model = Model(Identity("accounting"), None, spans=settings.windows, guard=guard, limit=settings.max_features)
    monitor = Monitor(model, "predict", settings, guard, lambda: None)
    work = Work(Budget())
    batch = [(300_000, 310_000)] * 1_000

    def own() -> None:
        time.thread_time_ns()
        time.thread_time_ns()

    def pool() -> None:
        monitor.pooled(monitor.others(), 0, 1)
        monitor.ring.pooled.clear()

    def fold() -> None:
        work.fold(310_000_000, batch, batch[:62], [], settings)

    laps = {"own": Lap(loop(own)), "pool": Lap(loop(pool)), "fold": Lap(loop(fold))}
    taken = interleave(laps, rounds=2 if quick else 25, seconds=0.002 if quick else 0.02)
    own_us, pool_us, fold_us = (sorted(taken[name])[len(taken[name]) // 2] * 1e6 for name in ("own", "pool", "fold"))
    a_row = fold_us / len(batch)
    return {
        "thread_us": own_us,
        "pool_us": pool_us / 16,
        "short_calls_us": (own_us + pool_us / 2 + a_row) / 64,
        "long_calls_us": own_us + pool_us / 16 + a_row,
    }


def million(key: str, *, quick: bool) -> dict[str, float]:
    """Return how many truths were counted, and the MiB that the process holds after a tenth of them and after all."""
    count = 20_000 if quick else 1_000_000
    ticketer = Ticketer([key], ttl=10**9)
    process = psutil.Process()

    def some(first: int, last: int) -> Iterator[bool]:
        for number in range(first, last):
            one = prediction(number % 1000 / 1000)._replace(time=time.time() - number % 700 * 3600)
            yield mlobs.outcome(ticketer.seal(one), actual=number % 3 == 0)

    def held() -> float:
        gc.collect()
        return float(process.memory_info().rss) / 2**20

    # the replay filter is full after its first hundred thousand
    tenth = count // 10
    counted = sum(some(0, tenth))
    early = held()
    counted += sum(some(tenth, count))
    return {"truths": count, "counted": counted, "after_a_tenth_mib": early, "after_all_mib": held()}


def main() -> None:
    """Measure, then print a table or one JSON object."""
    chosen = options(__doc__)
    quick: bool = chosen.quick
    key = secrets.token_hex(32)
    with Sink() as sink:
        mlobs.configure(endpoint=sink.endpoint, export_interval=1.0, ticket_keys=[key])
        mlobs.objective(model=MODEL, task="binary", costs={(True, True): 40.0, (True, False): -15.0}, currency="EUR")
        mlobs.observe(model="warm-up")(len)([1.0])
        mlobs.flush(timeout=30)
        report: dict[str, Any] = {"tickets": tickets(key, quick=quick)}
        if not chosen.json:
            told("outcomes: the hot path …")
        report["hot_path"] = hot_path(sink.endpoint, quick=quick)
        report["accounting"] = accounting(quick=quick)
        mlobs.configure(endpoint=sink.endpoint, export_interval=1.0, ticket_keys=[key])
        if not chosen.json:
            told("outcomes: a million truths …")
        report["million"] = million(key, quick=quick)
        mlobs.shutdown()
    report["environment"] = environment("cryptography", "opentelemetry-sdk")
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    found, hot, spent, many = (report[name] for name in ("tickets", "hot_path", "accounting", "million"))
    return "\n".join(
        [
            header(report["environment"]),
            table(
                "Tickets and truths (goals: a ticket ≤ 30 µs, an outcome ≤ 20 µs)",
                ["", "µs", "Fernet µs", "× Fernet"],
                [
                    ["ticket", found["ticket_us"], found["fernet_seal_us"], found["ticket_times_fernet"]],
                    ["outcome", found["outcome_us"], found["fernet_open_us"], found["outcome_times_fernet"]],
                ],
            ),
            table(
                "An observed call of one row of 30 values, µs added",
                ["tickets off", "on", "on, less off", "on, and one taken"],
                [[hot["off_us"], hot["on_us"], hot["on_adds_us"], hot["taken_us"]]],
            ),
            table(
                "CPU time of a call, µs (goal ≤ 0.3)",
                ["calls of 30 µs", "of 2 ms and more", "of these the thread's own", "thread pools"],
                [[spent["short_calls_us"], spent["long_calls_us"], spent["thread_us"], spent["pool_us"]]],
            ),
            table(
                "Truths in one process",
                ["truths", "counted", "MiB after a tenth", "MiB after all"],
                [[many["truths"], many["counted"], many["after_a_tenth_mib"], many["after_all_mib"]]],
            ),
        ]
    )


if __name__ == "__main__":
    main()
