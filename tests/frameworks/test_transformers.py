"""transformers under `mlobs.instrument()`: generations with their tokens, pipelines item by item, and no word of any text."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

WORDS = [f"w{index}" for index in range(60)]
GENERATE = ("GPT2LMHeadModel", "generate")
PIPELINE = ("BertForSequenceClassification", "pipeline")


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    transformers.logging.set_verbosity_error()
    mlobs.instrument("transformers", "torch")
    yield
    mlobs.uninstrument()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: index for index, word in enumerate(["<pad>", "<unk>", "<eos>", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>", padding_side="left"
    )


@pytest.fixture(scope="module")
def gpt(tokenizer: Any) -> Any:
    torch.manual_seed(4)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=2, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def bert(tokenizer: Any) -> Any:
    torch.manual_seed(4)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=3,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config).eval()


@pytest.fixture
def classify(bert: Any, tokenizer: Any) -> Any:
    return transformers.pipeline("text-classification", model=bert, tokenizer=tokenizer, device="cpu")


def bare(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function returns without mlobs."""
    mlobs.uninstrument()
    try:
        return function(*args, **kwargs)
    finally:
        mlobs.instrument("transformers", "torch")


def tokens(telemetry: Telemetry) -> dict[str, tuple[int, float]]:
    """How many generations said their tokens, and how many tokens those were, by kind."""
    found = {}
    for one in telemetry.histograms("gen_ai.client.token.usage"):
        found[dict(one.attributes.items())["gen_ai.token.type"]] = (int(sum(one.counts)), one.total)  # type: ignore[union-attr]
    return found


def features(telemetry: Telemetry, role: str) -> dict[str, int]:
    """How many values of each feature were told."""
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role=role)
    }


# ── generation ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_generation(gpt: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """The same tokens as without mlobs; a batch is one call, padding is no token, and the forwards inside count nothing."""
    batch = tokenizer(["w1 w2 w3", "w4"] * 3, return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    how = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    expected = bare(gpt.generate, **batch, **how)
    assert torch.equal(gpt.generate(**batch, **how), expected)
    assert torch.equal(gpt.generate(batch["input_ids"], attention_mask=batch["attention_mask"], **how), expected)
    assert calls(telemetry) == {GENERATE: 2}
    assert rows(telemetry) == {GENERATE: 12}
    assert tokens(telemetry) == {"input": (2, 24.0), "output": (2, 60.0)}
    assert telemetry.total("gen_ai.server.time_to_first_token") == 2
    assert telemetry.total("gen_ai.server.time_per_output_token") == 2
    assert features(telemetry, "input") == {"prompt.tokens": 12}
    assert features(telemetry, "output") == {"output.tokens": 12}
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_the_end_of_a_sequence(gpt: Any, telemetry: Telemetry) -> None:
    """What fills a row after its end is no token of the answer, the end itself is."""
    prompt = torch.tensor([[3, 4], [5, 6], [7, 8]])
    free = bare(gpt.generate, prompt, max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    end = int(free[0, 3])  # what the first row says second
    answer = gpt.generate(prompt, max_new_tokens=6, do_sample=False, eos_token_id=end, pad_token_id=0)
    lengths = [row.index(end) + 1 if end in row else len(row) for row in answer[:, 2:].tolist()]
    assert lengths[0] <= 2
    assert tokens(telemetry)["output"] == (1, float(sum(lengths)))


def test_ways_to_generate(gpt: Any, telemetry: Telemetry) -> None:
    """Sampling, beams, several answers, embeddings, an assistant, an object as answer: the same, one call, tokens counted."""
    prompt = torch.tensor([[3, 4, 5]])
    same = {"max_new_tokens": 4, "min_new_tokens": 4, "pad_token_id": 0}
    ways: list[tuple[dict[str, Any], int]] = [
        ({"inputs": prompt, "do_sample": True}, 4),
        ({"inputs": prompt, "num_beams": 3, "do_sample": False}, 4),
        ({"inputs": prompt, "num_return_sequences": 3, "do_sample": True}, 12),
        ({"inputs_embeds": gpt.transformer.wte(prompt).detach(), "do_sample": False}, 4),
        ({"inputs": prompt, "do_sample": False, "return_dict_in_generate": True, "output_scores": True}, 4),
        ({"inputs": prompt, "do_sample": False, "assistant_model": copy.deepcopy(gpt)}, 4),
    ]
    for way, _ in ways:
        answers = []
        for run in (bare, lambda function, **kwargs: function(**kwargs)):
            torch.manual_seed(1)
            answer = run(gpt.generate, **way, **same)
            answers.append(getattr(answer, "sequences", answer))
        assert torch.equal(*answers), way
    assert calls(telemetry) == {GENERATE: len(ways)}
    assert tokens(telemetry) == {"input": (6, 18.0), "output": (6, float(sum(count for _, count in ways)))}
    assert telemetry.total("gen_ai.server.time_to_first_token") == len(ways)


def test_an_encoder_and_a_decoder(tokenizer: Any, telemetry: Telemetry) -> None:
    """The token that a decoder starts with is none of the answer."""
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=0, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    t5 = transformers.T5ForConditionalGeneration(config).eval()
    prompt = torch.tensor([[3, 4, 5]])
    how = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    assert torch.equal(t5.generate(prompt, **how), bare(t5.generate, prompt, **how))
    assert calls(telemetry) == {("T5ForConditionalGeneration", "generate"): 1}
    assert tokens(telemetry) == {"input": (1, 3.0), "output": (1, 4.0)}


def test_streaming(gpt: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """A streamer in another thread gets every word, and the generation is one call with the time of its first token."""
    streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
    given = {"inputs": torch.tensor([[3, 4, 5]]), "max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    thread = threading.Thread(target=gpt.generate, kwargs={**given, "streamer": streamer})
    thread.start()
    text = "".join(streamer)
    thread.join(60)
    expected = bare(gpt.generate, **given)
    assert text == tokenizer.decode(expected[0, 3:])
    assert calls(telemetry) == {GENERATE: 1}
    assert tokens(telemetry) == {"input": (1, 3.0), "output": (1, 6.0)}
    assert telemetry.total("gen_ai.server.time_to_first_token") == 1


def test_first_tokens_are_sooner_than_answers(gpt: Any, telemetry: Telemetry) -> None:
    """The first token and the further ones together take no longer than the call."""
    gpt.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=20, min_new_tokens=20, do_sample=False)
    (first,) = telemetry.histograms("gen_ai.server.time_to_first_token")
    (further,) = telemetry.histograms("gen_ai.server.time_per_output_token")
    (whole,) = telemetry.histograms("mlobs.prediction.duration", model_operation="generate")
    assert 0 < first.total < whole.total  # type: ignore[union-attr]
    assert first.total + 19 * further.total == pytest.approx(whole.total, rel=0.2)  # type: ignore[union-attr]


def test_tokens_belong_to_whoever_is_outermost(gpt: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """A decorated function or a pipeline that generates: its call, and its tokens."""

    @mlobs.observe(model="chat")
    def answer(question: str) -> str:
        ids = tokenizer(question, return_tensors="pt")["input_ids"]
        return str(tokenizer.decode(gpt.generate(ids, max_new_tokens=3, min_new_tokens=3, do_sample=False)[0]))

    assert answer("w1 w2") == bare(answer, "w1 w2")
    write = transformers.pipeline("text-generation", model=gpt, tokenizer=tokenizer, device="cpu")
    how = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
    assert write("w1 w2 w3", **how) == bare(write, "w1 w2 w3", **how)
    assert write(["w1", "w2"], **how) == bare(write, ["w1", "w2"], **how)
    assert calls(telemetry) == {("chat", "answer"): 2, ("GPT2LMHeadModel", "pipeline"): 2}
    by_model = {
        (of["model.name"], of["gen_ai.token.type"]): one.total  # type: ignore[union-attr]
        for one in telemetry.histograms("gen_ai.client.token.usage")
        for of in [dict(one.attributes.items())]
    }
    assert by_model["chat", "output"] == 3
    assert by_model["GPT2LMHeadModel", "input"] == 5
    assert by_model["GPT2LMHeadModel", "output"] == 9


# ── pipelines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_classification(classify: Any, telemetry: Telemetry) -> None:
    """One text, several, all labels of one: the same answers; rows, lengths of texts and scores are counted."""
    for given, how in (("w1 w2", {}), (["w1", "w2 w3"] * 3, {}), ("w4", {"top_k": None}), (["w5", "w6"], {"top_k": 2})):
        assert classify(given, **how) == bare(classify, given, **how)
    assert calls(telemetry) == {PIPELINE: 4}
    assert rows(telemetry) == {PIPELINE: 10}
    assert features(telemetry, "input") == {"text.characters": 10}
    assert features(telemetry, "output") == {"score": 10}
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_drift_of_labels(classify: Any, telemetry: Telemetry) -> None:
    """With a reference for it, a pipeline's labels and scores are held against it."""
    answers = classify([f"w{index} w{index + 1}" for index in range(50)])
    reference = mlobs.Profile.build(
        {"text.characters": [5.0] * 500},
        outputs={key: [one[key] for one in answers] * 10 for key in ("label", "score")},
    )
    mlobs.register(classify, name="mood", version="1", reference=reference)
    classify([f"w{index} w{index + 1}" for index in range(50)])
    assert {feature: verdict.count for feature, verdict in mlobs.drift()["mood"].items()} == {
        "text.characters": 50, "label": 50, "score": 50,
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 4])
def test_streams(classify: Any, size: int, telemetry: Telemetry) -> None:
    """A generator is answered lazily, and each item counts as it is taken, whatever the batch; the end is no call."""
    texts = [f"w{index} w3" for index in range(10)]
    expected = bare(classify, texts)
    stream = classify((text for text in texts), batch_size=size)
    assert calls(telemetry) == {}
    iterator = iter(stream)
    assert [round(next(iterator)["score"], 5) for _ in range(3)] == [round(one["score"], 5) for one in expected[:3]]
    assert calls(telemetry) == {PIPELINE: 3}
    assert [one["label"] for one in iterator] == [one["label"] for one in expected[3:]]
    assert calls(telemetry) == {PIPELINE: 10}
    assert rows(telemetry) == {PIPELINE: 10}
    assert features(telemetry, "output") == {"score": 10}
    assert errors(telemetry) == {}
    assert telemetry.total("mlobs.prediction.active") == 0


def test_datasets(classify: Any, telemetry: Telemetry) -> None:
    """A dataset streams likewise, its length stays, and no item of it no call."""
    from transformers.pipelines.pt_utils import KeyDataset

    given = KeyDataset([{"text": f"w{index}"} for index in range(6)], "text")
    stream = classify(given)
    assert len(stream) == 6
    assert list(stream) == bare(lambda: list(classify(given)))
    assert list(classify(text for text in list[str]())) == []
    assert calls(telemetry) == {PIPELINE: 6}
    assert rows(telemetry) == {PIPELINE: 6}


def test_a_stream_under_a_reference(classify: Any, telemetry: Telemetry) -> None:
    """The texts of its items are gone: that is counted, and is no fault of what was sent."""
    reference = mlobs.Profile.build({"text.characters": [5, 6] * 100})
    mlobs.register(classify, name="service", version="1", reference=reference)
    classify(["w1", "w2"])
    list(classify(text for text in ["w1", "w2", "w3"]))
    assert rows(telemetry) == {("service", "pipeline"): 5}
    assert telemetry.total("mlobs.feature.observations", feature="text.characters") == 2
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 3
    assert telemetry.total("mlobs.schema.violations") == 0


def test_a_registered_pipeline_keeps_its_name_when_it_streams(classify: Any, telemetry: Telemetry) -> None:
    """Whatever it is given, a pipeline goes by its registration, and one nobody registered by its model's."""
    from transformers.pipelines.pt_utils import KeyDataset

    classify.model = mlobs.register(copy.deepcopy(classify.model), name="mood", version="2")
    list(classify(text for text in ["w1", "w2"]))
    mlobs.register(classify, name="service", version="1")
    classify("w1")
    list(classify(text for text in ["w1", "w2"]))
    list(classify(KeyDataset([{"text": "w1"}] * 3, "text")))
    assert calls(telemetry) == {("mood", "pipeline"): 2, ("service", "pipeline"): 6}


def test_inputs_by_keyword(classify: Any, bert: Any, gpt: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """The input is found by the name that the pipeline has for it, wherever it stands among the keywords."""
    assert classify(top_k=1, inputs="w1") == bare(classify, top_k=1, inputs="w1")
    assert classify(top_k=1, inputs=["w1", "w2", "w3"]) == bare(classify, top_k=1, inputs=["w1", "w2", "w3"])
    assert rows(telemetry) == {PIPELINE: 4}
    zero = transformers.pipeline("zero-shot-classification", model=bert, tokenizer=tokenizer, device="cpu")
    zero(candidate_labels=["w2", "w3", "w4"], sequences="w1")
    assert rows(telemetry) == {PIPELINE: 5}
    assert len(list(classify(batch_size=2, inputs=(text for text in ["w1", "w2", "w3"])))) == 3
    assert calls(telemetry) == {PIPELINE: 6}
    assert rows(telemetry) == {PIPELINE: 8}
    extract = transformers.pipeline("feature-extraction", model=bert.bert, tokenizer=tokenizer, device="cpu")
    extract(return_tensors=True, inputs=["w1", "w2"])  # which its own signature does not name
    write = transformers.pipeline("text-generation", model=gpt, tokenizer=tokenizer, device="cpu")
    write(max_new_tokens=2, text_inputs=["w1", "w2", "w3"])
    assert rows(telemetry) == {PIPELINE: 8, ("BertModel", "pipeline"): 2, ("GPT2LMHeadModel", "pipeline"): 3}


def test_a_tuple_is_one_input(classify: Any, gpt: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """As transformers takes it: texts that belong together. A tuple of chats is as many, and one of messages one."""
    words = ("w1", "w2", "w3")
    assert classify(words, top_k=None) == bare(classify, words, top_k=None)
    for _ in range(4):
        assert classify(words) == bare(classify, words)
    assert rows(telemetry) == {PIPELINE: 5}
    assert features(telemetry, "input") == {"text.characters": 5}
    assert features(telemetry, "output") == {"score": 5}
    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    write = transformers.pipeline("text-generation", model=gpt, tokenizer=chatty, device="cpu")
    message = {"role": "user", "content": "w1 w2"}
    write(([message], [message]), max_new_tokens=2)
    write((message,), max_new_tokens=2)
    assert rows(telemetry)["GPT2LMHeadModel", "pipeline"] == 3


def test_a_stream_inside_of_a_decorated_function(classify: Any, telemetry: Telemetry) -> None:
    """Whoever is outermost has the call."""

    @mlobs.observe(model="outer")
    def serve(texts: list[str]) -> int:
        return len(list(classify(text for text in texts)))

    assert serve(["w1", "w2"]) == 2
    assert calls(telemetry) == {("outer", "serve"): 1}


def test_tasks_of_other_kinds(bert: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """Features and zero-shot classes: the same answers, and no text in any of what is told."""
    torch.manual_seed(4)
    backbone = bert.bert
    extract = transformers.pipeline("feature-extraction", model=backbone, tokenizer=tokenizer, device="cpu")
    assert extract("w1 w2") == bare(extract, "w1 w2")
    assert calls(telemetry) == {("BertModel", "pipeline"): 1}
    zero = transformers.pipeline("zero-shot-classification", model=bert, tokenizer=tokenizer, device="cpu")
    assert zero("w7 w8", candidate_labels=["w1", "w2"]) == bare(zero, "w7 w8", candidate_labels=["w1", "w2"])
    assert rows(telemetry) == {("BertModel", "pipeline"): 1, PIPELINE: 1}


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_forward(bert: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """A model called by itself, compiled or not, is torch's integration's: lengths of what was given, logits as answers, no token."""
    batch = tokenizer(["w1 w2 w3", "w4"] * 4, return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        expected = bare(lambda: bert(**batch)).logits
        assert torch.equal(bert(**batch).logits, expected)
        assert torch.equal(bert(batch["input_ids"], batch["attention_mask"], return_dict=False)[0], expected)
        compiled = torch.compile(bert, backend="eager")
        assert torch.equal(compiled(**batch).logits, expected)
        assert torch.equal(compiled(batch["input_ids"], batch["attention_mask"]).logits, expected)
    forward = ("BertForSequenceClassification", "forward")
    assert calls(telemetry) == {forward: 4}
    assert rows(telemetry) == {forward: 32}
    assert features(telemetry, "input") == {"prompt.tokens": 32}
    assert set(features(telemetry, "output")) == {"score_0", "score_1", "score_2"}


def test_names(gpt: Any, classify: Any, telemetry: Telemetry, tmp_path: Any) -> None:
    """Registered; else where it was loaded from, by the last part of a path; else its class."""
    prompt, how = torch.tensor([[3, 4]]), {"max_new_tokens": 1, "do_sample": False}
    gpt.save_pretrained(tmp_path / "tiny-writer")
    loaded = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "tiny-writer")
    loaded.generate(prompt, **how)
    hub = copy.deepcopy(gpt)
    hub.config.name_or_path = "someone/writer"
    hub.config._commit_hash = "abc123"
    hub.generate(prompt, **how)
    classify.model = mlobs.register(copy.deepcopy(classify.model), name="mood", version="2")
    classify("w1")
    mlobs.register(classify, name="service")
    classify("w1")
    versions = {
        (dict(key)["model.name"], dict(key)["model.version"]) for key in telemetry.numbers("mlobs.prediction.rows")
    }
    assert versions == {
        ("tiny-writer", "unversioned"), ("someone/writer", "abc123"), ("mood", "2"), ("service", "unversioned"),
    }  # fmt: skip


def test_errors_pass_through_and_are_counted(gpt: Any, classify: Any, telemetry: Telemetry) -> None:
    """A bad argument, ids of no word, another device, no batch, no text: what transformers raises, counted by type."""
    prompt = torch.tensor([[3, 4]])

    def generate(*args: Any, **kwargs: Any) -> Any:
        return gpt.generate(*args, **kwargs)

    bad: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (generate, (prompt,), {"max_new_tokens": 0, "do_sample": False}),
        (generate, (prompt,), {"max_new_tokens": 3, "nonsense": 1}),
        (generate, (torch.tensor([[1000]]),), {"max_new_tokens": 3}),
        (generate, (prompt.float(),), {"max_new_tokens": 3}),
        (generate, (prompt[:0],), {"max_new_tokens": 3, "do_sample": False}),
        (classify, (3,), {}),
        (classify, (), {}),
        (classify, ([],), {}),
    ]
    raised = 0
    for function, args, kwargs in bad:
        expected: BaseException | None = None
        try:
            bare(function, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is
            expected = error
        if expected is None:
            function(*args, **kwargs)
            continue
        raised += 1
        with pytest.raises(type(expected)) as found:
            function(*args, **kwargs)
        assert str(found.value) == str(expected)
    assert raised >= 5
    assert sum(errors(telemetry).values()) == raised


def test_errors_within_a_stream(classify: Any, telemetry: Telemetry) -> None:
    """An item that cannot be read fails where it does without mlobs, and is one failed call; earlier ones count."""
    stream = iter(classify(text for text in ["w1", 3, "w2"]))
    next(stream)
    with pytest.raises(ValueError, match="text input must be of type"):
        next(stream)
    assert calls(telemetry) == {PIPELINE: 2}
    assert errors(telemetry) == {"ValueError": 1}


def test_nothing_of_a_text_is_told(gpt: Any, tokenizer: Any, classify: Any, telemetry: Telemetry) -> None:
    """No word and no token's number is in any metric or span."""
    for _ in range(5):
        classify("w41 w42 secretword")
    write = transformers.pipeline("text-generation", model=gpt, tokenizer=tokenizer, device="cpu")
    write("w43 secretword", max_new_tokens=2, do_sample=False)
    said = repr([(points.attributes.items(), points) for points in telemetry.collect().points])
    said += repr([(span.name, dict(span.attributes or {})) for span in telemetry.spans])
    assert "text.characters" in said
    assert "secretword" not in said
    assert "w41" not in said


def test_copies_and_pickles(gpt: Any, classify: Any, telemetry: Telemetry) -> None:
    """Models and pipelines are pickled and copied as they are without mlobs."""
    prompt, how = torch.tensor([[3, 4]]), {"max_new_tokens": 2, "do_sample": False}
    assert pickle.dumps(gpt) == bare(pickle.dumps, gpt)
    again = pickle.loads(pickle.dumps(gpt))
    assert torch.equal(again.generate(prompt, **how), gpt.generate(prompt, **how))
    assert copy.deepcopy(classify)("w1") == classify("w1")
    assert calls(telemetry) == {GENERATE: 2, PIPELINE: 2}


def test_classes_of_users(bert: Any, gpt: Any, tokenizer: Any, telemetry: Telemetry) -> None:
    """A pipeline and a generator of the user's own count once, and their classes are pickled by value with them."""

    class Polite(transformers.TextClassificationPipeline):  # type: ignore[misc]
        def __call__(self, inputs: Any, **kwargs: Any) -> Any:
            return super().__call__(inputs, **kwargs)

    class Writer(transformers.GPT2LMHeadModel):  # type: ignore[misc]
        def generate(self, *args: Any, **kwargs: Any) -> Any:
            return super().generate(*args, **kwargs)

    prompt, how = torch.tensor([[3, 4]]), {"max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False}
    polite = transformers.pipeline(
        "text-classification", model=bert, tokenizer=tokenizer, device="cpu", pipeline_class=Polite
    )
    writer = Writer(gpt.config).eval()
    for model, tool in ((writer, polite), cloudpickle.loads(cloudpickle.dumps((writer, polite)))):
        assert tool("w1 w2") == polite("w1 w2")
        assert len(list(tool(text for text in ["w1", "w2"]))) == 2
        assert torch.equal(model.generate(prompt, **how), Writer.generate(writer, prompt, **how))
    assert calls(telemetry) == {PIPELINE: 8, ("Writer", "generate"): 4}
    assert tokens(telemetry) == {"input": (4, 8.0), "output": (4, 8.0)}


def test_training_and_evaluation(bert: Any, tmp_path: Any, telemetry: Telemetry) -> None:
    """The Trainer's training and evaluation count nothing, its predictions each batch."""
    item = {"input_ids": torch.tensor([3, 4]), "attention_mask": torch.tensor([1, 1]), "labels": torch.tensor(1)}
    trainer = transformers.Trainer(
        model=copy.deepcopy(bert),
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=2, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
            eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=4,
        ),
        train_dataset=[item] * 8,
        eval_dataset=[item] * 8,
    )  # fmt: skip
    trainer.train()
    trainer.evaluate()
    assert calls(telemetry) == {}
    trainer.predict([item] * 8)
    assert calls(telemetry) == {("BertForSequenceClassification", "forward"): 2}


def test_uninstrument_restores_the_very_objects(telemetry: Telemetry) -> None:
    """Every class has what it had; signatures and documentation are the originals' meanwhile."""
    from transformers.generation import utils
    from transformers.pipelines import base, pt_utils, text_classification

    places = [(utils.GenerationMixin, "generate"), (utils.StoppingCriteriaList, "__call__")]
    places += [(utils.StopCheck, "__call__")] if hasattr(utils, "StopCheck") else []
    places += [(base.Pipeline, "__call__"), (text_classification.TextClassificationPipeline, "__call__")]
    places += [(getattr(pt_utils, name), "__next__") for name in ("PipelineIterator", "PipelinePackIterator")]
    hooked = standing(*places)
    signatures = [inspect.signature(vars(owner)[name]) for owner, name in places]
    docs = [inspect.getdoc(vars(owner)[name]) for owner, name in places]
    mlobs.uninstrument()
    before = standing(*places)
    assert all(hooked[key] is not before[key] for key in before)
    assert [inspect.signature(vars(owner)[name]) for owner, name in places] == signatures
    assert [inspect.getdoc(vars(owner)[name]) for owner, name in places] == docs
    mlobs.instrument("transformers")
    mlobs.uninstrument()
    assert standing(*places) == before
