"""What arrived is kept as it came, bounded, and told as OpenMetrics."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from mlobs.demo import openmetrics
from mlobs.demo.keeping import Keeping
from mlobs.demo.recording import Recording
from mlobs.errors import MlobsError

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND


def export(*metrics: otlp.Metric) -> ExportMetricsServiceRequest:
    """One export of one process."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, text in {"service.name": "churn", "service.instance.id": "a", "host.name": "h"}.items():
        resource.resource.attributes.append(KeyValue(key=key, value=AnyValue(string_value=text)))
    resource.scope_metrics.add().metrics.extend(metrics)
    return request


def counter(value: float, after: float, *, temporality: int = 2, began: int = BEGAN) -> otlp.Metric:
    """A cumulative sum, seconds after it began."""
    metric = otlp.Metric(name="mlobs.work.time", unit="s", description='Time "worked"\nso far.')
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]  # an enumeration is an int
    point = metric.sum.data_points.add(
        start_time_unix_nano=began, time_unix_nano=began + int(after * SECOND), as_double=value
    )
    point.attributes.append(KeyValue(key="model.name", value=AnyValue(string_value='a"b\\c\nd')))
    point.attributes.append(KeyValue(key="first", value=AnyValue(bool_value=True)))
    return metric


def written(recording: Recording, folder: Path) -> list[str]:
    file = folder / "kept"
    recording.write(file)
    assert list(folder.iterdir()) == [file]
    return file.read_text("utf-8").splitlines()


def test_a_counter_begins_at_its_zero(tmp_path: Path) -> None:
    """A sum has a sample where it began, one for each export, job and instance, and every character of its labels."""
    recording = Recording()
    recording.metrics(export(counter(1.5, 1)))
    recording.metrics(export(counter(4.25, 2.5)))
    labels = '{first="true",instance="a",job="churn",model_name="a\\"b\\\\c\\nd"}'
    assert written(recording, tmp_path) == [
        "# TYPE mlobs_work_time_seconds counter",
        "# UNIT mlobs_work_time_seconds seconds",
        '# HELP mlobs_work_time_seconds Time \\"worked\\"\\nso far.',
        f"mlobs_work_time_seconds_total{labels} 0 1700000000.000",
        f"mlobs_work_time_seconds_total{labels} 1.5 1700000001.000",
        f"mlobs_work_time_seconds_total{labels} 4.25 1700000002.500",
        "# TYPE target info",
        "# HELP target The attributes of a process.",
        'target_info{host_name="h",instance="a",job="churn"} 1 1700000001.000',
        'target_info{host_name="h",instance="a",job="churn"} 1 1700000002.500',
        "# EOF",
    ]


def test_a_histogram_is_cumulative(tmp_path: Path) -> None:
    """Buckets count all below their bound, the last is +Inf and the count; all of one moment stand together."""
    metric = otlp.Metric(name="mlobs.rows", unit="{row}")
    metric.histogram.aggregation_temporality = otlp.AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.histogram.data_points.add(
        time_unix_nano=BEGAN, explicit_bounds=[1, 2.5], bucket_counts=[3, 0, 4], sum=float("nan")
    )
    recording = Recording()
    recording.metrics(export(metric))
    whose = 'instance="a",job="churn"'
    assert written(recording, tmp_path)[:6] == [
        "# TYPE mlobs_rows histogram",
        f'mlobs_rows_bucket{{{whose},le="1.0"}} 3 1700000000.000',
        f'mlobs_rows_bucket{{{whose},le="2.5"}} 3 1700000000.000',
        f'mlobs_rows_bucket{{{whose},le="+Inf"}} 7 1700000000.000',
        f"mlobs_rows_sum{{{whose}}} NaN 1700000000.000",
        f"mlobs_rows_count{{{whose}}} 7 1700000000.000",
    ]


def test_what_comes_twice_or_late_changes_nothing(tmp_path: Path) -> None:
    """A retried export and one that was overtaken are no points; deltas are not either."""
    recording = Recording()
    for metric in (counter(2, 2), counter(2, 2), counter(1, 1), counter(9, 3, temporality=1)):
        recording.metrics(export(metric))
    assert [line.split("} ")[1] for line in written(recording, tmp_path) if "_total" in line] == [
        "0 1700000000.000",
        "2.0 1700000002.000",
    ]


def test_a_sum_that_starts_anew_is_a_reset(tmp_path: Path) -> None:
    """After a new beginning there is a zero again, between the old sum and the new one."""
    recording = Recording()
    recording.metrics(export(counter(5, 10)))
    recording.metrics(export(counter(1, 1, began=BEGAN + 20 * SECOND)))
    values = [line.split("} ")[1].split()[0] for line in written(recording, tmp_path) if "_total" in line]
    assert values == ["0", "5.0", "0", "1.0"]


def test_memory_is_bounded(tmp_path: Path) -> None:
    """However long it runs there are no more points than allowed; the first and the newest are always there."""
    recording = Recording(most=100)
    for second in range(1, 5001):
        recording.metrics(export(counter(second, second)))
        assert recording.points <= 100
    lines = [line.split("} ")[1] for line in written(recording, tmp_path) if "_total" in line]
    assert len(lines) > 20
    assert (lines[0], lines[-1]) == ("0 1700000000.000", "5000.0 1700005000.000")
    moments = [float(line.split()[1]) for line in lines]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert max(gaps) < 5000 / 10


@pytest.mark.parametrize(
    ("metric", "kind", "unit", "name"),
    [
        ("process.memory.usage", "gauge", "By", "process_memory_usage_bytes"),
        ("process.cpu.utilization", "gauge", "1", "process_cpu_utilization_ratio"),
        ("mlobs.quality.gap.ratio", "gauge", "1", "mlobs_quality_gap_ratio"),
        ("mlobs.drift.psi", "gauge", "{psi}", "mlobs_drift_psi"),
        ("9 lives", "gauge", "", "_9_lives"),
    ],
)
def test_names_are_those_of_prometheus(metric: str, kind: str, unit: str, name: str) -> None:
    """Dots become underscores, and a unit is told once."""
    assert openmetrics.name(metric, kind, unit) == name


def test_a_file_that_cannot_be_is_told_before_the_run(tmp_path: Path) -> None:
    """No folder, or a folder in the file's place: one line, and the cure."""
    for asked in (tmp_path / "none" / "file", tmp_path):
        with pytest.raises(MlobsError, match=r"cannot be kept: .* Try another --record FILE"):
            Keeping.chosen(str(asked), quiet=False)


def test_nothing_is_kept_unasked_without_a_prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the programs are not installed, or nobody is told, no file is made; where they are, it is in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert Keeping.chosen(None, quiet=False) is None
    for name in ("prometheus", "promtool"):
        (programs / name).touch(mode=0o755)
    assert Keeping.chosen(None, quiet=True) is None
    assert not (tmp_path / "cache").exists()
    assert Keeping.chosen(None, quiet=False) == Keeping(tmp_path / "cache" / "mlobs" / "demo.openmetrics")
