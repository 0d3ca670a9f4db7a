"""Settings are checked where they are given."""

from __future__ import annotations

import datetime as dt
import logging
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider

import mlobs
from mlobs.api import runtime
from mlobs.core import window
from mlobs.core.guard import Guard
from mlobs.core.settings import LONGEST, Settings, from_environment
from mlobs.otel.points import Histogram
from mlobs.testing import Telemetry, capture


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows": ()},
        {"windows": (0.0,)},
        {"spans": "sometimes"},
        {"span_ratio": 1.5},
        {"span_ratio": math.nan},
        {"slow": -1.0},
        {"slow": math.nan},
        {"duration_bounds": (1.0,)},
        {"duration_bounds": (2.0, 1.0)},
        {"duration_bounds": (1.0, math.inf)},
        {"export_interval": 0.0},
        {"fold_interval": -1.0},
        {"ring_calls": 0},
        {"endpoint": "localhost:4318"},
        {"endpoint": 5},
        {"windows": 60},
        {"windows": ("1h",)},
        {"slow": "fast"},
        {"export_interval": "60"},
        {"read_share": "all"},
        {"duration_bounds": 1.0},
        {"gpu_price": "2 USD"},
        {"ring_calls": "many"},
        {"currency": "U5D"},
        {"currency": 5},
        {"join_store": "postgres://localhost/db"},
        {"join_store": " "},
        {"join_store": ":memory:"},
        {"enabled": "false"},
        {"flush_on_sigterm": 0},
        {"resource_attributes": ["team"]},
        {"service_name": 5},
        {"metric_exporter": object()},
        {"tracer_provider": object()},
        {"cpu_price": True},
        {"cpu_price": Decimal("nan")},
        {"cpu_price": Decimal("sNaN")},
        {"gpu_price": 1e308},
        {"span_ratio": np.array([0.1, 0.2])},
        {"export_interval": np.array([1.0, 2.0])},
        {"flush_timeout": dt.timedelta(seconds=3)},
        {"fold_interval": np.timedelta64(1, "s")},
        {"spans": np.array(["auto", "never"])},
        {"ring_calls": 10.5},
        {"max_models": math.inf},
        {"join_entries": True},
        {"windows": b"x"},
        {"windows": np.array(60.0)},
        {"windows": (Decimal("nan"),)},
        {"windows": (60, 60)},
        {"windows": (1234567.0, 1234567.5)},
        {"windows": (math.inf, 1e300)},
        {"duration_bounds": np.array(1.0)},
    ],
)
def test_a_wrong_setting_is_told_with_its_name(wrong: dict[str, Any]) -> None:
    """The error says which setting, what it was, and what is expected."""
    [(name, value)] = wrong.items()
    with pytest.raises(mlobs.ConfigurationError, match=name) as error:
        mlobs.configure(**wrong)
    assert repr(value) in str(error.value)
    assert "expected" in str(error.value)


@pytest.mark.parametrize("kind", [Decimal, Fraction, np.float32, np.float64, np.longdouble])
def test_numbers_of_any_kind_are_made_plain(kind: Any) -> None:
    """A price or a time that adds up with no float would end the thread that adds."""
    times = {"export_interval": kind(1.5), "windows": [kind(0.5), kind(60)], "join_ttl": kind(2)}
    settings = Settings(cpu_price=kind(0.25), max_features=kind(7), **times)
    assert (settings.cpu_price, settings.export_interval, settings.windows) == (0.25, 1.5, (0.5, 60.0))
    assert {type(settings.cpu_price), type(settings.join_ttl), *map(type, settings.windows)} == {float}
    assert (settings.max_features, type(settings.max_features)) == (7, int)


def test_no_number_is_too_large_for_those_who_wait() -> None:
    """Times are no longer than a thread can wait, counts no more than floats count."""
    settings = Settings(export_interval=10**400, ticket_ttl=math.inf, join_entries=10**400)
    assert settings.export_interval == settings.ticket_ttl == LONGEST
    assert settings.join_entries == 2**53


def test_a_value_without_words_is_told_by_its_class() -> None:
    """An error is told, whatever the value raises when it is compared or written."""

    class Mute:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        def __hash__(self) -> int:
            raise RuntimeError

        def __repr__(self) -> str:
            raise RuntimeError

    for name in ("spans", "slow", "windows", "endpoint", "join_store"):
        with pytest.raises(mlobs.ConfigurationError, match="Mute"):
            mlobs.configure(**{name: Mute()})  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", [mlobs.flush, mlobs.shutdown])
@pytest.mark.parametrize("timeout", ["2", math.nan, [1]])
def test_a_wrong_time_is_told(verb: Any, timeout: Any) -> None:
    """What is no number of seconds is an error of whoever flushes or shuts down."""
    with pytest.raises(mlobs.ConfigurationError, match=f"mlobs.{verb.__name__}.timeout=.*expected a number") as error:
        verb(timeout=timeout)
    assert repr(timeout) in str(error.value)


def test_a_time_without_end() -> None:
    """A number that no float can hold is as long as it takes."""
    with capture():
        assert mlobs.flush(timeout=10**400)


def test_a_wrong_place_is_told_without_its_password() -> None:
    """Of an endpoint and of a join store."""
    for wrong in (
        {"endpoint": "ftp://me:TOPSECRET@h"},
        {"endpoint": "http:/me:TOPSECRET@h"},
        {"join_store": "redis:/:TOPSECRET@h"},
    ):
        with pytest.raises(mlobs.ConfigurationError, match=r"\*\*\*@h") as error:
            mlobs.configure(**wrong)  # type: ignore[arg-type]
        assert "TOPSECRET" not in str(error.value)


@pytest.mark.parametrize(("keys", "kind"), [(12345, "int"), (np.array(12345), "ndarray")])
def test_a_wrong_key_is_not_told(keys: Any, kind: str) -> None:
    """Of what stands where keys belong only the type is said."""
    with pytest.raises(mlobs.ConfigurationError, match="ticket_keys") as error:
        mlobs.configure(ticket_keys=keys)
    assert kind in str(error.value)
    assert "12345" not in str(error.value)


def test_the_environment_is_read_in_one_place() -> None:
    """Interval in milliseconds, disabled by the specification's word, anything wrong by its default."""
    settings = from_environment(
        {
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
            "OTEL_METRIC_EXPORT_TIMEOUT": "2500",
            "OTEL_SDK_DISABLED": "True",
        }
    )
    assert settings.export_timeout == 2.5
    assert (settings.export_interval, settings.enabled) == (5.0, False)
    assert from_environment({"OTEL_SDK_DISABLED": "yes"}).enabled


@pytest.mark.parametrize("value", ["soon", "0", "-3"])
def test_a_wrong_interval_is_told_and_the_default_holds(value: str, caplog: pytest.LogCaptureFixture) -> None:
    """A variable that cannot hold does not stop a program."""
    with caplog.at_level(logging.WARNING, "mlobs"):
        assert from_environment({"OTEL_METRIC_EXPORT_INTERVAL": value}).export_interval == 60
        assert from_environment({"OTEL_METRIC_EXPORT_TIMEOUT": value}).export_timeout == 10
    for name, used in (("INTERVAL", 60000), ("TIMEOUT", 10000)):
        assert f"OTEL_METRIC_EXPORT_{name}={value!r} is not a number of milliseconds: using {used}" in caplog.text


def test_times_of_the_environment_are_milliseconds() -> None:
    """Those of the export of metrics, as the specification has them."""
    environ = {"OTEL_METRIC_EXPORT_INTERVAL": "1500", "OTEL_METRIC_EXPORT_TIMEOUT": " 250 "}
    settings = from_environment(environ)
    assert (settings.export_interval, settings.export_timeout) == (1.5, 0.25)
    assert settings.changed(export_timeout=3).export_timeout == 3


def test_secrets_in_the_environment_are_in_no_repr() -> None:
    """Settings can be printed."""
    assert "s3cret" not in repr(from_environment({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret"}))


def test_exemplars_can_be_turned_off(caplog: pytest.LogCaptureFixture) -> None:
    """By the variable that OpenTelemetry has for it; what is no word of its is told."""
    for word, told in (("", 1), ("trace_based", 1), ("always_on", 1), (" Always_Off", 0)):
        environ = from_environment({"OTEL_METRICS_EXEMPLAR_FILTER": word}).environ
        with capture(spans="always", ticket_keys=["ab" * 32], environ=environ) as telemetry:
            with TracerProvider(shutdown_on_exit=False).get_tracer("request").start_as_current_span("request"):
                mlobs.observe(model="m")(lambda x: 0.5)([1.0])
                assert mlobs.outcome(mlobs.ticket(), actual=1.0)
            found = [one for one in telemetry.collect().points if isinstance(one, Histogram) and any(one.exemplars)]
            names = {one.instrument.name for one in found}
            assert names == ({"mlobs.prediction.duration", "mlobs.outcome.delay"} if told else set())
            assert len(telemetry.spans) == 1
    assert "EXEMPLAR" not in caplog.text
    from_environment({"OTEL_METRICS_EXEMPLAR_FILTER": "never"})
    assert "OTEL_METRICS_EXEMPLAR_FILTER='never' is none of trace_based, always_on, always_off" in caplog.text


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_SAMPLER=always_off"])
def test_the_environment_is_not_that_of_a_capture(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What turns telemetry off where tests run turns nothing off that they ask for."""
    monkeypatch.setenv(*variable.split("="))
    with capture(spans="always") as telemetry:
        mlobs.observe(model="m")(lambda x: 0.5)([1.0])
        assert telemetry.total("mlobs.prediction.duration") == 1
        assert len(telemetry.spans) == 1


def test_configure_changes_what_runs(caplog: pytest.LogCaptureFixture) -> None:
    """New settings reach functions decorated earlier; counts go on."""
    from mlobs.api import runtime

    with capture() as telemetry:
        predict = mlobs.observe(model="m")(lambda x: x)
        predict(1.0)
        runtime.configure(runtime.settings.changed(spans="never", enabled=False))
        predict(1.0)
        assert telemetry.total("mlobs.prediction.duration") == 1
        runtime.configure(runtime.settings.changed(enabled=True))
        predict(1.0)
        assert telemetry.total("mlobs.prediction.duration") == 2


def test_one_line_a_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """The first drop of a reason and the first error of a place are logged, all are counted."""
    guard = Guard()
    with caplog.at_level(logging.WARNING, "mlobs"):
        for _ in range(5):
            guard.drop("unreadable", 2, "a socket")
            guard.error("fold", ValueError("x"))
    assert guard.dropped["unreadable"] == 10
    assert guard.errors["fold"] == 5
    assert len(caplog.records) == 2
    assert "a socket" in caplog.text
    guard.strict = True
    with pytest.raises(ValueError, match="x"):
        guard.error("fold", ValueError("x"))


@pytest.mark.parametrize(
    ("seconds", "name"), [(90, "90s"), (300, "5m"), (3600, "1h"), (86400, "1d"), (0.5, "0.5s"), (math.inf, "all")]
)
def test_windows_have_the_names_people_use(seconds: float, name: str) -> None:
    """An hour is 1h."""
    assert window.name(seconds) == name


def test_no_name_makes_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Nor commands a terminal: what cannot be printed in the name of a model or a feature is written out."""
    evil = "m\nERROR:root:payment failed\x1b[31m\x00\ud800é"
    with capture(max_models=1) as telemetry, caplog.at_level(logging.WARNING, "mlobs"):
        reference = mlobs.Profile.build({evil: [1.0, 2.0], "b": [1.0, 2.0]})
        mlobs.observe(model=evil, reference=reference)(lambda x: x)({"b": 1.0})
        mlobs.observe(model=evil, reference=mlobs.Profile.build({"b": [1.0, 3.0]}))(lambda x: x)
        mlobs.observe(model=evil, version=evil)(lambda x: x)
        telemetry.collect()
    said = [record.getMessage() for record in caplog.records if "payment" in record.getMessage()]
    assert len(said) == 3
    assert all(line.isprintable() and r"m\nERROR:root:payment failed\x1b[31m\x00\ud800é" in line for line in said)


def test_a_second_reference_for_the_same_version_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Counts are bound to one partition: a retrained model wants a version of its own."""
    with capture(), caplog.at_level(logging.WARNING, "mlobs"):
        mlobs.observe(model="m", reference=mlobs.Profile.build([[1.0], [2.0]]))(lambda x: x)
        mlobs.observe(model="m", reference=mlobs.Profile.build([[1.0], [3.0]]))(lambda x: x)
        mlobs.observe(model="n")(lambda x: x)
        mlobs.observe(model="n", reference=mlobs.Profile.build([[1.0], [3.0]]))(lambda x: x)
    assert "model m unversioned is already observed against another reference; that one stays. Give " in caplog.text
    assert "model n unversioned is already observed without a reference, and stays so. Give " in caplog.text


def test_settings_hold_for_what_is_decorated_already() -> None:
    """As where an import decorates and the program configures: windows, bounds, and how much may wait; what was counted stays."""
    rows = np.arange(40.0).reshape(20, 2)
    with capture() as telemetry:
        predict = mlobs.observe(model="m", reference=mlobs.Profile.build(rows))(lambda x: 0.5)
        bare = mlobs.observe(model="bare")(lambda x: 0.5)
        mlobs.objective(model="m", task="binary")
        made = runtime.settings.changed(
            windows=[60, 600],
            duration_bounds=[1, 2],
            max_features=2,
            ring_calls=8,
            ring_bytes=4096,
            fold_interval=3600,
        )
        runtime.configure(made)
        predict(rows)
        bare({"a": 1.0, "b": 2.0, "c": 3.0})
        assert [mlobs.drift(window=window)["m"]["f0"].count for window in (60, 600)] == [20, 20]
        assert windows(telemetry, "mlobs.drift.significant") == {"1m", "10m"}
        assert windows(telemetry, "mlobs.quality.expected.ratio") == {"1m", "10m"}
        assert bounds(telemetry) == ([1.0, 2.0], 1)
        assert telemetry.total("mlobs.sdk.dropped", reason="feature_limit") == 1
        for _ in range(20):
            predict(rows[0])
        assert telemetry.total("mlobs.sdk.dropped", reason="ring_full") > 0
        kept = mlobs.drift()["m"]["f0"].count

        telemetry.clock.advance(30)
        runtime.configure(made.changed(windows=[60, 90], duration_bounds=[3, 4]))
        predict(rows[:5])
        assert [mlobs.drift(window=window)["m"]["f0"].count for window in (None, 60, 90)] == [kept + 5, kept + 5, 5]
        assert bounds(telemetry) == ([1.0, 2.0], 22)
        with pytest.raises(mlobs.ConfigurationError, match=r"configured are 60, 90\."):
            mlobs.drift(window=600)


def windows(telemetry: Telemetry, name: str) -> set[str]:
    return {dict(pairs)["window"] for pairs in telemetry.numbers(name)}


def bounds(telemetry: Telemetry) -> tuple[list[float], int]:
    """Of the durations of the model, and how many there are."""
    (found,) = telemetry.histograms("mlobs.prediction.duration", model_name="m")
    assert isinstance(found, Histogram)
    return list(found.bounds), sum(found.counts)


def test_windows_hold_for_truths_that_came_already() -> None:
    """A window that there was keeps its truths, a new one begins now."""
    pytest.importorskip("cryptography")
    with capture(ticket_keys=["11" * 32]) as telemetry:
        mlobs.objective(model="m", task="binary")
        predict = mlobs.observe(model="m")(lambda x: 0.9)

        def come(truth: int) -> None:
            predict(1.0)
            assert mlobs.outcome(mlobs.ticket(), actual=truth)

        def accuracy(window: str) -> float | None:
            found = telemetry.numbers("mlobs.quality.realized.ratio", window=window, measure="accuracy")
            return next(iter(found.values()), None)

        come(1)
        runtime.configure(runtime.settings.changed(windows=[3600, 60]))
        assert (accuracy("1h"), accuracy("1m")) == (1.0, None)
        come(0)
        assert (accuracy("1h"), accuracy("1m")) == (0.5, 0.0)
