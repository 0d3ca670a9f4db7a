"""Read the demo's one JSON object from standard input and hold it to what the data is known to say."""

from __future__ import annotations

import json
import sys
from typing import Any


def failures(seen: dict[str, Any]) -> list[str]:
    """Return what does not hold, in words."""
    claims = {
        "requests were sent": seen["requests_sent"] > 0,
        "every request sent is counted": seen["requests_sent"] == seen["predictions_counted"],
        "malformed requests were sent": seen["errors_sent"] > 0,
        "every error sent is counted": seen["errors_sent"] == seen["errors_counted"],
        "two workers served": seen["workers"] == 2,
        "spans arrived": seen["spans_received"] > 0,
        "latencies are ordered": 0 < seen["latency"]["p50_ms"] <= seen["latency"]["p99_ms"],
        "no drift in winter": seen["drifted_winter"] == [],
        "temp drifted in spring": "temp" in seen["drifted"],
        "carrier and origin did not drift": not {"carrier", "origin"} & set(seen["drifted"]),
        "the verdicts agree with the list": {
            name for name, drift in seen["features"].items() if drift["verdict"] == "drifted"
        }
        == set(seen["drifted"]),
    }
    return [claim for claim, holds in claims.items() if not holds]


if __name__ == "__main__":
    text = sys.stdin.read()
    print(text)
    broken = failures(json.loads(text))
    sys.exit("the demo does not hold: " + "; ".join(broken) if broken else 0)
