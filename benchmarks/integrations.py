"""What hooking a framework costs its predict calls: bare against `mlobs.instrument()`, in one run.

Three processes follow each other. In one nothing is hooked; in one the model goes by its class and has no reference, as with
no line of code; in one it is registered with the profile of its training data. Each is started three times, for no two
processes have their code and data at the same places. None is stopped while it runs: what mlobs may take of a core is a share
of the time that passes, and so are its folds and spans a second. Calls follow each other without a pause, every setting has
its default, and what folding takes is in the figures; there is an export a minute, which hot_path.py looks at.

python benchmarks/integrations.py [--json] [--quick]
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np
import observed
from measure import difference, environment, header, options, ratio, table, told
from sink import Sink
from turns import Runner, serve

import mlobs

Call = Callable[[], object]
Made = tuple[object, Call]  # a model, and what calls it

generator: Final = np.random.default_rng(7)
X: Final = generator.normal(size=(2_000, 30))
Y: Final = (X[:, 0] + X[:, 1] > 0).astype(int)
ROW: Final = X[:1]
ROWS: Final = X[:32]
PROFILE: Final = mlobs.Profile.build(X)
FIRST: Final = 1.5  # seconds of calls before any is timed
KINDS: Final = ("bare", "hooked", "judged")
ROUNDS: Final = 3  # times that each is started
SLICE: Final = 3.0  # seconds
LEAST: Final = 5  # calls


class Contestant(NamedTuple):
    """One call of a framework: the integration's name, what is called, how much slower it may be, and what makes the call.

    The goals are for calls of 150 µs and, of torch, for a small network; what is far shorter is measured without one.
    """

    integration: str
    what: str
    goal: float | None
    make: Callable[[], Made]

    @property
    def key(self) -> str:
        """What names it in the report."""
        return f"{self.integration}: {self.what}"


def sklearn() -> Made:
    """Return a pipeline's call."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    return model, lambda: model.predict_proba(ROW)


def xgboost(trees: int) -> Made:
    """Return a classifier's call."""
    import xgboost as xgb

    model = xgb.XGBClassifier(n_estimators=trees, max_depth=6, n_jobs=1).fit(X, Y)
    return model, lambda: model.predict_proba(ROW)


def lightgbm(rows: Any) -> Made:
    """Return a booster's call."""
    import lightgbm as lgb

    model = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lgb.Dataset(X, Y), 50)
    return model, lambda: model.predict(rows, num_threads=1)


def catboost(trees: int) -> Made:
    """Return a classifier's call."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=trees, depth=6, verbose=False, thread_count=1, allow_writing_files=False)
    model.fit(X, Y)
    return model, lambda: model.predict_proba(ROWS, thread_count=1)


def onnxruntime(rows: int) -> Made:
    """Return a session's call: two dense layers."""
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    first = numpy_helper.from_array(generator.normal(size=(30, 256)).astype(np.float32), "first")
    second = numpy_helper.from_array(generator.normal(size=(256, 2)).astype(np.float32), "second")
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 30])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])],
        [first, second],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    quiet = ort.SessionOptions()
    quiet.intra_op_num_threads = 1
    session = ort.InferenceSession(made.SerializeToString(), quiet, providers=["CPUExecutionProvider"])
    batch = X[:rows].astype(np.float32)
    return session, lambda: session.run(None, {"x": batch})


def torch(width: int) -> Made:
    """Return the call at batch 32 of a network of three layers."""
    import torch as pt

    pt.set_num_threads(1)

    class Net(pt.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            first, last = pt.nn.Linear(30, width), pt.nn.Linear(width, 2)
            self.layers = pt.nn.Sequential(first, pt.nn.ReLU(), pt.nn.Linear(width, width), pt.nn.ReLU(), last)

        def forward(self, batch: Any) -> Any:
            return self.layers(batch)

    model = Net().eval()
    batch = pt.from_numpy(ROWS.astype(np.float32))

    def call() -> object:
        with pt.inference_mode():
            return model(batch)

    return model, call


def keras() -> Made:
    """Return a model's predict."""
    import keras as k

    model = k.Sequential([k.Input((30,)), k.layers.Dense(64, activation="relu"), k.layers.Dense(1)])
    return model, lambda: model.predict(ROWS, verbose=0)


# the goals are for calls of 150 µs: those are about as long as that, and of torch for a small network
CONTESTANTS: Final = (
    Contestant("sklearn", "pipeline, predict_proba, 1 row", 1.05, sklearn),
    Contestant("xgboost", "50 trees, predict_proba, 1 row", None, functools.partial(xgboost, 50)),
    Contestant("xgboost", "1000 trees, predict_proba, 1 row", 1.05, functools.partial(xgboost, 1000)),
    Contestant("lightgbm", "booster, predict, 1 row", None, functools.partial(lightgbm, ROW)),
    Contestant("lightgbm", "booster, predict, 200 rows", 1.05, functools.partial(lightgbm, X[:200])),
    Contestant("catboost", "50 trees, predict_proba, 32 rows", None, functools.partial(catboost, 50)),
    Contestant("catboost", "200 trees, predict_proba, 32 rows", 1.05, functools.partial(catboost, 200)),
    Contestant("onnxruntime", "session, run, 512 rows", None, functools.partial(onnxruntime, 512)),
    Contestant("onnxruntime", "session, run, 1024 rows", 1.05, functools.partial(onnxruntime, 1024)),
    Contestant("torch", "three layers of 128, 32 rows", 1.03, functools.partial(torch, 128)),
    Contestant("torch", "three layers of 512, 32 rows", 1.03, functools.partial(torch, 512)),
    Contestant("keras", "predict, 32 rows", 1.05, keras),
)


def made(number: int, kind: str, seconds: float, endpoint: str) -> Made | str:
    """One process' call, as warm as after ``seconds`` of calls, or why there is none."""
    found = CONTESTANTS[number]
    try:
        model, call = found.make()
        if kind != "bare":
            observed.start(endpoint, interval=None)
            mlobs.instrument(found.integration)
    except (ImportError, mlobs.MlobsError) as error:
        return str(error).splitlines()[0]
    if kind == "judged":
        mlobs.register(model, name="judged", reference=PROFILE)
    lap(call, seconds)
    return model, call


def lap(call: Call, seconds: float) -> float:
    """Call for so long, at least a few times; seconds a call."""
    calls, now = 0, perf_counter()
    began, until = now, now + seconds
    while now < until or calls < LEAST:
        for _ in range(LEAST):
            call()
        calls += LEAST
        now = perf_counter()
    return (now - began) / calls


def be(number: str, kind: str, seconds: str, endpoint: str) -> None:
    """Be one of the processes."""
    found = made(int(number), kind, float(seconds), endpoint)
    if isinstance(found, str):
        serve(lambda _: None, found)
        return
    _, call = found
    serve(lambda each: lap(call, each))
    if kind != "bare":
        mlobs.shutdown()


def measure(number: int, endpoint: str, *, quick: bool) -> dict[str, float | None] | str:
    """µs a call, bare and hooked, or why there are none."""
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(2 if quick else ROUNDS):
        for kind in sorted(KINDS, reverse=bool(turn % 2)):
            with Runner(__file__, str(number), kind, str(0.05 if quick else FIRST), endpoint) as runner:
                if runner.told is not None:
                    return str(runner.told)
                taken[kind].append(runner.slice(0.002 if quick else SLICE))
    return {
        "bare_us": median(taken["bare"]) * 1e6,
        "hooked_adds_us": difference(taken["hooked"], taken["bare"]) * 1e6,
        "hooked_ratio": ratio(taken["hooked"], taken["bare"]),
        "judged_adds_us": difference(taken["judged"], taken["bare"]) * 1e6,
        "judged_ratio": ratio(taken["judged"], taken["bare"]),
        "goal": CONTESTANTS[number].goal,
    }


def main() -> None:
    """Measure, then print a table or one JSON object."""
    if sys.argv[1:2] and sys.argv[1].isdigit():
        be(*sys.argv[1:])
        return
    chosen = options(__doc__)
    figures: dict[str, dict[str, float | None]] = {}
    absent: dict[str, str] = {}
    with Sink() as sink:
        for number, one in enumerate(CONTESTANTS):
            if one.integration in absent:
                continue
            if not chosen.json:
                told(f"integrations: {one.key} …")
            measured = measure(number, sink.endpoint, quick=chosen.quick)
            if isinstance(measured, str):
                absent[one.integration] = measured
            else:
                figures[one.key] = measured
    present = dict.fromkeys(one.integration for one in CONTESTANTS if one.integration not in absent)
    packages = ("scikit-learn", *(name for name in present if name != "sklearn"))
    report = {"integrations": figures, "absent": absent, "environment": environment(*packages)}
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    rows = [
        [*key.split(": "), *("none" if one is None else one for one in figures.values())]
        for key, figures in report["integrations"].items()
    ]
    lines = [
        header(report["environment"]),
        table(
            "One call, µs",
            ["framework", "call", "bare", "hooked adds", "ratio", "with a reference", "ratio", "goal"],
            rows,
        ),
    ]
    lines += [f"{name}: {why}" for name, why in report["absent"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
