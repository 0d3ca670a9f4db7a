"""What was decided before anything ran."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from mlobs.errors import ConfigurationError
from mlobs.otel.told import tell
from mlobs.release.objective import is_currency

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
    read_share: float = 0.01
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
        """Raises ConfigurationError for a value that cannot hold."""
        if not self.windows or not all(seconds > 0 for seconds in self.windows):
            _refuse("windows", self.windows, "one or more positive numbers of seconds, e.g. (3600.0,)")
        if self.spans not in get_args(SpanPolicy):
            _refuse("spans", self.spans, "'auto', 'always' or 'never'")
        if not 0 <= self.span_ratio <= 1:
            _refuse("span_ratio", self.span_ratio, "a share from 0 to 1")
        bounds = self.duration_bounds
        if not bounds or list(bounds) != sorted(set(bounds)) or not 0 < bounds[0] < bounds[-1] < float("inf"):
            _refuse("duration_bounds", bounds, "two or more increasing, positive, finite numbers of seconds")
        if not 0 < self.read_share <= 1:
            _refuse("read_share", self.read_share, "a share of one core above 0, at most 1")
        if self.slow is not None and not self.slow > 0:
            _refuse("slow", self.slow, "a positive number of seconds, or None to follow the model's own p99")
        for name in (
            "export_interval",
            "export_timeout",
            "flush_timeout",
            "fold_interval",
            "max_features",
            "max_models",
            "ring_calls",
            "ring_bytes",
            "ticket_ttl",
            "outcome_memory",
            "join_ttl",
            "join_entries",
        ):
            if not getattr(self, name) > 0:
                _refuse(name, getattr(self, name), "a positive number")
        self._check_worth()
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            _refuse("endpoint", self.endpoint, "a URL such as 'http://localhost:4318'")

    def _check_worth(self) -> None:
        """What outcomes and costs need."""
        for name in ("cpu_price", "gpu_price"):
            if not 0 <= getattr(self, name) < float("inf"):
                _refuse(name, getattr(self, name), "the price of an hour, 0 or a positive, finite number")
        if not is_currency(self.currency):
            _refuse("currency", self.currency, "three capital letters as ISO 4217 has them, e.g. 'EUR'")
        if not isinstance(self.join_store, str) or not self.join_store:
            _refuse(
                "join_store", self.join_store, "'sqlite', a file's path, or a URL such as 'redis://localhost:6379/0'"
            )

    @property
    def tickets(self) -> bool:
        """Whether predictions can be given tickets."""
        return bool(self.ticket_keys)

    def changed(self, **values: Any) -> Settings:  # noqa: ANN401 - the public verb's signature says which and what
        """These settings with some values replaced. Raises ConfigurationError."""
        return replace(self, **values)


def _refuse(name: str, value: object, expected: str) -> None:
    message = f"mlobs.configure({name}={value!r}): expected {expected}."
    raise ConfigurationError(message)


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that the OTEL_* and MLOBS_* variables ask for: the only place where the environment is read.

    A variable that cannot hold is told in the log and the default is used.
    """
    taken = dict(os.environ if environ is None else environ)
    interval = 60.0
    text = taken.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
    if text:
        try:
            interval = float(text) / 1000
        except ValueError:
            interval = 0.0
        if not interval > 0:
            tell("OTEL_METRIC_EXPORT_INTERVAL=%r is not a number of milliseconds: using 60000", text)
            interval = 60.0
    return Settings(
        enabled=taken.get("OTEL_SDK_DISABLED", "").strip().lower() != "true",
        export_interval=interval,
        ticket_keys=tuple(key.strip() for key in taken.get("MLOBS_TICKET_KEYS", "").split(",") if key.strip()),
        join_store=taken.get("MLOBS_JOIN_STORE", "").strip() or "sqlite",
        environ=taken,
    )
