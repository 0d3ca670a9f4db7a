"""whylogs with its default schema on a pandas frame; runs in its own environment."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from time import perf_counter

warnings.simplefilter("ignore")  # it was written for older Pythons and says so at length

import numpy as np  # noqa: E402 - after the filter
import pandas as pd  # noqa: E402 - after the filter
import whylogs  # noqa: E402 - after the filter


def main() -> None:
    """Say the version, then answer every number read with the seconds so many passes took."""
    logging.disable(logging.CRITICAL)
    rows, features = map(int, sys.argv[1:])
    data = np.random.default_rng(7).lognormal(size=(rows, features))
    frame = pd.DataFrame(data, columns=[f"f{index}" for index in range(features)])
    print(json.dumps(f"whylogs {whylogs.__version__}, default schema"), flush=True)
    for line in sys.stdin:
        started = perf_counter()
        for _ in range(int(line)):
            whylogs.log(frame)
        print(json.dumps(perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
