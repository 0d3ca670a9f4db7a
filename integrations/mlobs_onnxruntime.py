"""ONNX Runtime: every run of an inference session, also of one that was there before."""

# ruff: noqa: ANN401 - sessions, values and bindings, of a framework that is not imported here
from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import re
import sys
import threading
import weakref
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mlobs.integration import Hooks

_MODULE: Final = "onnxruntime.capi.onnxruntime_inference_collection"
_STATE: Final = "onnxruntime.capi.onnxruntime_pybind11_state"
_UNSET: Final = (0, 2**63 - 1)  # what exporters write, and what the runtime says, where there is no version
# what exporters call every graph: it tells no model from another
_ANY: Final = re.compile(
    r"(main_?graph|main|graph|model|onnx-?model|torch[-_]jit([-_]export)?|tf2onnx|[0-9a-f]{32})?", re.IGNORECASE
)
_TABLE: Final = 2  # dimensions


# ── data ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _plain(value: Any) -> Any:
    """An OrtValue as the array that it is, where that takes no wait for a device."""
    if type(value).__name__ == "OrtValue" and value.is_tensor() and value.device_name() == "cpu":
        return value.numpy()
    return value


def _table(session: Any, feed: Any) -> Any:
    """Inputs by name; a single one by itself, for its columns are the features."""
    if type(feed) is dict and len(feed) == 1:
        for value in feed.values():
            if type(value) is sys.modules["numpy"].ndarray and value.ndim == _TABLE:
                return value
    if not isinstance(feed, dict) or not feed:
        return None
    found = {name: _plain(value) for name, value in feed.items()}
    if len(found) > 1:
        return found
    [value] = found.values()
    if getattr(value, "ndim", _TABLE) == 1 and not isinstance(session.get_inputs()[0].shape[0], int):
        return found  # a batch of single values, where a fixed length would be one row
    return value


def _fed(session: Any, _: Any = None, feed: Any = None, *__: Any, **named: Any) -> Any:
    return _table(session, named.get("input_feed", named.get("input_dict_ort_values", feed)))


def _answer(outputs: Any) -> Any:
    """One output by itself, several beside each other."""
    if not isinstance(outputs, list):
        return outputs
    if len(outputs) == 1 and type(outputs[0]) is sys.modules["numpy"].ndarray:
        return outputs[0]
    found = tuple(_columns(_plain(each)) for each in outputs)
    return found[0] if len(found) == 1 else found


def _columns(output: Any) -> Any:
    """The probabilities that a classifier tells by class, a dict a row, as a table in the order of the first."""
    if not isinstance(output, list) or not output or not isinstance(output[0], dict):
        return output
    numpy: Any = sys.modules["numpy"]
    return numpy.array([[row.get(key) for key in output[0]] for row in output])


# ── inputs that are bound ───────────────────────────────────────────────────────────────────────────────────────────


class _Bindings:
    """What is bound as the inputs of each `IOBinding`; it keeps its arrays, and does not say which of them still are."""

    def __init__(self, hooks: Hooks, owner: type) -> None:
        self._held: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
        self._hooks = hooks
        self._follow(owner, "bind_cpu_input", lambda held, name, array: held.update({name: array}))
        self._follow(owner, "bind_ortvalue_input", lambda held, name, value: held.update({name: value}))
        self._follow(owner, "bind_input", lambda held, name, *_: held.pop(name, None))
        self._follow(owner, "clear_binding_inputs", lambda held: held.clear())

    def read(self, session: Any, binding: Any = None, *_: Any, **named: Any) -> Any:
        """The inputs, where Python knows all of them."""
        binding = named.get("iobinding", binding)
        seen, own = self._held.get(binding, {}), getattr(binding, "_bound_inputs", {})
        # of what was bound before there were hooks, newer versions say which are OrtValues
        held = {each.name: own.get(each.name) or seen.get(each.name) for each in session.get_inputs()}
        return None if any(value is None for value in held.values()) else _table(session, held)

    def _follow(self, owner: type, name: str, note: Callable[..., Any]) -> None:
        original = vars(owner)[name]
        signature = inspect.signature(original)

        @functools.wraps(original)
        def bind(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            with self._hooks.guarded():
                binding, *given = signature.bind(*args, **kwargs).args if kwargs else args
                note(self._held.setdefault(binding, {}), *given)
            return answer

        self._hooks.replace(owner, name, bind)


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def _named(session: Any) -> Named:
    """By its own metadata, its graph, its file, its class."""
    told = session.get_modelmeta()
    custom = told.custom_metadata_map
    path = getattr(session, "_model_path", None)
    candidates = (
        *(custom.get(key) for key in ("model.name", "model_name", "name")),
        None if _ANY.fullmatch(told.graph_name) else told.graph_name,
        PurePath(path).stem if path else None,
        type(session).__name__,
    )
    versions = (
        *(custom.get(key) for key in ("model.version", "model_version", "version")),
        None if told.version in _UNSET else str(told.version),
    )
    return Named(next(filter(None, candidates)), next(filter(None, versions), None))


# ── runs that end in a thread of the runtime ────────────────────────────────────────────────────────────────────────


class _Asynchronous:
    """Where `Session.run_async` is observed: as a coroutine that ends when the runtime calls back."""

    original: Callable[..., Any]

    async def run_async(
        self: Any,
        outputs: Any,
        input_feed: Any,
        run: _Run,
        *args: Any,
    ) -> Any:
        """Start the run, and wait for its outputs. What starting raises is the caller's."""
        run.returned = _Asynchronous.original(self, outputs, input_feed, run.called, *args)
        found, status = await run
        if status:
            state: Any = sys.modules[_STATE]
            raise state.Fail(status)
        return found


class _Run:
    """One such run: begun in the caller's thread, in a copy of its context, and ended in one of the runtime's."""

    def __init__(self, callback: Any) -> None:
        self.returned: Any = None
        self._callback = callback
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._waits = False
        self._outcome: tuple[Any, Any] | None = None
        self._observed: Any = None

    def begin(self, observed: Any) -> Any:
        """Run to where the runtime has been started."""
        self._observed = observed
        self._context.run(observed.send, None)
        with self._lock:
            self._waits = True
            over = self._outcome is not None
        if over:
            self._end()
        return self.returned

    def __await__(self) -> Generator[None, tuple[Any, Any], tuple[Any, Any]]:
        return (yield)

    def called(self, outputs: Any, data: Any, status: Any) -> Any:
        """The runtime is done."""
        with self._lock:
            self._outcome = outputs, status
            waits = self._waits
        if waits:
            self._end()
        return self._callback(outputs, data, status)

    def _end(self) -> None:
        with contextlib.suppress(Exception):  # its end, either way; the callback comes whatever happens here
            self._context.run(self._observed.send, self._outcome)


def _later(hooks: Hooks, owner: type, reading: Reading) -> None:
    original = vars(owner)["run_async"]
    _Asynchronous.original = original
    signature = inspect.signature(original)

    @functools.wraps(original)
    def run_async(*args: Any, **kwargs: Any) -> Any:
        try:
            session, outputs, feed, callback, *rest = signature.bind(*args, **kwargs).args
        except TypeError:
            return original(*args, **kwargs)
        run = _Run(callback)
        return run.begin(_Asynchronous.run_async(session, outputs, feed, run, *rest))

    hooks.observe(_Asynchronous, "run_async", reading)
    hooks.replace(owner, "run_async", run_async)


# ── hooks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _sessions(hooks: Hooks) -> None:
    """The methods stand in one class above all sessions."""

    def identity(session: Any) -> Named:
        named = _named(session)
        hooks.loaded(session, getattr(session, "_model_path", None), named)
        return named

    module = sys.modules[_MODULE]
    owner, bindings = module.Session, _Bindings(hooks, module.IOBinding)
    fed = Reading(inputs=_fed, answer=_answer, identity=identity)
    hooks.observe(owner, "run", fed)
    hooks.observe(owner, "run_with_ort_values", fed)
    hooks.observe(owner, "run_with_iobinding", Reading(inputs=bindings.read, identity=identity))
    _later(hooks, owner, fed._replace(operation="run_async"))


integration = Integration(
    name="onnxruntime",
    distribution="onnxruntime",
    lowest="1.17",
    modules={_MODULE: _sessions},
)
