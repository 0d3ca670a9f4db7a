"""transformers: generation with its tokens, and pipelines, item by item where they stream. No text and no token is read."""

from __future__ import annotations

import functools
import inspect
import sys
import time
import types
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlobs.integration import Hooks

_TABLE: Final = 2  # dimensions
_ITERATORS: Final = ("PipelineIterator", "PipelineChunkIterator", "PipelinePackIterator")
_UNSAID: Final = ("inputs", "images", "videos", "table", "question", "data", "X")  # inputs that no signature names


class _Count:
    """A generation that runs: when it began, and when its first token was there."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first: float | None = None
        self.settled = False


_running: ContextVar[_Count | None] = ContextVar("mlobs_transformers_running", default=None)
_written: ContextVar[list[int] | None] = ContextVar("mlobs_transformers_written", default=None)
_alone: ContextVar[bool] = ContextVar("mlobs_transformers_alone", default=False)  # the pipeline was given one item


# ── generation ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _generation(hooks: Hooks) -> None:
    module = sys.modules["transformers.generation.utils"]
    reading = Reading(
        inputs=_prompts,
        answer=_lengths,
        identity=Named.hub,
        unless=sys.modules["torch"].compiler.is_dynamo_compiling,
    )

    def each(cls: type) -> None:
        generate = vars(cls).get("generate")
        if isinstance(generate, types.FunctionType):
            if _is_theirs(cls):
                hooks.replace(cls, "generate", _counting(generate, hooks))
            hooks.observe(cls, "generate", reading)

    hooks.subclasses(module.GenerationMixin, each)
    # each step asks whether it was the last one; from StopCheck it comes back when the token is there, on a GPU too
    for name, settles in (("StoppingCriteriaList", False), ("StopCheck", True), ("DeferredStopCheck", True)):
        cls = getattr(module, name, None)
        if cls is not None and "__call__" in vars(cls):
            hooks.replace(cls, "__call__", _step(vars(cls)["__call__"], settles=settles))


def _is_theirs(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "transformers"


def _step(original: Callable[..., Any], *, settles: bool) -> Callable[..., Any]:
    @functools.wraps(original)
    def step(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        answer = original(*args, **kwargs)
        count = _running.get()
        if count is not None and not count.settled:
            if count.first is None or settles:
                count.first = time.perf_counter()
            count.settled = settles
        return answer

    return step


def _counting(generate: Callable[..., Any], hooks: Hooks) -> Callable[..., Any]:
    """``generate``, that says its tokens to the report of the call it runs in: its own, a pipeline's, a decorator's."""

    @functools.wraps(generate)
    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        report = None if _running.get() else hooks.report()
        if report is None:
            token = _running.set(None)  # an assistant's, inside of another's
            try:
                return generate(self, *args, **kwargs)
            finally:
                _running.reset(token)
        _written.set(None)
        count = _Count()
        token = _running.set(count)
        try:
            answer = generate(self, *args, **kwargs)
        finally:
            _running.reset(token)
        ended = time.perf_counter()
        try:
            prompts = _prompt_lengths(self, args, kwargs)
            written = _new(self, args, kwargs, answer)
        except Exception:  # noqa: BLE001 - a model that takes or gives something else: its time counts all the same
            return answer
        _written.set(written)
        report.tokens(read=sum(prompts) if prompts else None, written=sum(written))
        most = max(written, default=0)
        if count.first is not None and most:
            report.first_token(count.first - count.began)
            if most > 1:
                report.next_token((ended - count.first) / (most - 1))
        return answer

    return counting


def _ids(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a tensor or None
    given = args[0] if args else kwargs.get("inputs")
    return kwargs.get("input_ids") if given is None else given


def _prompt_lengths(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[int] | None:  # noqa: ANN401 - as transformers has it
    """How many tokens each prompt has, without padding where the mask can be read; None where it is no text."""
    ids = _ids(args, kwargs)
    if getattr(model, "main_input_name", "input_ids") != "input_ids":
        return None
    ids = kwargs.get("inputs_embeds") if ids is None else ids
    if ids is None or len(ids.shape) < _TABLE:
        return None
    rows, length = int(ids.shape[0]), int(ids.shape[1])
    mask = kwargs.get("attention_mask")
    if mask is not None and mask.is_cpu and tuple(mask.shape) == (rows, length):
        return [int(one) for one in mask.sum(dim=1).tolist()]
    return [length] * rows


def _new(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], answer: Any) -> list[int]:  # noqa: ANN401 - as transformers has it
    """How many tokens each sequence got; what fills a row after its end does not count, unless it is on a GPU."""
    sequences = getattr(answer, "sequences", answer)
    rows, length = int(sequences.shape[0]), int(sequences.shape[1])
    if model.config.is_encoder_decoder:
        begin = kwargs.get("decoder_input_ids")
        before = 1 if begin is None else int(begin.shape[1])
    else:
        ids = _ids(args, kwargs)
        before = int(ids.shape[1]) if ids is not None else 0 if kwargs.get("inputs_embeds") is not None else 1
    if not sequences.is_cpu:  # whoever looked would wait for it
        return [length - before] * rows
    ends = _ends(model, args, kwargs)
    return [_until(row, ends) for row in sequences[:, before:].tolist()]


def _ends(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> frozenset[int]:  # noqa: ANN401 - as transformers has it
    """The tokens that end a sequence."""
    config = kwargs.get("generation_config", args[1] if len(args) > 1 else None)
    for found in (
        kwargs.get("eos_token_id"),
        getattr(config, "eos_token_id", None),
        model.generation_config.eos_token_id,
    ):
        if found is not None:
            return frozenset(map(int, found)) if hasattr(found, "__iter__") else frozenset((int(found),))
    return frozenset()


def _until(row: Sequence[int], ends: frozenset[int]) -> int:
    return next((place + 1 for place, token in enumerate(row) if token in ends), len(row))


def _prompts(model: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as transformers has it
    lengths = _prompt_lengths(model, args, kwargs)
    return None if lengths is None else {"prompt.tokens": lengths}


def _lengths(_: Any) -> Any:  # noqa: ANN401 - the answer
    written = _written.get()
    _written.set(None)
    return None if written is None else {"output.tokens": written}


# ── pipelines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _pipelines(hooks: Hooks) -> None:
    module = sys.modules["transformers.pipelines.base"]
    reading = Reading(
        operation="pipeline",
        answer=_labels,
        model=lambda pipeline: pipeline.model,
        identity=Named.hub,
    )

    def each(cls: type) -> None:
        original = vars(cls).get("__call__")
        # somebody's own calls its base's, and may be pickled by value
        if isinstance(original, types.FunctionType) and _is_theirs(cls):
            names = _names(original)
            hooks.observe(cls, "__call__", reading._replace(inputs=functools.partial(_characters, names)))
            hooks.replace(cls, "__call__", _choosing(original, vars(cls)["__call__"], names, hooks))

    hooks.subclasses(module.Pipeline, each)


def _names(call: Callable[..., Any]) -> tuple[str, ...]:
    """By which names a pipeline may be given its input. A prompt goes first: its images are not rows of their own."""
    _, first, *_ = inspect.signature(call).parameters
    return ("text", first, *_UNSAID)


def _given(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what a pipeline takes
    """The input, of arguments without the pipeline."""
    return args[0] if args else next((kwargs[name] for name in names if kwargs.get(name) is not None), None)


def _choosing(
    original: Callable[..., Any], observed: Callable[..., Any], names: Sequence[str], hooks: Hooks
) -> Callable[..., Any]:
    """What streams predicts nothing when it is called: its iterator does."""

    @functools.wraps(original)
    def choosing(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        given = _given(names, args[1:], kwargs)
        if isinstance(given, types.GeneratorType) or _is_dataset(given):
            return original(*args, **kwargs)
        with hooks.guarded():
            _alone.set(_items(given) is not given)
        return observed(*args, **kwargs)

    return choosing


def _gone(_: object) -> None:
    """The input of an item of a stream."""
    raise UnreadableError("the text of a stream's item is gone when its prediction comes")


def _is_dataset(given: object) -> bool:
    return isinstance(given, sys.modules["torch"].utils.data.Dataset)


def _iterators(hooks: Hooks) -> None:
    """The last iterator of a stream: each of its items is a prediction."""
    module = sys.modules["transformers.pipelines.pt_utils"]

    def whose(iterator: Any) -> Any:  # noqa: ANN401 - a pipeline that was registered, or its model
        pipeline = iterator.infer.__self__
        return pipeline.model if hooks.named(pipeline) is None else pipeline

    reading = Reading(
        operation="pipeline",
        inputs=_gone,
        answer=_label,
        model=whose,
        identity=Named.hub,
        serving=lambda iterator: getattr(iterator.infer, "__name__", "") == "postprocess",
    )
    for name in _ITERATORS:
        hooks.observe(getattr(module, name), "__next__", reading)


def _characters(names: Sequence[str], _: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - what a pipeline takes
    """How long each text is; of what is no text only how many there are."""
    given = _given(names, args, kwargs)
    if given is None:
        return None
    items = _items(given)
    lengths = [_length(item) for item in items]
    return {"text.characters": lengths} if all(length is not None for length in lengths) else [[] for _ in items]


def _items(given: Any) -> Sequence[Any]:  # noqa: ANN401 - likewise
    """What transformers takes one by one: ``given`` itself, where that is several. A tuple of texts is one."""
    several = isinstance(given, list) or (isinstance(given, tuple) and not all(map(_is_text, given)))
    return given if several and not _is_chat(given) else [given]


def _is_text(item: object) -> bool:
    """A text, or texts that belong together."""
    return isinstance(item, str) or (isinstance(item, (list, tuple)) and not _is_chat(item))


def _is_chat(given: Sequence[Any]) -> bool:
    return bool(given) and isinstance(given[0], dict) and "role" in given[0]


def _length(item: Any) -> int | None:  # noqa: ANN401 - a text, a chat, a dict of texts
    if isinstance(item, str):
        return len(item)
    if isinstance(item, dict):
        texts = [item["content"]] if "role" in item else list(item.values())
    elif isinstance(item, (list, tuple)):
        texts = list(item)
    else:
        return None
    lengths = [_length(text) for text in texts]
    return sum(length or 0 for length in lengths) if any(length is not None for length in lengths) else None


def _labels(answer: Any) -> Any:  # noqa: ANN401 - what a pipeline gives
    """The first label and its score for each item; None for what is no classification."""
    alone = _alone.get()
    if not isinstance(answer, list):
        return _label(answer)
    found = [_first(answer)] if alone else [_first(item) for item in answer]
    if not found or any(one is None for one in found):
        return None
    return {"label": [label for label, _ in found], "score": [score for _, score in found]}  # type: ignore[misc]


def _label(item: Any) -> Any:  # noqa: ANN401 - what a pipeline gives for an item
    found = _first(item)
    return None if found is None else {"label": [found[0]], "score": [found[1]]}


def _first(item: Any) -> tuple[str, float] | None:  # noqa: ANN401 - likewise
    while isinstance(item, list) and item:
        item = item[0]
    if not isinstance(item, dict) or "box" in item or "mask" in item:
        return None
    if "label" in item and "score" in item:
        return str(item["label"]), float(item["score"])
    if item.get("labels") and item.get("scores"):
        return str(item["labels"][0]), float(item["scores"][0])
    return None


def _training(hooks: Hooks) -> None:
    """Evaluation between epochs is no serving."""
    for name in ("train", "evaluate"):
        hooks.suppress(sys.modules["transformers.trainer"].Trainer, name)


integration = Integration(
    name="transformers",
    distribution="transformers",
    lowest="4.50",
    modules={
        "transformers.generation.utils": _generation,
        "transformers.pipelines.base": _pipelines,
        "transformers.pipelines.pt_utils": _iterators,
        "transformers.trainer": _training,
    },
)
