"""Sentence Transformers under `mlobs.instrument()`: the same embeddings, told by eight directions, each call once."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry

torch: Any = pytest.importorskip("torch")
package: Any = pytest.importorskip("sentence_transformers")

WORDS = [f"w{index}" for index in range(60)]
TEXTS = ["w1 w2", "w3", "w4 w5 w6", "w7 w8", "w9 w10"]
KNOWN = [1.3292121726491863, -0.770033452004849, -0.31628035962142975]  # of directions(24)
TOLD = {"norm", *(f"direction_{index}" for index in range(8))}


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("sentence-transformers", "transformers", "torch")
    yield
    mlobs.uninstrument()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: index for index, word in enumerate(["<pad>", "<unk>", "<sep>", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


@pytest.fixture(scope="module")
def folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small transformer with one label, and its tokenizer."""
    import transformers

    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("models") / "tiny-pairs"
    config = transformers.BertConfig(
        vocab_size=len(WORDS) + 3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=1,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).eval().save_pretrained(path)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", sep_token="<sep>", model_max_length=64
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(tokenizer: Any) -> Any:
    modules = part("sentence_transformer.modules", "models")

    weights = np.random.default_rng(4).normal(size=(len(WORDS) + 3, 24)).astype(np.float32)
    made = package.SentenceTransformer(
        modules=[modules.StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu", prompts={"query": "w0 "}
    )
    return made.eval()


def part(name: str, before: str) -> Any:
    """A part of the package, which had another name before version 6."""
    try:
        return importlib.import_module(f"sentence_transformers.{name}")
    except ModuleNotFoundError:
        return importlib.import_module(f"sentence_transformers.{before}")


def bare(function: Any) -> Any:
    """What a function returns without mlobs."""
    mlobs.uninstrument()
    try:
        return function()
    finally:
        mlobs.instrument("sentence-transformers", "transformers", "torch")


def features(telemetry: Telemetry, role: str) -> dict[str, int]:
    """How many values of each feature were told."""
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role=role)
    }


def test_embeddings(encoder: Any, telemetry: Telemetry) -> None:
    """Each method gives what it gives without mlobs, and is one call, whatever it calls inside."""
    for name in ("encode", "encode_query", "encode_document"):
        np.testing.assert_array_equal(
            getattr(encoder, name)(TEXTS), bare(lambda name=name: getattr(encoder, name)(TEXTS))
        )
    encoder.encode("w1")
    encoder.encode(sentences=TEXTS)
    assert calls(telemetry) == {
        ("SentenceTransformer", "encode"): 3,
        ("SentenceTransformer", "encode_query"): 1,
        ("SentenceTransformer", "encode_document"): 1,
    }
    assert rows(telemetry)["SentenceTransformer", "encode"] == 11
    assert features(telemetry, "input") == {"text.characters": 21}
    assert features(telemetry, "output") == dict.fromkeys(TOLD, 21)
    assert telemetry.total("mlobs.sdk.dropped") == 0


@pytest.mark.parametrize("name", ["encode", "encode_query", "encode_document"])
def test_two_texts_are_no_pair(encoder: Any, name: str, telemetry: Telemetry) -> None:
    """A tuple has as many texts as it has, two as well."""
    expected = bare(lambda: getattr(encoder, name)(["w1", "w2 w3"]))
    for _ in range(3):
        np.testing.assert_array_equal(getattr(encoder, name)(("w1", "w2 w3")), expected)
    assert rows(telemetry) == {("SentenceTransformer", name): 6}
    assert features(telemetry, "input") == {"text.characters": 6}
    assert features(telemetry, "output") == dict.fromkeys(TOLD, 6)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"convert_to_tensor": True}, TOLD),
        ({"convert_to_numpy": False}, TOLD),
        ({"normalize_embeddings": True, "batch_size": 2}, TOLD),
        ({"precision": "int8"}, TOLD),
        ({"truncate_dim": 8}, TOLD),
        ({"output_value": None}, set()),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_ways_to_encode(encoder: Any, how: dict[str, Any], told: set[str], telemetry: Telemetry) -> None:
    """Tensors, lists, small integers, fewer dimensions: as without mlobs; what is no table of embeddings is left alone."""
    texts = TEXTS * 4
    answer, expected = encoder.encode(texts, **how), bare(lambda: encoder.encode(texts, **how))
    assert type(answer) is type(expected)
    if told:
        for one, other in zip(answer, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert rows(telemetry) == {("SentenceTransformer", "encode"): 20}
    assert set(features(telemetry, "output")) == told
    assert telemetry.total("mlobs.sdk.dropped") == 0


PROGRAM = "import mlobs_sentence_transformers as m; print(m.directions(24)[:2].tolist())"


def test_directions_are_the_same_everywhere(encoder: Any) -> None:
    """Another process has the same ones, of this many digits; they are known by heart."""
    import mlobs_sentence_transformers as integration

    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(integration.directions(24)[:2].tolist())
    assert integration.directions(24).shape == (24, 8)
    np.testing.assert_allclose(integration.directions(24)[0, :3], KNOWN, rtol=1e-12)
    unit = encoder.encode(WORDS, normalize_embeddings=True)
    told = integration._directions(unit)
    np.testing.assert_allclose(told["norm"], 1, rtol=1e-6)
    assert 0.5 < np.std([told[f"direction_{index}"] for index in range(8)]) < 2
    np.testing.assert_allclose(told["direction_3"], unit.astype(float) @ integration.directions(24)[:, 3])


def test_drift_of_embeddings(encoder: Any, telemetry: Telemetry) -> None:
    """Texts of other words drift in the directions; the same words do not."""
    import mlobs_sentence_transformers as integration

    words = np.random.default_rng(4)

    def texts(first: int, last: int) -> list[list[str]]:
        pairs = words.integers(first, last, (2000, 2))
        return [[f"w{one:02d} w{two:02d}" for one, two in part] for part in pairs.reshape(10, 200, 2)]

    told = [integration._directions(encoder.encode(part)) for part in texts(10, 35)]
    outputs = {name: np.concatenate([part[name] for part in told]) for name in told[0]}
    reference = mlobs.Profile.build({"text.characters": [7.0] * 2000}, outputs=outputs)
    encoder, other = copy.deepcopy(encoder), copy.deepcopy(encoder)
    mlobs.register(encoder, name="usual", reference=reference)
    mlobs.register(other, name="other", reference=reference)
    for part in texts(10, 35):
        encoder.encode(part)
    for part in texts(35, 60):
        other.encode(part)
    verdicts = mlobs.drift()
    drifted = {
        model: sum(verdict.verdict == "drifted" for name, verdict in verdicts[model].items() if name in TOLD)
        for model in ("usual", "other")
    }
    assert drifted["usual"] == 0
    assert drifted["other"] >= 4


def test_a_transformer_and_its_name(folder: Any, telemetry: Telemetry) -> None:
    """An encoder with a transformer inside is one call under the name of the folder it came from, or as registered."""
    inner = part("base.modules", "models").Transformer(str(folder))
    pooling = part("sentence_transformer.modules", "models").Pooling(16)
    encoder = package.SentenceTransformer(modules=[inner, pooling], device="cpu").eval()
    np.testing.assert_array_equal(encoder.encode(TEXTS), bare(lambda: encoder.encode(TEXTS)))
    mlobs.register(encoder, name="search", version="3")
    encoder.encode(TEXTS)
    assert calls(telemetry) == {("tiny-pairs", "encode"): 1, ("search", "encode"): 1}


@pytest.mark.parametrize("order", [("sentence-transformers", "torch"), ("torch", "sentence-transformers")])
def test_a_direct_call(folder: Any, encoder: Any, order: tuple[str, str], telemetry: Telemetry) -> None:
    """A model called by itself tells how many tokens each text has, and of no token which: neither before nor after it."""
    inner = part("base.modules", "models").Transformer(str(folder))
    pooling = part("sentence_transformer.modules", "models").Pooling(16)
    deep = package.SentenceTransformer(modules=[inner, pooling], device="cpu").eval()
    given = [
        (model, (model.preprocess if hasattr(model, "preprocess") else model.tokenize)(TEXTS * 2))
        for model in (deep, encoder)
    ]
    mlobs.uninstrument()
    with torch.no_grad():
        expected = [model(dict(batch))["sentence_embedding"] for model, batch in given]
        mlobs.instrument(*order)
        for (model, batch), embeddings in zip(given, expected, strict=True):
            assert torch.equal(model(dict(batch))["sentence_embedding"], embeddings)
            assert torch.equal(model(input=dict(batch))["sentence_embedding"], embeddings)
    assert calls(telemetry) == {("tiny-pairs", "forward"): 2, ("SentenceTransformer", "forward"): 2}
    assert rows(telemetry) == {("tiny-pairs", "forward"): 20, ("SentenceTransformer", "forward"): 20}
    assert features(telemetry, "input") == {"prompt.tokens": 20}  # of either
    assert features(telemetry, "output") == {}
    assert telemetry.total("mlobs.sdk.dropped") == 0
    deep.train()(dict(given[0][1]))
    assert sum(calls(telemetry).values()) == 4
    mlobs.uninstrument()
    assert "__call__" not in vars(package.SentenceTransformer)


def test_pairs(folder: Any, telemetry: Telemetry) -> None:
    """A cross-encoder's scores are its answers, and ranking is one call."""
    cross = package.CrossEncoder(str(folder), device="cpu")
    pairs = [("w1 w2", "w3"), ("w4", "w5 w6")] * 4
    np.testing.assert_array_equal(cross.predict(pairs), bare(lambda: cross.predict(pairs)))
    assert cross.predict(pairs[0]) == bare(lambda: cross.predict(pairs[0]))
    assert cross.rank("w1", TEXTS) == bare(lambda: cross.rank("w1", TEXTS))
    assert calls(telemetry) == {("tiny-pairs", "predict"): 2, ("tiny-pairs", "rank"): 1}
    assert rows(telemetry) == {("tiny-pairs", "predict"): 9, ("tiny-pairs", "rank"): 5}
    assert features(telemetry, "input") == {"text.characters": 14}
    assert set(features(telemetry, "output")) == {"score"}


def test_errors_pass_through_and_are_counted(encoder: Any, telemetry: Telemetry) -> None:
    """No text, None, an argument that is none, a device that is none: what the package raises; no texts are no error."""
    bad: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        ((None,), {}),
        ((TEXTS,), {"nonsense": 1}),
        ((TEXTS,), {"output_value": "nonsense"}),
        ((TEXTS,), {"device": "nonsense"}),
    ]
    raised = 0
    for args, kwargs in bad:
        expected: BaseException | None = None
        try:
            bare(lambda args=args, kwargs=kwargs: encoder.encode(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever it is
            expected = error
        if expected is None:
            encoder.encode(*args, **kwargs)
            continue
        raised += 1
        with pytest.raises(type(expected)) as found:
            encoder.encode(*args, **kwargs)
        assert str(found.value) == str(expected)
    assert raised >= 3
    assert sum(errors(telemetry).values()) == raised
    before = telemetry.total("mlobs.sdk.dropped")
    assert len(encoder.encode([])) == 0
    assert telemetry.total("mlobs.sdk.dropped") == before


def test_inside_of_others_and_in_threads(encoder: Any, telemetry: Telemetry) -> None:
    """A decorated function has the call; threads count each; evaluation counts nothing."""

    @mlobs.observe(model="search")
    def search(text: str) -> int:
        return int(encoder.similarity(encoder.encode_query(text), encoder.encode_document(TEXTS)).argmax())

    search("w3")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(encoder.encode, [TEXTS] * 12))
    evaluation = part("sentence_transformer.evaluation", "evaluation")
    evaluation.EmbeddingSimilarityEvaluator(TEXTS, TEXTS[::-1], [0.1, 0.2, 0.5, 0.8, 0.9], write_csv=False)(encoder)
    assert calls(telemetry) == {("search", "search"): 1, ("SentenceTransformer", "encode"): 12}


def test_nothing_of_a_text_is_told(encoder: Any, telemetry: Telemetry) -> None:
    """No word is in any metric or span."""
    for _ in range(5):
        encoder.encode(["w41 secretword"])
    said = repr([(points.attributes.items(), points) for points in telemetry.collect().points])
    said += repr([(span.name, dict(span.attributes or {})) for span in telemetry.spans])
    assert "direction_7" in said
    assert "secretword" not in said


def test_copies_and_back(encoder: Any, telemetry: Telemetry) -> None:
    """Pickles are the same, copies count, signatures stay, and uninstrumenting restores the very objects."""
    evaluator = part("base.evaluation.evaluator", "evaluation.SentenceEvaluator")
    assert pickle.dumps(encoder) == bare(lambda: pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.deepcopy(encoder).encode(TEXTS), encoder.encode(TEXTS))
    assert calls(telemetry) == {("SentenceTransformer", "encode"): 2}
    places = [(package.SentenceTransformer, name) for name in ("encode", "encode_query", "encode_document")]
    places += [(package.CrossEncoder, "predict"), (package.CrossEncoder, "rank"), (package.SparseEncoder, "encode")]
    places += [(getattr(evaluator, "BaseEvaluator", None) or evaluator.SentenceEvaluator, "__call__")]
    hooked = standing(*places)
    signatures = [inspect.signature(vars(owner)[name]) for owner, name in places]
    mlobs.uninstrument()
    before = standing(*places)
    assert all(hooked[key] is not before[key] for key in before)
    assert [inspect.signature(vars(owner)[name]) for owner, name in places] == signatures
    mlobs.instrument("sentence-transformers")
    mlobs.uninstrument()
    assert standing(*places) == before
