"""Names of environment variables: those that somebody reads, and those that look like one of them."""

from __future__ import annotations

import difflib
import importlib
import re
from typing import TYPE_CHECKING, Final

from mlobs.doctor.finding import ENVIRONMENT, Finding, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OURS: Final = ("MLOBS_JOIN_STORE", "MLOBS_TICKET_KEYS")
_INTERNAL: Final = frozenset({"MLOBS_DEMO_FOLDER", "MLOBS_FUZZ"})  # of the demo's processes and of our own tests
_MODULES: Final = (
    "opentelemetry.environment_variables",
    "opentelemetry.sdk.environment_variables",
    "opentelemetry.instrumentation.environment_variables",
)
_READ: Final = (
    "OTEL_CONFIG_FILE",  # the doctor says what becomes of it; old SDKs do not know it
    "OTEL_EXPORTER_PROMETHEUS_HOST",
    "OTEL_EXPORTER_PROMETHEUS_PORT",
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER",
)
_CLOSE: Final = 0.88
# Kubernetes gives every container the addresses of the services beside it; one may be called `otel` or `mlobs`
_SERVICE: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_\w+)$")


def known() -> frozenset[str]:
    """What OpenTelemetry, as installed here, and mlobs read."""
    found = {*OURS, *_READ}
    for name in _MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        found |= {key for key in vars(module) if key.startswith("OTEL_")}
    return frozenset(found)


def misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that nobody reads and that look like one that is read."""
    names = known()
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(("OTEL_", "MLOBS_", "OTLP_")) or name in names | _INTERNAL or _SERVICE.search(name):
            continue
        close = [upper] if upper in names else difflib.get_close_matches(upper, names, 1, _CLOSE)
        if close:
            yield warn(ENVIRONMENT, f"{name} is read by nobody", f"Did you mean {close[0]}?")
        elif upper.startswith("MLOBS_"):
            said = f"{name} is read by nobody: of its own mlobs reads {', '.join(OURS)}"
            yield warn(ENVIRONMENT, said, "Other settings are arguments of mlobs.configure; docs/configuration.md.")
