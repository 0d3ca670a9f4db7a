"""What `mlobs cardinality` estimates is what a real process tells."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli import observed
from tests.sink import Sink, running

import mlobs
from mlobs.cli import main
from mlobs.core import guard
from mlobs.core.settings import DURATION_BOUNDS
from mlobs.doctor import series
from mlobs.doctor.estimate import estimate
from mlobs.doctor.promql import parse
from mlobs.doctor.recorded import record
from mlobs.doctor.rulefile import files, groups, read, seconds
from mlobs.doctor.series import Fleet, process, shapes
from mlobs.doctor.shape import shape
from mlobs.errors import ConfigurationError
from mlobs.otel import names
from mlobs.otel.instrument import Instrument
from mlobs.otel.points import NO_ATTRIBUTES, Numbers
from mlobs.otel.scrape import metric_name
from mlobs.release import tally
from mlobs.release.prediction import Prediction
from mlobs.resource import gpu
from mlobs.testing import capture

ROOT = Path(__file__).parents[2]
KEY = "5b" * 32
FLEET = Fleet(task="binary", priced=True)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with columns of every kind."""
    path = tmp_path_factory.mktemp("reference") / "ref.json"
    observed.reference().save(path)
    return path


@pytest.fixture(scope="module")
def exported(reference: Path) -> Iterator[dict[str, Counter[str]]]:
    """What a real process sent after ordinary rows, and after everything that can go wrong: series by metric."""
    with running() as sink:
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "MLOBS_TICKET_KEYS": KEY}
        command = [sys.executable, str(Path(observed.__file__)), str(reference)]
        found = {}
        with subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as one:
            assert one.stdin is not None
            assert one.stdout is not None
            for what in ("calm", "messy", "truths"):
                one.stdin.write(f"{what}\n")
                one.stdin.flush()
                assert one.stdout.readline().strip() == "True"
                found[what] = by_name(sink)
            one.stdin.close()
        yield found


def by_name(sink: Sink) -> Counter[str]:
    """Series of the newest export, as Prometheus would have them, by metric."""
    counts: Counter[str] = Counter()
    for scope in sink.metrics[-1].resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            kind = {"sum": "counter" if metric.sum.is_monotonic else "gauge"}.get(metric.WhichOneof("data"), "gauge")
            name = metric_name(Instrument(metric.name, kind, metric.unit, ""))  # type: ignore[arg-type]
            for point in metric.histogram.data_points:
                counts[f"{name}_bucket"] += len(point.bucket_counts)
                counts[f"{name}_count"] += 1
                counts[f"{name}_sum"] += 1
            numbers = len(metric.gauge.data_points) + len(metric.sum.data_points)
            if numbers:
                counts[f"{name}_total" if kind == "counter" else name] += numbers
    return counts


def told(path: Path, fleet: Fleet = FLEET) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    """The estimate by metric: what is sure, the most, and each one's part."""
    sure: Counter[str] = Counter()
    most: Counter[str] = Counter()
    parts: dict[str, str] = {}
    for one in process(shapes(mlobs.Profile.load(path)), fleet):
        most[one.name] += one.total
        parts[one.name] = one.part
        if one.sure:
            sure[one.name] += one.total
    return sure, most, parts


def test_what_is_expected_is_what_comes(reference: Path, exported: dict[str, Counter[str]]) -> None:
    """After ordinary rows a real process tells exactly the expected series, metric by metric, and none beyond the most."""
    sure, most, parts = told(reference)
    has = exported["calm"]
    del sure["target_info"]  # Prometheus makes it of the resource
    assert {name: has[name] for name in sure if parts[name] != "machine"} == {
        name: count for name, count in sure.items() if parts[name] != "machine"
    }
    assert {name: count for name, count in has.items() if count > most[name]} == {}
    machine = sum(count for name, count in has.items() if parts[name] == "machine")
    assert machine <= sum(count for name, count in most.items() if parts[name] == "machine")


def test_the_most_is_what_comes_when_everything_is_wrong(reference: Path, exported: dict[str, Counter[str]]) -> None:
    """With every violation, a kind of error, costs and truths, what a process tells of its model is the most, exactly."""
    _, most, parts = told(reference)
    has = exported["truths"]
    of_the_model = {name for name, part in parts.items() if part not in ("machine", "mlobs itself")}
    loose = {
        "mlobs_outcome_unjoined_total",
        "mlobs_prediction_cpu_pool_time_seconds_total",
    }  # nothing went wrong; by chance
    assert {name: has[name] for name in of_the_model - loose} == {name: most[name] for name in of_the_model - loose}
    assert {name: count for name, count in has.items() if count > most[name]} == {}


def test_versions_and_variants_multiply(reference: Path) -> None:
    """Two versions of two variants each tell four times what one does."""
    profile = mlobs.Profile.load(reference)
    with capture() as telemetry:
        for version in ("1", "2"):
            predict = mlobs.observe(model="m", version=version, reference=profile)(
                lambda rows: [0.5] * len(rows["age"])
            )
            for variant in ("champion", "shadow"):
                with mlobs.variant(variant):
                    predict(observed.table())
        counted = Counter(points.instrument.name for points in telemetry.collect().points for _ in range(points.series))
    _, most, _ = told(reference, Fleet(versions=2, variants=2))
    for name in ("mlobs.feature.observations", "mlobs.feature.bin.info", "mlobs.drift.ks", "mlobs.prediction.rows"):
        total = "_total" if name in ("mlobs.feature.observations", "mlobs.prediction.rows") else ""
        assert counted[name] == most[name.replace(".", "_") + total]


def test_stages_are_as_many_as_are_told(reference: Path) -> None:
    """Two stages of a model tell what two stages were said to."""
    profile = mlobs.Profile.load(reference)
    with capture() as telemetry:

        @mlobs.observe(model="m", version="1", reference=profile)
        def predict(rows: Any) -> Any:
            for name in ("preprocess", "inference"):
                with mlobs.stage(name):
                    pass
            return [0.5] * len(rows["age"])

        predict(observed.table())
        assert len(telemetry.histograms("mlobs.stage.duration")) == 2
    _, with_stages, _ = told(reference, Fleet(stages=2))
    _, without, _ = told(reference, Fleet())
    bounds = len(DURATION_BOUNDS) + 3  # +Inf, the count and the sum
    assert sum(with_stages.values()) - sum(without.values()) == 2 * bounds


def test_all_reasons_have_room() -> None:
    """The bounds of what may be counted by reason, place and delay are those of the code; the page tells the sum."""
    sources = "\n".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    places = set(re.findall(r'guard\.error\(\s*f?"(\w+)', sources)) | set(re.findall(r'_report\("(\w+)', sources))
    assert len(guard._MEANINGS) + len(guard._QUIET) <= series.REASONS
    assert len(places) <= series.PLACES
    assert f" {series.REASONS + series.PLACES} reasons\n" in (ROOT / "docs" / "doctor.md").read_text("utf-8")
    assert len(tally._DELAYS) == series.DELAYS
    assert len(gpu._BY_REASON) == len(series._VALUES["reason"])


# ── the rules ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_shipped_rule_is_understood(reference: Path) -> None:
    """All expressions of the shipped rules and alerts are read, and every feature's rules record something."""
    found = groups()
    for group in found:
        assert group.interval > 0
        for rule in group.rules:
            assert parse(rule.expr) == parse(" ".join(f"({rule.expr})".split()))
    recorded = record(process(shapes(mlobs.Profile.load(reference)), FLEET), found)
    assert [one.name for one in recorded if one.group == "mlobs-drift" and not one.series] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sum by (a) (x)", "sum(x) by (a)"),
        ('x{b="1", a="2"} > 1e-6', 'x{a="2",b="1"}   > 0.000001'),
        ("(a + b) * c ^ -2", "((a + b)) * (c ^ -2)"),
        ("rate(x[5m] offset 1m)", "rate((x[5m] offset 1m))"),
        ("a and on (b) c or d", "(a and on(b) c) or d"),
    ],
)
def test_spelling_does_not_matter(one: str, other: str) -> None:
    """Two spellings of one expression are the same."""
    assert parse(one) == parse(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a > 1", "a > bool 1"),
        ("a - b - c", "a - (b - c)"),
        ("rate(x[5m])", "rate(x[6m])"),
        ('x{a="1"}', 'x{a=~"1"}'),
        ("sum by (a) (x)", "sum without (a) (x)"),
    ],
)
def test_meaning_does(one: str, other: str) -> None:
    """Two expressions that differ are told apart."""
    assert parse(one) != parse(other)


@pytest.mark.parametrize("text", ["sum by (a", "x[5m", "a +", "x{a}", ")", "a b", "'open"])
def test_what_is_no_promql_is_refused(text: str) -> None:
    """An expression that ends too early or says nothing names itself in the error."""
    with pytest.raises(ConfigurationError, match="does not understand"):
        parse(text)


SERIES = {
    "x": {frozenset({("a", a), ("b", b)}) for a in "12" for b in "123"},
    "y": {frozenset({("a", "1")})},
    "h": {frozenset({("a", a), ("le", le)}) for a in "12" for le in ("1.0", "+Inf")},
}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x", 6),
        ('x{a="1"}', 3),
        ('x{b=~"1|2", a!="1"}', 2),
        ('x{c=""}', 6),
        ("{__name__=~'x|y'}", 7),
        ("sum by (a) (x)", 2),
        ("sum without (a) (x)", 3),
        ("sum(x)", 1),
        ("topk(2, x)", 6),
        ("rate(x[5m]) * 2 + 1", 6),
        ("x * on (a) group_left () y", 3),
        ("y * on (a) group_right () x", 3),
        ("sum by (a) (x) / y", 1),
        ("x and on (a) y", 3),
        ("x unless on (a) y", 3),
        ("x unless on (a) (y > 0)", 6),
        ("x or y", 7),
        ("x > 3", 6),
        ("histogram_quantile(0.9, rate(h[5m]))", 2),
        ('label_replace(vector(1), "a", "7", "", "")', 1),
        ('label_replace(x, "b", "$1", "a", "(.*)")', 2),
        ("vector(1) or absent(x)", 1),
        ("-sum by (b) (x)", 3),
        ("max_over_time(sum by (a) (x)[1h:5m])", 2),
        ("nothing", 0),
    ],
)
def test_series_of_an_expression(text: str, count: int) -> None:
    """Selecting, grouping, matching and set operators leave the label sets that Prometheus would."""
    found = shape(parse(text), SERIES)
    assert found is not None
    assert len(found) == count


def test_rules_of_your_own_are_read(tmp_path: Path) -> None:
    """An exported file that was changed is counted as it is, and one written otherwise is refused with its line."""
    file = tmp_path / "mine.yml"
    file.write_text(
        "groups:\n  - name: mine\n    interval: 1m30s\n    rules:\n      - record: rows\n"
        '        expr: sum by (model_name, instance) (mlobs_prediction_rows_total)\n        labels:\n          a: "b"\n',
        encoding="utf-8",
    )
    [group] = read(file)
    assert (group.name, group.interval, group.rules[0].labels) == ("mine", 90.0, (("a", "b"),))
    found = estimate(observed.reference(), Fleet(replicas=7), [group])
    assert found.recorded == {"mine": 7}
    (tmp_path / "alertmanager.yml").write_text("route:\n  receiver: team\n", encoding="utf-8")
    assert files([tmp_path]) == [file]
    file.write_text("groups: [{name: mine}]\n!\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"mine.yml:2 .*mlobs assets export"):
        read(file)
    assert len(files()) >= 4
    assert seconds("500ms") == 0.5


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "groups:\n  - name: mine\n    rules:\n"])
def test_no_rules_are_an_error(
    text: str | None, reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder or file without a rule is no estimate of none: status 2, and one line that names it."""
    given = tmp_path
    if text is not None:
        given = tmp_path / "mine.yml"
        given.write_text(text, encoding="utf-8")
    shipped = files()[0]
    assert main(["cardinality", str(reference), "--rules", str(shipped), str(given)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert f"{given} holds no rules" in said.err


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["cardinality", *arguments])
    return status, capsys.readouterr().out


def test_classes_beyond_the_first_have_no_series_of_their_own() -> None:
    """However many classes there are, the confusion has as many series as a tally tells of them."""
    counted = tally.Tally(NO_ATTRIBUTES)
    for one, other in itertools.product(range(30), repeat=2):
        counted.add(Prediction(b"0" * 12, "m", "1", "champion", 0.0, None, "multiclass", one, None), other, 0.0, None)
    [told] = [
        len(one.each)
        for one in counted.collect()
        if isinstance(one, Numbers) and one.instrument is names.OUTCOME_CONFUSION
    ]
    for classes in (30, 3000):
        of = process(Counter(), Fleet(task="multiclass", classes=classes))
        assert sum(one.total for one in of if one.name == "mlobs_outcome_confusion_total") == told


def test_the_command_says_what_there_will_be(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parts, process, fleet, rules and the dearest features are told, and within the limit the status is 0."""
    status, out = run(capsys, str(reference), "--replicas", "10", "--versions", "2", "--task", "binary")
    assert status == 0
    for word in ("features", "drift", "serving", "outcomes", "10 processes", "mlobs-drift", "Within the limit", "age"):
        assert word in out


def test_above_the_limit(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Above the limit the status is 1, and the cure is told."""
    status, out = run(capsys, str(reference), "--replicas", "100", "--limit", "1000")
    assert status == 1
    assert "above the limit of 1,000" in out
    assert "--bins 5" in out or "service.instance.id" in out


def test_json_adds_up(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For machines the sums are those of the parts, and a fleet is as many processes."""
    arguments = (
        "--replicas",
        "3",
        "--variants",
        "2",
        "--operations",
        "2",
        "--errors",
        "4",
        "--kpis",
        "2",
        "--gpus",
        "1",
        "--stages",
        "2",
    )
    _, out = run(capsys, str(reference), "--json", *arguments)
    found: dict[str, Any] = json.loads(out)
    assert found["per_process"]["most"] == sum(part["most"] for part in found["process"].values())
    assert found["raw"]["most"] == 3 * found["per_process"]["most"]
    together = found["recorded"].pop("together")
    assert together == sum(found["recorded"].values())
    assert found["total"]["most"] == found["raw"]["most"] + together
    assert found["memory_bytes"] > 1000 * found["total"]["most"]
    assert {cost["name"] for cost in found["features"]} == {*observed.NAMES, "prediction"}


@pytest.mark.parametrize("arguments", [["--replicas", "0"], ["--limit", "x"], ["--classes", "1"], ["--task", "guess"]])
def test_wrong_arguments(arguments: list[str], reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong number ends with status 2 and its name."""
    with pytest.raises(SystemExit) as exit_:
        main(["cardinality", str(reference), *arguments])
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_missing_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile that is not there ends with status 2 and one line."""
    assert main(["cardinality", str(tmp_path / "ref.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
