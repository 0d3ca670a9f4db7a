"""What was decided before anything ran."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from mlobs.core import window
from mlobs.errors import ConfigurationError, quoted
from mlobs.otel.secrets import shown
from mlobs.otel.told import tell
from mlobs.release.number import number, whole
from mlobs.release.objective import LARGEST, is_currency

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.trace import TracerProvider

SpanPolicy = Literal["auto", "always", "never"]

# seconds; from a dictionary look-up to a slow generation
DURATION_BOUNDS: Final = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
ROWS_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 1048576.0)


# seconds; longer than any process lives, and several times of it are a time that a thread can wait
LONGEST: Final = threading.TIMEOUT_MAX / 8
_MOST: Final = 2**53  # of anything that is counted


def _time(value: object) -> float:
    return min(number(value), LONGEST)


def _count(value: object) -> int:
    return min(whole(value), _MOST)


def _numbers(values: Any) -> tuple[float, ...]:  # noqa: ANN401 - whatever somebody hands over
    if isinstance(values, (str, bytes, bytearray, Mapping)):
        raise TypeError("no numbers")
    return tuple(map(number, values))


# what makes a number, of whatever kind it was given, one that all later arithmetic is sure of
_PLAIN: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(
        ("export_interval", "export_timeout", "flush_timeout", "fold_interval", "ticket_ttl", "join_ttl"), _time
    ),
    "slow": lambda value: None if value is None else _time(value),
    **dict.fromkeys(("span_ratio", "read_share", "cpu_price", "gpu_price"), number),
    **dict.fromkeys(
        ("max_features", "max_models", "ring_calls", "ring_bytes", "outcome_memory", "join_entries"), _count
    ),
    "duration_bounds": _numbers,
    "windows": lambda values: tuple(seconds if seconds <= LONGEST else math.inf for seconds in _numbers(values)),
}
_EXEMPLARS: Final = "OTEL_METRICS_EXEMPLAR_FILTER"
_FILTERS: Final = ("", "trace_based", "always_on", "always_off")
_PLACES: Final = ("endpoint", "join_store")  # may have a password in them


def _increasing(bounds: tuple[float, ...]) -> bool:
    return bool(bounds) and list(bounds) == sorted(set(bounds)) and 0 < bounds[0] < bounds[-1] < math.inf


def _apart(windows: tuple[float, ...]) -> bool:
    """Whether these are lengths, and their names tell them apart: two of one name would be one series twice."""
    lengths = all(seconds > 0 for seconds in windows)
    return bool(windows) and lengths and len({window.name(seconds) for seconds in windows}) == len(windows)


_Rule = tuple[Callable[[Any], bool], str]
_POSITIVE: Final[_Rule] = (lambda value: value > 0, "a positive number")
_SOME: Final[_Rule] = (lambda value: value > 0, "a positive whole number")
_PRICE: Final[_Rule] = (
    lambda value: 0 <= value < LARGEST,
    "the price of an hour, 0 or a positive, finite number",
)
_FLAG: Final[_Rule] = (lambda value: isinstance(value, bool), "True or False")
# of each setting: whether a value can hold, and what is expected
_RULES: Final[Mapping[str, _Rule]] = {
    "enabled": _FLAG,
    "flush_on_sigterm": _FLAG,
    "service_name": (
        lambda value: value is None or (isinstance(value, str) and bool(value)),
        "a text that is not empty",
    ),
    "resource_attributes": (lambda value: isinstance(value, Mapping), "names and values, e.g. {'team': 'ml'}"),
    "metric_exporter": (lambda value: value is None or callable(value.export), "a MetricExporter of OpenTelemetry"),
    "tracer_provider": (lambda value: value is None or callable(value.get_tracer), "a TracerProvider of OpenTelemetry"),
    "windows": (_apart, "one or more positive numbers of seconds, all different, e.g. (3600.0,)"),
    "spans": (lambda value: value in get_args(SpanPolicy), "'auto', 'always' or 'never'"),
    "span_ratio": (lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    "duration_bounds": (_increasing, "two or more increasing, positive, finite numbers of seconds"),
    "read_share": (lambda value: 0 < value <= 1, "a share of one core above 0, at most 1"),
    "slow": (
        lambda value: value is None or value > 0,
        "a positive number of seconds, or None to follow the model's own p99",
    ),
    "export_interval": _POSITIVE,
    "export_timeout": _POSITIVE,
    "flush_timeout": _POSITIVE,
    "fold_interval": _POSITIVE,
    "max_features": _SOME,
    "max_models": _SOME,
    "ring_calls": _SOME,
    "ring_bytes": _SOME,
    "ticket_ttl": _POSITIVE,
    "outcome_memory": _SOME,
    "join_ttl": _POSITIVE,
    "join_entries": _SOME,
    "cpu_price": _PRICE,
    "gpu_price": _PRICE,
    "currency": (is_currency, "three capital letters as ISO 4217 has them, e.g. 'EUR'"),
    "join_store": (
        lambda value: isinstance(value, str) and bool(value),
        "'sqlite', a file's path, or a URL such as 'redis://localhost:6379/0'",
    ),
    "endpoint": (
        lambda value: value is None or value.startswith(("http://", "https://")),
        "a URL such as 'http://localhost:4318'",
    ),
}


@dataclass(frozen=True)
class Settings:
    """Everything that can be configured; `docs/configuration.md` lists it for users.

    Times are in seconds, sizes in bytes.
    """

    enabled: bool = True
    service_name: str | None = None
    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    endpoint: str | None = None
    export_interval: float = 60.0
    export_timeout: float = 10.0
    flush_timeout: float = 2.0
    flush_on_sigterm: bool = True
    fold_interval: float = 1.0
    windows: tuple[float, ...] = (3600.0,)
    spans: SpanPolicy = "auto"
    span_ratio: float = 0.01
    slow: float | None = None
    duration_bounds: tuple[float, ...] = DURATION_BOUNDS
    max_features: int = 200
    max_models: int = 1000
    ring_calls: int = 65536
    ring_bytes: int = 16 * 2**20
    read_share: float = 0.005
    ticket_keys: tuple[str, ...] = field(default=(), repr=False)
    ticket_ttl: float = 30 * 86400.0
    outcome_memory: int = 100_000
    join_store: str = "sqlite"
    join_ttl: float = 30 * 86400.0
    join_entries: int = 1_000_000
    cpu_price: float = 0.0
    gpu_price: float = 0.0
    currency: str = "USD"
    metric_exporter: MetricExporter | None = None
    tracer_provider: TracerProvider | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raises ConfigurationError for a value that cannot hold.

        Numbers become floats or whole numbers, and `inf` and other times that no clock can tell the longest one.
        """
        for name, (holds, expected) in _RULES.items():
            given = getattr(self, name)
            try:
                value = _PLAIN[name](given) if name in _PLAIN else given
                good = holds(value)
            except Exception:  # noqa: BLE001 - whatever somebody's class raises when it is compared
                good = False
            if not good:
                told = quoted(shown(given) if name in _PLACES and isinstance(given, str) else given)
                message = f"mlobs.configure({name}={told}): expected {expected}."
                raise ConfigurationError(message)
            object.__setattr__(self, name, value)

    @property
    def tickets(self) -> bool:
        """Whether predictions can be given tickets."""
        return bool(self.ticket_keys)

    @property
    def exemplars(self) -> bool:
        """Whether histograms lead to the spans of their values."""
        return self.environ.get(_EXEMPLARS, "").strip().lower() != "always_off"

    def changed(self, **values: Any) -> Settings:  # noqa: ANN401 - the public verb's signature says which and what
        """These settings with some values replaced. Raises ConfigurationError."""
        return replace(self, **values)


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that the OTEL_* and MLOBS_* variables ask for: the only place where the environment is read.

    A variable that cannot hold is told in the log and the default is used.
    """
    taken = dict(os.environ if environ is None else environ)
    disabled = taken.get("OTEL_SDK_DISABLED", "").strip().lower()
    if disabled not in ("", "true", "false"):
        tell("OTEL_SDK_DISABLED=%r disables nothing, the one word for it is true: going on", disabled)
    wanted = taken.get(_EXEMPLARS, "").strip().lower()
    if wanted not in _FILTERS:
        tell("%s=%r is none of %s: using trace_based", _EXEMPLARS, wanted, ", ".join(_FILTERS[1:]))
    return Settings(
        enabled=disabled != "true",
        export_interval=_milliseconds(taken, "OTEL_METRIC_EXPORT_INTERVAL", Settings.export_interval),
        export_timeout=_milliseconds(taken, "OTEL_METRIC_EXPORT_TIMEOUT", Settings.export_timeout),
        ticket_keys=tuple(key.strip() for key in taken.get("MLOBS_TICKET_KEYS", "").split(",") if key.strip()),
        join_store=taken.get("MLOBS_JOIN_STORE", "").strip() or "sqlite",
        environ=taken,
    )


def _milliseconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """A variable's milliseconds as seconds; told once where it is no time, and the default used."""
    text = environ.get(name, "").strip()
    if not text:
        return default
    with suppress(ValueError):
        seconds = float(text) / 1000
        if seconds > 0:
            return seconds
    tell("%s=%r is not a number of milliseconds: using %d", name, text, default * 1000)
    return default
