"""PyTorch: every call of a module that is not in training, compiled or not, the outermost of each; what it took on a GPU."""

from __future__ import annotations

import contextvars
import ctypes
import functools
import operator
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlobs.integration import Hooks, Report

_TABLE: Final = 2  # dimensions
_RELAXED: Final = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
_POOL: Final = 64  # pairs of events that wait to be used again, of each device
_LOOK: Final = 1.0  # seconds between two looks at the peak of a device's memory


def _modules(hooks: Hooks) -> None:
    """Hook classes from outside torch, and those of torch that hold whole models."""
    torch = sys.modules["torch"]
    reading = _reading(torch)
    of_transformers = reading._replace(inputs=_main, first=False)

    def each(cls: type) -> None:
        if cls.__module__.partition(".")[0] == "torch" or _of_keras(cls):
            return
        if getattr(getattr(cls, "forward", None), "__mlobs__", False):
            # somebody decorated it, and is told by that: its calls must not meet what stands in a class above
            above = cls.__call__
            if getattr(above, "__mlobs__", False) and "__call__" not in vars(cls):
                hooks.replace(cls, "__call__", vars(above)["__wrapped__"])
            return
        # a class has what the first of its family above torch's own got: each is asked what it is by its calls
        family = of_transformers if hasattr(cls, "main_input_name") else reading
        hooks.observe(cls, "__call__", family, inherited=True)

    for cls in (torch.nn.Sequential, torch.jit.ScriptModule):
        hooks.observe(cls, "__call__", reading, inherited=True)
    for cls in (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel):
        hooks.observe(cls, "__call__", _around(reading, "module"), inherited=True)
    _replicas(hooks, torch.nn.DataParallel)
    hooks.subclasses(torch.nn.Module, each)
    # these run the model to look at it; torch.jit.trace and Tracer.trace themselves are patched by torch.compile
    hooks.suppress(torch.jit._trace, "_check_trace")  # noqa: SLF001 - likewise
    hooks.suppress(torch.onnx, "export")


def _of_keras(cls: type) -> bool:
    """Whether it is a layer or model of Keras on torch: its integration knows which calls are predictions."""
    return any(above.__module__.partition(".")[0] == "keras" for above in cls.__mro__)


def _compiled(hooks: Hooks) -> None:
    """What `torch.compile` returns; inside, the model's own class is compiled as if we were not there."""
    torch, dynamo = sys.modules["torch"], sys.modules["torch._dynamo.eval_frame"]
    reading = _around(_reading(torch), "_orig_mod")
    for frame in hooks.frames():
        # each stands in for the calls of all classes: compiled behind a graph break, it would be compiled anew for each
        dynamo.skip_code(frame)
    # which has no method of its own in every version: 2.6 inherits it
    hooks.observe(dynamo.OptimizedModule, "__call__", reading, inherited=True)


def _replicas(hooks: Hooks, parallel: Any) -> None:  # noqa: ANN401 - a class of torch
    """What runs on each of several GPUs, in a thread of its own, is a part of the one call."""
    apply = parallel.parallel_apply

    @functools.wraps(apply)
    def parallel_apply(self: Any, replicas: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as torch has it
        within = [functools.partial(contextvars.copy_context().run, replica) for replica in replicas]
        return apply(self, within, *args, **kwargs)

    hooks.replace(parallel, "parallel_apply", parallel_apply)


def _around(reading: Reading, name: str) -> Reading:
    """How a module is read that holds the model under this name, and hands its calls on."""
    serving, inner = reading.serving, operator.attrgetter(name)

    def inputs(wrapper: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as torch has it
        module = inner(wrapper)
        if hasattr(module, "main_input_name"):
            return _main(module, *args, **kwargs)
        return args[0] if args else _named(module, **kwargs)

    # one that was made around a model in `eval()` is itself in training
    serves = serving and (lambda wrapper: serving(inner(wrapper)))
    return reading._replace(inputs=inputs, first=False, model=inner, serving=serves)


def _reading(torch: Any) -> Reading:  # noqa: ANN401 - a module
    tracing = torch._C._is_tracing  # noqa: SLF001 - torch.jit.is_tracing, without its warnings
    exporting, tensor = torch.compiler.is_compiling, torch.Tensor
    compiler = torch.compiler if hasattr(torch.compiler, "_is_compiling_flag") else None

    def serving(module: Any) -> bool:  # noqa: ANN401 - a torch.nn.Module
        try:
            if module.training:
                return False
        except AttributeError:
            pass  # what torch.jit.freeze returns is no more in training, and has not even the word for it
        # the flag is all that `is_compiling` looks at, through two functions that are cold behind a real model
        return not (tracing() or (exporting() if compiler is None else compiler._is_compiling_flag))  # noqa: SLF001 - likewise

    def answer(given: Any) -> Any:  # noqa: ANN401 - whatever a module returns
        return given if type(given) is tensor else _answer(given)

    return Reading(
        operation="forward",
        inputs=_named,
        first=True,
        answer=answer,
        identity=Named.hub,
        serving=serving,
        # itself, and no function of ours: a pickle by value refers to it
        unless=torch.compiler.is_dynamo_compiling,
        watch=_watch if torch.version.cuda or torch.version.hip else None,  # what it was built for
        watching=functools.partial(getattr, torch.cuda, "_initialized", True),
    )


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────


def _named(module: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as torch has it
    """All that have names only."""
    del module
    return kwargs if len(kwargs) > 1 else next(iter(kwargs.values()), None)


def _main(module: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as transformers' models have it
    """What a model of transformers is given: its pixels or samples, and of token ids nothing but how many there are."""
    name = getattr(module, "main_input_name", None)
    if name == "input_ids":
        return _tokens(module, *args, **kwargs)
    return args[0] if args else kwargs[name] if name in kwargs else _named(module, **kwargs)


def _tokens(module: Any, input_ids: Any = None, attention_mask: Any = None, *_: Any, **others: Any) -> Any:  # noqa: ANN401 - tensors
    """Of token ids nothing but how many there are."""
    del module
    ids = others.get("inputs_embeds") if input_ids is None else input_ids
    if ids is None or len(ids.shape) < _TABLE:
        return None
    rows, length = int(ids.shape[0]), int(ids.shape[1])
    mask = attention_mask
    if mask is not None and mask.is_cpu and tuple(mask.shape) == (rows, length):
        return {"prompt.tokens": mask.sum(dim=1)}
    return {"prompt.tokens": [length] * rows}


def _answer(answer: Any) -> Any:  # noqa: ANN401 - whatever a module returns
    """The answer; of transformers' outputs the logits of each row, where these are what they hold."""
    if not hasattr(answer, "to_tuple"):
        return answer
    logits = getattr(answer, "logits", None)
    return logits if logits is not None and len(logits.shape) == _TABLE else None


# ── the GPU ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_free: dict[int, list[tuple[Any, Any]]] = {}
_looked: dict[int, float] = {}


def _watch(report: Report, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[Any], None] | None:
    """Record an event before the call and one after it, on the caller's stream; nobody waits for either."""
    cuda = sys.modules["torch"].cuda
    if not cuda.is_initialized():
        return None
    device = _device(args, kwargs)
    if device is None or _exchange() is None:
        return None
    index = int(device.index)
    with cuda.device(index):
        if cuda.is_current_stream_capturing():
            return None
        stream = cuda.current_stream()
    try:
        begin, end = _free.setdefault(index, []).pop()
    except IndexError:
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    begin.record(stream)

    def finished() -> float | None:
        return _relaxed(functools.partial(_seconds, index, begin, end, report))

    def after(_: Any) -> None:  # noqa: ANN401 - the answer
        with cuda.device(index):
            capturing = cuda.is_current_stream_capturing()
        if not capturing:
            end.record(stream)
            report.gpu(finished)

    return after


def _device(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a torch.device or None
    """The GPU that the call is for: its first tensor there, else the model's."""
    for value in (*args[1:], *kwargs.values()):
        if getattr(value, "is_cuda", False) is True:
            return value.device
    first = next(args[0].parameters(), None)
    return first.device if first is not None and first.is_cuda else None


def _seconds(index: int, begin: Any, end: Any, report: Report) -> float | None:  # noqa: ANN401 - events
    """In mlobs' own thread: how long it was between the two, None while the second has not come to pass."""
    cuda = sys.modules["torch"].cuda
    if not end.query():
        return None
    seconds = float(begin.elapsed_time(end)) / 1e3
    free = _free.setdefault(index, [])
    if len(free) < _POOL:
        free.append((begin, end))
    now = time.monotonic()
    if now - _looked.get(index, -_LOOK) >= _LOOK:
        _looked[index] = now
        report.gpu_memory(cuda.max_memory_allocated(index))
    return seconds


@functools.cache
def _exchange() -> Any:  # noqa: ANN401 - a foreign function
    """The driver's `cuThreadExchangeStreamCaptureMode`; None where the driver is not NVIDIA's."""
    try:
        return ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1").cuThreadExchangeStreamCaptureMode
    except (OSError, AttributeError):
        return None


def _relaxed(question: Callable[[], float | None]) -> float | None:
    """Ask the GPU something that must not disturb a graph which another thread captures: it would fail that capture."""
    exchange = _exchange()
    mode = ctypes.c_int(_RELAXED)
    if exchange(ctypes.byref(mode)):
        return 0.0  # the driver is shutting down
    try:
        return question()
    finally:
        exchange(ctypes.byref(mode))


integration = Integration(
    name="torch",
    distribution="torch",
    lowest="2.6",
    modules={"torch": _modules, "torch._dynamo.eval_frame": _compiled},
)
