"""Sentence Transformers: embeddings, told by their length and eight fixed directions, and the scores of pairs. No text is read."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlobs.integration import Hooks

_ENCODE: Final = ("encode", "encode_query", "encode_document")
_DIRECTIONS: Final = 8
_MOST: Final = 256  # embeddings of one call that are told; of more, evenly spaced ones
_TABLE: Final = 2  # dimensions


def _models(hooks: Hooks) -> None:
    module = sys.modules["sentence_transformers"]
    encoding = Reading(inputs=_characters, answer=_directions, identity=_identity)
    for kind in ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder"):
        for name in _ENCODE if hasattr(module, kind) else ():
            hooks.observe(getattr(module, kind), name, encoding)
    hooks.observe(module.CrossEncoder, "predict", Reading(inputs=_characters, answer=_scores, identity=_identity))
    hooks.observe(module.CrossEncoder, "rank", Reading(inputs=_documents, answer=_nothing, identity=_identity))


def _evaluators(name: str, base: str, hooks: Hooks) -> None:
    """Evaluation is no serving."""
    hooks.subclasses(getattr(sys.modules[name], base), lambda cls: hooks.suppress(cls, "__call__"))


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────


def _characters(_: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - texts, or pairs of them
    """How long each text or pair is."""
    given = args[0] if args else next((kwargs[name] for name in ("inputs", "sentences") if name in kwargs), None)
    if given is None:
        return None
    if isinstance(given, str):
        return {"text.characters": [len(given)]}
    pair = isinstance(given, tuple) and len(given) == 2 and all(isinstance(text, str) for text in given)
    lengths = [_length(item) for item in ([given] if pair else given)]
    return {"text.characters": lengths} if all(lengths) or None not in lengths else [[] for _ in lengths]


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
