"""datasketches KLL (k = 200), one sketch a feature; runs in its own environment."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from time import perf_counter

import datasketches
import numpy as np


def main() -> None:
    """Say the version, then answer every number read with the seconds so many passes took."""
    rows, features = map(int, sys.argv[1:])
    data = np.random.default_rng(7).lognormal(size=(features, rows))  # contiguous columns
    print(json.dumps(f"datasketches {version('datasketches')}, k = 200, float64"), flush=True)
    for line in sys.stdin:
        sketches = [datasketches.kll_doubles_sketch(200) for _ in data]
        started = perf_counter()
        for _ in range(int(line)):
            for sketch, column in zip(sketches, data, strict=True):
                sketch.update(column)
        print(json.dumps(perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
