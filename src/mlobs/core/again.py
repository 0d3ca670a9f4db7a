"""What an observed function takes along when it is pickled by value, as joblib, Ray and Spark do: names.

Where it arrives, it is observed by the runtime of that process, under the same identity and with the same reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlobs.core.model import Identity

if TYPE_CHECKING:
    from mlobs.core.monitor import Monitor
    from mlobs.core.runtime import Runtime
    from mlobs.core.tracing import Tracing
    from mlobs.profile import Profile

_home: list[Runtime] = []


def settle(runtime: Runtime) -> None:
    """Say which runtime observes in this process."""
    _home[:] = [runtime]


def monitor(identity: tuple[str, str, str], operation: str, profile: Profile | None) -> Monitor:
    """The monitor of this process that stands for another process'."""
    runtime = _home[0]
    return runtime.monitor(runtime.model(Identity(*identity), profile), operation)


def models() -> object:
    """The models of this process, a mapping that is another one only in tests."""
    return _home[0].models


def branch(monitor: Monitor, variant: str) -> Monitor:
    """The monitor of the same operation of a variant, with the same reference."""
    runtime = _home[0]
    model = monitor.model
    return runtime.monitor(runtime.model(model.identity._replace(variant=variant), model.profile), monitor.operation)


def tracing() -> Tracing:
    """The span policy of this process."""
    return _home[0].tracing
