"""Sentence Transformers: embeddings, told by their length and eight fixed directions, and the scores of pairs. No text is read."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlobs.integration import Hooks

_ENCODERS: Final = ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder")
_ENCODE: Final = ("encode", "encode_query", "encode_document")
_DIRECTIONS: Final = 8
_MOST: Final = 256  # embeddings of one call that are told; of more, evenly spaced ones
_TABLE: Final = 2  # dimensions


def _models(hooks: Hooks) -> None:
    module = sys.modules["sentence_transformers"]
    encoding = Reading(inputs=_texts, answer=_directions, identity=_identity)
    for kind in _ENCODERS:
        for name in _ENCODE if hasattr(module, kind) else ():
            hooks.observe(getattr(module, kind), name, encoding)
    hooks.observe(module.CrossEncoder, "predict", Reading(inputs=_pairs, answer=_scores, identity=_identity))
    hooks.observe(module.CrossEncoder, "rank", Reading(inputs=_documents, answer=_nothing, identity=_identity))
    _forward([getattr(module, kind) for kind in (*_ENCODERS, "CrossEncoder") if hasattr(module, kind)], hooks)


def _forward(kinds: Sequence[type], hooks: Hooks) -> None:
    """A direct call, of which PyTorch's integration would tell the ids of tokens, as it tells what any Sequential is given."""
    torch = sys.modules["torch"]
    tracing, exporting = torch._C._is_tracing, torch.compiler.is_compiling  # noqa: SLF001 - as PyTorch's integration
    reading = Reading(
        operation="forward",
        inputs=_tokens,
        answer=_nothing,
        identity=_identity,
        serving=lambda model: not (model.training or tracing() or exporting()),
        unless=torch.compiler.is_dynamo_compiling,
    )
    for cls in kinds:
        if issubclass(cls, torch.nn.Sequential):
            # else it would have what is hooked in Sequential; and it is no function of ours that torch.compile would look at
            hooks.replace(cls, "__call__", torch.nn.Module.__call__)
            hooks.observe(cls, "__call__", reading)


def _evaluators(name: str, base: str, hooks: Hooks) -> None:
    """Evaluation is no serving."""
    hooks.subclasses(getattr(sys.modules[name], base), lambda cls: hooks.suppress(cls, "__call__"))


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────


def _texts(_: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a text, or texts
    """How long each text is."""
    given = _given(args, kwargs)
    return _characters([given] if isinstance(given, str) else given)


def _pairs(_: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a pair, or pairs
    """How long each pair is."""
    given = _given(args, kwargs)
    alone = isinstance(given, tuple) and len(given) == 2 and all(isinstance(text, str) for text in given)
    return _characters([given] if alone or isinstance(given, str) else given)


def _given(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as the package has it
    return args[0] if args else next((kwargs[name] for name in ("inputs", "sentences") if name in kwargs), None)


def _characters(items: Any) -> Any:  # noqa: ANN401 - texts, or pairs of them
    """How long each is, or how many there are where one is no text."""
    if items is None:
        return None
    lengths = [_length(item) for item in items]
    return {"text.characters": lengths} if all(lengths) or None not in lengths else [[] for _ in lengths]


def _tokens(_: Any, features: Any = None, **named: Any) -> Any:  # noqa: ANN401 - what a tokenizer gives
    """Of token ids nothing but how many each text has."""
    given: Any = named.get("input") if features is None else features
    if not hasattr(given, "get"):
        return None
    mask, ids, begins = (given.get(name) for name in ("attention_mask", "input_ids", "offsets"))
    if mask is not None and mask.is_cpu and len(mask.shape) == _TABLE:
        return {"prompt.tokens": mask.sum(dim=1)}
    if begins is not None and begins.is_cpu:  # all texts in one row, without padding
        return {"prompt.tokens": begins.diff(append=begins.new_tensor([len(ids)]))}
    if ids is None or len(ids.shape) < _TABLE:
        return None
    return {"prompt.tokens": [int(ids.shape[1])] * int(ids.shape[0])}


def _documents(_: Any, query: Any = None, documents: Any = (), **__: Any) -> Any:  # noqa: ANN401 - a text and texts
    """How long the query is with each document."""
    return {"text.characters": [len(query) + len(document) for document in documents]}


def _length(item: Any) -> int | None:  # noqa: ANN401 - a text, or a list of texts
    if isinstance(item, str):
        return len(item)
    if isinstance(item, (list, tuple)) and all(isinstance(text, str) for text in item):
        return sum(map(len, item))
    return None


def _directions(answer: Any) -> Any:  # noqa: ANN401 - an array or tensor, or a list of them
    """The length of each embedding, and how far it goes in each of the directions."""
    import numpy as np

    vectors = _array(answer)
    if vectors is None:
        return None
    along = vectors @ directions(vectors.shape[1])
    told = {"norm": np.linalg.norm(vectors, axis=1)}
    return told | {f"direction_{index}": along[:, index] for index in range(_DIRECTIONS)}


@functools.lru_cache(16)
def directions(dimension: int) -> Any:  # noqa: ANN401 - an array
    """The same in every process, release and machine: normal numbers of numpy's frozen generator, seeded by the dimension.

    Shape (dimension, 8), float64. Of embeddings of length 1 each projection is spread around 0 by about 1.
    """
    import numpy as np

    frozen = np.random.RandomState(dimension)
    return frozen.standard_normal((dimension, _DIRECTIONS))


def _array(answer: Any) -> Any:  # noqa: ANN401 - what encode gives
    """The embeddings as float64, (texts, dimension); None of what lies on a GPU or is no embedding of a text."""
    import numpy as np

    parts = answer if isinstance(answer, (list, tuple)) else [answer]
    parts = parts[:: max(1, -(-len(parts) // _MOST))]
    found = []
    for part in parts:
        plain = part
        if hasattr(part, "is_cpu"):
            if not part.is_cpu or part.layout is not sys.modules["torch"].strided:
                return None
            plain = part.detach().float().numpy()
        if not isinstance(plain, np.ndarray) or plain.dtype.kind not in "fiu" or not 1 <= plain.ndim <= _TABLE:
            return None
        if not plain.size:
            return None  # of no text
        if plain.ndim == _TABLE and isinstance(answer, (list, tuple)):
            return None  # a matrix for each text: its tokens
        found.append(plain.reshape(-1, plain.shape[-1]))
    if not found or len({one.shape[1] for one in found}) > 1:
        return None
    vectors = found[0] if len(found) == 1 else np.concatenate(found)
    return vectors[:: max(1, -(-len(vectors) // _MOST))].astype(np.float64)


def _scores(answer: Any) -> Any:  # noqa: ANN401 - an array or tensor
    """One score a pair, or one for each label."""
    if isinstance(answer, (list, tuple)):
        return (
            {"score": [float(one) for one in answer]} if all(getattr(one, "is_cpu", True) for one in answer) else None
        )
    return {"score": answer} if getattr(answer, "ndim", 0) == 1 else answer


def _nothing(_: Any) -> None:  # noqa: ANN401 - an answer
    """Documents in their order are no table."""


def _identity(model: Any) -> Named | None:  # noqa: ANN401 - a sentence transformer
    """Where its transformer came from."""
    parts: Sequence[Any] = [model, *model.children()]
    for part in parts:
        for inner in (getattr(part, "auto_model", None), getattr(part, "model", None)):
            found = Named.hub(inner)
            if found is not None:
                return found
    return None


_EVALUATORS: Final = {
    "sentence_transformers.base.evaluation.evaluator": "BaseEvaluator",
    "sentence_transformers.evaluation.SentenceEvaluator": "SentenceEvaluator",  # before 6
}

integration = Integration(
    name="sentence-transformers",
    distribution="sentence-transformers",
    lowest="5.0",
    modules={
        "sentence_transformers": _models,
        **{name: functools.partial(_evaluators, name, base) for name, base in _EVALUATORS.items()},
    },
)
