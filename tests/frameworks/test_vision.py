"""Models of transformers that see and hear, called directly: each call's images or sounds are its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.told import calls, rows

import mlobs
from mlobs.testing import Telemetry, capture

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    mlobs.instrument("torch", "transformers")
    with capture() as found:
        yield found
    mlobs.uninstrument()


def sees() -> Any:
    """A tiny model of images."""
    config = transformers.ViTConfig(**SIZES, image_size=8, patch_size=4, num_labels=3)
    return transformers.ViTForImageClassification(config).eval()


def hears() -> Any:
    """A tiny model of sounds."""
    convolutions = {"conv_dim": (8,), "conv_stride": (5,), "conv_kernel": (10,), "num_feat_extract_layers": 1}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 8}
    config = transformers.Wav2Vec2Config(**SIZES, **convolutions, **positions, num_labels=2)
    return transformers.Wav2Vec2ForSequenceClassification(config).eval()


@pytest.mark.parametrize(
    ("make", "name", "shape", "classes"),
    [(sees, "pixel_values", (6, 3, 8, 8), 3), (hears, "input_values", (6, 400), 2)],
)
@pytest.mark.parametrize("named", [True, False])
def test_rows_are_what_it_is_given(
    make: Any, name: str, shape: tuple[int, ...], classes: int, named: bool, telemetry: Telemetry
) -> None:
    """By name, as its processor's answer is passed on, or by position; nothing of it is taken for tokens."""
    model, given = make(), torch.randn(*shape)
    with torch.no_grad():
        answer = model(**{name: given}) if named else model(given)
    assert answer.logits.shape == (6, classes)
    key = (type(model).__name__, "forward")
    assert calls(telemetry) == {key: 1}
    assert rows(telemetry) == {key: 6}
    told = [dict(one.attributes.items()) for one in telemetry.histograms("mlobs.feature.value")]
    assert {one["feature"] for one in told if one["role"] == "output"} == {
        f"score_{number}" for number in range(classes)
    }
    assert not any("token" in one["feature"] for one in told)
    assert telemetry.total("mlobs.sdk.errors") == 0
