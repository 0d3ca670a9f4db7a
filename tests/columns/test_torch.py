"""PyTorch's tensors: read where they lie in the CPU's memory, and never waited for where they do not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import mlobs
from mlobs import UnreadableError
from mlobs.columns import LARGE, kind_of, read
from mlobs.testing import Telemetry

torch: Any = pytest.importorskip("torch")

ROWS = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


@dataclasses.dataclass
class Output:
    loss: Any
    logits: Any


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(ROWS),
        torch.tensor(ROWS, requires_grad=True),
        torch.nn.Parameter(torch.tensor(ROWS)),
        torch.tensor(ROWS, dtype=torch.float64).T.contiguous().T,
        *(torch.tensor(ROWS).to(getattr(torch, dtype)) for dtype in ("half", "bfloat16", "int64", "int8")),
    ],
    ids=str,
)
def test_tensors_are_read(tensor: Any) -> None:
    """Whatever the dtype, and with or without a gradient."""
    np.testing.assert_array_equal(read(tensor).matrix, ROWS)
    kept = kind_of(type(tensor)).keep(tensor)
    assert type(kept) is np.ndarray
    np.testing.assert_array_equal(kept, ROWS)


def test_shapes_are_those_of_arrays() -> None:
    """One dimension is a row, none is a value, three are no table; lists and dicts of tensors are as of arrays."""
    assert read(torch.tensor([1.0, 2.0])).rows == 1
    assert read(torch.tensor([1.0, 2.0]), features=1).rows == 2
    assert read(torch.tensor(3.0)).rows == 1
    assert read([torch.ones(3), torch.zeros(3)]).rows == 2
    assert read([torch.ones(4, 3), torch.zeros(4, 2)]).width == 5
    assert read({"a": torch.ones(4), "b": torch.zeros(4)}).rows == 4
    assert read(torch.ones(5, 3).max(dim=1)).width == 2
    block = read(Output(torch.tensor(0.5), torch.ones(4, 2)).__dict__ | {"loss": 0.5})
    assert block.rows == 1
    assert read({"logits": torch.ones(4, 2), "loss": torch.tensor(0.5)}).names == ("logits_0", "logits_1", "loss")
    with pytest.raises(UnreadableError) as raised:
        read(torch.ones(4, 3, 2))
    assert raised.value.reason == "not_tabular"


def test_later_changes_and_graphs_are_not_kept() -> None:
    """A copy, also of a large tensor, without a graph."""
    for rows in (1, 1000):
        tensor = torch.zeros(rows, 3, requires_grad=True)
        kind = kind_of(type(tensor))
        kept = kind.keep(tensor)
        assert (kept is LARGE) == (rows > 1)
        if kept is LARGE:
            assert kind.shape(tensor) == (rows, 3)
            kept = kind.part(tensor, 1)
        with torch.no_grad():
            tensor.add_(9)
        assert not kept.any()
    (tensor * 2).sum().backward()
    assert tensor.grad.shape == (1000, 3)


def test_a_device_is_never_waited_for(telemetry: Telemetry) -> None:
    """A tensor that is not in the CPU's memory is refused, with the reason; the call goes on."""
    far = torch.ones(4, 3, device="meta")
    predict = mlobs.observe(model="m")(lambda x: x)
    for value in (far, [far, far], {"a": far[:, 0]}):
        with pytest.raises(UnreadableError, match="on meta"):
            read(value)
        assert predict(value) is value
    assert telemetry.total("mlobs.prediction.duration") == 3
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") > 3


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_array_is_counted_by_its_rows(telemetry: Telemetry) -> None:
    """Sparse, nested and quantized ones cannot be read; how many rows they have is told all the same."""
    plain = torch.eye(6)
    ragged = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)])
    predict = mlobs.observe(model="m")(lambda tensor: 1.0)
    for tensor in (
        plain.to_sparse(),
        plain.to_mkldnn(),
        ragged,
        torch.quantize_per_tensor(plain, 0.1, 0, torch.quint8),
    ):
        predict(tensor)
    assert telemetry.total("mlobs.prediction.rows") == 6 + 6 + 2 + 6
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 6 + 6 + 2 + 6


def test_a_module_is_observed_as_it_is(telemetry: Telemetry) -> None:
    """Inputs and outputs of a network are counted, and its gradients flow."""
    network = torch.nn.Linear(3, 2)
    predict = mlobs.observe(model="m")(network)
    for _ in range(10):
        answer = predict(torch.ones(2, 3))
    assert answer.requires_grad
    assert telemetry.total("mlobs.feature.value", role="input", feature="f0") == 20
    assert telemetry.total("mlobs.feature.value", role="output", feature="score_1") == 20
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_a_state_beside_an_answer_is_left_out_with_a_gradient_or_without(caplog: pytest.LogCaptureFixture) -> None:
    """What a recurrent network answers, scores and its state: the same is told of both, and its span has the rest."""
    for gradient in (False, True):
        scores, state = torch.ones(3, 2, requires_grad=gradient), torch.ones(1, 3, 5, requires_grad=gradient)
        with mlobs.testing.capture(spans="always") as telemetry:
            mlobs.observe(model="m")(lambda x, answer=(scores, (state, state)): answer)(torch.ones(3, 4))
            assert telemetry.total("mlobs.prediction.rows") == 3
            assert telemetry.total("mlobs.sdk.dropped") > 0
            assert len(telemetry.spans) == 1
    assert "RuntimeError" not in caplog.text
