"""No raw value leaves the process unless its feature is named in `capture`: markers are planted, and every byte is searched."""

from __future__ import annotations

import json
import logging
import struct
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest

import mlobs
from mlobs.api import runtime
from mlobs.otel import wire
from mlobs.otel.deltas import Deltas
from mlobs.otel.metricsdata import metrics_data
from mlobs.otel.scrape import Collector
from mlobs.testing import Telemetry, capture

TEXT: Final = "ZqMARKERqZ"
NUMBERS: Final = (84321.6789, -97531.2468, 0.7319264851, 123456789, 31415926535)
RESOURCE: Final = Resource({"service.name": "s"})

_RNG: Final = np.random.default_rng(5)
ROWS: Final = 1000
TRAINING: Final = pd.DataFrame(
    {
        "age": _RNG.normal(40, 10, ROWS),
        "income": _RNG.lognormal(10, 1, ROWS),
        "plan": _RNG.choice(["free", "pro"], ROWS),
        "note": [f"{TEXT} note {i}" for i in range(ROWS)],
    }
)
PROFILE: Final = mlobs.Profile.build(TRAINING, outputs=_RNG.random(ROWS))


def outgoing(telemetry: Telemetry) -> dict[str, bytes]:
    """Every byte that would leave, by the way it leaves."""
    spans = telemetry.spans
    collected = telemetry.collect()
    registry = CollectorRegistry()
    registry.register(Collector(lambda: collected, {}))
    data: MetricsData = metrics_data(collected, RESOURCE)
    return {
        "metrics": wire.encode(collected, {"service.name": "s"}),
        "deltas": wire.encode(Deltas().since(collected), {"service.name": "s"}, delta=True),
        "gRPC": encode_metrics(data).SerializeToString(),
        "console": data.to_json().encode(),
        "scrape": generate_latest(registry),
        "traces": encode_spans(spans).SerializeToString(),
        "traces on the console": "".join(span.to_json() for span in spans).encode(),
    }


def shapes(number: float) -> list[bytes]:
    """The ways in which a number could stand in bytes: as text, to six digits or more, and as it lies in memory."""
    texts = {repr(number), f"{number:.6g}", f"{number:g}", str(np.float32(number)), f"{number:.10g}"}
    memory = [struct.pack("<d", number), struct.pack("<f", number)]
    if isinstance(number, int):
        memory.append(struct.pack("<q", number))
    return [text.encode() for text in texts if len(text.strip("-0.")) > 4] + memory


def leaks(telemetry: Telemetry, logged: str) -> list[tuple[str, object]]:
    """Which markers are where."""
    ways = {**outgoing(telemetry), "log": logged.encode("utf-8", "replace")}
    found: list[tuple[str, object]] = [(way, TEXT) for way, body in ways.items() if TEXT.encode() in body]
    found += [
        (way, number)
        for way, body in ways.items()
        for number in NUMBERS
        if any(shape in body for shape in shapes(number))
    ]
    return found


@dataclass
class Applicant:
    age: float
    income: float
    plan: str
    note: str

    def __repr__(self) -> str:
        return TEXT


class Named(NamedTuple):
    age: float
    income: float
    plan: str
    note: str


VALUES: Final[dict[str, Any]] = {"age": NUMBERS[0], "income": NUMBERS[1], "plan": TEXT, "note": f"a {TEXT}"}
STRANGE: Final = {**VALUES, TEXT: NUMBERS[2], "more": TEXT}


def inputs() -> dict[str, Any]:
    """Markers as values, as labels that the reference does not know, and as what only a repr would show."""
    matrix = np.array([list(NUMBERS[:4])] * 2)
    return {
        "dict": VALUES,
        "dict with strange keys": STRANGE,
        "dicts": [VALUES, STRANGE],
        # of one row: a name that five rows share is the name of a column, and those leave where there is no reference
        "columns": {name: [value] for name, value in STRANGE.items()},
        "frame": pd.DataFrame([VALUES] * 2),
        "frame with strange columns": pd.DataFrame([STRANGE] * 2, index=[TEXT, TEXT + "2"]),
        "series": pd.Series(VALUES, name=TEXT),
        "named column": pd.Series([NUMBERS[0]], name=TEXT),
        "labelled column": pd.Series([0.5, 0.25], index=[TEXT, TEXT + "2"]),
        "matrix": matrix,
        "objects": np.array([list(VALUES.values())], dtype=object),
        "texts": np.array([TEXT, TEXT]),
        "list": list(VALUES.values()),
        "rows": [list(VALUES.values())] * 2,
        "tuple": tuple(VALUES.values()),
        "named tuple": Named(**VALUES),
        "dataclass": Applicant(**VALUES),
        "text": TEXT,
        "bytes": TEXT.encode(),
        "number": NUMBERS[3],
        "huge": NUMBERS[4],
        "cube": np.full((2, 2, 2), NUMBERS[0]),
        "structured": np.array([(NUMBERS[0], TEXT)], dtype=[(TEXT, "f8"), ("plan", "U20")]),
        "unreadable": (item for item in [TEXT]),
        "ragged": {"age": [NUMBERS[0]], "income": [1.0, NUMBERS[1]], TEXT: [TEXT]},
        "user ids as keys": {f"{TEXT}{i}": NUMBERS[i % 3] for i in range(9)},
    }


@pytest.mark.parametrize("reference", [None, PROFILE], ids=["no reference", "reference"])
@pytest.mark.parametrize("name", list(inputs()))
def test_values_never_leave(reference: mlobs.Profile | None, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """As an input or an output, in a call that ends well and in one that fails, with a span: no byte has a marker."""
    caplog.set_level(logging.DEBUG)
    with capture(spans="always") as telemetry:
        value = inputs()[name]

        @mlobs.observe(model="m", reference=reference, operation="echo")
        def echo(rows: Any, secret: str = TEXT) -> Any:
            return rows

        @mlobs.observe(model="m", reference=reference, operation="fail")
        def fail(rows: Any, secret: str = TEXT) -> Any:
            local = f"{TEXT} local"
            error = ValueError(f"cannot use {rows!r}", TEXT, local, NUMBERS[0])
            error.row = value  # type: ignore[attr-defined]
            raise error from KeyError(TEXT)

        echo(value)
        echo(1.0, secret=TEXT)
        mlobs.observe(model="m", reference=reference, operation="answer")(lambda rows: value)([1.0])
        with pytest.raises(ValueError):
            fail(value)
        assert leaks(telemetry, caplog.text) == []
        assert telemetry.total("mlobs.prediction.duration") == 4
        assert len(telemetry.spans) == 4


def test_only_what_capture_names_leaves(caplog: pytest.LogCaptureFixture) -> None:
    """`capture` puts on spans what it names, and nothing beside; metrics never have it."""
    with capture(spans="always") as telemetry:

        @mlobs.observe(model="m", reference=PROFILE, capture=["plan", "exception.message"])
        def predict(rows: Any) -> float:
            if rows["age"] < 0:
                raise ValueError(f"{TEXT} message")
            return 0.5

        predict({**VALUES, "note": f"{TEXT}note"})
        with pytest.raises(ValueError):
            predict({**VALUES, "age": -1})
        first, second = telemetry.spans
        assert first.attributes is not None
        assert first.attributes["mlobs.captured.plan"] == TEXT
        assert not any("note" in str(value) for value in first.attributes.values())
        [event] = second.events
        assert event.attributes is not None
        assert event.attributes["exception.message"] == f"{TEXT} message"
        found = leaks(telemetry, caplog.text)
        assert {way for way, _ in found} == {"traces", "traces on the console"}
        assert {marker for _, marker in found} == {TEXT}


@pytest.mark.parametrize("slow", [None, 1e-9], ids=["live", "after the fact"])
def test_capture_is_of_the_function_that_asks_for_it(slow: float | None) -> None:
    """Of two that count as one operation, as where a cell runs again without `capture`, the other's values are told nowhere."""

    def predict(row: dict[str, Any]) -> float:
        if row["plan"] == "none":
            raise ValueError(row["note"])
        return 0.5

    def calls(capture: list[str], note: str, number: float) -> None:
        observed = mlobs.observe(model="m", version="1", capture=capture)(predict)
        observed({"plan": "free", "age": number, "note": note})
        with pytest.raises(ValueError):
            observed({"plan": "none", "age": number, "note": note})
        with mlobs.variant("challenger"):
            observed({"plan": "free", "age": number, "note": note})

    with capture(**({"spans": "always"} if slow is None else {"slow": slow, "span_ratio": 0.0})) as telemetry:
        calls(["age", "exception.message"], "told", 7.0)
        calls([], TEXT, NUMBERS[0])
        told = telemetry.spans
        assert len(told) == 6
        assert not leaks(telemetry, "")
        ages = [dict(span.attributes or {}).get("mlobs.captured.age") for span in told]
        assert (ages.count(7.0), ages.count(None)) == (3, 3)


def test_our_own_errors_are_logged_without_their_messages(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error inside mlobs may quote a value: the log has its stack and its class."""

    def broken(*_: Any) -> None:
        raise ValueError(f"could not convert string to float: {TEXT!r}") from KeyError(TEXT)

    monkeypatch.setattr(runtime.guard, "strict", False)
    monkeypatch.setattr("mlobs.core.observations.Observations._summarise", broken)
    mlobs.observe(model="m")(lambda rows: 0.5)(VALUES)
    runtime.fold()
    assert telemetry.total("mlobs.sdk.errors") == 2
    assert "ValueError" in caplog.text
    assert "in broken" in caplog.text
    assert TEXT not in caplog.text


def test_a_feature_without_a_reference_is_told_from_five_rows_on(telemetry: Telemetry) -> None:
    """Neither the name nor the values of fewer than five rows leave, and never a sum or an extreme."""
    predict = mlobs.observe(model="m")(lambda rows: None)

    def names() -> set[str]:
        found = telemetry.histograms("mlobs.feature.value")
        told = {dict(one.attributes.items())["feature"] for one in found}
        told |= {dict(pairs)["feature"] for pairs in telemetry.numbers("mlobs.feature.violations")}
        return told

    for _ in range(4):
        predict({"age": NUMBERS[0], "gap": None})
        assert names() == set()
    predict({"age": NUMBERS[0], "gap": None})
    assert names() == {"age", "gap"}
    request = ExportMetricsServiceRequest.FromString(outgoing(telemetry)["metrics"])
    [point] = [
        point
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.exponential_histogram.data_points
    ]
    assert (point.count, point.scale) == (5, 10)
    assert not any(point.HasField(field) for field in ("sum", "min", "max"))
    assert leaks(telemetry, "") == []


def test_keys_that_are_data_are_no_features(telemetry: Telemetry) -> None:
    """A dict keyed by user, as input or answer: the keys that come and go stay here, the columns that stay are told."""

    @mlobs.observe(model="ranker")
    def rank(row: dict[str, float]) -> dict[str, float]:
        return {f"{TEXT}{int(row['n']) % 60}": 0.5, "total": 1.0}

    for i in range(1200):  # every user twenty times
        rank({"n": float(i), f"user {TEXT} {i % 60}": 1.0})
    told = {dict(one.attributes.items())["feature"] for one in telemetry.histograms("mlobs.feature.value")}
    assert told == {"n", "total"}
    assert leaks(telemetry, "") == []


def test_rare_categories_are_written_nowhere() -> None:
    """A category that fewer than five rows of the reference have is in no bin, in no label and not in the file."""
    often, rare = ["Rome"] * 60 + ["Oslo"] * 5, [TEXT] * 4
    profile = mlobs.Profile.build({"city": often + rare}, outputs=[TEXT] * 4 + ["yes"] * 65)
    assert TEXT not in profile.to_json()
    [feature] = profile.inputs
    assert feature.partition.labels == ("Rome", "Oslo", "other", "missing")
    assert feature.counts.tolist() == [60, 5, 4, 0]
    with capture() as telemetry:
        predict = mlobs.observe(model="m", reference=profile)(lambda rows: TEXT)
        for _ in range(100):  # however often it comes afterwards
            predict({"city": TEXT})
        assert telemetry.total("mlobs.feature.violations", kind="unseen") == 100
        assert leaks(telemetry, "") == []
    assert mlobs.Profile.from_json(profile.to_json()) == profile


def test_a_label_is_no_value_of_the_reference() -> None:
    """Edges lie between values: of a column of many values, neither the file's edges nor a label is one of them."""
    values = TRAINING["income"].to_numpy()
    profile = mlobs.Profile.build({"income": values})
    [feature] = profile.inputs
    partition: Any = feature.partition
    assert not set(partition.edges.tolist()) & set(values.tolist())
    written = {f"{value:.6g}" for value in values}
    assert not {label.split()[-1] for label in partition.labels} & written
    assert feature.counts.min() == 0  # `missing`
    assert sorted(feature.counts)[1] >= 5  # no bin speaks of fewer than five


def test_what_the_file_of_a_profile_holds() -> None:
    """Beside bins and counts: the least and the greatest number of each column, and categories that five rows have."""
    document = json.loads(PROFILE.to_json())
    by_name = {entry["name"]: entry for entry in document["inputs"]}
    assert by_name["age"]["low"] == TRAINING["age"].min()
    assert by_name["age"]["high"] == TRAINING["age"].max()
    assert by_name["note"]["kind"] == "text"  # by its length
    assert sorted(by_name["plan"]["names"]) == ["free", "pro"]
    assert TEXT not in PROFILE.to_json()


def test_least_and_greatest_of_the_reference_stay_in_its_file(telemetry: Telemetry) -> None:
    """The range of the reference decides what is out of range, and is not exported."""
    profile = mlobs.Profile.build({"age": [*np.linspace(0, 100, 500), *NUMBERS[:2]]})
    mlobs.observe(model="m", reference=profile)(lambda rows: None)({"age": 50.0})
    assert leaks(telemetry, "") == []


def test_the_confidence_of_a_span_is_in_hundredths() -> None:
    """The one number of an answer that a span has is rounded."""
    with capture(spans="always") as telemetry:
        mlobs.observe(model="m")(lambda rows: np.array([[1 - NUMBERS[2], NUMBERS[2]]]))([1.0])
        [span] = telemetry.spans
        assert span.attributes is not None
        assert span.attributes["mlobs.prediction.confidence"] == 0.73
        assert leaks(telemetry, "") == []
