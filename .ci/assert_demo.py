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
        "truths were told": seen["outcomes_sent"] > 0,
        "every truth told is joined or refused": seen["outcomes_sent"]
        == seen["outcomes_joined"] + seen["outcomes_rejected"],
        "each kind of bad truth was refused": set(seen["outcomes_rejected_by_reason"])
        >= {"damaged", "wrong_key", "duplicate", "invalid"},
        "nearly every prediction's truth came": 0.97 < seen["coverage"] <= 1,
        "the AUC is scikit-learn's within its bound": all(
            abs(told["auc"] - told["auc_sklearn"]) <= told["auc_bound"] < 0.1
            for told in (seen, *seen["seasons"].values())
        ),
        "in winter scores kept what they promised": abs(
            seen["seasons"]["winter"]["auc"] - seen["seasons"]["winter"]["auc_expected"]
        )
        < 0.05,
        "in spring they did not": seen["seasons"]["spring"]["auc"] < seen["seasons"]["spring"]["auc_expected"] - 0.03,
        "winter earned more than spring": seen["seasons"]["winter"]["business_value"]
        > seen["seasons"]["spring"]["business_value"],
        "CPU time was told": seen["cpu_seconds"] > 0 < seen["cost_per_1000"],
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
