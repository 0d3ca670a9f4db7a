"""Drift, quality and money out of a live Prometheus are what Python says of the rows that the processes worked on.

Three processes export straight to a Prometheus 3 that evaluates the shipped rules, sixty times as fast: every duration of
the files is divided by 60, so that five minutes are five seconds and the window of an hour is one of a minute. The export
interval is 0.15 s: 33 samples a tile, where a minute's would be five. What does not get faster with the clock is the way of
an export to Prometheus, the offset of one second being six export intervals for it, and the jitter of its clock.

One process is ended by SIGTERM in the midst of its work and goes on under its name, from zero; another one likewise under a
new name. Halfway the inputs drift. `increase` extrapolates: at either end of a process' work up to half an export interval
too much or too little, and half an interval only to the edge of a tile that an export missed by more than a tenth of one.
That is some 75 of 125,000 rows each time. A constant mix would not mind; here it weighs before the drift against after it, so
that PSI is off by 4 PSI times the share: less than 1e-3 as a rule, and the limit for a single feature is twice that. On a busy
machine exports come late, and more rows are missed; so many as were weigh on top of that.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from scipy.stats import ks_2samp
from sklearn.metrics import brier_score_loss, roc_auc_score
from tests.backends import traffic
from tests.backends.collector import poll
from tests.backends.promtool import RULES
from tests.backends.server import Prometheus, prometheus

from mlobs.sketch import Drift, judge, scores

ROOT = Path(__file__).parents[2]
FASTER = 60
CLOSE = 1e-3
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
RESTART, MOVE = 12.0, 29.0  # seconds of the schedule at which a process ends, and goes on
HALF = traffic.DRIFT * traffic.STEP


# ── the rules, faster ───────────────────────────────────────────────────────────────────────────────────────────────


def faster(duration: str) -> str:
    """A sixtieth of it, to the millisecond."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", duration)
    return f"{sum(int(count) * UNITS[unit] for count, unit in parts) // FASTER}ms"


def hurried(text: str) -> str:
    """A file of rules in which every duration is a sixtieth: intervals, waits, ranges and offsets."""
    whole = yaml.safe_load(text)
    for group in whole["groups"]:
        group["interval"] = faster(group["interval"])
        for rule in group["rules"]:
            for key in rule.keys() & {"for", "keep_firing_for"}:
                rule[key] = faster(rule[key])
            rule["expr"] = re.sub(
                rf"(\[|\boffset )({DURATION})\b", lambda found: found[1] + faster(found[2]), rule["expr"]
            )
    return json.dumps(whole)  # every JSON is YAML


def test_every_duration_is_a_sixtieth() -> None:
    """No range, offset, interval or wait of the shipped files is left as it was, and a window keeps its tiles."""
    for file in RULES.glob("mlobs-*.yml"):
        before, after = file.read_text("utf-8"), hurried(file.read_text("utf-8"))
        places = rf"(?:\[|\boffset |interval\"?: \"?|for\"?: \"?)({DURATION})"
        assert [faster(found) for found in re.findall(places, before)] == re.findall(places, after)
        assert len(re.findall(r"\[\d+[a-z]|\boffset\b|interval:|for:", before)) == len(re.findall(places, before))
    assert faster("5m") == "5000ms"
    assert faster("59m59s") == "59983ms"


# ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────────


class Life:
    """One process, from its start to its end; what it worked on is in its file."""

    def __init__(self, number: int, instance: str, server: Prometheus, folder: Path) -> None:
        self.number = number
        self.instance = instance
        self.file = folder / f"life-{number}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MLOBS_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.backends.traffic", str(number), str(self.file)],
            cwd=ROOT,
            env={
                **kept,
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": server.metrics_endpoint,
                "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={instance}",
                "OTEL_TRACES_EXPORTER": "none",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def series(self) -> str:
        """What Prometheus knows its series by: what is given, its process, and something random."""
        return f'instance=~"{self.instance}-{self.process.pid}-.+"'

    def says(self, what: str) -> None:
        """Wait until it has said so."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{what}\n"

    def follow(self, begun: float) -> None:
        """Let it work along the schedule that began then."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{begun!r}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End it as an orchestrator does: mlobs exports a last time."""
        self.process.terminate()
        self.process.wait(20)


class Story(NamedTuple):
    """What there is when all is over."""

    server: Prometheus
    lives: list[Life]
    restarted: float  # when one process had ended, and its successor not begun
    calm: float  # a time at which the rules of drift were evaluated, before the drift
    over: float  # one by which every tile with traffic had been recorded
    worked: traffic.Batch


@contextmanager
def life(number: int, instance: str, server: Prometheus, folder: Path) -> Iterator[Life]:
    """A process that has exported its zeros."""
    one = Life(number, instance, server, folder)
    try:
        one.says("ready")
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


def reach(moment: float) -> None:
    """Wait for a time to come."""
    assert poll(lambda: time.time() >= moment)


def evaluated(server: Prometheus, series: str, since: float) -> float:
    """The time of the first evaluation after ``since`` that recorded a series."""

    def last() -> float:
        return server.value(f"max(timestamp({series}))") or 0.0

    assert poll(lambda: last() > since, 30), f"{series} was last recorded at {last()}, not after {since}"
    return last()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Three processes, two of which end and begin anew, a drift halfway, and a Prometheus that saw it all."""
    folder = tmp_path_factory.mktemp("parity")
    rules = []
    for name in ("drift", "quality"):
        rules.append(folder / f"{name}.rules.yml")
        rules[-1].write_text(hurried((RULES / f"mlobs-{name}.rules.yml").read_text("utf-8")), encoding="utf-8")
    with prometheus(folder / "prometheus", rules=rules) as server, ExitStack() as stack:

        def start(number: int, instance: str) -> Life:
            return stack.enter_context(life(number, instance, server, folder))

        first, second, third = (start(number, name) for number, name in enumerate("abc"))
        assert poll(lambda: server.value("count(mlobs_outcome_score_total == 0)") == 3 * 2 * scores.SIZE)
        begun = time.time() + 0.2
        for one in (first, second, third):
            one.follow(begun)
        reach(begun + RESTART)
        first.end()
        restarted = time.time()
        again = start(3, "a")
        assert poll(lambda: server.value(f"count(mlobs_outcome_score_total{{{again.series}}} == 0)") == 2 * scores.SIZE)
        again.follow(begun)
        reach(begun + HALF)
        calm = server.value("max(timestamp(mlobs:feature_psi:1h))")
        assert calm is not None
        reach(begun + MOVE)
        second.end()
        moved = start(4, "d")
        assert poll(lambda: server.value(f"count(mlobs_outcome_score_total{{{moved.series}}} == 0)") == 2 * scores.SIZE)
        moved.follow(begun)
        for one in (third, again, moved):
            one.says("done")
        done = time.time()
        over = max(
            evaluated(server, series, done + 1 + traffic.EXPORT)
            for series in ("mlobs:feature_psi:1h", "mlobs:net_value:increase1d")
        )
        lives = [first, second, third, again, moved]
        worked = traffic.worked([(one.number, one.file) for one in lives])
        yield Story(server, lives, restarted, calm, over, worked)


# ── what Prometheus says of it ──────────────────────────────────────────────────────────────────────────────────────


def recorded(story: Story, series: str, at: float | None = None) -> dict[str, float]:
    """A recorded series by feature."""
    return {labels["feature"]: value for labels, value in story.server.query(series, at or story.over)}


def measured(story: Story, series: str) -> float:
    """The one value of a recorded series."""
    value = story.server.value(series, story.over)
    assert value is not None, series
    return value


def columns(rows: traffic.Floats, answers: traffic.Floats) -> dict[str, traffic.Floats]:
    """Every feature's values, by its name."""
    return {f"f{index}": rows[:, index] for index in range(rows.shape[1])} | {"prediction": answers}


def places(values: traffic.Floats, edges: traffic.Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The bin of each value that is there, by numpy alone."""
    return np.searchsorted(edges, values[~np.isnan(values)], side="left")


@pytest.fixture(scope="module")
def raw(story: Story) -> dict[str, tuple[Drift, float, float]]:
    """By feature: what mlobs judges of its counts; PSI by numpy and KS by scipy of its rows, in the reference's bins."""
    profile = traffic.reference()
    past = traffic.past()
    before = columns(past, traffic.score(np.nan_to_num(past)))
    after = columns(story.worked.rows, story.worked.scores)
    found = {}
    for feature in (*profile.inputs, *profile.outputs):
        partition: Any = feature.partition
        old, new = (places(each[feature.name], partition.edges) for each in (before, after))
        counts = [
            np.array([*np.bincount(where, minlength=partition.ordered), np.isnan(each[feature.name]).sum()])
            for where, each in ((old, before), (new, after))
        ]
        p, q = ((each + 0.5) / (each.sum() + 0.5 * len(each)) for each in counts)
        psi = float(((q - p) * np.log(q / p)).sum())
        ks = float(ks_2samp(old, new, method="asymp").statistic)
        [drift] = judge([(feature.name, feature.role, partition.ordered, feature.counts, counts[1])])
        found[feature.name] = drift, psi, ks
    return found


def told(story: Story, counter: str) -> list[float]:
    """What each life had told of a counter at its end."""
    found = []
    for one in story.lives:
        at = story.restarted if one is story.lives[0] else story.over
        value = story.server.value(f"sum({counter.rstrip('}')},{one.series}}})", at)
        assert value is not None
        found.append(value)
    return found


def test_nothing_is_lost(story: Story) -> None:
    """Each process' last export tells every row and truth of its life, SIGTERM or not."""
    rows = [len(traffic.worked([(one.number, one.file)]).rows) for one in story.lives]
    assert [one.process.returncode for one in story.lives] == [-15, -15, None, None, None]
    assert min(rows) > 5000
    for counter in ('mlobs_prediction_rows_total{job="bank"}', 'mlobs_outcome_joined_total{job="bank"}'):
        assert told(story, counter) == rows


def test_drift_is_pythons(story: Story, raw: dict[str, tuple[Drift, float, float]]) -> None:
    """PSI and KS of the window of an hour are those of mlobs, numpy and scipy."""
    psi, ks = recorded(story, "mlobs:feature_psi:1h"), recorded(story, "mlobs:feature_ks:1h")
    counts = recorded(story, "mlobs:feature_observations:count1h")
    assert psi.keys() == ks.keys() == raw.keys()
    for name, (drift, by_numpy, by_scipy) in raw.items():
        print(f"{name}: PSI {psi[name]:.5f}, off by {psi[name] - by_numpy:+.1e}; KS {ks[name]:.5f}, off by "
              f"{ks[name] - by_scipy:+.1e}; rows {counts[name]:,.0f} of {drift.count:,}")  # fmt: skip
        assert drift.psi == pytest.approx(by_numpy, abs=1e-12)
        assert drift.ks == pytest.approx(by_scipy, abs=1e-12)
        assert counts[name] == pytest.approx(drift.count, rel=0.02)
        missed = abs(counts[name] / drift.count - 1)
        assert psi[name] == pytest.approx(drift.psi, abs=2 * CLOSE + 4 * drift.psi * missed)
        assert ks[name] == pytest.approx(drift.ks, abs=2 * CLOSE + missed)
        assert drift.count >= 50_000
    assert median(abs(psi[name] - by_numpy) for name, (_, by_numpy, _) in raw.items()) <= CLOSE
    assert median(abs(ks[name] - by_scipy) for name, (_, _, by_scipy) in raw.items()) <= CLOSE


def test_drift_is_told_when_it_is_there(story: Story, raw: dict[str, tuple[Drift, float, float]]) -> None:
    """Nothing is significant before the drift; after it what drifted is above its threshold, and what did not is not."""
    before = recorded(story, "mlobs:feature_psi_significant:1h", story.calm)
    assert before.keys() == raw.keys()
    assert max(before.values()) < 0.02
    after = recorded(story, "mlobs:feature_psi_significant:1h")
    verdicts = {name: drift.verdict for name, (drift, _, _) in raw.items()}
    assert verdicts["f0"] == "drifting"
    assert verdicts["f2"] == "stable"
    assert {name for name, value in after.items() if value > 0.1} == {
        name for name, verdict in verdicts.items() if verdict != "stable"
    }


def test_quality_is_pythons(story: Story) -> None:
    """AUC, Brier score and calibration error are those of the raw scores, within what bins cost, and of their counts."""
    truths, answers = story.worked.truths, story.worked.scores
    counts = [scores.count_scores(answers[truths == side])[0] for side in (False, True)]
    real = scores.realized(*counts)
    assert real is not None
    assert real.auc is not None
    auc = measured(story, 'mlobs:score_quality:ratio1d{measure="auc", basis="realized"}')
    brier = measured(story, "mlobs:brier:mean1d")
    calibration = measured(story, "mlobs:calibration_error:ratio1d")
    for name, found, binned in (
        ("AUC", auc, real.auc),
        ("Brier", brier, real.brier),
        ("calibration", calibration, real.calibration_error),
    ):
        print(f"{name}: {found:.5f}, off by {found - binned.value:+.1e}; bound {binned.bound:.1e}")
        assert found == pytest.approx(binned.value, abs=CLOSE)
    assert auc == pytest.approx(roc_auc_score(truths, answers), abs=real.auc.bound + CLOSE)
    assert brier == pytest.approx(brier_score_loss(truths, answers), abs=real.brier.bound + CLOSE)
    assert measured(story, 'mlobs:quality:ratio1d{measure="accuracy"}') == pytest.approx(
        float(((answers >= 0.5) == truths).mean()), abs=CLOSE
    )


def test_money_is_pythons(story: Story) -> None:
    """What the counters say is what was earned; a prediction's share of it, too; its sum by `increase` nearly."""
    money = [
        traffic.COSTS[bool(said), bool(truth)]
        for said, truth in zip(story.worked.scores >= 0.5, story.worked.truths, strict=True)
    ]
    net = measured(story, 'mlobs:net_value:increase1d{currency="EUR"}')
    each = measured(story, 'mlobs:net_value:per_row1d{currency="EUR"}')
    print(f"net {net:,.2f} of {sum(money):,.2f}: {net / sum(money) - 1:+.1e}; "
          f"a row {each:.5f}: {each / (sum(money) / len(money)) - 1:+.1e}")  # fmt: skip
    assert each == pytest.approx(sum(money) / len(money), rel=5 * CLOSE)
    missed = abs(measured(story, "mlobs:outcome_joined:increase1d") / len(money) - 1)
    # what was missed may have earned more than others
    assert net == pytest.approx(sum(money), rel=5 * CLOSE + 2 * missed)
    gain, loss = (sum(told(story, f'mlobs_business_value_total{{direction="{side}"}}')) for side in ("gain", "loss"))
    assert gain - loss == pytest.approx(sum(money), rel=1e-9)
