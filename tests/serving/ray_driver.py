"""Starts a small cluster and the example's applications: ``python ray_driver.py PORT``; SIGTERM takes them down in order."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import ray
from ray import serve

sys.path.insert(0, str(Path.cwd()))

import flats


def stop(*_: object) -> None:
    """Leave the loop below."""
    raise SystemExit


if __name__ == "__main__":
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=100_000_000,
        include_dashboard=False,
        configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path.cwd())}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(flats.flats, name="flats", route_prefix="/flats")
    serve.run(flats.front, name="front", route_prefix="/front")
    signal.signal(signal.SIGTERM, stop)
    print("up", flush=True)
    try:
        signal.pause()
    finally:
        serve.shutdown()
        ray.shutdown()
