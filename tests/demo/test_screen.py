"""What is shown, from recorded numbers: on a terminal, a narrow one, one without Unicode, and in plain lines."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mlobs.demo.dashboard import dashboard, sparkline
from mlobs.demo.durations import Durations
from mlobs.demo.feature_table import FeatureBar
from mlobs.demo.flights import FEATURES
from mlobs.demo.glance import Glance, drifted, verdict
from mlobs.demo.narrator import LiveNarrator, PlainNarrator, line
from mlobs.demo.outcome import Outcome, Season
from mlobs.demo.summary import summary
from mlobs.demo.totals import Totals, Worker
from mlobs.demo.worth import Worth
from mlobs.sketch import Drift, judge

REFERENCE = np.full(11, 5000)
WORKERS = (
    Worker("0f7c2d41-aa", 1500, 4, 0.21, 150 * 1024**2, 14, 1),
    Worker("9b1e44c0-bb", 1490, 6, 0.19, 149 * 1024**2, 14, 1),
)
BINS = np.arange(40)
WORTH = Worth(
    given=2990,
    joined=2950,
    refused={"damaged": 4, "duplicate": 3},
    promised=tuple([75] * 40),
    negatives=tuple((80 - 2 * BINS).tolist()),
    positives=tuple((2 * BINS).tolist()),
    rates=tuple((BINS / 40).tolist()),
    value=-12345.6,
    delays=Durations((1.0, 10.0), (2900, 50, 0), 1770.0),
    cpu=1.234,
    cost=0.0000137,
    rows=2990,
)
TOTALS = Totals(2990, 10, 61, 0, Durations((0.001, 0.0025, 0.005, 0.01), (0, 2500, 450, 40, 0)), {}, WORKERS, WORTH)


def drifts(current: dict[str, float] | None = None, count: int = 3000) -> list[Drift]:
    """Drift of all features: even counts, but for those whose share of the first bin is given."""
    features = []
    for name in (*FEATURES, "prediction"):
        share = (current or {}).get(name, 1 / 11)
        counts = np.array([share, *[(1 - share) / 10] * 10]) * count
        role = "output" if name == "prediction" else "input"
        ordered = 0 if name == "carrier" else 10
        features.append((name, role, ordered, REFERENCE, counts.astype(np.int64)))
    return judge(features)


WINTER = drifts()
SPRING = drifts({"temp": 0.8, "dewp": 0.5, "humid": 0.22, "prediction": 0.7})


def glance(**changes: Any) -> Glance:
    usual = Glance(
        part="April's flights",
        elapsed=31.0,
        seconds=60.0,
        settling=False,
        sent=3010,
        malformed=10,
        totals=TOTALS,
        rate=249.6,
        rates=[0.0, 120.0, 240.0, 250.0],
        recent=TOTALS.durations,
        drifts=SPRING,
        worth=WORTH,
    )
    return usual._replace(**changes)


def shown(renderable: object, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, height=24, force_terminal=True, color_system=None)
    console.print(renderable)
    stream.seek(0)
    return stream.read()


def test_the_view_fits_a_small_terminal() -> None:
    """Eighty columns and twenty-four lines hold everything, and nothing is cut off."""
    lines = shown(dashboard(glance())).rstrip("\n").split("\n")
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "…" not in text
    assert "Drifted: temp, dewp" in text
    assert all(name in text for name in FEATURES)


def test_the_view_tells_the_numbers() -> None:
    """Rate, latency, errors, sums and workers stand in it."""
    text = shown(dashboard(glance()))
    for said in ("250 calls/s", "p50 1.9 ms", "3,010 sent, 2,990 counted", "10 malformed, 10 errors", "61 spans"):
        assert said in text
    assert "0f7c2d41" in text
    assert "21% CPU" in text
    assert "150 MiB" in text
    assert "2,950 landed, 99% of the predictions, 0.6 s later;  7 refused" in text
    assert "AUC 0.83, expected 0.83" in text
    assert "-12,346 USD;  CPU 1.2 s, 4.6 µUSD/1,000" in text


def test_a_view_with_nothing_yet_is_whole() -> None:
    """Before the first export there is a view all the same."""
    text = shown(
        dashboard(
            glance(totals=Totals(), rate=0.0, rates=[], recent=Durations(), drifts=drifts(count=0), worth=Worth())
        )
    )
    assert "p50 -" in text
    assert "Counting" in text
    assert "AUC -, expected -" in text


def test_a_terminal_without_unicode_gets_a_view() -> None:
    """Where only ASCII is known, bars are drawn with what it has."""
    assert "####" in shown(FeatureBar(SPRING[5]), encoding="ascii")


@pytest.mark.parametrize("psi", [0.0, 0.0005, 0.001, 0.25, 9.99, 10.0, 1e9, math.nan, math.inf, -0.0])
@pytest.mark.parametrize("noise", [0.0, 0.005, 5.0, 100.0, math.inf, math.nan])
def test_every_bar_has_one_width(psi: float, noise: float) -> None:
    """Whatever the numbers, a bar is as wide as its scale."""
    for plain in (True, False):
        assert len(FeatureBar(SPRING[0]._replace(psi=psi, psi_noise=noise)).text(plain=plain)) == 32


def test_the_verdict_names_what_has_drifted() -> None:
    """Inputs that have drifted come by distance; the output is not an input."""
    assert drifted(SPRING) == ["temp", "dewp"]
    assert verdict(WINTER).startswith("Stable")
    assert verdict(drifts(count=50)).startswith("Counting")
    assert verdict(drifts({"humid": 0.22})).startswith("Drifting: humid")


def test_a_sparkline_shows_the_course() -> None:
    """Larger values are taller blocks; nothing gives nothing."""
    assert sparkline([0.0, 5.0, 10.0]) == "▁▄▆"
    assert sparkline([]) == sparkline([0.0]) == ""


WORTHY = "2,950 landed, AUC 0.83, expected 0.83, -12,346 USD. "


def test_a_line_says_it_all() -> None:
    """One line of a log has the sums, the rate, the latency, the resources and the verdict."""
    assert line(glance()).startswith(" 31 s  April's flights: 2,990 of 3,010 counted, 250 calls/s, p50 1.9 ms, p99 ")
    assert line(glance()).endswith("10 errors, 2 workers, CPU 40%, 299 MiB. " + WORTHY + verdict(SPRING))


def test_plain_lines_come_at_times() -> None:
    """A log gets a line every few seconds and at each new part, not one a tick."""
    stream = io.StringIO()
    narrator = PlainNarrator(Console(file=stream, width=40))
    with narrator.step("Reading"):
        pass
    for tick in range(44):
        narrator.show(glance(elapsed=tick / 4))
    narrator.show(glance(part="May's flights", elapsed=11.0))
    narrator.show(glance(totals=Totals(), elapsed=20.0))
    narrator.close()
    assert [text[:4] for text in stream.getvalue().splitlines()] == ["Read", "  0 ", "  5 ", " 10 ", " 11 "]


def test_the_live_view_lets_go_of_the_terminal() -> None:
    """After the showing the cursor is back."""
    stream = io.StringIO()
    narrator = LiveNarrator(Console(file=stream, width=80, height=24, force_terminal=True))
    with narrator.step("Reading"):
        pass
    narrator.show(glance())
    narrator.show(glance(settling=True))
    narrator.close()
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")
    assert "sent, counting" in stream.getvalue()


OUTCOME = Outcome(
    sent=2990,
    malformed=10,
    truths=2957,
    totals=TOTALS,
    winter=Season("January to March, held out", TOTALS, WINTER, 0.734),
    spring=Season("April and May", TOTALS, SPRING, math.nan),
    auc={"winter": 0.734, "April": 0.637, "May": math.nan},
    auc_of_truths=0.7,
)


def test_the_summary_says_what_to_do() -> None:
    """The last words have the sums, both seasons, the limits of seconds, and the next step."""
    text = shown(summary(OUTCOME))
    for said in (
        "2,990 requests sent",
        "Drifted in spring: temp, dewp.",
        "AUC was 0.73 on winter, 0.64 on April.",
        "2,957 truths told, 2,950 joined to their prediction, 7 refused (4 damaged, 3 duplicate)",
        "-12,346 USD",
        "98.7%",
        "0.0000046 USD",
        "A warning saves 100 USD",
    ):
        assert said in " ".join(text.split())
    assert "Seconds are not seasons" in text
    assert "@mlobs.observe(" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_json_is_the_contract() -> None:
    """Exactly the promised keys, numbers or null, and nothing that JSON does not know."""
    told = json.loads(json.dumps(OUTCOME.to_json(), allow_nan=False))
    assert list(told) == [
        "requests_sent",
        "predictions_counted",
        "workers",
        "errors_sent",
        "errors_counted",
        "spans_received",
        "latency",
        "features",
        "features_winter",
        "drifted",
        "drifted_winter",
        "outcomes_sent",
        "outcomes_joined",
        "outcomes_rejected",
        "outcomes_rejected_by_reason",
        "coverage",
        "delay_mean_s",
        "auc",
        "auc_bound",
        "auc_sklearn",
        "auc_expected",
        "business_value",
        "net_value",
        "currency",
        "seasons",
        "cpu_seconds",
        "cost_per_1000",
    ]
    assert list(told["features"]) == list(told["features_winter"]) == list(FEATURES)
    assert set(told["features"]["temp"]) == {"psi", "ks", "noise", "count", "verdict"}
    assert told["features"]["carrier"]["ks"] is None
    assert (told["drifted"], told["drifted_winter"]) == (["temp", "dewp"], [])
