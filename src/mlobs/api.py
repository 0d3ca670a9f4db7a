"""The verbs: what a user of mlobs calls."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from mlobs.core import again
from mlobs.core.calls import wrap
from mlobs.core.locate import Inputs, locate, taken
from mlobs.core.model import Identity
from mlobs.core.runtime import Runtime
from mlobs.core.settings import LONGEST, SpanPolicy, from_environment
from mlobs.errors import ConfigurationError, quoted
from mlobs.hooks.integrations import Integrations, Status
from mlobs.hooks.registry import Registration, Registry
from mlobs.hooks.requests import Requests
from mlobs.otel.names import CHAMPION, UNVERSIONED
from mlobs.profile import Profile
from mlobs.release.number import number
from mlobs.release.store import open_store

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.trace import TracerProvider

    from mlobs.sketch import Drift

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

Reference = Profile | str | os.PathLike[str] | None
ASGI = Callable[[Any, Any, Any], Awaitable[None]]
WSGI = Callable[[Any, Any], Iterable[bytes]]

runtime = Runtime()
again.settle(runtime)
runtime.ending.expect()
registry = Registry(runtime.news)
_integrations = Integrations(runtime, registry)
requests = Requests(runtime)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=runtime.before_fork, after_in_parent=runtime.after_fork_in_parent, after_in_child=runtime.after_fork
    )


@overload
def observe(function: F, /) -> F: ...


@overload
def observe(
    *,
    model: str | None = None,
    version: str | None = None,
    reference: Reference = None,
    variant: str | None = None,
    inputs: Inputs = None,
    capture: Sequence[str] = (),
    operation: str | None = None,
) -> Callable[[F], F]: ...


def observe(
    function: Callable[..., Any] | None = None,
    /,
    *,
    model: str | None = None,
    version: str | None = None,
    reference: Reference = None,
    variant: str | None = None,
    inputs: Inputs = None,
    capture: Sequence[str] = (),
    operation: str | None = None,
) -> Any:
    """Observe every call of a function: how long, how many rows, which errors, and what its inputs look like.

    Decorates functions, methods, coroutines, generators and asynchronous generators, with or without arguments;
    ``mlobs.observe(...)(f)`` does the same to a function that is someone else's. Results and exceptions pass through untouched, and nothing mlobs
    does can raise into a call.

    model
        the model's name; without it the class of a method, else the function's name.
    version, variant
        ``unversioned`` and ``champion`` where not given.
    reference
        a `Profile` of the data the model learned from, or the path of one that was saved. With it drift is measured;
        without it numeric features are summarised by exponential histograms.
    inputs
        which argument holds the rows: its name; or several names, which together are one row; or a function of the
        call's arguments. Without it the first argument after ``self``.
    capture
        features whose raw values may be put on spans, and ``"exception.message"``. Nothing raw leaves otherwise.
    operation
        what the call is; the function's name where not given.

    Raises ConfigurationError for arguments that cannot hold and ProfileError for a reference that cannot be read.
    """
    profile = _profile(reference)
    _texts("observe", model=model, version=version, variant=variant, operation=operation)
    captured = _captured(capture)
    named = taken(inputs)

    def decorate(function: F) -> F:
        if isinstance(function, (classmethod, staticmethod)):
            return cast("F", type(function)(decorate(function.__func__)))
        if not callable(function):
            message = f"mlobs.observe decorates functions, and this is a {type(function).__name__}."
            if isinstance(function, str):
                message += f" Name the model by keyword: mlobs.observe(model={quoted(function)})."
            elif hasattr(type(function), "__get__"):  # a property, say
                message += " Put it beneath: decorate the function that it is made of."
            raise ConfigurationError(message)
        if isinstance(function, type):
            message = (
                f"mlobs.observe decorates functions, and {function.__qualname__} is a class. "
                "Decorate its predict method."
            )
            raise ConfigurationError(message)
        bare = function.func if isinstance(function, functools.partial) else function
        known = registry.get(getattr(bare, "__self__", None))
        identity = Identity(
            model or (known.identity.name if known else _model_name(bare)),
            version or (known.identity.version if known else UNVERSIONED),
            variant or (known.identity.variant if known else CHAMPION),
        )
        bound = runtime.model(identity, profile or (known.profile if known else None))
        monitor = runtime.monitor(bound, operation or _operation(bare))
        where = locate(function, named)._replace(capture=captured)
        return cast("F", wrap(function, monitor, runtime.tracing, where))

    return decorate if function is None else decorate(function)


def register(
    model: T, *, name: str, version: str | None = None, reference: Reference = None, variant: str | None = None
) -> T:
    """Give an object a name, a version and a reference, for whatever observes it later; returns the object.

    Integrations, and ``observe`` on one of its methods, take them from here. The object is not changed and not kept
    alive. Raises ConfigurationError for a name that is none and for an object that takes no weak reference,
    ProfileError for a reference that cannot be read.
    """
    if name is None:
        message = "mlobs.register(name=None): expected a text that is not empty. Try: name='churn'."
        raise ConfigurationError(message)
    _texts("register", name=name, version=version, variant=variant)
    identity = Identity(name, version or UNVERSIONED, variant or CHAMPION)
    registry.add(model, Registration(identity, _profile(reference)))
    return model


def instrument(*names: str) -> None:
    """Observe the models of whole frameworks without a decorator: those named, or every one mlobs has an integration for.

    A framework that is imported later is hooked then, and none is imported for it. Only the outermost call counts, and
    what is observed by a decorator stays as it is. A model goes by the name it was registered with, else by that of the
    profile saved beside its file (``churn.profile.json`` beside ``churn.joblib``), else by its class.

    Named, it is loud: raises ConfigurationError for a name nobody knows, MissingDependencyError where the framework is
    not installed or too old. Calling it again changes nothing. ``opentelemetry-instrument`` does it by itself.
    """
    _integrations.on(names)


def uninstrument(*names: str) -> None:
    """Put back everything that `instrument` has changed, or what it changed for those named.

    Raises ConfigurationError for a name nobody knows.
    """
    _integrations.off(names)


def integrations() -> list[Status]:
    """How each integration stands in this process: what is installed, what is hooked, and why calls are not observed.

    By name. ``mlobs integrations`` tells the same of an environment.
    """
    return _integrations.status()


def asgi(app: ASGI) -> ASGI:
    """An ASGI application whose predictions hang under the caller's span: the one that a request's headers name.

    For services that nothing traces; ``app.add_middleware(mlobs.asgi)`` is the same in FastAPI and Starlette. Headers
    are read as OpenTelemetry's propagators are set (``OTEL_PROPAGATORS``). Where a span is current already, or
    OpenTelemetry's HTTP instrumentation is loaded, requests are served as they are.
    """
    return requests.asgi(_application("asgi", app))


def wsgi(app: WSGI) -> WSGI:
    """A WSGI application, likewise; in Flask ``app.wsgi_app = mlobs.wsgi(app.wsgi_app)``.

    An answer that streams is made under the caller's span too.
    """
    return requests.wsgi(_application("wsgi", app))


def configure(
    *,
    enabled: bool | None = None,
    service_name: str | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    endpoint: str | None = None,
    export_interval: float | None = None,
    windows: Sequence[float] | None = None,
    spans: SpanPolicy | None = None,
    span_ratio: float | None = None,
    slow: float | None = None,
    duration_bounds: Sequence[float] | None = None,
    max_features: int | None = None,
    max_models: int | None = None,
    ring_calls: int | None = None,
    ring_bytes: int | None = None,
    read_share: float | None = None,
    fold_interval: float | None = None,
    export_timeout: float | None = None,
    flush_timeout: float | None = None,
    flush_on_sigterm: bool | None = None,
    ticket_keys: Sequence[str] | None = None,
    ticket_ttl: float | None = None,
    outcome_memory: int | None = None,
    join_store: str | None = None,
    join_ttl: float | None = None,
    join_entries: int | None = None,
    cpu_price: float | None = None,
    gpu_price: float | None = None,
    currency: str | None = None,
    metric_exporter: MetricExporter | None = None,
    tracer_provider: TracerProvider | None = None,
) -> None:
    """Set what the environment's ``OTEL_*`` variables do not say, or say it otherwise. Optional; call it at the start.

    Each call begins anew from the environment. Times are seconds, sizes bytes; docs/configuration.md has the list.
    Functions decorated earlier follow; ``duration_bounds`` only those that have not been called. Raises ConfigurationError
    for a value that cannot hold, MissingDependencyError for a ``join_store`` on Redis without its package.
    """
    given = {key: value for key, value in locals().items() if value is not None}
    if ticket_keys is not None:
        given["ticket_keys"] = _keys(ticket_keys)
    settings = from_environment().changed(**given)
    if join_store is not None:  # this connects nowhere, and refuses what is no place
        open_store(settings.join_store, ttl=settings.join_ttl, entries=settings.join_entries)
    runtime.configure(settings)


def flush(*, timeout: float | None = 2.0) -> bool:
    """Fold and send everything now; whether it was delivered within ``timeout`` seconds.

    Without one as long as the setting ``flush_timeout`` says. Raises ConfigurationError for a time that is no number.
    """
    return runtime.flush(_seconds("flush", timeout))


def shutdown(*, timeout: float | None = 2.0) -> bool:
    """Send everything a last time and stop the threads; whether it was delivered within ``timeout`` seconds, see `flush`.

    Runs by itself when the process ends. A call observed afterwards starts the threads again.
    """
    return runtime.shutdown(_seconds("shutdown", timeout))


def drift(*, window: float | None = None) -> dict[str, dict[str, Drift]]:
    """The verdict on every feature of every model that has a reference, as counted in this process.

    By model name (``name:version:variant`` where one name has several), then by feature; an output that is called
    like an input is ``output:<name>``. ``window`` is one of the configured lengths in seconds; None is everything
    since the start. Raises ConfigurationError for a window that is not configured.
    """
    runtime.folder.fold()
    found: dict[str, dict[str, Drift]] = {}
    with runtime.counting:
        if window is not None:
            window = _length(window)
        models = [model for model in runtime.models.values() if model.profile is not None]
        shared = [model.identity.name for model in models]
        for model in models:
            name, version, variant = model.identity
            key = name if shared.count(name) == 1 else f"{name}:{version}:{variant}"
            features = found[key] = {}
            for one in model.drift(window):
                features[one.name if one.name not in features else f"{one.role}:{one.name}"] = one
    return found


def _keys(given: Any) -> tuple[Any, ...]:  # noqa: ANN401 - whatever somebody hands over
    """One key or several; what else it is, is not told: it may be a key."""
    try:
        return (given,) if isinstance(given, (str, bytes)) else tuple(given)
    except Exception as error:
        message = f"mlobs.configure(ticket_keys=…): expected a key or several, and this is a {type(given).__name__}."
        raise ConfigurationError(message) from error


def _application(verb: str, app: F) -> F:
    if not callable(app):
        message = f"mlobs.{verb}({quoted(app)}): expected an application, and this is a {type(app).__name__}."
        raise ConfigurationError(message)
    return app


def _seconds(verb: str, timeout: float | None) -> float:
    """How long a verb may wait; a time that is over is none."""
    if timeout is None:
        return runtime.settings.flush_timeout
    try:
        return max(0.0, min(number(timeout), LONGEST))
    except ValueError as error:
        message = f"mlobs.{verb}(timeout={quoted(timeout)}): expected a number of seconds, or None for the setting flush_timeout."
        raise ConfigurationError(message) from error


def _length(window: object) -> float:
    """The configured window that is meant."""
    known = runtime.settings.windows
    with suppress(ValueError):
        seconds = number(window)
        if seconds in known:
            return seconds
    listed = ", ".join(f"{span:g}" for span in known)
    message = f"mlobs.drift(window={quoted(window)}): configured are {listed}. Add it: mlobs.configure(windows=[…])."
    raise ConfigurationError(message)


def _captured(names: Any) -> frozenset[str]:  # noqa: ANN401 - whatever somebody hands over
    try:
        found = None if isinstance(names, str) else frozenset(names)
    except Exception:  # noqa: BLE001 - no list, or one of what has no hash
        found = None
    if found is not None and all(isinstance(name, str) for name in found):
        return found
    given = f"capture={names!r})" if isinstance(names, str) else f"capture=…) is a {type(names).__name__}"
    message = (
        f"mlobs.observe({given}: expected several names, e.g. capture={[names] if isinstance(names, str) else ['age']}."
    )
    raise ConfigurationError(message)


def _texts(verb: str, **given: str | None) -> None:
    for name, value in given.items():
        if value is not None and (not isinstance(value, str) or not value):
            message = f"mlobs.{verb}({name}={quoted(value)}): expected a text that is not empty."
            raise ConfigurationError(message)


def _profile(reference: Reference) -> Profile | None:
    if reference is None or isinstance(reference, Profile):
        return reference
    if isinstance(reference, (str, os.PathLike)):
        return Profile.load(reference)
    message = (
        f"reference=… is a {type(reference).__name__}: expected a mlobs.Profile or the path of one that was saved. "
        "Build one: mlobs.Profile.build(training_data).save('reference.json')."
    )
    raise ConfigurationError(message)


def _model_name(function: Callable[..., Any]) -> str:
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        return owner.__name__ if isinstance(owner, type) else type(owner).__name__
    qualified = getattr(function, "__qualname__", type(function).__name__).rpartition("<locals>.")[2]
    return str(qualified.partition(".")[0] if "." in qualified else qualified)


def _operation(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)
