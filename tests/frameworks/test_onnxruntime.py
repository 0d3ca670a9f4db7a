"""ONNX Runtime under `mlobs.instrument()`: the same outputs, each run counted once, by the model's own name."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry, capture

onnx: Any = pytest.importorskip("onnx")
onnxruntime: Any = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_inference_collection as collection

X = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
METHODS = ("run", "run_async", "run_with_ort_values", "run_with_iobinding")


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("onnxruntime")
    yield
    mlobs.uninstrument("onnxruntime")


def linear(graph: str = "main_graph", rows: Any = None, **metadata: str) -> Any:
    """A model of one input, (n, 3), and one output, (n, 1)."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 3])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 1])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 1], [1.0, 2.0, 3.0])
    made = helper.make_model(
        helper.make_graph(nodes, graph, [taken], [given], [weights]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(made, metadata)
    return made


def named(shape: Any = (None, 1)) -> Any:
    """A model of two inputs by name, their sum and their product."""
    names = ("age", "income")
    nodes = [helper.make_node("Add", names, ["sum"]), helper.make_node("Mul", names, ["product"])]
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (*names, "sum", "product")
    }
    taken, given = [values[name] for name in names], [values["sum"], values["product"]]
    graph = helper.make_graph(nodes, "credit", taken, given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def classifier() -> Any:
    """A model that answers as those made of scikit-learn's classifiers do: labels, and a dict of probabilities a row."""
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            classlabels_ints=[0, 1],
            coefficients=[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0],
            intercepts=[0.0, 0.0],
            multi_class=1,
            post_transform="SOFTMAX",
        ),
        helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    label = helper.make_tensor_value_info("label", TensorProto.INT64, [None])
    rows = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    zipped = helper.make_value_info("probabilities", helper.make_sequence_type_proto(rows))
    graph = helper.make_graph(nodes, "a" * 32, [taken], [label, zipped])
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def session(model: Any, path: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    if path is None:
        return onnxruntime.InferenceSession(model.SerializeToString(), options)
    onnx.save(model, path)
    return onnxruntime.InferenceSession(path, options)


def later(a_session: Any, feed: Any) -> tuple[Any, Any, Any]:
    """What `run_async` calls back with."""
    over = threading.Event()
    found: list[Any] = []

    def callback(*given: Any) -> None:
        found.extend(given)
        over.set()

    assert a_session.run_async(None, feed, callback, "mine") is None
    assert over.wait(20)
    outputs, data, status = found
    return outputs, data, status


def values(telemetry: Telemetry, role: str) -> dict[str, int]:
    """How many values of each feature were summarised."""
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role=role)
    }


# ── what is counted ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_way_to_run_gives_the_same_and_counts_once(telemetry: Telemetry) -> None:
    """Four methods: their outputs are those without mlobs, their rows and calls are told by operation."""
    one = session(linear())
    expected = X @ np.array([[1], [2], [3]], np.float32)
    ort = onnxruntime.OrtValue.ortvalue_from_numpy(X)
    for _ in range(2):
        [answer] = one.run(None, {"x": X})
        np.testing.assert_allclose(answer, expected, rtol=1e-6)
        [answer] = one.run_with_ort_values(["y"], {"x": ort})
        assert isinstance(answer, onnxruntime.OrtValue)
        np.testing.assert_allclose(answer.numpy(), expected, rtol=1e-6)
        binding = one.io_binding()
        binding.bind_cpu_input("x", X)
        binding.bind_output("y")
        assert one.run_with_iobinding(binding) is None
        np.testing.assert_allclose(binding.copy_outputs_to_cpu()[0], expected, rtol=1e-6)
        outputs, data, status = later(one, {"x": X})
        np.testing.assert_allclose(outputs[0], expected, rtol=1e-6)
        assert (data, status) == ("mine", "")
    assert rows(telemetry) == {("InferenceSession", method): 10 for method in METHODS}
    assert calls(telemetry) == {("InferenceSession", method): 2 for method in METHODS}
    assert values(telemetry, "input") == {"f0": 40, "f1": 40, "f2": 40}
    assert values(telemetry, "output") == {"prediction": 30}  # what a binding holds afterwards is not read
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_several_inputs_are_features_by_name(telemetry: Telemetry) -> None:
    """Inputs of the shape (n, 1) or (n,): each is a feature; several outputs stand beside each other."""
    for shape in ((None, 1), (None,)):
        one = session(named(shape))
        column = X[:4, 0] if len(shape) == 1 else X[:4, :1]
        for _ in range(5):
            one.run(None, {"age": column, "income": column})
    binding = one.io_binding()
    for name in ("age", "income"):
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(X[:4, 0].copy()))
        binding.bind_output({"age": "sum", "income": "product"}[name])
    one.run_with_iobinding(binding)
    assert rows(telemetry) == {("credit", "run"): 40, ("credit", "run_with_iobinding"): 4}
    assert calls(telemetry)["credit", "run_with_iobinding"] == 1
    assert values(telemetry, "input") == {"age": 44, "income": 44}
    assert values(telemetry, "output") == {"score_0": 40, "score_1": 40}


OTHER = np.full((40, 3), 9, np.float32)
BOUND: dict[str, Callable[[Any, Any], None]] = {
    "array": lambda binding, x: binding.bind_cpu_input("x", x),
    "value": lambda binding, x: binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x)),
    "address": lambda binding, x: binding.bind_input("x", "cpu", 0, np.float32, x.shape, buffer_ptr=x.ctypes.data),
}


@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize("second", BOUND)
@pytest.mark.parametrize("first", BOUND)
def test_a_binding_that_is_used_again_tells_what_is_bound_now(
    first: str, second: str, cleared: bool, telemetry: Telemetry
) -> None:
    """Whatever was bound before in whichever way; of an address nothing is told."""
    one = session(linear())
    binding = one.io_binding()
    for way, x in ((first, OTHER), (second, X)):
        if cleared:
            binding.clear_binding_inputs()
        BOUND[way](binding, x)
        binding.bind_output("y")
        one.run_with_iobinding(binding)
        assert binding.copy_outputs_to_cpu()[0].shape == (len(x), 1)
    seen = (40 if first != "address" else 0) + (5 if second != "address" else 0)
    assert sum(rows(telemetry).values()) == seen
    assert calls(telemetry) == {("InferenceSession", "run_with_iobinding"): 2}
    assert values(telemetry, "input") == (dict.fromkeys(("f0", "f1", "f2"), seen) if seen else {})


def test_an_array_that_cannot_be_bound_leaves_the_one_before(telemetry: Telemetry) -> None:
    """The runtime goes on with that, and so do we; what is no call at all raises what Python says."""
    one = session(linear())
    binding = one.io_binding()
    binding.bind_cpu_input(arr_on_cpu=X, name="x")
    with pytest.raises(RuntimeError):
        binding.bind_cpu_input("x", OTHER.tolist())
    with pytest.raises(TypeError, match="bind_cpu_input"):
        binding.bind_cpu_input()
    binding.bind_output("y")
    one.run_with_iobinding(binding)
    assert rows(telemetry) == {("InferenceSession", "run_with_iobinding"): 5}


def test_what_was_bound_while_nobody_looked_is_not_told(telemetry: Telemetry) -> None:
    """An array that was bound before is not taken for what is bound now."""
    one = session(linear())
    binding = one.io_binding()
    BOUND["array"](binding, OTHER)
    mlobs.uninstrument("onnxruntime")
    BOUND["address"](binding, X)
    mlobs.instrument("onnxruntime")
    binding.bind_output("y")
    one.run_with_iobinding(binding)
    assert calls(telemetry) == {("InferenceSession", "run_with_iobinding"): 1}
    assert rows(telemetry) == {}


def test_a_classifiers_labels_and_probabilities(telemetry: Telemetry) -> None:
    """Labels and a dict a row are read as a label and the probabilities; lists are taken as rows."""
    one = session(classifier())
    for _ in range(4):
        labels, zipped = one.run(None, {"x": X})
        assert isinstance(zipped[0], dict)
        one.run(["probabilities"], {"x": X.tolist()})
    assert labels.tolist() == [int(row.sum() > 0) for row in X]
    assert rows(telemetry) == {("InferenceSession", "run"): 40}
    assert telemetry.total("mlobs.sdk.dropped") == 0
    assert values(telemetry, "output") == {"score_0": 40, "score_1": 40, "score_2": 20}


def test_images_are_counted_and_not_read(telemetry: Telemetry) -> None:
    """An input of more than two dimensions has rows and no features."""
    shape = [None, 2, 2]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "vision", [taken], [given])
    one = session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    one.run(None, {"x": np.ones((6, 2, 2), np.float32)})
    assert rows(telemetry) == {("vision", "run"): 6}
    assert telemetry.total("mlobs.sdk.dropped", reason="not_tabular") == 12


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def test_names_come_from_the_metadata_the_graph_the_file(telemetry: Telemetry, tmp_path: Path) -> None:
    """A registration first, then the model's own properties, its graph, its file, its class; a version that is unset is none."""
    numbered = linear("ranking")
    numbered.model_version = 12
    zero = linear("main_graph")
    zero.model_version = 0
    for model, path in (
        (linear(model_name="churn", model_version="7"), None),
        (numbered, None),
        (zero, tmp_path / "fraud.onnx"),
        (linear(), None),
    ):
        session(model, path).run(None, {"x": X})
    known = mlobs.register(session(linear(model_name="churn")), name="mine", version="1")
    known.run(None, {"x": X})
    versions = {
        (dict(key)["model.name"], dict(key)["model.version"]) for key in telemetry.numbers("mlobs.prediction.rows")
    }
    assert versions == {
        ("churn", "7"),
        ("ranking", "12"),
        ("fraud", "unversioned"),
        ("InferenceSession", "unversioned"),
        ("mine", "1"),
    }


def test_the_profile_beside_the_file_is_found(telemetry: Telemetry, tmp_path: Path) -> None:
    """It says who the model is where it knows, and is what drift is measured by; a damaged one is told."""
    x = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    outputs = (x @ np.array([[1], [2], [3]], np.float32))[:, 0]
    mlobs.Profile.build(x, outputs=outputs, model="fraud", version="9").save(tmp_path / "a.profile.json")
    mlobs.Profile.build(x, outputs=outputs).save(tmp_path / "b.profile.json")
    (tmp_path / "c.profile.json").write_text("{")
    for name in "abc":
        one = session(linear(model_version="3"), tmp_path / f"{name}.onnx")
        one.run(None, {"x": x})
    versions = {
        (dict(key)["model.name"], dict(key)["model.version"]) for key in telemetry.numbers("mlobs.prediction.rows")
    }
    assert versions == {("fraud", "9"), ("b", "3"), ("c", "3")}
    drift = mlobs.drift()
    assert {feature: verdict.count for feature, verdict in drift["fraud"].items()} == dict.fromkeys(
        ["f0", "f1", "f2", "prediction"], 400
    )
    assert set(drift) >= {"fraud", "b"}


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────

BAD: list[tuple[Any, str]] = [
    ({"x": X[:, :2]}, "InvalidArgument"),
    ({"x": X.astype(np.float64)}, "InvalidArgument"),
    ({"x": X, "z": X}, "InvalidArgument"),
    ({"x": np.ones((0, 2), np.float32)}, "InvalidArgument"),
    ({}, "ValueError"),
    ({"z": X}, "ValueError"),
    (None, "AttributeError"),
]


@pytest.mark.parametrize("feed", [feed for feed, _ in BAD], ids=str)
@pytest.mark.parametrize("method", ["run", "run_async"])
def test_errors_are_the_runtimes_own(method: str, feed: Any, telemetry: Telemetry) -> None:
    """A wrong shape, a wrong dtype, a missing or unknown name: the same type and words as without mlobs, counted by type."""
    one = session(linear())

    def outcome() -> tuple[Any, ...]:
        try:
            if method == "run_async":
                return ("called back", later(one, feed)[2])
            one.run(None, feed)
        except Exception as error:  # noqa: BLE001 - compared with what comes without mlobs
            return type(error), error.args
        return ("no error",)

    mlobs.uninstrument()
    expected = outcome()
    mlobs.instrument("onnxruntime")
    assert outcome() == expected
    kind = {str(bad): name for bad, name in BAD}[str(feed)]
    if method == "run_async" and expected[0] == "called back":
        kind = "Fail"
    [told] = errors(telemetry)
    assert told.rpartition(".")[2] == kind
    assert telemetry.total("mlobs.prediction.duration") == 1


def test_an_empty_batch_is_none(telemetry: Telemetry) -> None:
    """No rows are no error: what the runtime answers is answered."""
    assert session(linear()).run(None, {"x": X[:0]})[0].shape == (0, 1)
    assert calls(telemetry) == {("InferenceSession", "run"): 1}
    assert rows(telemetry) == {}


def test_wrong_arguments_fail_as_they_did(telemetry: Telemetry) -> None:
    """What is no call of the method at all raises what Python says."""
    one = session(linear())
    for method in ("run", "run_async", "run_with_ort_values"):
        with pytest.raises(TypeError, match=rf"Session.{method}\(\) missing"):
            getattr(one, method)()
    with pytest.raises(
        (ValueError, RuntimeError), match=r"IOBinding must be used with the session|should be requested"
    ):
        one.run_with_iobinding(session(linear()).io_binding())


# ── beside others ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_observed_function_around_it_has_the_word(telemetry: Telemetry) -> None:
    """One prediction, the outer one's, of a run that calls back too; the next run in the thread counts again."""
    one = session(linear())

    @mlobs.observe(model="outer")
    def serve(x: Any) -> Any:
        return one.run(None, {"x": x})[0]

    @mlobs.observe(model="outer")
    def serve_later(x: Any) -> Any:
        return later(one, {"x": x})[0]

    serve(X)
    serve_later(X)
    later(one, {"x": X})
    one.run(None, {"x": X})
    assert rows(telemetry) == {
        ("outer", "serve"): 5,
        ("outer", "serve_later"): 5,
        ("InferenceSession", "run_async"): 5,
        ("InferenceSession", "run"): 5,
    }


def test_spans_of_runs_that_call_back() -> None:
    """A span a run, each on its own: what is started in a run's context leaves nothing in the caller's."""
    with capture(spans="always") as telemetry:
        one = session(linear())
        for _ in range(3):
            later(one, {"x": X})
        one.run(None, {"x": X})
        assert [span.parent for span in telemetry.spans] == [None] * 4


def test_threads_share_a_session(telemetry: Telemetry) -> None:
    """Every run counts, whatever thread it is in and whichever way."""
    one = session(linear())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: one.run(None, {"x": X}), range(100)))
        list(pool.map(lambda _: later(one, {"x": X}), range(100)))
    assert rows(telemetry) == {("InferenceSession", "run"): 500, ("InferenceSession", "run_async"): 500}


def test_a_session_that_was_there_before_is_seen(telemetry: Telemetry) -> None:
    """The class is hooked, not the object; and everything is put back."""
    bound = ("bind_cpu_input", "bind_input", "bind_ortvalue_input", "clear_binding_inputs")
    places = [
        *((collection.Session, name) for name in METHODS),
        *((collection.IOBinding, name) for name in bound),
    ]
    mlobs.uninstrument()
    before = standing(*places)
    one = session(linear())
    signatures = [inspect.signature(getattr(*place)) for place in places]
    mlobs.instrument("onnxruntime")
    one.run(None, {"x": X})
    hooked = standing(*places)
    assert all(hooked[key] is not before[key] for key in before)
    assert [inspect.signature(getattr(*place)) for place in places] == signatures
    running = one.run_async
    mlobs.uninstrument()
    assert standing(*places) == before
    over = threading.Event()
    running(None, {"x": X}, lambda *_: over.set(), None)
    assert over.wait(20)
    one.run(None, {"x": X})
    assert rows(telemetry) == {("InferenceSession", "run"): 5}
