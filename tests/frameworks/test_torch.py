"""PyTorch under `mlobs.instrument()`: the same answers, one graph where there was one, each outermost call counted once."""

from __future__ import annotations

import copy
import inspect
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from tests.told import calls, errors, rows, standing

import mlobs
from mlobs.testing import Telemetry, capture

torch: Any = pytest.importorskip("torch")
nn = torch.nn

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*torch.jit.*:{kind}") for kind in ("DeprecationWarning", "FutureWarning")
]


class Block(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x))


class Net(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(4), nn.Dropout(0.5), Block(4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("torch")
    yield
    mlobs.uninstrument()


@pytest.fixture
def net() -> Any:
    torch.manual_seed(4)
    return Net().eval()


X = torch.tensor(np.random.default_rng(4).normal(size=(6, 4)), dtype=torch.float32)
FORWARD = ("Net", "forward")


def bare(function: Any, *args: Any) -> Any:
    """What a function returns without mlobs."""
    mlobs.uninstrument("torch")
    try:
        return function(*args)
    finally:
        mlobs.instrument("torch")


def features(telemetry: Telemetry, role: str) -> dict[str, int]:
    """How many values of each feature were told."""
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role=role)
    }


# ── eager ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_answers_are_the_same_and_the_outermost_call_counts(net: Any, telemetry: Telemetry) -> None:
    """A module with modules of its own inside is one call, with its inputs and outputs, and gradients flow as before."""
    expected = bare(net, X)
    answer = net(X)
    assert torch.equal(answer, expected)
    assert answer.requires_grad
    answer.sum().backward()
    assert net.head.weight.grad is not None
    with torch.inference_mode():
        assert torch.equal(net(X), expected)
    assert calls(telemetry) == {FORWARD: 2}
    assert rows(telemetry) == {FORWARD: 12}
    assert features(telemetry, "input") == dict.fromkeys(["f0", "f1", "f2", "f3"], 12)
    assert features(telemetry, "output") == {"score_0": 12, "score_1": 12}
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_training_counts_nothing(net: Any, telemetry: Telemetry) -> None:
    """A module in training mode is no model in service, and what it calls is not either, in training mode or not."""
    net.train()
    net.body[0].eval()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(X).square().mean().backward()
        optimizer.step()
    assert calls(telemetry) == {}
    net.eval()(X)
    assert calls(telemetry) == {FORWARD: 1}


def test_containers_of_torch_and_classes_of_users(telemetry: Telemetry) -> None:
    """A Sequential is a model; a layer of torch alone is none; classes count, made before or after, whatever they inherit."""

    class Own(nn.Linear):  # type: ignore[misc, name-defined]
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) + 1

    class Louder(Net):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    nn.Sequential(Block(4), nn.ReLU()).eval()(X)
    nn.Linear(4, 2).eval()(X)
    own, louder = Own(4, 1).eval(), Louder().eval()
    assert torch.equal(own(X), own.forward(X) + 1)
    assert torch.equal(louder(X), Net.forward(louder, X) * 2)  # `forward` itself is not seen, what it calls is
    assert calls(telemetry) == {("Sequential", "forward"): 2, ("Own", "forward"): 1, ("Louder", "forward"): 1}


def test_a_forward_that_is_decorated_keeps_its_names(telemetry: Telemetry) -> None:
    """In a class below one that is observed, too; whatever else it inherits it has, and back it has its own."""

    class Above(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    class Below(Above):
        @mlobs.observe(model="decorated", version="2")
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 2

    class Chain(nn.Sequential):  # type: ignore[misc, name-defined]
        @mlobs.observe(model="chain")
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)

    for made in (Above(), Below(), Chain(nn.ReLU())):
        made.eval()
        seen: list[Any] = []
        made.register_forward_hook(lambda module, given, answer, seen=seen: seen.append(answer))
        assert torch.equal(made(X), bare(made, X))
        assert len(seen) == 2
    found = calls(telemetry)
    assert found["Above", "forward"] == 1
    assert {name for name, _ in found} == {"Above", "decorated", "chain"}
    mlobs.uninstrument("torch")
    assert "__call__" not in vars(Below)


def test_arguments_by_name(telemetry: Telemetry) -> None:
    """One argument by its name is the input, several are its columns, none is nothing; a tuple of answers is read."""

    class Two(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any = None, age: Any = None) -> Any:
            return (x if age is None else age) if x is None or age is None else (x, age)

    two = Two().eval()
    two(x=X[:, :2])
    two(x=X[:, 0], age=X[:, 1])
    assert two() is None
    assert calls(telemetry) == {("Two", "forward"): 3}
    assert features(telemetry, "input") == {"f0": 6, "f1": 6, "x": 6, "age": 6}


def test_names_of_models(net: Any, telemetry: Telemetry) -> None:
    """A registered module has its name, compiled too; one that nobody registered the name of its class."""
    net(X)
    mlobs.register(net, name="churn", version="7")
    net(X)
    torch.compile(net, backend="eager")(X)
    torch.compile(Net().eval(), backend="eager")(X)
    other = torch.compile(Net().eval(), backend="eager")
    mlobs.register(other, name="fraud")
    other(X)
    assert calls(telemetry) == {FORWARD: 2, ("churn", "forward"): 2, ("fraud", "forward"): 1}


@pytest.mark.parametrize("around", [nn.DataParallel, torch.optim.swa_utils.AveragedModel])
def test_what_torch_puts_around_a_model(around: Any, telemetry: Telemetry) -> None:
    """It has the name that it was registered by, else the model's, and serves where the model does, though it is made in training."""
    wrapper = around(Net().eval())
    net = mlobs.register(wrapper.module, name="inner")  # a copy, of an average
    assert wrapper.training
    assert torch.equal(wrapper(X), net(X))
    mlobs.register(wrapper, name="outer")
    wrapper(X)
    wrapper.module.train()
    wrapper(X)
    assert rows(telemetry) == {("inner", "forward"): 12, ("outer", "forward"): 6}


def test_replicas_on_several_devices_are_one_call(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each runs in a thread of its own, as far as can be shown without several devices."""

    def in_threads(modules: Any, inputs: Any, kwargs: Any, devices: Any) -> list[Any]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda module, given, named: module(*given, **named), modules, inputs, kwargs))

    class Parallel(nn.DataParallel):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            parts = self.parallel_apply([self.module] * 2, [(part,) for part in x.split(3)], [{}, {}])
            return torch.cat(parts)

    monkeypatch.setattr(sys.modules["torch.nn.parallel.data_parallel"], "parallel_apply", in_threads)
    parallel = Parallel(Net().eval()).eval()
    assert torch.equal(parallel(X), parallel.module(X))
    assert rows(telemetry) == {FORWARD: 12}
    assert calls(telemetry) == {FORWARD: 2}


def test_errors_pass_through_and_are_counted(net: Any, telemetry: Telemetry) -> None:
    """Wrong shape, wrong dtype, another device, no tensor: the caller sees what torch raises; an empty batch is none."""
    bad = {
        "shape": X[:, :3],
        "dtype": X.to(torch.float64),
        "device": X.to("meta"),
        "none": None,
    }
    for value in bad.values():
        with pytest.raises((RuntimeError, TypeError)) as expected:
            bare(net, value)
        with pytest.raises(type(expected.value)) as raised:
            net(value)
        assert str(raised.value) == str(expected.value)
        assert raised.value.args == expected.value.args
    assert net(X[:0]).shape == (0, 2)
    failed = errors(telemetry)
    assert sum(failed.values()) == 4
    assert set(failed) <= {"RuntimeError", "TypeError"}
    assert calls(telemetry) == {FORWARD: 5}


def test_tensors_elsewhere_are_not_looked_at(telemetry: Telemetry) -> None:
    """A model on another device answers, its call counts, and its tensors are left where they are."""
    far = Net().eval().to("meta")
    answer = far(torch.empty(3, 4, device="meta"))
    assert (answer.device.type, tuple(answer.shape)) == ("meta", (3, 2))
    assert rows(telemetry) == {FORWARD: 3}
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") > 0


def test_inside_of_others_it_counts_once(net: Any, telemetry: Telemetry) -> None:
    """In a decorated function, in an estimator of scikit-learn, with a decorated forward: one call, the outer one's."""

    class Estimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Estimator:
            self.net_ = net
            self.predict(x)
            return self

        def predict(self, x: Any) -> Any:
            with torch.no_grad():
                return self.net_(torch.as_tensor(x)).argmax(dim=1).numpy()

    class Decorated(nn.Module):  # type: ignore[misc, name-defined]
        @mlobs.observe(model="mine")
        def forward(self, x: Any) -> Any:
            return net(x)

    @mlobs.observe(model="outer")
    def serve(x: Any) -> Any:
        return net(x)

    mlobs.instrument("sklearn")
    Estimator().fit(X.numpy(), X.numpy()[:, 0] > 0).predict(X.numpy())
    Decorated().eval()(X)
    serve(X)
    found = {("Estimator", "predict"): 1, ("mine", "forward"): 1, ("outer", "serve"): 1}
    assert calls(telemetry) == found


def test_threads_count_each(net: Any, telemetry: Telemetry) -> None:
    """Every thread's calls are its own."""
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(net, [X] * 40))
    assert all(torch.equal(answer, answers[0]) for answer in answers)
    assert calls(telemetry) == {FORWARD: 40}


# ── compiled, exported, traced ──────────────────────────────────────────────────────────────────────────────────────


def graphs() -> tuple[int, int]:
    """How many graphs were compiled since the counters were cleared, and how many breaks there were."""
    counters = torch._dynamo.utils.counters
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


@pytest.fixture
def dynamo() -> Iterator[Any]:
    import torch._dynamo

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo
    torch._dynamo.reset()


BACKENDS = [
    "eager",
    "aot_eager",
    pytest.param("inductor", marks=pytest.mark.filterwarnings("ignore::DeprecationWarning")),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_after(net: Any, backend: str, dynamo: Any, telemetry: Telemetry) -> None:
    """Compiled under instrumentation it is one whole graph, made once, whose answers are the same and counted."""
    expected = bare(net, X)
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    with torch.no_grad():
        for _ in range(5):
            torch.testing.assert_close(compiled(X), expected)
    assert graphs() == (1, 0)
    explained = dynamo.explain(net)(X)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)
    assert calls(telemetry)[FORWARD] >= 5
    assert features(telemetry, "output")["score_0"] >= 30


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_before(net: Any, backend: str, dynamo: Any, telemetry: Telemetry) -> None:
    """What was compiled before is counted without being compiled again, and once more without mlobs neither."""
    mlobs.uninstrument("torch")
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    with torch.no_grad():
        expected = compiled(X)
        mlobs.instrument("torch")
        for _ in range(3):
            assert torch.equal(compiled(X), expected)
        mlobs.uninstrument("torch")
        assert torch.equal(compiled(X), expected)
    assert graphs() == (1, 0)
    assert calls(telemetry) == {FORWARD: 3}


def test_compiled_and_uninstrumented(net: Any, dynamo: Any, telemetry: Telemetry) -> None:
    """What was compiled under instrumentation works on without it, which torch compiles once more, and under it again."""
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    with torch.no_grad():
        expected = compiled(X)
        mlobs.uninstrument("torch")
        assert torch.equal(compiled(X), expected)
        mlobs.instrument("torch")
        assert torch.equal(compiled(X), expected)
    assert graphs() == (2, 0)
    assert calls(telemetry) == {FORWARD: 2}


def test_compiled_in_place_and_functions(net: Any, dynamo: Any, telemetry: Telemetry) -> None:
    """`model.compile()` counts under its class; a compiled function counts where it is decorated."""
    expected = bare(net, X)
    net.compile(fullgraph=True, backend="eager")
    assert torch.equal(net(X), expected)
    predict = mlobs.observe(model="function")(torch.compile(net.forward, fullgraph=True, backend="eager"))
    assert torch.equal(predict(X), expected)
    whole = mlobs.observe(model="whole")(torch.compile(net, fullgraph=True, backend="eager"))
    assert torch.equal(whole(X), expected)
    assert sum(torch._dynamo.utils.counters["graph_break"].values()) == 0
    assert {name for name, _ in calls(telemetry)} == {"Net", "function", "whole"}
    assert sum(calls(telemetry).values()) == 3


def test_a_compiled_function_that_calls_a_module(net: Any, dynamo: Any, telemetry: Telemetry) -> None:
    """Inside a compiled region the module runs as if mlobs were not there: one graph, and nothing counted."""

    @torch.compile(fullgraph=True, backend="eager")
    def predict(x: Any) -> Any:
        return net(x) + 1

    assert torch.equal(predict(X), net(X) + 1)
    assert graphs() == (1, 0)
    assert calls(telemetry) == {FORWARD: 1}


def test_behind_graph_breaks_it_is_compiled_as_without_mlobs(dynamo: Any, telemetry: Telemetry) -> None:
    """As many graphs and breaks for however many classes, and nothing is compiled anew."""

    class First(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x + 1
            torch._dynamo.graph_break()
            return y * 2

    class Second(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x - 3
            torch._dynamo.graph_break()
            return y * 4

    class Many(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = First(), Second()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x))

    def compiled() -> tuple[Any, tuple[int, int]]:
        dynamo.reset()
        torch._dynamo.utils.counters.clear()
        with torch.no_grad(), torch._dynamo.config.patch(error_on_recompile=True):
            return torch.compile(Many().eval(), backend="eager")(X), graphs()

    expected, made = bare(compiled)
    answer, again = compiled()
    assert torch.equal(answer, expected)
    assert made == again
    assert calls(telemetry) == {("Many", "forward"): 1}


def test_exported(net: Any, telemetry: Telemetry) -> None:
    """`torch.export` sees the module as it is without mlobs; the program counts where it is decorated."""
    plain = bare(torch.export.export, net, (X,))
    program = torch.export.export(net, (X,))
    assert program.graph_module.code == plain.graph_module.code
    assert calls(telemetry) == {}
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    predict = mlobs.observe(model="exported")(torch.export.load(file).module())
    assert torch.equal(predict(X), net(X))
    assert calls(telemetry) == {("exported", "GraphModule"): 1, FORWARD: 1}


@pytest.mark.parametrize("ratio", [0.0, 1.0], ids=["without spans", "with spans"])
def test_what_only_has_shapes_is_no_prediction(ratio: float, net: Any) -> None:
    """Fake tensors stand for values that nobody computes; as inputs, and as the answer to real ones."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with capture(span_ratio=ratio) as telemetry:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert net(mode.from_tensor(X)).shape == (6, 2)
            assert net(X.clone()).shape == (6, 2)  # torch cannot fake what others have exported
        assert calls(telemetry) == {}
        assert telemetry.total("mlobs.sdk.dropped") == 0
        net(X)
        assert calls(telemetry) == {FORWARD: 1}
        assert len(telemetry.spans) == ratio


def test_frozen(net: Any, telemetry: Telemetry, tmp_path: Path) -> None:
    """A script that is frozen has no training to be in: its calls count, and nothing is wrong about it."""
    torch.jit.save(torch.jit.freeze(torch.jit.script(net)), tmp_path / "net.pt")
    loaded = mlobs.register(torch.jit.load(tmp_path / "net.pt"), name="frozen")
    for _ in range(3):
        torch.testing.assert_close(loaded(X), bare(net, X))
    assert calls(telemetry) == {("frozen", "forward"): 3}
    assert telemetry.total("mlobs.sdk.errors") == 0


@pytest.mark.parametrize("how", ["script", "trace"])
def test_scripted_and_traced(how: str, net: Any, telemetry: Telemetry, tmp_path: Path) -> None:
    """TorchScript is the same as without mlobs, the making of it counts nothing, and its calls count, loaded too."""
    make = (lambda: torch.jit.script(net)) if how == "script" else (lambda: torch.jit.trace(net, X))
    plain = bare(make)
    made = make()
    assert made.code == plain.code
    assert calls(telemetry) == {}
    assert torch.equal(made(X), net(X))
    made.save(tmp_path / "net.pt")
    loaded = mlobs.register(torch.jit.load(tmp_path / "net.pt"), name="loaded")
    assert torch.equal(loaded(X), net(X))
    found = calls(telemetry)
    assert found["loaded", "forward"] == 1
    assert sum(found.values()) == 4


def test_symbolic_tracing(net: Any, telemetry: Telemetry) -> None:
    """torch.fx patches `Module.__call__` while it traces, and sees the modules it would see without mlobs."""

    class Leaves(torch.fx.Tracer):  # type: ignore[misc]
        def is_leaf_module(self, module: Any, name: str) -> bool:
            return isinstance(module, Block) or super().is_leaf_module(module, name)

    def nodes() -> list[str]:
        return [str(node.target) for node in Leaves().trace(net).nodes]

    assert nodes() == bare(nodes) == ["x", "body.0", "body.1", "body.2", "head", "output"]
    assert calls(telemetry) == {}
    assert torch.equal(torch.fx.symbolic_trace(net)(X), net(X))


def test_transforms_of_functions(net: Any, telemetry: Telemetry) -> None:
    """functional_call, vmap and grad give what they give; what cannot be read inside of them is left alone."""
    parameters = dict(net.named_parameters())

    def one(row: Any) -> Any:
        return torch.func.functional_call(net, parameters, (row,)).sum()

    def both() -> tuple[Any, Any]:
        return torch.vmap(one)(X), torch.func.grad(one)(X[0])

    for found, expected in zip(both(), bare(both), strict=True):
        assert torch.equal(found, expected)
    assert sum(calls(telemetry).values()) == 2


# ── files, copies and pickles ───────────────────────────────────────────────────────────────────────────────────────


def test_saved_and_loaded(net: Any, telemetry: Telemetry) -> None:
    """The file of a whole module, of its state, and of a pickle is byte for byte what it is without mlobs."""

    def saved() -> list[bytes]:
        files = [io.BytesIO(), io.BytesIO()]
        torch.save(net.head, files[0])
        torch.save(net.state_dict(), files[1])
        return [*(file.getvalue() for file in files), pickle.dumps(net)]

    assert saved() == bare(saved)
    expected = net(X)
    whole = io.BytesIO()
    torch.save(net, whole)
    whole.seek(0)
    for other in (torch.load(whole, weights_only=False), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert vars(other).keys() == vars(net).keys()
        assert torch.equal(other(X), expected)
    other = Net().eval()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(X), expected)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.head.weight.zero_()
    assert torch.equal(net(X), expected)
    assert not torch.equal(twin(X), expected)


MAIN = """
import sys, cloudpickle, mlobs, torch
mlobs.instrument("torch")

class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(4, 1)
        torch.nn.init.ones_(self.inner.weight)
        torch.nn.init.zeros_(self.inner.bias)
    def forward(self, x):
        return self.inner(x)

model = Own().eval()
sys.stdout.buffer.write(cloudpickle.dumps([model, model.__call__]))
sys.stdout.flush()
model(torch.ones(1, 4))
assert mlobs.api.runtime.models, "not observed"
"""

LOADER = """
import pickle, sys
sys.modules.update(dict.fromkeys(["mlobs", "mlobs_torch", "wrapt", "opentelemetry"]))  # importing these fails
import torch
for thing in pickle.load(sys.stdin.buffer):
    print(thing(torch.ones(2, 4)).tolist())
    print(torch.compile(thing, backend="eager", fullgraph=True)(torch.ones(2, 4)).tolist())
"""


def test_classes_of_the_main_program_travel_by_value(tmp_path: Path) -> None:
    """Cloudpickle takes a hooked class with it such that the other side needs no mlobs."""
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    quiet = {**os.environ, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    made = subprocess.run([sys.executable, str(script)], capture_output=True, env=quiet)
    assert (made.returncode, made.stderr) == (0, b"")
    done = subprocess.run([sys.executable, "-c", LOADER], input=made.stdout, capture_output=True)
    assert (done.returncode, done.stdout.decode()) == (0, "[[4.0], [4.0]]\n" * 4), done.stderr.decode()


def test_a_pickle_by_value_is_observed_where_mlobs_is(net: Any, telemetry: Telemetry) -> None:
    """A class made in a function comes back from cloudpickle as a class of its own, and counts."""

    class Local(Net):
        pass

    again = cloudpickle.loads(cloudpickle.dumps(Local().eval()))
    again(X)
    assert calls(telemetry) == {("Local", "forward"): 1}


# ── and back ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_signatures_and_documentation_are_kept() -> None:
    """Whoever looks at a hooked class sees what torch wrote."""
    for look in (inspect.signature, inspect.getsource, inspect.getdoc, lambda f: (f.__name__, f.__qualname__)):
        assert look(Net.__call__) == look(nn.Module.__call__)


def test_uninstrument_restores_the_very_objects(net: Any, telemetry: Telemetry) -> None:
    """Every class has what it had, nn.Module itself was never changed but for its subclasses' making; no hook is left."""
    import torch._dynamo.eval_frame as frames

    mlobs.uninstrument("torch")
    places = [(cls, name) for cls in (Net, Block, nn.Sequential, nn.Module) for name in ("__call__", "forward")]
    places += [(nn.Module, "__init_subclass__"), (frames.OptimizedModule, "__call__"), (torch.jit, "trace")]
    places += [(nn.DataParallel, "__call__"), (nn.DataParallel, "parallel_apply")]
    places += [(torch.jit.ScriptModule, "__call__"), (torch.jit._trace, "_check_trace"), (torch.onnx, "export")]
    before = standing(*places)
    mlobs.instrument("torch")
    hooked = standing(*places)
    assert {key[1] for key in before if before[key] is not hooked[key]} == {
        "__call__", "__init_subclass__", "_check_trace", "export", "parallel_apply",
    }  # fmt: skip
    assert hooked[id(nn.Module), "__call__"] is before[id(nn.Module), "__call__"]
    assert not any(vars(nn.modules.module)[f"_global_{kind}_hooks"] for kind in ("forward", "forward_pre"))
    bound = net.__call__
    mlobs.uninstrument("torch")
    assert standing(*places) == before
    assert torch.equal(bound(X), net(X))
    assert calls(telemetry) == {}


def test_what_somebody_patches_in_module_takes_effect(net: Any, telemetry: Telemetry, monkeypatch: Any) -> None:
    """Another tool that replaces `Module.__call__` while mlobs is on is called for modules inside, too."""
    seen = []
    original = nn.Module.__call__

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(type(self).__name__)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__call__", theirs)
    net(X)
    assert seen[:3] == ["Net", "Sequential", "Block"]
    assert calls(telemetry) == {FORWARD: 1}


def test_imported_later(tmp_path: Path) -> None:
    """Instrumenting imports nothing; torch that comes later is hooked then."""
    program = (
        "import sys, mlobs; mlobs.instrument(); assert 'torch' not in sys.modules; import torch\n"
        "class Own(torch.nn.Module):\n    def forward(self, x): return x\n"
        "Own().eval()(torch.ones(1, 2)); assert mlobs.api.runtime.models; assert 'torch._dynamo' not in sys.modules\n"
    )
    quiet = {**os.environ, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=quiet)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_module_in_another_thread_while_one_runs(net: Any, telemetry: Telemetry) -> None:
    """A thread that a module starts does not know of the call; what it runs there counts by itself."""

    class Outer(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            thread = threading.Thread(target=net, args=(x,))
            thread.start()
            thread.join()
            return x

    Outer().eval()(X)
    assert calls(telemetry) == {("Outer", "forward"): 1, FORWARD: 1}
